-- Uploads that come in pieces: which blocks of an incomplete upload are held and which are still wanted.

create table part_blocks (
  upload_id bigint not null references uploads,
  cid bytea not null,
  block_bytes integer not null constraint part_blocks_size_not_negative check (block_bytes >= 0),
  links bytea[] not null,
  reached boolean not null,
  primary key (upload_id, cid)
);
comment on table part_blocks is
  'Blocks held of uploads that are not complete, by CIDv1, with the CIDv1s they link to in order. reached: links lead to it from the root. Written by receive; deleted by the next sweep once the upload is complete.';

create table wanted_blocks (
  id bigint generated always as identity,
  upload_id bigint not null references uploads,
  cid bytea not null,
  came boolean not null default false,
  primary key (upload_id, cid)
);
create index wanted_blocks_came on wanted_blocks (upload_id) where came;
create index wanted_blocks_in_order on wanted_blocks (upload_id, id);
comment on table wanted_blocks is
  'CIDv1s that reached blocks of an incomplete upload link to and that did not come; id gives the order in which the links were found; came: the block is there since the links were last followed. Written by receive; an upload is complete when none is left.';

-- An incomplete upload fails when no new part came for a while; changed_at is when the last one came.
drop index uploads_incomplete;
create index uploads_incomplete on uploads (changed_at, id) where state = 'incomplete';

-- Parts of earlier versions that are in no run were kept for nothing: their blocks were never written down.
delete from parts where run_seq is null;
comment on table parts is
  'Stored sections of an upload: canonical CAR sections (first occurrence of each CID, minimal varints, no header) in a range of a store object. No block is in two parts of one upload. Written by receive; read by seal and piece serving. run_seq: place in the upload''s run, null while the upload is incomplete; id gives the order of acceptance.';
