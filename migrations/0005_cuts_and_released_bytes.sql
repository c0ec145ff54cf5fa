-- Uploads larger than an aggregate are cut; small aggregates are topped up; bytes of an aggregate may be released.

create table cuts (
  upload_id bigint not null references uploads,
  cut integer not null constraint cuts_number_not_negative check (cut >= 0),
  run_bytes bigint not null constraint cuts_not_empty check (run_bytes > 0),
  block_count bigint not null constraint cuts_have_blocks check (block_count > 0),
  primary key (upload_id, cut)
);
comment on table cuts is
  'Parts of an upload that no aggregate could hold whole. Each is a run by itself: the root and all ancestors of its blocks, then its own blocks, in stored order. Written by cut in one transaction for all of an upload; read by stow, seal, proofs and status; deleted only while none of the upload is placed.';

create table cut_extents (
  upload_id bigint not null,
  cut integer not null,
  seq integer not null constraint cut_extents_seq_not_negative check (seq >= 0),
  object_key text not null,
  object_offset bigint not null constraint cut_extents_offset_not_negative check (object_offset >= 0),
  length_bytes bigint not null constraint cut_extents_not_empty check (length_bytes > 0),
  primary key (upload_id, cut, seq),
  constraint cut_extents_of_cut foreign key (upload_id, cut) references cuts on delete cascade
);
comment on table cut_extents is
  'The bytes of a cut in order, as ranges of store objects that the parts of its upload name too. Written with the cut; deleted when the bytes are released.';

alter table placements
  add column cut integer,
  add column topped_up boolean not null default false,
  add constraint placements_of_cut foreign key (upload_id, cut) references cuts;
-- An upload, or a cut of one, is placed once by itself; any number of times more to top up small aggregates.
create unique index placements_once on placements (upload_id, coalesce(cut, -1)) where not topped_up;
comment on table placements is
  'Where a run lies in an aggregate: never moved, never deleted. Written by stow, selector by seal; read by seal, piece serving and the API. cut: the part of the upload, null when it is whole; topped_up: placed once more to bring a small aggregate to the smallest piece that providers take.';

alter table aggregates
  add column filler_bytes bigint not null default 0,
  add column released_at timestamptz,
  add column proofs_key text,
  add constraint aggregates_filler_not_negative check (filler_bytes >= 0),
  drop constraint aggregates_car_is_its_parts,
  add constraint aggregates_car_is_its_parts check (car_bytes = length_bytes + filler_bytes + tree_bytes),
  drop constraint aggregates_within_capacity,
  add constraint aggregates_within_capacity check (length_bytes >= 59 and length_bytes + filler_bytes <= capacity_bytes),
  add constraint aggregates_released_has_proofs check (released_at is null or (state = 'sealed' and proofs_key is not null));
comment on table aggregates is
  'One CARv1 each: 59 bytes of header, runs, filler, batch tree. Written by stow, seal and release; read by all later stages; never deleted. length_bytes counts header and runs; filler_bytes are sections of one raw block of zeros; piece_bytes is the padded size, the smallest power of two that holds the CAR; released_at: its bytes are not kept from then on, and its proofs are in the object proofs_key.';
