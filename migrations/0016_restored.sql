-- The bytes of an aggregate that were released, and are wanted once more: fetched back from a provider, as one object.

create table restorations (
  aggregate_id bigint primary key references aggregates,
  object_key text,
  provider_id text references providers,
  failures integer not null default 0,
  next_at timestamptz not null,
  refusals text,
  changed_at timestamptz not null,
  constraint restorations_object_once unique (object_key),
  constraint restorations_come_from_somebody check ((object_key is null) = (provider_id is null)),
  constraint restorations_failures_counted check (failures >= 0)
);
comment on table restorations is
  'Released aggregates whose bytes were fetched back for a repair or a renewal, or whose fetching failed. Written by the restore stage; the row goes when the bytes are released again.';
comment on column restorations.object_key is 'The whole CAR, checked against the piece CID before; null: it is not there.';
comment on column restorations.next_at is 'Nobody fetches before; means nothing once the object is there.';
comment on column restorations.refusals is 'Why what each provider serves was not taken, the last time.';
