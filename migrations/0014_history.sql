-- How long each aggregate took for each step of its way, folded out of the events: what tells when an upload will be active.

create table aggregate_times (
  aggregate_id bigint primary key references aggregates,
  closed_at timestamptz,
  signed_at timestamptz,
  accepted_at timestamptz,
  published_at timestamptz,
  active_at timestamptz,
  constraint aggregate_times_steps_follow check (
    (active_at is null or published_at is not null) and (published_at is null or accepted_at is not null)
    and (accepted_at is null or signed_at is not null))
);
create index aggregate_times_active on aggregate_times (active_at);
comment on table aggregate_times is
  'When an aggregate first came to a step: closed, a proposal signed, accepted, published, active; a step that was never seen counts with the next one. Folded out of the events by whichever process comes first each minute; read by status, by the views ops_aggregate_times and ops_stage_times; can be made anew from the events.';

create table history_cursor (
  singleton boolean primary key default true constraint history_cursor_single_row check (singleton),
  xid xid8 not null,
  position bigint not null,
  as_of timestamptz
);
comment on table history_cursor is
  'How far the events are folded into aggregate_times, and as of when that is all there is to know; null until the first time. Written by that process alone which holds the row.';
insert into history_cursor (xid, position) values ('0', 0);
