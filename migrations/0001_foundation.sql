-- The whole life of an upload in rows: uploads and their owners, stored parts, aggregates and placements,
-- deals with slot and generation, providers, policy, and one append-only event table that is history and outbox at once.
-- Epochs are stored as epochs; times are passed in by the service, whose clock is a dependency.

create type upload_state as enum ('incomplete', 'waiting', 'stowed', 'failed');
create type aggregate_state as enum ('open', 'sealing', 'sealed');
create type deal_state as enum ('signed', 'sent', 'accepted', 'published', 'active',
                                'rejected', 'failed', 'abandoned', 'missed', 'expired', 'slashed');
create type provider_state as enum ('enabled', 'paused', 'removed');
create type address_source as enum ('chain', 'manual');

create table network (
  singleton boolean primary key default true constraint network_single_row check (singleton),
  name text not null constraint network_known check (name in ('mainnet', 'calibration', 'devnet')),
  genesis_seconds bigint,
  genesis_cid text
);
comment on table network is
  'The one network this database belongs to. Written once at first start (genesis of a devnet at first contact); read at every start; never deleted.';

create table owners (
  id bigint generated always as identity primary key,
  name text not null,
  constraint owners_name_unique unique (name),
  constraint owners_name_given check (name <> '')
);
comment on table owners is 'Token names that sent uploads. Written by receive; read by lists; never deleted.';

create table uploads (
  id bigint generated always as identity primary key,
  root text not null,
  state upload_state not null,
  run_bytes bigint,
  dag_bytes bigint,
  block_count bigint,
  missing_count bigint,
  missing_first text,
  failure text,
  created_at timestamptz not null,
  changed_at timestamptz not null,
  constraint uploads_root_unique unique (root),
  constraint uploads_root_is_base32_v1 check (root ~ '^b[a-z2-7]+$'),
  constraint uploads_run_known_once_complete check (
    (state in ('waiting', 'stowed')) = (run_bytes is not null)
    and (run_bytes is null) = (dag_bytes is null) and (run_bytes is null) = (block_count is null)
    and (run_bytes is null or run_bytes > 0)),
  constraint uploads_missing_named_while_incomplete check (
    (state in ('incomplete', 'failed')) = (missing_count is not null)
    and (missing_count is null) = (missing_first is null)
    and (missing_count is null or missing_count > 0)),
  constraint uploads_failure_named check ((state = 'failed') = (failure is not null))
);
-- The queue goes by acceptance: when the upload became complete.
create index uploads_waiting on uploads (changed_at, id) where state = 'waiting';
create index uploads_incomplete on uploads (created_at) where state = 'incomplete';
comment on table uploads is
  'One row a root CID (CIDv1 base32). Written by receive and stow; read by the API and stow; never deleted. run_bytes: bytes of its run in an aggregate; dag_bytes: sum of its blocks'' bytes.';

create table upload_owners (
  upload_id bigint not null references uploads,
  owner_id bigint not null references owners,
  since timestamptz not null,
  ended_at timestamptz,
  primary key (upload_id, owner_id)
);
comment on table upload_owners is 'Who sent an upload. Written by receive; ended, not deleted, by the API.';

create table parts (
  id bigint generated always as identity primary key,
  upload_id bigint not null references uploads,
  object_key text not null,
  object_offset bigint not null constraint parts_offset_not_negative check (object_offset >= 0),
  length_bytes bigint not null constraint parts_not_empty check (length_bytes > 0),
  block_count bigint not null constraint parts_have_blocks check (block_count > 0),
  run_seq integer constraint parts_run_seq_not_negative check (run_seq >= 0),
  created_at timestamptz not null,
  constraint parts_object_unique unique (object_key, object_offset),
  constraint parts_run_seq_unique unique (upload_id, run_seq)
);
comment on table parts is
  'Stored sections of an upload: canonical CAR sections (first occurrence of each CID, minimal varints, no header) in a range of a store object. Written by receive; read by seal and piece serving. run_seq: place in the upload''s run, null while it is in none.';

create table aggregates (
  id bigint generated always as identity primary key,
  state aggregate_state not null,
  capacity_bytes bigint not null,
  length_bytes bigint not null,
  entry_count integer not null,
  oldest_accepted_at timestamptz,
  seal_reason text,
  tree_key text,
  tree_bytes bigint,
  batch_root text,
  car_bytes bigint,
  piece_cid text,
  piece_bytes bigint,
  opened_at timestamptz not null,
  sealed_at timestamptz,
  changed_at timestamptz not null,
  constraint aggregates_within_capacity check (length_bytes between 59 and capacity_bytes),
  constraint aggregates_entries_counted check (entry_count >= 0 and (entry_count = 0) = (oldest_accepted_at is null)),
  constraint aggregates_reason_once_closed check ((state = 'open') = (seal_reason is null)),
  constraint aggregates_reason_known check (seal_reason in ('full', 'age', 'force_age', 'operator')),
  constraint aggregates_closed_not_empty check (state = 'open' or entry_count > 0),
  constraint aggregates_sealed_is_whole check (
    (state = 'sealed') = (piece_cid is not null)
    and num_nulls(tree_key, tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, sealed_at) in (0, 7)),
  constraint aggregates_car_is_its_parts check (car_bytes = length_bytes + tree_bytes),
  constraint aggregates_piece_holds_car check (piece_bytes >= 128 and piece_bytes & (piece_bytes - 1) = 0
    and car_bytes <= piece_bytes / 128 * 127 and (piece_bytes = 128 or car_bytes > piece_bytes / 256 * 127))
);
create unique index aggregates_piece_unique on aggregates (piece_cid) where piece_cid is not null;
create index aggregates_unsealed on aggregates (id) where state <> 'sealed';
comment on table aggregates is
  'One CARv1 each: 59 bytes of header, runs, batch tree. Written by stow and seal; read by all later stages; never deleted. length_bytes counts header and runs; piece_bytes is the padded size, the smallest power of two that holds the CAR.';

create table placements (
  aggregate_id bigint not null references aggregates,
  seq integer not null,
  upload_id bigint not null references uploads,
  offset_bytes bigint not null,
  length_bytes bigint not null constraint placements_not_empty check (length_bytes > 0),
  selector text,
  constraint placements_offset_after_header check (offset_bytes >= 59),
  primary key (aggregate_id, seq),
  constraint placements_offset_unique unique (aggregate_id, offset_bytes),
  constraint placements_upload_once unique (aggregate_id, upload_id)
);
create index placements_of_upload on placements (upload_id);
comment on table placements is
  'Where an upload''s run lies in an aggregate: never moved, never deleted. Written by stow, selector by seal; read by seal, piece serving and the API.';

create table providers (
  id text primary key constraint providers_id_is_f0 check (id ~ '^f0[0-9]+$'),
  state provider_state not null,
  address_source address_source not null,
  peer_id text,
  multiaddrs text[] not null default '{}',
  sector_bytes bigint,
  owner_id text,
  added_at timestamptz not null,
  resolved_at timestamptz,
  resolve_error text,
  retry_at timestamptz,
  failures integer not null default 0
);
comment on table providers is
  'Storage providers we may propose to. Written by operators and by resolving on chain; read by choosing; removed by state, not by delete. retry_at: not asked before.';

create table policies (
  version integer generated always as identity primary key,
  replicas integer not null constraint policies_replicas_sane check (replicas between 1 and 100),
  verified boolean not null,
  max_price numeric(40, 0) not null,
  max_verified_price numeric(40, 0) not null,
  duration_epochs bigint not null,
  start_delay_epochs bigint not null,
  fast_retrieval boolean not null,
  created_at timestamptz not null,
  created_by text not null,
  constraint policies_prices_not_negative check (max_price >= 0 and max_verified_price >= 0),
  constraint policies_duration_in_actor_limits check (duration_epochs between 518400 and 3680640),
  constraint policies_start_delay_sane check (start_delay_epochs between 1 and 40320)
);
comment on table policies is
  'Deal policy, a new row each change, the highest version rules. Prices are attoFIL per GiB per epoch. Written by operators; read by propose; never deleted.';
insert into policies (replicas, verified, max_price, max_verified_price, duration_epochs, start_delay_epochs, fast_retrieval, created_at, created_by)
values (5, true, 50000000000, 5000000, 1468800, 11520, true, now(), 'default');

create table deals (
  id uuid primary key,
  aggregate_id bigint not null references aggregates,
  slot integer not null constraint deals_slot_not_negative check (slot >= 0),
  generation integer not null constraint deals_generation_not_negative check (generation >= 0),
  provider_id text not null references providers,
  policy_version integer not null references policies,
  state deal_state not null,
  client text not null,
  signed_proposal bytea not null,
  proposal_cid text not null,
  verified boolean not null,
  start_epoch bigint not null,
  end_epoch bigint not null,
  price_per_epoch numeric(40, 0) not null,
  provider_collateral numeric(40, 0) not null,
  attempts integer not null default 0,
  maybe_received boolean not null default false,
  next_attempt_at timestamptz,
  chain_deal_id bigint,
  publish_message text,
  published_epoch bigint,
  sector_number bigint,
  sector_start_epoch bigint,
  reason_code text,
  reason_text text,
  settled_at timestamptz,
  created_at timestamptz not null,
  changed_at timestamptz not null,
  constraint deals_proposal_unique unique (proposal_cid),
  constraint deals_epochs_in_order check (start_epoch >= 0 and end_epoch > start_epoch),
  constraint deals_money_not_negative check (price_per_epoch >= 0 and provider_collateral >= 0),
  constraint deals_signed_is_unsent check ((state = 'signed') <= (attempts = 0 and not maybe_received)),
  constraint deals_on_chain_has_id check (state not in ('published', 'active', 'missed', 'expired', 'slashed') or chain_deal_id is not null),
  constraint deals_active_has_sector check (state not in ('active', 'expired', 'slashed') or coalesce(sector_start_epoch >= 0, false)),
  constraint deals_live_is_unsettled check (settled_at is null or state not in ('signed', 'sent', 'accepted', 'published', 'active')),
  constraint deals_dead_is_settled check (settled_at is not null or state not in ('rejected', 'abandoned', 'missed', 'expired', 'slashed')),
  constraint deals_end_has_reason check (state not in ('rejected', 'failed', 'abandoned', 'missed', 'expired', 'slashed') or reason_code is not null)
);
-- At most one live deal a slot and generation; at most one deal an aggregate and provider that lives or could still be published.
create unique index deals_one_live_per_slot on deals (aggregate_id, slot, generation)
  where state in ('signed', 'sent', 'accepted', 'published', 'active');
create unique index deals_one_unsettled_per_provider on deals (aggregate_id, provider_id, generation) where settled_at is null;
create unique index deals_chain_id_unique on deals (chain_deal_id) where chain_deal_id is not null;
create index deals_of_aggregate on deals (aggregate_id);
create index deals_unsent on deals (next_attempt_at) where state in ('signed', 'sent');
create index deals_watched on deals (state, chain_deal_id) where state in ('published', 'active');
create index deals_ending on deals (end_epoch) where state = 'active';
create index deals_unsettled on deals (provider_id) where settled_at is null;
comment on table deals is
  'One proposal each, its exact signed bytes committed before any byte left. Written by propose, send and watch by compare-and-set on state; never deleted. settled_at: from then on nothing more can come of it. maybe_received: bytes may have reached the provider in an attempt without a definite answer.';

create table events (
  position bigint generated always as identity primary key,
  xid xid8 not null default pg_current_xact_id(),
  at timestamptz not null,
  upload_id bigint references uploads,
  aggregate_id bigint references aggregates,
  deal_id uuid references deals,
  from_state text,
  to_state text not null,
  reason_code text,
  detail text,
  epoch bigint,
  evidence jsonb,
  constraint events_one_subject check (num_nonnulls(upload_id, aggregate_id, deal_id) = 1)
);
create index events_of_upload on events (upload_id, position) where upload_id is not null;
create index events_of_aggregate on events (aggregate_id, position) where aggregate_id is not null;
create index events_of_epoch on events (epoch) where deal_id is not null and epoch is not null;
create index events_of_deal on events (deal_id, position) where deal_id is not null;
-- A transaction that began earlier may take a later position, so the outbox is read in the order of both.
create index events_in_order on events (xid, position);
comment on table events is
  'Every change of state, with its evidence; append only: history and outbox in one. position orders the events of one subject; across subjects read the view outbox in the order (xid, position).';

create view outbox as
  select * from events where xid < pg_snapshot_xmin(pg_current_snapshot());
comment on view outbox is
  'Events that are safe to hand out in the order (xid, position), with the pair as cursor: every transaction that is still open or to come has a larger xid. position alone would lose the event of a younger transaction that took a lower position and commits later.';

create table chain_cursors (
  name text primary key,
  height bigint not null,
  tipset text[] not null,
  at timestamptz not null
);
comment on table chain_cursors is 'How far a reader of the chain has come. Written and read by watch, in the transaction of what it found.';

-- Law of the event table: a state cannot change without an event of the same transaction that says so.
create function aggregate_has_event() returns trigger language plpgsql as $$
begin
  if not exists (select from events e where e.aggregate_id = new.id and e.xid = pg_current_xact_id() and e.to_state = new.state::text) then
    raise exception 'aggregate % became % without an event', new.id, new.state
      using errcode = 'integrity_constraint_violation', constraint = 'aggregates_change_has_event';
  end if;
  return null;
end $$;
create constraint trigger aggregates_change_has_event after insert or update of state on aggregates
  deferrable initially deferred for each row execute function aggregate_has_event();

create function deal_has_event() returns trigger language plpgsql as $$
begin
  if not exists (select from events e where e.deal_id = new.id and e.xid = pg_current_xact_id() and e.to_state = new.state::text) then
    raise exception 'deal % became % without an event', new.id, new.state
      using errcode = 'integrity_constraint_violation', constraint = 'deals_change_has_event';
  end if;
  return null;
end $$;
create constraint trigger deals_change_has_event after insert or update of state on deals
  deferrable initially deferred for each row execute function deal_has_event();
