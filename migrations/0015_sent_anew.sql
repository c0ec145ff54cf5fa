-- An upload whose bytes were released and whose deals ended is stored and placed anew when it is sent again: where it lay
-- before is no place of its own from then on.
comment on column placements.topped_up is
  'Not the place of its own that an upload, or a cut of one, has once: it brings a small aggregate to the smallest piece that providers take, or it was the place before the upload was sent anew.';
