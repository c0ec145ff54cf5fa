-- How a transfer went: a point of its curve each time that another 64th of the piece has left, at most 256 as repetitions count too.

alter table transfers
  add column curve_at timestamptz[] not null default '{}',
  add column curve_bytes bigint[] not null default '{}';
alter table transfers add constraint transfers_curve_sane
  check (cardinality(curve_at) = cardinality(curve_bytes) and cardinality(curve_at) <= 256);
comment on column transfers.curve_bytes is
  'served_bytes as of curve_at, a point for each 64th of the piece. Written with served_bytes; read by the API.';
