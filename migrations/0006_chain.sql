-- How fresh our view of the chain is, in one row for all processes; and where the chain and what we know of it differ.

create table chain_freshness (
  singleton boolean primary key default true constraint chain_freshness_single_row check (singleton),
  as_of timestamptz,
  epoch bigint,
  degraded_since timestamptz,
  degraded_reason text,
  limited text,
  looked_at timestamptz not null,
  constraint chain_freshness_epoch_with_time check ((as_of is null) = (epoch is null)),
  constraint chain_freshness_since_with_reason check ((degraded_since is null) = (degraded_reason is null))
);
comment on table chain_freshness is
  'How fresh the deals are: read whole as of this epoch, at this time. Written by the one process that watches, read by all. degraded: since when the chain cannot be read, and why; limited: what its nodes cannot show us; looked_at: when somebody last looked.';
insert into chain_freshness (as_of, epoch, looked_at) select at, height, at from chain_cursors where name = 'watch.done';
delete from chain_cursors where name = 'watch.done';

create table chain_differences (
  id bigint generated always as identity primary key,
  deal_id uuid not null references deals,
  kind text not null constraint chain_differences_kind_known check (kind in ('untold', 'absent', 'another_proposal', 'nodes_disagree')),
  detail text not null,
  epoch bigint not null,
  tipset text[] not null,
  found_at timestamptz not null,
  cleared_at timestamptz
);
create unique index chain_differences_open on chain_differences (deal_id) where cleared_at is null;
comment on table chain_differences is
  'Where the daily reading of all live deals found what no event had told: untold (a change without its event), absent (gone from the state, and not yet known why), another_proposal (the id holds other fields than ours); and where nodes showed a deal differently that was about to change (nodes_disagree). Written and cleared by watch; never deleted; an open row wants an operator.';

-- A page of what was seen in a range of epochs goes on where the last one ended.
drop index events_of_epoch;
create index events_of_epoch on events (epoch, deal_id) where deal_id is not null and epoch is not null;
-- Which deals are due at an epoch, and who signed: each of a million live deals costs nothing while it is not due.
create index deals_starting on deals (start_epoch, id) where state = 'published';
create index deals_undiscovered on deals (start_epoch)
  where settled_at is null and state in ('signed', 'sent', 'accepted', 'failed');
create index deals_of_client on deals (client);
