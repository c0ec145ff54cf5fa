-- The piece CID while an aggregate grows: the roots of its full aligned chunks, each hashed once by any worker.

create table chunks (
  aggregate_id bigint not null,
  index integer not null,
  root bytea not null,
  constraint chunks_pkey primary key (aggregate_id, index),
  constraint chunks_aggregate_id_fkey foreign key (aggregate_id) references aggregates,
  constraint chunks_index_not_negative check (index >= 0),
  constraint chunks_root_is_node check (length(root) = 32)
);
comment on table chunks is
  'CommP subtree roots of an aggregate''s aligned chunks of 127 * 2^18 bytes, as far as they are known; an aggregate of one chunk has none. Written by hash as the aggregate grows, and by seal what needed the batch tree (chunk 0, the last ones), never changed or deleted; read by seal and by proofs.';
