-- Letting go of bytes, and looking after those that stay: what reading everything again has found.

create index uploads_failed on uploads (changed_at, id) where state = 'failed';
create index cut_extents_of_object on cut_extents (object_key);
create index aggregates_kept on aggregates (sealed_at, id) where state = 'sealed' and released_at is null;

create table damage (
  id bigint generated always as identity primary key,
  object_key text not null,
  object_offset bigint not null constraint damage_offset_not_negative check (object_offset >= 0),
  length_bytes bigint not null constraint damage_not_empty check (length_bytes > 0),
  upload_id bigint references uploads,
  aggregate_id bigint references aggregates,
  what text not null constraint damage_told check (what <> ''),
  found_at timestamptz not null,
  cleared_at timestamptz,
  constraint damage_of_one_thing check (num_nonnulls(upload_id, aggregate_id) = 1)
);
create unique index damage_open on damage (object_key, object_offset) where cleared_at is null;
comment on table damage is
  'Stored bytes that are not what they were: a part of an upload, or the tree of an aggregate. Written by scrub, cleared when a later pass finds the bytes sound or nobody needs them any more; never deleted; an open row wants an operator.';

create table scrub_progress (
  kind text primary key constraint scrub_progress_kind_known check (kind in ('parts', 'trees')),
  after_id bigint not null,
  read_bytes bigint not null,
  pass_began_at timestamptz not null,
  pass_ended_at timestamptz
);
comment on table scrub_progress is
  'How far the reading of all stored bytes has come: parts and trees up to after_id are read in the pass that began then. pass_ended_at: when the last whole pass ended. Written and read by scrub, so that a restart goes on.';

-- An upload that no cutting fits into aggregates fails as well, and lacks no block.
alter table uploads
  drop constraint uploads_missing_named_while_incomplete,
  add constraint uploads_missing_named_while_incomplete check (
    (state <> 'incomplete' or missing_count is not null)
    and (missing_count is null or state in ('incomplete', 'failed'))
    and (missing_count is null) = (missing_first is null)
    and (missing_count is null or missing_count > 0));
