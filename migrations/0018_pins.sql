-- Pins in an IPFS Cluster: what is wanted of each upload, what the cluster last said, and what is to be done next and when.

create type pin_status as enum ('queued', 'pinning', 'pinned', 'failed', 'unpinned');
create type pin_step as enum ('give', 'look', 'recover', 'unpin');

create table pins (
  upload_id bigint primary key references uploads,
  status pin_status not null,
  step pin_step,
  due_at timestamptz,
  wish integer not null default 1 constraint pins_wish_counted check (wish > 0),
  acted boolean not null default false,
  failing_since timestamptz,
  error text,
  changed_at timestamptz not null,
  constraint pins_step_has_time check ((step is null) = (due_at is null)),
  constraint pins_unpinned_or_wanted check ((status = 'unpinned') = (step is null or step = 'unpin')),
  constraint pins_failure_told check ((failing_since is null) = (error is null)),
  constraint pins_failed_since check (status <> 'failed' or failing_since is not null)
);
create index pins_to_look on pins (due_at) where step = 'look';
create index pins_to_act on pins (due_at) where step in ('give', 'recover', 'unpin');
comment on table pins is
  'The pin of an upload in an IPFS Cluster, from its acceptance on where one is configured. status: what is told of it; unpinned: nobody owns it any more. step: what is to be done at due_at (by the database''s clock; whoever does it moves that on for as long): give the bytes, look what became of them, recover, unpin. wish: counts uploads and deletions, so that what was asked before one is not written after it. acted: something was done about the failure since it was last seen. failing_since: no look has found it pinned since then. Written by receive, delete and the pin stage; read by status; never deleted.';

create table pin_cluster (
  singleton boolean primary key default true constraint pin_cluster_single_row check (singleton),
  answered_at timestamptz,
  failing_since timestamptz,
  error text,
  constraint pin_cluster_fault_told check ((failing_since is null) = (error is null))
);
comment on table pin_cluster is
  'Whether the IPFS Cluster answers, and since when it does not: pin statuses are as of answered_at. Written by the pin stage, read by status and doctor; never deleted.';
insert into pin_cluster default values;

-- Whether bytes of an upload are damaged is asked for each status.
create index damage_of_upload on damage (upload_id) where cleared_at is null and upload_id is not null;
