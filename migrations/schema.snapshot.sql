-- The schema that migrations/NNNN_*.sql and views.sql make, read from the catalogs of a migrated database: for reading
-- and for review, never applied. Made by `npx node scripts/generate-schema.ts`; a test compares.

create type address_source as enum ('chain', 'manual');

create type aggregate_state as enum ('open', 'sealing', 'sealed');

create type deal_state as enum ('signed', 'sent', 'accepted', 'published', 'active', 'rejected', 'failed', 'abandoned', 'missed', 'expired', 'slashed');

create type pin_request_state as enum ('queued', 'pinning', 'pinned', 'failed', 'removed');

create type pin_status as enum ('queued', 'pinning', 'pinned', 'failed', 'unpinned');

create type pin_step as enum ('give', 'look', 'recover', 'unpin');

create type provider_state as enum ('enabled', 'paused', 'removed');

create type pull_state as enum ('waiting', 'pulled', 'failed', 'cancelled');

create type token_role as enum ('upload', 'ops', 'read');

create type upload_state as enum ('incomplete', 'waiting', 'stowed', 'failed', 'removed');

create table aggregate_times (
  aggregate_id bigint not null,
  closed_at timestamp with time zone,
  signed_at timestamp with time zone,
  accepted_at timestamp with time zone,
  published_at timestamp with time zone,
  active_at timestamp with time zone,
  constraint aggregate_times_steps_follow CHECK ((((active_at IS NULL) OR (published_at IS NOT NULL)) AND ((published_at IS NULL) OR (accepted_at IS NOT NULL)) AND ((accepted_at IS NULL) OR (signed_at IS NOT NULL)))),
  constraint aggregate_times_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint aggregate_times_pkey PRIMARY KEY (aggregate_id)
);

create table aggregates (
  id bigint not null generated always as identity,
  state aggregate_state not null,
  capacity_bytes bigint not null,
  length_bytes bigint not null,
  entry_count integer not null,
  oldest_accepted_at timestamp with time zone,
  seal_reason text,
  tree_key text,
  tree_bytes bigint,
  batch_root text,
  car_bytes bigint,
  piece_cid text,
  piece_bytes bigint,
  opened_at timestamp with time zone not null,
  sealed_at timestamp with time zone,
  changed_at timestamp with time zone not null,
  filler_bytes bigint not null default 0,
  released_at timestamp with time zone,
  proofs_key text,
  constraint aggregates_car_is_its_parts CHECK ((car_bytes = ((length_bytes + filler_bytes) + tree_bytes))),
  constraint aggregates_closed_not_empty CHECK (((state = 'open'::aggregate_state) OR (entry_count > 0))),
  constraint aggregates_entries_counted CHECK (((entry_count >= 0) AND ((entry_count = 0) = (oldest_accepted_at IS NULL)))),
  constraint aggregates_filler_not_negative CHECK ((filler_bytes >= 0)),
  constraint aggregates_piece_holds_car CHECK (((piece_bytes >= 128) AND ((piece_bytes & (piece_bytes - 1)) = 0) AND (car_bytes <= ((piece_bytes / 128) * 127)) AND ((piece_bytes = 128) OR (car_bytes > ((piece_bytes / 256) * 127))))),
  constraint aggregates_reason_known CHECK ((seal_reason = ANY (ARRAY['full'::text, 'age'::text, 'force_age'::text, 'operator'::text]))),
  constraint aggregates_reason_once_closed CHECK (((state = 'open'::aggregate_state) = (seal_reason IS NULL))),
  constraint aggregates_released_has_proofs CHECK (((released_at IS NULL) OR ((state = 'sealed'::aggregate_state) AND (proofs_key IS NOT NULL)))),
  constraint aggregates_sealed_is_whole CHECK ((((state = 'sealed'::aggregate_state) = (piece_cid IS NOT NULL)) AND (num_nulls(tree_key, tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, sealed_at) = ANY (ARRAY[0, 7])))),
  constraint aggregates_within_capacity CHECK (((length_bytes >= 59) AND ((length_bytes + filler_bytes) <= capacity_bytes))),
  constraint aggregates_pkey PRIMARY KEY (id)
);

create table audit (
  id bigint not null generated always as identity,
  at timestamp with time zone not null,
  actor text not null,
  action text not null,
  subject text not null,
  reason text,
  detail jsonb,
  constraint audit_actor_given CHECK ((actor <> ''::text)),
  constraint audit_pkey PRIMARY KEY (id)
);

create table chain_cursors (
  name text not null,
  height bigint not null,
  tipset text[] not null,
  at timestamp with time zone not null,
  constraint chain_cursors_pkey PRIMARY KEY (name)
);

create table chain_differences (
  id bigint not null generated always as identity,
  deal_id uuid not null,
  kind text not null,
  detail text not null,
  epoch bigint not null,
  tipset text[] not null,
  found_at timestamp with time zone not null,
  cleared_at timestamp with time zone,
  constraint chain_differences_kind_known CHECK ((kind = ANY (ARRAY['untold'::text, 'absent'::text, 'another_proposal'::text, 'nodes_disagree'::text]))),
  constraint chain_differences_deal_id_fkey FOREIGN KEY (deal_id) REFERENCES deals(id),
  constraint chain_differences_pkey PRIMARY KEY (id)
);

create table chain_freshness (
  singleton boolean not null default true,
  as_of timestamp with time zone,
  epoch bigint,
  degraded_since timestamp with time zone,
  degraded_reason text,
  limited text,
  looked_at timestamp with time zone not null,
  constraint chain_freshness_epoch_with_time CHECK (((as_of IS NULL) = (epoch IS NULL))),
  constraint chain_freshness_since_with_reason CHECK (((degraded_since IS NULL) = (degraded_reason IS NULL))),
  constraint chain_freshness_single_row CHECK (singleton),
  constraint chain_freshness_pkey PRIMARY KEY (singleton)
);

create table choices (
  id bigint not null generated always as identity,
  aggregate_id bigint not null,
  at timestamp with time zone not null,
  policy_version integer not null,
  chosen jsonb not null,
  refused jsonb not null,
  constraint choices_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint choices_policy_version_fkey FOREIGN KEY (policy_version) REFERENCES policies(version),
  constraint choices_pkey PRIMARY KEY (id)
);

create table chunks (
  aggregate_id bigint not null,
  index integer not null,
  root bytea not null,
  constraint chunks_index_not_negative CHECK ((index >= 0)),
  constraint chunks_root_is_node CHECK ((length(root) = 32)),
  constraint chunks_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint chunks_pkey PRIMARY KEY (aggregate_id, index)
);

create table client_funds (
  client text not null,
  at timestamp with time zone not null,
  epoch bigint not null,
  free_escrow numeric(40,0) not null,
  datacap_bytes numeric(40,0),
  constraint client_funds_epoch_not_negative CHECK ((epoch >= 0)),
  constraint client_funds_pkey PRIMARY KEY (client)
);

create table count_changes (
  id bigint not null generated always as identity,
  what text not null,
  state text not null,
  items bigint not null,
  bytes bigint not null,
  constraint count_changes_pkey PRIMARY KEY (id)
);

create table cut_extents (
  upload_id bigint not null,
  cut integer not null,
  seq integer not null,
  object_key text not null,
  object_offset bigint not null,
  length_bytes bigint not null,
  constraint cut_extents_not_empty CHECK ((length_bytes > 0)),
  constraint cut_extents_offset_not_negative CHECK ((object_offset >= 0)),
  constraint cut_extents_seq_not_negative CHECK ((seq >= 0)),
  constraint cut_extents_of_cut FOREIGN KEY (upload_id, cut) REFERENCES cuts(upload_id, cut) ON DELETE CASCADE,
  constraint cut_extents_pkey PRIMARY KEY (upload_id, cut, seq)
);

create table cuts (
  upload_id bigint not null,
  cut integer not null,
  run_bytes bigint not null,
  block_count bigint not null,
  constraint cuts_have_blocks CHECK ((block_count > 0)),
  constraint cuts_not_empty CHECK ((run_bytes > 0)),
  constraint cuts_number_not_negative CHECK ((cut >= 0)),
  constraint cuts_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint cuts_pkey PRIMARY KEY (upload_id, cut)
);

create table damage (
  id bigint not null generated always as identity,
  object_key text not null,
  object_offset bigint not null,
  length_bytes bigint not null,
  upload_id bigint,
  aggregate_id bigint,
  what text not null,
  found_at timestamp with time zone not null,
  cleared_at timestamp with time zone,
  constraint damage_not_empty CHECK ((length_bytes > 0)),
  constraint damage_of_one_thing CHECK ((num_nonnulls(upload_id, aggregate_id) = 1)),
  constraint damage_offset_not_negative CHECK ((object_offset >= 0)),
  constraint damage_told CHECK ((what <> ''::text)),
  constraint damage_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint damage_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint damage_pkey PRIMARY KEY (id)
);

create table deals (
  id uuid not null,
  aggregate_id bigint not null,
  slot integer not null,
  generation integer not null,
  provider_id text not null,
  policy_version integer not null,
  state deal_state not null,
  client text not null,
  signed_proposal bytea not null,
  proposal_cid text not null,
  verified boolean not null,
  start_epoch bigint not null,
  end_epoch bigint not null,
  price_per_epoch numeric(40,0) not null,
  provider_collateral numeric(40,0) not null,
  attempts integer not null default 0,
  maybe_received boolean not null default false,
  next_attempt_at timestamp with time zone,
  chain_deal_id bigint,
  publish_message text,
  published_epoch bigint,
  sector_number bigint,
  sector_start_epoch bigint,
  reason_code text,
  reason_text text,
  settled_at timestamp with time zone,
  created_at timestamp with time zone not null,
  changed_at timestamp with time zone not null,
  offline boolean not null default false,
  called_off_at timestamp with time zone,
  next_status_at timestamp with time zone,
  said_status text,
  said_at timestamp with time zone,
  said_publish_message text,
  constraint deals_active_has_sector CHECK (((state <> ALL (ARRAY['active'::deal_state, 'expired'::deal_state, 'slashed'::deal_state])) OR COALESCE((sector_start_epoch >= 0), false))),
  constraint deals_dead_is_settled CHECK (((settled_at IS NOT NULL) OR (state <> ALL (ARRAY['rejected'::deal_state, 'abandoned'::deal_state, 'missed'::deal_state, 'expired'::deal_state, 'slashed'::deal_state])) OR ((state = 'abandoned'::deal_state) AND (called_off_at IS NOT NULL)))),
  constraint deals_end_has_reason CHECK (((state <> ALL (ARRAY['rejected'::deal_state, 'failed'::deal_state, 'abandoned'::deal_state, 'missed'::deal_state, 'expired'::deal_state, 'slashed'::deal_state])) OR (reason_code IS NOT NULL))),
  constraint deals_epochs_in_order CHECK (((start_epoch >= 0) AND (end_epoch > start_epoch))),
  constraint deals_generation_not_negative CHECK ((generation >= 0)),
  constraint deals_live_is_unsettled CHECK (((settled_at IS NULL) OR (state <> ALL (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state])))),
  constraint deals_money_not_negative CHECK (((price_per_epoch >= (0)::numeric) AND (provider_collateral >= (0)::numeric))),
  constraint deals_on_chain_has_id CHECK (((state <> ALL (ARRAY['published'::deal_state, 'active'::deal_state, 'missed'::deal_state, 'expired'::deal_state, 'slashed'::deal_state])) OR (chain_deal_id IS NOT NULL))),
  constraint deals_signed_is_unsent CHECK (((state = 'signed'::deal_state) <= ((attempts = 0) AND (NOT maybe_received)))),
  constraint deals_slot_not_negative CHECK ((slot >= 0)),
  constraint deals_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint deals_policy_version_fkey FOREIGN KEY (policy_version) REFERENCES policies(version),
  constraint deals_provider_id_fkey FOREIGN KEY (provider_id) REFERENCES providers(id),
  constraint deals_pkey PRIMARY KEY (id),
  constraint deals_proposal_unique UNIQUE (proposal_cid)
);

create table events (
  "position" bigint not null generated always as identity,
  xid xid8 not null default pg_current_xact_id(),
  at timestamp with time zone not null,
  upload_id bigint,
  aggregate_id bigint,
  deal_id uuid,
  from_state text,
  to_state text not null,
  reason_code text,
  detail text,
  epoch bigint,
  evidence jsonb,
  constraint events_one_subject CHECK ((num_nonnulls(upload_id, aggregate_id, deal_id) = 1)),
  constraint events_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint events_deal_id_fkey FOREIGN KEY (deal_id) REFERENCES deals(id),
  constraint events_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint events_pkey PRIMARY KEY ("position")
);

create table history_cursor (
  singleton boolean not null default true,
  xid xid8 not null,
  "position" bigint not null,
  as_of timestamp with time zone,
  constraint history_cursor_single_row CHECK (singleton),
  constraint history_cursor_pkey PRIMARY KEY (singleton)
);

create table kept_counts (
  what text not null,
  state text not null,
  items bigint not null,
  bytes bigint not null,
  constraint kept_counts_what_known CHECK ((what = ANY (ARRAY['upload'::text, 'deal'::text, 'part'::text]))),
  constraint kept_counts_pkey PRIMARY KEY (what, state)
);

create table network (
  singleton boolean not null default true,
  name text not null,
  genesis_seconds bigint,
  genesis_cid text,
  constraint network_known CHECK ((name = ANY (ARRAY['mainnet'::text, 'calibration'::text, 'devnet'::text]))),
  constraint network_single_row CHECK (singleton),
  constraint network_pkey PRIMARY KEY (singleton)
);

create table owners (
  id bigint not null generated always as identity,
  name text not null,
  constraint owners_name_given CHECK ((name <> ''::text)),
  constraint owners_pkey PRIMARY KEY (id),
  constraint owners_name_unique UNIQUE (name)
);

create table part_blocks (
  upload_id bigint not null,
  cid bytea not null,
  block_bytes integer not null,
  links bytea[] not null,
  reached boolean not null,
  constraint part_blocks_size_not_negative CHECK ((block_bytes >= 0)),
  constraint part_blocks_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint part_blocks_pkey PRIMARY KEY (upload_id, cid)
);

create table parts (
  id bigint not null generated always as identity,
  upload_id bigint not null,
  object_key text not null,
  object_offset bigint not null,
  length_bytes bigint not null,
  block_count bigint not null,
  run_seq integer,
  created_at timestamp with time zone not null,
  constraint parts_have_blocks CHECK ((block_count > 0)),
  constraint parts_not_empty CHECK ((length_bytes > 0)),
  constraint parts_offset_not_negative CHECK ((object_offset >= 0)),
  constraint parts_run_seq_not_negative CHECK ((run_seq >= 0)),
  constraint parts_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint parts_pkey PRIMARY KEY (id),
  constraint parts_object_unique UNIQUE (object_key, object_offset),
  constraint parts_run_seq_unique UNIQUE (upload_id, run_seq)
);

create table pin_cluster (
  singleton boolean not null default true,
  answered_at timestamp with time zone,
  failing_since timestamp with time zone,
  error text,
  constraint pin_cluster_fault_told CHECK (((failing_since IS NULL) = (error IS NULL))),
  constraint pin_cluster_single_row CHECK (singleton),
  constraint pin_cluster_pkey PRIMARY KEY (singleton)
);

create table pin_request_events (
  "position" bigint not null generated always as identity,
  request_id uuid not null,
  at timestamp with time zone not null,
  from_state pin_request_state,
  to_state pin_request_state not null,
  detail text,
  constraint pin_request_events_request_id_fkey FOREIGN KEY (request_id) REFERENCES pin_requests(id),
  constraint pin_request_events_pkey PRIMARY KEY ("position")
);

create table pin_requests (
  id uuid not null,
  owner_id bigint not null,
  root text not null,
  cid text not null,
  name text,
  origins text[] not null,
  meta jsonb,
  state pin_request_state not null,
  gives_ownership boolean not null,
  detail text,
  attempts integer not null default 0,
  created_at timestamp with time zone not null,
  changed_at timestamp with time zone not null,
  progress_at timestamp with time zone not null default now(),
  next_attempt_at timestamp with time zone default now(),
  constraint pin_requests_attempts_not_negative CHECK ((attempts >= 0)),
  constraint pin_requests_cid_given CHECK ((cid <> ''::text)),
  constraint pin_requests_created_in_milliseconds CHECK ((created_at = date_trunc('milliseconds'::text, created_at))),
  constraint pin_requests_due_while_open CHECK (((next_attempt_at IS NOT NULL) = (state = ANY (ARRAY['queued'::pin_request_state, 'pinning'::pin_request_state])))),
  constraint pin_requests_meta_is_object CHECK ((jsonb_typeof(meta) = 'object'::text)),
  constraint pin_requests_name_short CHECK ((length(name) <= 255)),
  constraint pin_requests_root_is_base32_v1 CHECK ((root ~ '^b[a-z2-7]+$'::text)),
  constraint pin_requests_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES owners(id),
  constraint pin_requests_pkey PRIMARY KEY (id),
  constraint pin_requests_place_unique UNIQUE (owner_id, created_at)
);

create table pins (
  upload_id bigint not null,
  status pin_status not null,
  step pin_step,
  due_at timestamp with time zone,
  wish integer not null default 1,
  acted boolean not null default false,
  failing_since timestamp with time zone,
  error text,
  changed_at timestamp with time zone not null,
  constraint pins_failed_since CHECK (((status <> 'failed'::pin_status) OR (failing_since IS NOT NULL))),
  constraint pins_failure_told CHECK (((failing_since IS NULL) = (error IS NULL))),
  constraint pins_step_has_time CHECK (((step IS NULL) = (due_at IS NULL))),
  constraint pins_unpinned_or_wanted CHECK (((status = 'unpinned'::pin_status) = ((step IS NULL) OR (step = 'unpin'::pin_step)))),
  constraint pins_wish_counted CHECK ((wish > 0)),
  constraint pins_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint pins_pkey PRIMARY KEY (upload_id)
);

create table placements (
  aggregate_id bigint not null,
  seq integer not null,
  upload_id bigint not null,
  offset_bytes bigint not null,
  length_bytes bigint not null,
  selector text,
  cut integer,
  topped_up boolean not null default false,
  constraint placements_not_empty CHECK ((length_bytes > 0)),
  constraint placements_offset_after_header CHECK ((offset_bytes >= 59)),
  constraint placements_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint placements_of_cut FOREIGN KEY (upload_id, cut) REFERENCES cuts(upload_id, cut),
  constraint placements_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint placements_pkey PRIMARY KEY (aggregate_id, seq),
  constraint placements_offset_unique UNIQUE (aggregate_id, offset_bytes),
  constraint placements_upload_once UNIQUE (aggregate_id, upload_id)
);

create table policies (
  version integer not null generated always as identity,
  replicas integer not null,
  verified boolean not null,
  max_price numeric(40,0) not null,
  max_verified_price numeric(40,0) not null,
  duration_epochs bigint not null,
  start_delay_epochs bigint not null,
  fast_retrieval boolean not null,
  created_at timestamp with time zone not null,
  created_by text not null,
  max_per_org integer,
  max_per_region integer,
  allow_providers text[] not null default '{}'::text[],
  deny_providers text[] not null default '{}'::text[],
  max_in_flight_bytes bigint,
  max_proposals_per_hour integer,
  renew_before_epochs bigint not null default 129600,
  call_off_after_seconds integer not null default 21600,
  proposing boolean not null default true,
  offline boolean not null default false,
  reason text,
  reads_per_second integer not null default 25,
  constraint policies_call_off_sane CHECK ((call_off_after_seconds >= 60)),
  constraint policies_duration_in_actor_limits CHECK (((duration_epochs >= 518400) AND (duration_epochs <= 3680640))),
  constraint policies_in_flight_sane CHECK ((max_in_flight_bytes > 0)),
  constraint policies_org_cap_sane CHECK ((max_per_org >= 1)),
  constraint policies_prices_not_negative CHECK (((max_price >= (0)::numeric) AND (max_verified_price >= (0)::numeric))),
  constraint policies_rate_sane CHECK ((max_proposals_per_hour >= 1)),
  constraint policies_reads_sane CHECK (((reads_per_second >= 1) AND (reads_per_second <= 10000))),
  constraint policies_reason_given CHECK ((reason <> ''::text)),
  constraint policies_region_cap_sane CHECK ((max_per_region >= 1)),
  constraint policies_renewal_sane CHECK (((renew_before_epochs >= 0) AND (renew_before_epochs <= 518400))),
  constraint policies_replicas_sane CHECK (((replicas >= 1) AND (replicas <= 100))),
  constraint policies_start_delay_sane CHECK (((start_delay_epochs >= 1) AND (start_delay_epochs <= 40320))),
  constraint policies_pkey PRIMARY KEY (version)
);

create table providers (
  id text not null,
  state provider_state not null,
  address_source address_source not null,
  peer_id text,
  multiaddrs text[] not null default '{}'::text[],
  sector_bytes bigint,
  owner_id text,
  added_at timestamp with time zone not null,
  resolved_at timestamp with time zone,
  resolve_error text,
  retry_at timestamp with time zone,
  failures integer not null default 0,
  org text,
  region text,
  agent text,
  seen_at timestamp with time zone,
  transport text,
  transport_at timestamp with time zone,
  ask_price numeric(40,0),
  ask_verified_price numeric(40,0),
  ask_min_piece_bytes bigint,
  ask_max_piece_bytes bigint,
  ask_at timestamp with time zone,
  constraint providers_ask_is_whole CHECK ((num_nulls(ask_price, ask_verified_price, ask_min_piece_bytes, ask_max_piece_bytes, ask_at) = ANY (ARRAY[0, 5]))),
  constraint providers_id_is_f0 CHECK ((id ~ '^f0[0-9]+$'::text)),
  constraint providers_transport_known CHECK ((transport = ANY (ARRAY['libp2p'::text, 'https'::text]))),
  constraint providers_pkey PRIMARY KEY (id)
);

create table pull_events (
  id bigint not null generated always as identity,
  pull_id uuid not null,
  at timestamp with time zone not null default clock_timestamp(),
  kind text not null,
  pulled_bytes bigint not null default 0,
  error_code text,
  error text,
  constraint pull_events_bytes_not_negative CHECK ((pulled_bytes >= 0)),
  constraint pull_events_error_is_whole CHECK (((error_code IS NULL) = (error IS NULL))),
  constraint pull_events_kind_known CHECK ((kind = ANY (ARRAY['asked'::text, 'interrupted'::text, 'pulled'::text, 'failed'::text, 'cancelled'::text]))),
  constraint pull_events_pull_id_fkey FOREIGN KEY (pull_id) REFERENCES pulls(id) ON DELETE CASCADE,
  constraint pull_events_pkey PRIMARY KEY (id)
);

create table pulls (
  id uuid not null default gen_random_uuid(),
  owner text not null,
  url text not null,
  wanted_root text,
  state pull_state not null default 'waiting'::pull_state,
  created_at timestamp with time zone not null default clock_timestamp(),
  settled_at timestamp with time zone,
  next_attempt_at timestamp with time zone not null default clock_timestamp(),
  attempts integer not null default 0,
  failing_since timestamp with time zone,
  error_code text,
  error text,
  validator text,
  size_bytes bigint,
  pulled_bytes bigint not null default 0,
  root text,
  leased_by uuid,
  leased_until timestamp with time zone,
  constraint pulls_counts_not_negative CHECK (((attempts >= 0) AND (pulled_bytes >= 0) AND (size_bytes >= 0))),
  constraint pulls_error_is_whole CHECK (((error_code IS NULL) = (error IS NULL))),
  constraint pulls_failed_says_why CHECK ((((state = 'failed'::pull_state) OR (failing_since IS NOT NULL)) = (error IS NOT NULL))),
  constraint pulls_failing_while_waiting CHECK (((failing_since IS NULL) OR (state = 'waiting'::pull_state))),
  constraint pulls_lease_is_whole CHECK (((leased_by IS NULL) = (leased_until IS NULL))),
  constraint pulls_lease_while_waiting CHECK (((leased_by IS NULL) OR (state = 'waiting'::pull_state))),
  constraint pulls_owner_given CHECK ((owner <> ''::text)),
  constraint pulls_pulled_has_root CHECK (((state = 'pulled'::pull_state) = (root IS NOT NULL))),
  constraint pulls_settled_at_its_end CHECK (((state = 'waiting'::pull_state) = (settled_at IS NULL))),
  constraint pulls_url_is_known CHECK ((url ~ '^(https?|s3)://'::text)),
  constraint pulls_wanted_root_given CHECK ((wanted_root <> ''::text)),
  constraint pulls_pkey PRIMARY KEY (id)
);

create table restorations (
  aggregate_id bigint not null,
  object_key text,
  provider_id text,
  failures integer not null default 0,
  next_at timestamp with time zone not null,
  refusals text,
  changed_at timestamp with time zone not null,
  constraint restorations_come_from_somebody CHECK (((object_key IS NULL) = (provider_id IS NULL))),
  constraint restorations_failures_counted CHECK ((failures >= 0)),
  constraint restorations_aggregate_id_fkey FOREIGN KEY (aggregate_id) REFERENCES aggregates(id),
  constraint restorations_provider_id_fkey FOREIGN KEY (provider_id) REFERENCES providers(id),
  constraint restorations_pkey PRIMARY KEY (aggregate_id),
  constraint restorations_object_once UNIQUE (object_key)
);

create table scrub_progress (
  kind text not null,
  after_id bigint not null,
  read_bytes bigint not null,
  pass_began_at timestamp with time zone not null,
  pass_ended_at timestamp with time zone,
  constraint scrub_progress_kind_known CHECK ((kind = ANY (ARRAY['parts'::text, 'trees'::text]))),
  constraint scrub_progress_pkey PRIMARY KEY (kind)
);

create table tokens (
  id bigint not null generated always as identity,
  name text not null,
  role token_role not null,
  digest bytea not null,
  created_at timestamp with time zone not null,
  created_by text not null,
  expires_at timestamp with time zone,
  last_used_at timestamp with time zone,
  revoked_at timestamp with time zone,
  revoked_by text,
  constraint tokens_created_by_given CHECK ((created_by <> ''::text)),
  constraint tokens_digest_is_sha256 CHECK ((octet_length(digest) = 32)),
  constraint tokens_expires_later CHECK ((expires_at > created_at)),
  constraint tokens_name_plain CHECK ((name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'::text)),
  constraint tokens_revoked_by_somebody CHECK (((revoked_at IS NULL) = (revoked_by IS NULL))),
  constraint tokens_pkey PRIMARY KEY (id),
  constraint tokens_digest_unique UNIQUE (digest)
);

create table transfers (
  deal_id uuid not null,
  served bytea not null,
  served_bytes bigint not null,
  begun_at timestamp with time zone not null,
  moved_at timestamp with time zone not null,
  curve_at timestamp with time zone[] not null default '{}'::timestamp with time zone[],
  curve_bytes bigint[] not null default '{}'::bigint[],
  constraint transfers_bytes_not_negative CHECK ((served_bytes >= 0)),
  constraint transfers_curve_sane CHECK (((cardinality(curve_at) = cardinality(curve_bytes)) AND (cardinality(curve_at) <= 256))),
  constraint transfers_deal_id_fkey FOREIGN KEY (deal_id) REFERENCES deals(id),
  constraint transfers_pkey PRIMARY KEY (deal_id)
);

create table upload_owners (
  upload_id bigint not null,
  owner_id bigint not null,
  since timestamp with time zone not null,
  ended_at timestamp with time zone,
  constraint upload_owners_owner_id_fkey FOREIGN KEY (owner_id) REFERENCES owners(id),
  constraint upload_owners_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint upload_owners_pkey PRIMARY KEY (upload_id, owner_id)
);

create table uploads (
  id bigint not null generated always as identity,
  root text not null,
  state upload_state not null,
  run_bytes bigint,
  dag_bytes bigint,
  block_count bigint,
  missing_count bigint,
  missing_first text,
  failure text,
  created_at timestamp with time zone not null,
  changed_at timestamp with time zone not null,
  constraint uploads_failure_named CHECK (((state = 'failed'::upload_state) = (failure IS NOT NULL))),
  constraint uploads_missing_named_while_incomplete CHECK ((((state <> 'incomplete'::upload_state) OR (missing_count IS NOT NULL)) AND ((missing_count IS NULL) OR (state = ANY (ARRAY['incomplete'::upload_state, 'failed'::upload_state]))) AND ((missing_count IS NULL) = (missing_first IS NULL)) AND ((missing_count IS NULL) OR (missing_count > 0)))),
  constraint uploads_root_is_base32_v1 CHECK ((root ~ '^b[a-z2-7]+$'::text)),
  constraint uploads_run_known_once_complete CHECK ((((state = ANY (ARRAY['waiting'::upload_state, 'stowed'::upload_state])) = (run_bytes IS NOT NULL)) AND ((run_bytes IS NULL) = (dag_bytes IS NULL)) AND ((run_bytes IS NULL) = (block_count IS NULL)) AND ((run_bytes IS NULL) OR (run_bytes > 0)))),
  constraint uploads_pkey PRIMARY KEY (id),
  constraint uploads_root_unique UNIQUE (root)
);

create table wanted_blocks (
  id bigint not null generated always as identity,
  upload_id bigint not null,
  cid bytea not null,
  came boolean not null default false,
  constraint wanted_blocks_upload_id_fkey FOREIGN KEY (upload_id) REFERENCES uploads(id),
  constraint wanted_blocks_pkey PRIMARY KEY (upload_id, cid)
);

create table webhook_dead_letters (
  id bigint not null generated always as identity,
  webhook_id uuid not null,
  from_xid xid8 not null,
  from_position bigint not null,
  from_index integer not null,
  to_xid xid8 not null,
  to_position bigint not null,
  to_index integer not null,
  first_change text not null,
  changes integer not null,
  attempts integer not null,
  error text not null,
  failing_since timestamp with time zone not null,
  died_at timestamp with time zone not null,
  redrive_at timestamp with time zone,
  constraint webhook_dead_letters_in_order CHECK ((ROW(from_xid, from_position, from_index) < ROW(to_xid, to_position, to_index))),
  constraint webhook_dead_letters_not_empty CHECK ((changes > 0)),
  constraint webhook_dead_letters_were_tried CHECK ((attempts > 0)),
  constraint webhook_dead_letters_webhook_id_fkey FOREIGN KEY (webhook_id) REFERENCES webhooks(id) ON DELETE CASCADE,
  constraint webhook_dead_letters_pkey PRIMARY KEY (id)
);

create table webhooks (
  id uuid not null,
  owner text not null,
  url text not null,
  filter jsonb not null,
  created_at timestamp with time zone not null,
  cursor_xid xid8 not null,
  cursor_position bigint not null,
  cursor_index integer not null,
  attempts integer not null default 0,
  failing_since timestamp with time zone,
  failing_to text,
  last_error text,
  delivered_at timestamp with time zone,
  next_attempt_at timestamp with time zone not null default now(),
  leased_by uuid,
  leased_until timestamp with time zone,
  constraint webhooks_attempts_while_failing CHECK (((attempts >= 0) AND ((attempts > 0) = (failing_since IS NOT NULL)) AND ((attempts > 0) = (failing_to IS NOT NULL)) AND ((attempts = 0) OR (last_error IS NOT NULL)))),
  constraint webhooks_cursor_not_negative CHECK (((cursor_position >= 0) AND (cursor_index >= 0))),
  constraint webhooks_lease_is_whole CHECK (((leased_by IS NULL) = (leased_until IS NULL))),
  constraint webhooks_owner_given CHECK ((owner <> ''::text)),
  constraint webhooks_url_is_http CHECK ((url ~ '^https?://'::text)),
  constraint webhooks_pkey PRIMARY KEY (id)
);

CREATE INDEX aggregate_times_active ON public.aggregate_times USING btree (active_at);

CREATE INDEX aggregates_kept ON public.aggregates USING btree (sealed_at, id) WHERE ((state = 'sealed'::aggregate_state) AND (released_at IS NULL));

CREATE UNIQUE INDEX aggregates_piece_unique ON public.aggregates USING btree (piece_cid) WHERE (piece_cid IS NOT NULL);

CREATE INDEX aggregates_unsealed ON public.aggregates USING btree (id) WHERE (state <> 'sealed'::aggregate_state);

CREATE UNIQUE INDEX chain_differences_open ON public.chain_differences USING btree (deal_id) WHERE (cleared_at IS NULL);

CREATE INDEX choices_of_aggregate ON public.choices USING btree (aggregate_id, id);

CREATE INDEX cut_extents_of_object ON public.cut_extents USING btree (object_key);

CREATE INDEX damage_of_upload ON public.damage USING btree (upload_id) WHERE ((cleared_at IS NULL) AND (upload_id IS NOT NULL));

CREATE UNIQUE INDEX damage_open ON public.damage USING btree (object_key, object_offset) WHERE (cleared_at IS NULL);

CREATE INDEX deals_active ON public.deals USING btree (aggregate_id) WHERE (state = 'active'::deal_state);

CREATE INDEX deals_by_age ON public.deals USING btree (created_at, id);

CREATE UNIQUE INDEX deals_chain_id_unique ON public.deals USING btree (chain_deal_id) WHERE (chain_deal_id IS NOT NULL);

CREATE INDEX deals_ending ON public.deals USING btree (end_epoch) WHERE (state = 'active'::deal_state);

CREATE INDEX deals_in_flight ON public.deals USING btree (state, changed_at) WHERE (state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state]));

CREATE INDEX deals_in_state ON public.deals USING btree (state, created_at, id);

CREATE INDEX deals_of_aggregate ON public.deals USING btree (aggregate_id, state);

CREATE INDEX deals_of_client ON public.deals USING btree (client);

CREATE INDEX deals_of_provider ON public.deals USING btree (provider_id, created_at, id);

CREATE UNIQUE INDEX deals_one_live_per_slot ON public.deals USING btree (aggregate_id, slot, generation) WHERE (state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state]));

CREATE UNIQUE INDEX deals_one_unsettled_per_provider ON public.deals USING btree (aggregate_id, provider_id, generation) WHERE (settled_at IS NULL);

CREATE INDEX deals_reserving ON public.deals USING btree (client, published_epoch) WHERE (settled_at IS NULL);

CREATE INDEX deals_starting ON public.deals USING btree (start_epoch, id) WHERE (state = 'published'::deal_state);

CREATE INDEX deals_to_ask ON public.deals USING btree (next_status_at) WHERE ((state = ANY (ARRAY['sent'::deal_state, 'accepted'::deal_state])) AND (next_status_at IS NOT NULL));

CREATE INDEX deals_undiscovered ON public.deals USING btree (start_epoch) WHERE ((settled_at IS NULL) AND (state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'failed'::deal_state])));

CREATE INDEX deals_unsent ON public.deals USING btree (next_attempt_at) WHERE (state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state]));

CREATE INDEX deals_unsettled ON public.deals USING btree (provider_id) WHERE (settled_at IS NULL);

CREATE INDEX deals_watched ON public.deals USING btree (state, chain_deal_id) WHERE (state = ANY (ARRAY['published'::deal_state, 'active'::deal_state]));

CREATE INDEX events_in_order ON public.events USING btree (xid, "position");

CREATE INDEX events_of_aggregate ON public.events USING btree (aggregate_id, "position") WHERE (aggregate_id IS NOT NULL);

CREATE INDEX events_of_deal ON public.events USING btree (deal_id, "position") WHERE (deal_id IS NOT NULL);

CREATE INDEX events_of_epoch ON public.events USING btree (epoch, deal_id) WHERE ((deal_id IS NOT NULL) AND (epoch IS NOT NULL));

CREATE INDEX events_of_upload ON public.events USING btree (upload_id, "position") WHERE (upload_id IS NOT NULL);

CREATE INDEX pin_request_events_of_request ON public.pin_request_events USING btree (request_id, "position");

CREATE INDEX pin_requests_due ON public.pin_requests USING btree (next_attempt_at) WHERE (state = ANY (ARRAY['queued'::pin_request_state, 'pinning'::pin_request_state]));

CREATE INDEX pin_requests_of_owner_and_root ON public.pin_requests USING btree (owner_id, root);

CREATE INDEX pin_requests_open ON public.pin_requests USING btree (root) WHERE (state = ANY (ARRAY['queued'::pin_request_state, 'pinning'::pin_request_state]));

CREATE INDEX pins_to_act ON public.pins USING btree (due_at) WHERE (step = ANY (ARRAY['give'::pin_step, 'recover'::pin_step, 'unpin'::pin_step]));

CREATE INDEX pins_to_look ON public.pins USING btree (due_at) WHERE (step = 'look'::pin_step);

CREATE INDEX placements_of_upload ON public.placements USING btree (upload_id);

CREATE UNIQUE INDEX placements_once ON public.placements USING btree (upload_id, COALESCE(cut, '-1'::integer)) WHERE (NOT topped_up);

CREATE INDEX pull_events_of_pull ON public.pull_events USING btree (pull_id, id);

CREATE INDEX pulls_by_age ON public.pulls USING btree (created_at, id);

CREATE INDEX pulls_due ON public.pulls USING btree (next_attempt_at) WHERE (state = 'waiting'::pull_state);

CREATE INDEX pulls_of_owner ON public.pulls USING btree (owner, created_at, id);

CREATE UNIQUE INDEX pulls_waiting_unique ON public.pulls USING btree (owner, url) WHERE (state = 'waiting'::pull_state);

CREATE UNIQUE INDEX tokens_name_not_revoked ON public.tokens USING btree (name) WHERE (revoked_at IS NULL);

CREATE INDEX upload_owners_by_age ON public.upload_owners USING btree (owner_id, since, upload_id);

CREATE INDEX uploads_by_age ON public.uploads USING btree (created_at, id);

CREATE INDEX uploads_failed ON public.uploads USING btree (changed_at, id) WHERE (state = 'failed'::upload_state);

CREATE INDEX uploads_incomplete ON public.uploads USING btree (changed_at, id) WHERE (state = 'incomplete'::upload_state);

CREATE INDEX uploads_removed ON public.uploads USING btree (created_at, id) WHERE (state = 'removed'::upload_state);

CREATE INDEX uploads_waiting ON public.uploads USING btree (changed_at, id) WHERE (state = 'waiting'::upload_state);

CREATE INDEX wanted_blocks_came ON public.wanted_blocks USING btree (upload_id) WHERE came;

CREATE INDEX wanted_blocks_in_order ON public.wanted_blocks USING btree (upload_id, id);

CREATE INDEX webhook_dead_letters_of_webhook ON public.webhook_dead_letters USING btree (webhook_id, id);

CREATE INDEX webhook_dead_letters_to_redrive ON public.webhook_dead_letters USING btree (webhook_id, id) WHERE (redrive_at IS NOT NULL);

CREATE INDEX webhooks_of_owner ON public.webhooks USING btree (owner, created_at);

create view aggregate_replicas as
 SELECT a.id AS aggregate_id,
    count(d.id) FILTER (WHERE d.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state]))::integer AS live_replicas,
    count(d.id) FILTER (WHERE d.state = 'active'::deal_state)::integer AS active_replicas,
    max(d.changed_at) FILTER (WHERE d.state = 'active'::deal_state) AS last_active_at
   FROM aggregates a
     LEFT JOIN deals d ON d.aggregate_id = a.id
  WHERE a.state = 'sealed'::aggregate_state
  GROUP BY a.id;

create view current_cuts as
 SELECT upload_id,
    cut,
    run_bytes,
    block_count
   FROM cuts c
  WHERE NOT (EXISTS ( SELECT
           FROM placements p
          WHERE p.upload_id = c.upload_id AND p.cut = c.cut AND p.topped_up));

create view ops_aggregate_stages as
 SELECT a.id AS aggregate_id,
        CASE
            WHEN a.state = 'open'::aggregate_state THEN 'filling'::text
            WHEN a.state = 'sealing'::aggregate_state THEN 'sealing'::text
            WHEN active.aggregate_id IS NOT NULL THEN 'active'::text
            ELSE COALESCE(moving.best::text, 'sealed'::text)
        END AS stage,
    a.piece_cid,
    a.entry_count AS uploads,
    COALESCE(a.car_bytes, a.length_bytes) AS bytes,
    a.oldest_accepted_at
   FROM aggregates a
     LEFT JOIN ( SELECT DISTINCT deals.aggregate_id
           FROM deals
          WHERE deals.state = 'active'::deal_state) active ON active.aggregate_id = a.id
     LEFT JOIN ( SELECT deals.aggregate_id,
            max(deals.state) AS best
           FROM deals
          WHERE deals.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state])
          GROUP BY deals.aggregate_id) moving ON moving.aggregate_id = a.id
  WHERE a.entry_count > 0;

create view ops_aggregate_times as
 SELECT a.id AS aggregate_id,
    a.state,
    a.opened_at,
    a.sealed_at,
    t.published_at,
    t.active_at,
    GREATEST(EXTRACT(epoch FROM a.opened_at - a.oldest_accepted_at), 0::numeric)::double precision AS seconds_to_aggregate,
    EXTRACT(epoch FROM a.sealed_at - a.oldest_accepted_at)::double precision AS seconds_to_sealed,
    EXTRACT(epoch FROM t.published_at - a.oldest_accepted_at)::double precision AS seconds_to_published,
    EXTRACT(epoch FROM t.active_at - a.oldest_accepted_at)::double precision AS seconds_to_active
   FROM aggregates a
     LEFT JOIN aggregate_times t ON t.aggregate_id = a.id
  WHERE a.oldest_accepted_at IS NOT NULL;

create view ops_aggregates as
 SELECT a.id AS aggregate_id,
    a.state::text AS state,
        CASE
            WHEN a.state = 'open'::aggregate_state THEN 'filling'::text
            WHEN a.state = 'sealing'::aggregate_state THEN 'sealing'::text
            ELSE COALESCE(d.best::text, 'sealed'::text)
        END AS stage,
    a.piece_cid,
    a.piece_bytes,
    a.capacity_bytes,
    a.length_bytes,
    a.car_bytes,
    a.length_bytes::double precision / a.capacity_bytes::double precision AS fill,
    a.entry_count AS uploads,
    a.seal_reason,
    a.opened_at,
    a.oldest_accepted_at,
    a.sealed_at,
    a.released_at,
    EXTRACT(epoch FROM now() - a.oldest_accepted_at)::double precision AS age_seconds,
    EXTRACT(epoch FROM a.sealed_at - a.oldest_accepted_at)::double precision AS seal_seconds,
    COALESCE(d.active, 0::bigint)::integer AS replicas_have,
    COALESCE(d.live, 0::bigint)::integer AS replicas_live,
    ( SELECT policies.replicas
           FROM policies
          ORDER BY policies.version DESC
         LIMIT 1) AS replicas_want,
    COALESCE(d.providers, '{}'::text[]) AS providers
   FROM aggregates a
     LEFT JOIN ( SELECT deals.aggregate_id,
            max(deals.state) AS best,
            count(*) AS live,
            count(*) FILTER (WHERE deals.state = 'active'::deal_state) AS active,
            array_agg(deals.provider_id) AS providers
           FROM deals
          WHERE deals.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state])
          GROUP BY deals.aggregate_id) d ON d.aggregate_id = a.id;

create view ops_audit as
 SELECT id AS audit_id,
    at,
    actor,
    action,
    subject,
    reason
   FROM audit;

create view ops_chain as
 SELECT f.as_of,
    f.epoch,
    c.height AS finalized_epoch,
    EXTRACT(epoch FROM now() - f.as_of)::double precision AS age_seconds,
    f.looked_at,
    f.degraded_since,
    f.degraded_reason,
    f.limited,
    ( SELECT count(*) AS count
           FROM chain_differences
          WHERE chain_differences.cleared_at IS NULL) AS open_differences
   FROM ( VALUES (true)) one("row")
     LEFT JOIN chain_freshness f ON f.singleton
     LEFT JOIN chain_cursors c ON c.name = 'watch.finalized'::text;

create view ops_daily as
 WITH days AS (
         SELECT generate_series(date_trunc('day'::text, now(), 'UTC'::text) - '399 days'::interval, date_trunc('day'::text, now(), 'UTC'::text), '1 day'::interval) AS day
        ), sealed AS (
         SELECT date_trunc('day'::text, aggregates.sealed_at, 'UTC'::text) AS day,
            count(*) AS sealed,
            sum(aggregates.entry_count) AS uploads,
            sum(aggregates.car_bytes) AS bytes
           FROM aggregates
          WHERE aggregates.sealed_at > (now() - '401 days'::interval)
          GROUP BY (date_trunc('day'::text, aggregates.sealed_at, 'UTC'::text))
        ), published AS (
         SELECT date_trunc('day'::text, aggregate_times.published_at, 'UTC'::text) AS day,
            count(*) AS items
           FROM aggregate_times
          WHERE aggregate_times.published_at > (now() - '401 days'::interval)
          GROUP BY (date_trunc('day'::text, aggregate_times.published_at, 'UTC'::text))
        ), active AS (
         SELECT date_trunc('day'::text, aggregate_times.active_at, 'UTC'::text) AS day,
            count(*) AS items
           FROM aggregate_times
          WHERE aggregate_times.active_at > (now() - '401 days'::interval)
          GROUP BY (date_trunc('day'::text, aggregate_times.active_at, 'UTC'::text))
        )
 SELECT (d.day AT TIME ZONE 'UTC'::text)::date AS day,
    COALESCE(s.sealed, 0::bigint) AS sealed,
    COALESCE(s.uploads, 0::bigint) AS sealed_uploads,
    COALESCE(s.bytes, 0::numeric)::bigint AS sealed_bytes,
    COALESCE(p.items, 0::bigint) AS published,
    COALESCE(a.items, 0::bigint) AS active
   FROM days d
     LEFT JOIN sealed s ON s.day = d.day
     LEFT JOIN published p ON p.day = d.day
     LEFT JOIN active a ON a.day = d.day;

create view ops_deals as
 SELECT d.id AS deal_id,
    d.aggregate_id,
    a.piece_cid,
    a.piece_bytes,
    d.provider_id,
    d.state::text AS state,
    d.slot,
    d.generation,
    d.verified,
    d.offline,
    d.chain_deal_id,
    d.price_per_epoch,
    d.attempts,
    d.start_epoch,
    to_timestamp((n.genesis_seconds + d.start_epoch * 30)::double precision) AS start_at,
    d.end_epoch,
    to_timestamp((n.genesis_seconds + d.end_epoch * 30)::double precision) AS end_at,
    d.reason_code,
    d.reason_text,
    d.said_status,
    d.said_at,
    d.created_at,
    d.changed_at,
    EXTRACT(epoch FROM now() - d.changed_at)::double precision AS state_seconds
   FROM deals d
     JOIN aggregates a ON a.id = d.aggregate_id
     LEFT JOIN network n ON true;

create view ops_deals_by_provider as
 SELECT d.provider_id,
    d.state::text AS state,
    d.reason_code,
    count(*) AS deals,
    sum(a.piece_bytes)::bigint AS bytes,
    min(d.created_at) AS first_at,
    max(d.created_at) AS last_at,
    max(d.changed_at) AS last_changed_at,
    max(d.reason_text) AS example
   FROM deals d
     JOIN aggregates a ON a.id = d.aggregate_id
  GROUP BY d.provider_id, d.state, d.reason_code;

create view ops_deals_by_state as
 SELECT s.state::text AS state,
    s.place::integer AS place,
    COALESCE(k.items, 0::numeric)::bigint AS deals,
    COALESCE(k.bytes, 0::numeric)::bigint AS bytes,
    o.oldest_at,
        CASE
            WHEN o.oldest_at IS NOT NULL THEN GREATEST(EXTRACT(epoch FROM now() - o.oldest_at), 0::numeric)::double precision
            ELSE NULL::double precision
        END AS oldest_seconds
   FROM unnest(enum_range(NULL::deal_state)) WITH ORDINALITY s(state, place)
     LEFT JOIN ( SELECT both_tables.state,
            sum(both_tables.items) AS items,
            sum(both_tables.bytes) AS bytes
           FROM ( SELECT kept_counts.state,
                    kept_counts.items,
                    kept_counts.bytes
                   FROM kept_counts
                  WHERE kept_counts.what = 'deal'::text
                UNION ALL
                 SELECT count_changes.state,
                    count_changes.items,
                    count_changes.bytes
                   FROM count_changes
                  WHERE count_changes.what = 'deal'::text) both_tables
          GROUP BY both_tables.state) k ON k.state = s.state::text
     LEFT JOIN LATERAL ( SELECT min(deals.changed_at) AS oldest_at
           FROM deals
          WHERE deals.state = s.state AND (deals.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state]))) o ON true;

create view ops_expiring as
 SELECT d.id AS deal_id,
    d.aggregate_id,
    a.piece_cid,
    a.piece_bytes,
    d.provider_id,
    d.chain_deal_id,
    d.end_epoch,
    to_timestamp((n.genesis_seconds + d.end_epoch * 30)::double precision) AS end_at,
    ((d.end_epoch - e.epoch)::numeric / 2880.0)::double precision AS days_left,
    (d.end_epoch - e.epoch) <= p.renew_before_epochs AS renewal_due,
    (EXISTS ( SELECT
           FROM deals r
          WHERE r.aggregate_id = d.aggregate_id AND r.slot = d.slot AND r.generation > d.generation AND (r.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state])))) AS renewed
   FROM deals d
     JOIN aggregates a ON a.id = d.aggregate_id
     LEFT JOIN network n ON true
     LEFT JOIN chain_freshness f ON true
     CROSS JOIN LATERAL ( SELECT COALESCE(f.epoch, ((EXTRACT(epoch FROM now()) - n.genesis_seconds::numeric) / 30::numeric)::bigint) AS epoch) e
     CROSS JOIN ( SELECT policies.renew_before_epochs
           FROM policies
          ORDER BY policies.version DESC
         LIMIT 1) p
  WHERE d.state = 'active'::deal_state;

create view ops_funnel as
 WITH uploads_of AS (
         SELECT ops_uploads_by_state.state,
            ops_uploads_by_state.uploads,
            ops_uploads_by_state.bytes
           FROM ops_uploads_by_state
        ), aggregates_of AS (
         SELECT ops_aggregate_stages.stage,
            sum(ops_aggregate_stages.uploads) AS uploads,
            count(*) AS aggregates,
            sum(ops_aggregate_stages.bytes) AS bytes,
            min(ops_aggregate_stages.oldest_accepted_at) AS oldest_at
           FROM ops_aggregate_stages
          GROUP BY ops_aggregate_stages.stage
        ), told AS (
         SELECT 'incomplete'::text AS stage,
            uploads_of.uploads,
            NULL::bigint AS aggregates,
            NULL::numeric AS bytes,
            ( SELECT min(uploads.changed_at) AS min
                   FROM uploads
                  WHERE uploads.state = 'incomplete'::upload_state) AS oldest_at
           FROM uploads_of
          WHERE uploads_of.state = 'incomplete'::text
        UNION ALL
         SELECT 'waiting'::text,
            uploads_of.uploads,
            NULL::bigint,
            uploads_of.bytes,
            ( SELECT min(uploads.changed_at) AS min
                   FROM uploads
                  WHERE uploads.state = 'waiting'::upload_state) AS min
           FROM uploads_of
          WHERE uploads_of.state = 'waiting'::text
        UNION ALL
         SELECT 'failed'::text,
            uploads_of.uploads,
            NULL::bigint,
            NULL::numeric,
            NULL::timestamp with time zone
           FROM uploads_of
          WHERE uploads_of.state = 'failed'::text
        UNION ALL
         SELECT aggregates_of.stage,
            aggregates_of.uploads,
            aggregates_of.aggregates,
            aggregates_of.bytes,
                CASE
                    WHEN aggregates_of.stage <> 'active'::text THEN aggregates_of.oldest_at
                    ELSE NULL::timestamp with time zone
                END AS "case"
           FROM aggregates_of
        )
 SELECT p.stage,
    p.place::integer AS place,
    COALESCE(t.uploads, 0::bigint) AS uploads,
        CASE
            WHEN p.place >= 3 AND p.place <= 10 THEN COALESCE(t.aggregates, 0::bigint)
            ELSE NULL::bigint
        END AS aggregates,
        CASE
            WHEN p.place >= 2 AND p.place <= 10 THEN COALESCE(t.bytes, 0::numeric)::bigint
            ELSE NULL::bigint
        END AS bytes,
    t.oldest_at,
        CASE
            WHEN t.oldest_at IS NOT NULL THEN GREATEST(EXTRACT(epoch FROM now() - t.oldest_at), 0::numeric)::double precision
            ELSE NULL::double precision
        END AS oldest_seconds
   FROM unnest(ARRAY['incomplete'::text, 'waiting'::text, 'filling'::text, 'sealing'::text, 'sealed'::text, 'signed'::text, 'sent'::text, 'accepted'::text, 'published'::text, 'active'::text, 'failed'::text]) WITH ORDINALITY p(stage, place)
     LEFT JOIN told t ON t.stage = p.stage;

create view ops_job_faults as
 SELECT job_id,
    queue,
    state,
    tries,
    due_at,
    subject,
    error
   FROM ops_read_job_faults() ops_read_job_faults(job_id, queue, state, tries, due_at, subject, error);

create view ops_jobs as
 SELECT queue,
    state,
    jobs,
    oldest_at,
        CASE
            WHEN oldest_at IS NOT NULL THEN GREATEST(EXTRACT(epoch FROM now() - oldest_at), 0::numeric)::double precision
            ELSE NULL::double precision
        END AS oldest_seconds
   FROM ops_read_jobs() ops_read_jobs(queue, state, jobs, oldest_at);

create view ops_no_takers as
 WITH short AS (
         SELECT a.id
           FROM aggregates a
             CROSS JOIN ( SELECT policies.replicas
                   FROM policies
                  ORDER BY policies.version DESC
                 LIMIT 1) p
             LEFT JOIN ( SELECT deals.aggregate_id,
                    count(*) AS live
                   FROM deals
                  WHERE deals.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state])
                  GROUP BY deals.aggregate_id) d ON d.aggregate_id = a.id
          WHERE a.state = 'sealed'::aggregate_state AND COALESCE(d.live, 0::bigint) < p.replicas
        ), said AS (
         SELECT one.value ->> 'code'::text AS code,
            one.value ->> 'provider'::text AS provider,
            count(DISTINCT s.id) AS aggregates,
            max(c.at) AS last_at
           FROM short s
             CROSS JOIN LATERAL ( SELECT choices.at,
                    choices.refused
                   FROM choices
                  WHERE choices.aggregate_id = s.id
                  ORDER BY choices.id DESC
                 LIMIT 1) c
             CROSS JOIN LATERAL jsonb_array_elements(c.refused) one(value)
          GROUP BY (one.value ->> 'code'::text), (one.value ->> 'provider'::text)
        )
 SELECT code,
    max(aggregates) AS aggregates,
    count(*) AS providers,
    max(last_at) AS last_at
   FROM said
  GROUP BY code;

create view ops_outbox as
 SELECT newest."position" AS newest_position,
    newest.at AS newest_at,
    held.events AS held_back,
        CASE
            WHEN held.oldest_at IS NOT NULL THEN GREATEST(EXTRACT(epoch FROM now() - held.oldest_at), 0::numeric)::double precision
            ELSE NULL::double precision
        END AS held_seconds,
    hooks.webhooks,
    hooks.failing AS webhooks_failing,
    hooks.backlog AS backlog_events,
    hooks.letters AS dead_letters,
    hooks.oldest_dead_at,
    h.as_of AS history_as_of
   FROM ( SELECT count(*) AS events,
            min(young.at) AS oldest_at
           FROM ( SELECT events.at
                   FROM events
                  WHERE events.xid >= pg_snapshot_xmin(pg_current_snapshot())
                  ORDER BY events.xid, events."position"
                 LIMIT 10000) young) held
     CROSS JOIN ( SELECT count(*) AS webhooks,
            count(*) FILTER (WHERE ops_webhooks.state = 'failing'::text) AS failing,
            COALESCE(max(ops_webhooks.backlog_events), 0::bigint) AS backlog,
            COALESCE(sum(ops_webhooks.dead_letters), 0::numeric)::bigint AS letters,
            min(ops_webhooks.oldest_dead_at) AS oldest_dead_at
           FROM ops_webhooks) hooks
     LEFT JOIN ( SELECT events."position",
            events.at
           FROM events
          ORDER BY events."position" DESC
         LIMIT 1) newest ON true
     LEFT JOIN history_cursor h ON true;

create view ops_pins as
 SELECT p.upload_id,
    u.root,
    p.status::text AS status,
    p.step::text AS next_step,
    p.due_at,
    p.changed_at,
    p.failing_since,
        CASE
            WHEN p.failing_since IS NOT NULL THEN GREATEST(EXTRACT(epoch FROM now() - p.failing_since), 0::numeric)::double precision
            ELSE NULL::double precision
        END AS failing_seconds,
    p.error
   FROM pins p
     JOIN uploads u ON u.id = p.upload_id;

create view ops_providers as
 WITH standing AS (
         SELECT d.provider_id,
            count(*) FILTER (WHERE d.state = 'active'::deal_state) AS active_deals,
            sum(a.piece_bytes) FILTER (WHERE d.state = 'active'::deal_state) AS active_bytes,
            count(*) FILTER (WHERE d.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state])) AS in_flight_deals,
            sum(a.piece_bytes) FILTER (WHERE d.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state])) AS in_flight_bytes
           FROM deals d
             JOIN aggregates a ON a.id = d.aggregate_id
          WHERE d.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'active'::deal_state])
          GROUP BY d.provider_id
        ), outcomes AS (
         SELECT d.provider_id,
            count(*) FILTER (WHERE o.good) AS successes,
            count(*) FILTER (WHERE NOT o.good) AS failures,
            count(*) FILTER (WHERE d.state = 'rejected'::deal_state) AS refusals,
            count(*) FILTER (WHERE (d.state = ANY (ARRAY['failed'::deal_state, 'missed'::deal_state, 'slashed'::deal_state, 'abandoned'::deal_state])) AND NOT o.good) AS faults,
            max(d.changed_at) FILTER (WHERE o.good IS NOT NULL) AS last_at,
            percentile_cont(0.5::double precision) WITHIN GROUP (ORDER BY ((n.genesis_seconds + d.published_epoch * 30)::double precision - EXTRACT(epoch FROM d.created_at)::double precision)) FILTER (WHERE d.published_epoch IS NOT NULL) AS published_p50,
            percentile_cont(0.5::double precision) WITHIN GROUP (ORDER BY ((n.genesis_seconds + d.sector_start_epoch * 30)::double precision - EXTRACT(epoch FROM d.created_at)::double precision)) FILTER (WHERE d.sector_start_epoch IS NOT NULL) AS active_p50
           FROM deals d
             LEFT JOIN network n ON true
             CROSS JOIN LATERAL ( SELECT
                        CASE
                            WHEN d.state = ANY (ARRAY['active'::deal_state, 'expired'::deal_state]) THEN true
                            WHEN d.state = ANY (ARRAY['failed'::deal_state, 'missed'::deal_state, 'slashed'::deal_state]) THEN false
                            WHEN d.state = 'abandoned'::deal_state AND d.reason_code <> 'called_off'::text THEN false
                            WHEN d.state = 'rejected'::deal_state AND (d.reason_code <> ALL (ARRAY['duplicate_of_other'::text, 'piece_cid_invalid'::text, 'signature_invalid'::text, 'wrong_provider'::text, 'label_too_long'::text, 'piece_size_invalid'::text, 'epochs_out_of_order'::text, 'start_elapsed'::text, 'start_too_soon'::text, 'start_too_late'::text, 'collateral_too_low'::text, 'collateral_too_high'::text, 'client_unknown'::text, 'client_funds_short'::text, 'client_not_verified'::text, 'datacap_short'::text, 'transfer_invalid'::text, 'proposal_unreadable'::text, 'libp2p_urls_unsupported'::text])) THEN false
                            ELSE NULL::boolean
                        END AS good) o
          WHERE d.created_at > (now() - '180 days'::interval) AND d.attempts > 0
          GROUP BY d.provider_id
        ), hour AS (
         SELECT deals.provider_id,
            count(*) AS proposals
           FROM deals
          WHERE deals.created_at > (now() - '01:00:00'::interval)
          GROUP BY deals.provider_id
        ), counted AS (
         SELECT outcomes.provider_id,
            outcomes.successes,
            outcomes.refusals,
            outcomes.faults,
            outcomes.last_at,
            outcomes.published_p50,
            outcomes.active_p50,
            (outcomes.successes + outcomes.failures)::double precision AS total,
            outcomes.successes::double precision / NULLIF(outcomes.successes + outcomes.failures, 0)::double precision AS share
           FROM outcomes
        )
 SELECT p.id AS provider_id,
    p.state::text AS state,
        CASE
            WHEN p.state = 'enabled'::provider_state AND p.retry_at > now() THEN 'resting'::text
            ELSE p.state::text
        END AS standing,
    p.org,
    p.region,
    p.agent,
    p.transport,
    p.seen_at,
    p.retry_at,
    p.failures,
    p.resolve_error,
    p.ask_price,
    p.ask_verified_price,
    p.ask_at,
    COALESCE(s.active_deals, 0::bigint) AS active_deals,
    COALESCE(s.active_bytes, 0::numeric)::bigint AS active_bytes,
    COALESCE(s.in_flight_deals, 0::bigint) AS in_flight_deals,
    COALESCE(s.in_flight_bytes, 0::numeric)::bigint AS in_flight_bytes,
    COALESCE(h.proposals, 0::bigint) AS proposals_hour,
    COALESCE(c.successes, 0::bigint) AS successes,
    COALESCE(c.refusals, 0::bigint) AS refusals,
    COALESCE(c.faults, 0::bigint) AS faults,
    c.share AS success_share,
    COALESCE(
        CASE
            WHEN c.successes > 0 THEN GREATEST(0::double precision, (c.share + 3.8416::double precision / (2::double precision * c.total) - 1.96::double precision * sqrt((c.share * (1::double precision - c.share) + 3.8416::double precision / (4::double precision * c.total)) / c.total)) / (1::double precision + 3.8416::double precision / c.total)) * (0.5::double precision ^ (GREATEST(EXTRACT(epoch FROM now() - c.last_at), 0::numeric)::double precision / 2592000::double precision))
            ELSE NULL::double precision
        END, 0::double precision) AS score,
    c.last_at AS last_outcome_at,
    c.published_p50 AS published_p50_seconds,
    c.active_p50 AS active_p50_seconds
   FROM providers p
     LEFT JOIN standing s ON s.provider_id = p.id
     LEFT JOIN counted c ON c.provider_id = p.id
     LEFT JOIN hour h ON h.provider_id = p.id;

create view ops_runway as
 WITH spent AS (
         SELECT d.client,
            min(d.created_at) AS since,
            sum(a.piece_bytes) FILTER (WHERE d.verified) AS datacap,
            sum(d.price_per_epoch * (d.end_epoch - d.start_epoch)::numeric) AS balance
           FROM deals d
             JOIN aggregates a ON a.id = d.aggregate_id
          WHERE d.created_at > (now() - '28 days'::interval) AND d.chain_deal_id IS NOT NULL
          GROUP BY d.client
        ), reserved AS (
         SELECT c.client,
            r.datacap,
            r.balance
           FROM client_funds c
             CROSS JOIN LATERAL ( SELECT sum(a.piece_bytes) FILTER (WHERE d.verified) AS datacap,
                    sum(d.price_per_epoch * (d.end_epoch - d.start_epoch)::numeric) AS balance
                   FROM ( SELECT deals.id,
                            deals.aggregate_id,
                            deals.slot,
                            deals.generation,
                            deals.provider_id,
                            deals.policy_version,
                            deals.state,
                            deals.client,
                            deals.signed_proposal,
                            deals.proposal_cid,
                            deals.verified,
                            deals.start_epoch,
                            deals.end_epoch,
                            deals.price_per_epoch,
                            deals.provider_collateral,
                            deals.attempts,
                            deals.maybe_received,
                            deals.next_attempt_at,
                            deals.chain_deal_id,
                            deals.publish_message,
                            deals.published_epoch,
                            deals.sector_number,
                            deals.sector_start_epoch,
                            deals.reason_code,
                            deals.reason_text,
                            deals.settled_at,
                            deals.created_at,
                            deals.changed_at,
                            deals.offline,
                            deals.called_off_at,
                            deals.next_status_at,
                            deals.said_status,
                            deals.said_at,
                            deals.said_publish_message
                           FROM deals
                          WHERE deals.client = c.client AND deals.settled_at IS NULL AND deals.published_epoch IS NULL
                        UNION ALL
                         SELECT deals.id,
                            deals.aggregate_id,
                            deals.slot,
                            deals.generation,
                            deals.provider_id,
                            deals.policy_version,
                            deals.state,
                            deals.client,
                            deals.signed_proposal,
                            deals.proposal_cid,
                            deals.verified,
                            deals.start_epoch,
                            deals.end_epoch,
                            deals.price_per_epoch,
                            deals.provider_collateral,
                            deals.attempts,
                            deals.maybe_received,
                            deals.next_attempt_at,
                            deals.chain_deal_id,
                            deals.publish_message,
                            deals.published_epoch,
                            deals.sector_number,
                            deals.sector_start_epoch,
                            deals.reason_code,
                            deals.reason_text,
                            deals.settled_at,
                            deals.created_at,
                            deals.changed_at,
                            deals.offline,
                            deals.called_off_at,
                            deals.next_status_at,
                            deals.said_status,
                            deals.said_at,
                            deals.said_publish_message
                           FROM deals
                          WHERE deals.client = c.client AND deals.settled_at IS NULL AND deals.published_epoch >= c.epoch) d
                     JOIN aggregates a ON a.id = d.aggregate_id) r
        ), told AS (
         SELECT w.what,
            c.client,
            c.at,
            c.epoch,
            w.free,
            COALESCE(w.reserved, 0::numeric) AS reserved,
            COALESCE(w.spent, 0::numeric) AS spent,
            COALESCE(w.spent, 0::numeric) /
                CASE
                    WHEN (EXISTS ( SELECT
                       FROM deals o
                      WHERE o.created_at <= (now() - '28 days'::interval))) THEN 28::numeric
                    ELSE GREATEST(1::numeric, EXTRACT(epoch FROM now() - s.since) / 86400::numeric)
                END AS per_day
           FROM client_funds c
             LEFT JOIN spent s ON s.client = c.client
             LEFT JOIN reserved r ON r.client = c.client
             CROSS JOIN LATERAL ( VALUES ('datacap'::text,c.datacap_bytes,r.datacap,s.datacap), ('balance'::text,c.free_escrow,r.balance,s.balance)) w(what, free, reserved, spent)
          WHERE w.free IS NOT NULL
        )
 SELECT what,
    client,
    at,
    epoch,
    free,
    reserved,
    spent,
    round(per_day) AS per_day,
        CASE
            WHEN per_day > 0::numeric THEN (GREATEST(free - reserved, 0::numeric) / per_day)::double precision
            ELSE NULL::double precision
        END AS days_left
   FROM told;

create view ops_stage_times as
 SELECT a.id AS aggregate_id,
    s.stage,
    s.entered_at,
        CASE
            WHEN s.left_at IS NOT NULL THEN GREATEST(s.left_at, s.entered_at)
            ELSE NULL::timestamp with time zone
        END AS left_at,
    t.active_at
   FROM aggregates a
     LEFT JOIN aggregate_times t ON t.aggregate_id = a.id
     CROSS JOIN LATERAL ( VALUES ('waiting'::text,a.oldest_accepted_at,GREATEST(a.opened_at, a.oldest_accepted_at)), ('filling'::text,a.opened_at,t.closed_at), ('sealing'::text,t.closed_at,a.sealed_at), ('sealed'::text,a.sealed_at,t.signed_at), ('signed'::text,t.signed_at,t.accepted_at), ('accepted'::text,t.accepted_at,t.published_at), ('published'::text,t.published_at,t.active_at)) s(stage, entered_at, left_at)
  WHERE s.entered_at IS NOT NULL AND a.entry_count > 0 AND (t.active_at IS NULL OR t.active_at >= s.entered_at);

create view ops_store as
 SELECT ((( SELECT COALESCE(sum(parts.bytes), 0::numeric) AS "coalesce"
           FROM ( SELECT kept_counts.bytes
                   FROM kept_counts
                  WHERE kept_counts.what = 'part'::text
                UNION ALL
                 SELECT count_changes.bytes
                   FROM count_changes
                  WHERE count_changes.what = 'part'::text) parts)) + kept.tree_bytes + back.bytes)::bigint AS stored_bytes,
    kept.aggregates AS kept_aggregates,
    kept.bytes::bigint AS kept_bytes,
    kept.released AS released_aggregates,
    kept.released_bytes::bigint AS released_bytes,
    hurt.ranges AS damaged_ranges,
    hurt.bytes::bigint AS damaged_bytes,
    hurt.oldest_at AS oldest_damage_at,
    ( SELECT
                CASE
                    WHEN count(scrub_progress.pass_ended_at) = 2 THEN min(scrub_progress.pass_ended_at)
                    ELSE NULL::timestamp with time zone
                END AS "case"
           FROM scrub_progress) AS scrub_pass_ended_at
   FROM ( SELECT count(*) FILTER (WHERE aggregates.released_at IS NULL) AS aggregates,
            count(aggregates.released_at) AS released,
            COALESCE(sum(aggregates.tree_bytes) FILTER (WHERE aggregates.released_at IS NULL), 0::numeric) AS tree_bytes,
            COALESCE(sum(COALESCE(aggregates.car_bytes, aggregates.length_bytes)) FILTER (WHERE aggregates.released_at IS NULL), 0::numeric) AS bytes,
            COALESCE(sum(aggregates.car_bytes) FILTER (WHERE aggregates.released_at IS NOT NULL), 0::numeric) AS released_bytes
           FROM aggregates) kept
     CROSS JOIN ( SELECT COALESCE(sum(a.car_bytes), 0::numeric) AS bytes
           FROM restorations r
             JOIN aggregates a ON a.id = r.aggregate_id
          WHERE r.object_key IS NOT NULL) back
     CROSS JOIN ( SELECT count(*) AS ranges,
            COALESCE(sum(damage.length_bytes), 0::numeric) AS bytes,
            min(damage.found_at) AS oldest_at
           FROM damage
          WHERE damage.cleared_at IS NULL) hurt;

create view ops_stuck as
 WITH unsettled AS MATERIALIZED (
         SELECT ops_aggregate_stages.aggregate_id,
            ops_aggregate_stages.stage,
            ops_aggregate_stages.uploads,
            ops_aggregate_stages.bytes,
            ops_aggregate_stages.oldest_accepted_at
           FROM ops_aggregate_stages
          WHERE ops_aggregate_stages.stage <> 'active'::text
        ), late AS MATERIALIZED (
         SELECT u.aggregate_id,
            u.stage,
            u.uploads,
            u.bytes,
            u.oldest_accepted_at,
            b.since
           FROM unsettled u
             CROSS JOIN LATERAL ( SELECT
                        CASE
                            WHEN (( SELECT aggregate_times.active_at
                               FROM aggregate_times
                              WHERE aggregate_times.aggregate_id = u.aggregate_id)) IS NULL THEN u.oldest_accepted_at
                            ELSE ( SELECT max(deals.changed_at) AS max
                               FROM deals
                              WHERE deals.aggregate_id = u.aggregate_id)
                        END AS since) b
          WHERE b.since <= (now() - '48:00:00'::interval)
        ), found AS (
         SELECT 'upload'::text AS kind,
            uploads.id::text AS id,
            uploads.root AS name,
            'waiting'::text AS stage,
            uploads.changed_at AS since,
            1 AS uploads,
            uploads.run_bytes AS bytes,
            NULL::text AS provider_id,
            NULL::bigint AS aggregate_id,
            'no aggregate has taken it yet'::text AS why
           FROM uploads
          WHERE uploads.state = 'waiting'::upload_state AND uploads.changed_at <= (now() - '48:00:00'::interval)
        UNION ALL
         SELECT 'upload'::text,
            uploads.id::text AS id,
            uploads.root,
            'incomplete'::text,
            uploads.changed_at,
            1,
            NULL::bigint AS int8,
            NULL::text,
            NULL::bigint AS int8,
            format('%s blocks have not come, the first is %s'::text, uploads.missing_count, uploads.missing_first) AS format
           FROM uploads
          WHERE uploads.state = 'incomplete'::upload_state AND uploads.changed_at <= (now() - '48:00:00'::interval)
        UNION ALL
         SELECT 'aggregate'::text,
            late.aggregate_id::text AS aggregate_id,
            NULL::text,
            late.stage,
            late.since,
            late.uploads,
            late.bytes,
            NULL::text,
            late.aggregate_id,
                CASE late.stage
                    WHEN 'filling'::text THEN 'it is not full'::text
                    WHEN 'sealing'::text THEN 'it is being hashed and sealed'::text
                    ELSE NULL::text
                END AS "case"
           FROM late
          WHERE ( SELECT true
                   FROM placements p
                     JOIN upload_owners o ON o.upload_id = p.upload_id AND o.ended_at IS NULL
                  WHERE p.aggregate_id = late.aggregate_id
                 LIMIT 1)
        UNION ALL
         SELECT 'deal'::text,
            d.id::text AS id,
            a.piece_cid,
            d.state::text AS state,
            d.changed_at,
            a.entry_count,
            a.piece_bytes,
            d.provider_id,
            d.aggregate_id,
            COALESCE('the provider said: '::text || d.said_status, d.reason_text,
                CASE d.state
                    WHEN 'signed'::deal_state THEN 'it was not sent yet'::text
                    WHEN 'sent'::deal_state THEN 'the provider has not answered'::text
                    ELSE 'the provider has not published it'::text
                END) AS "coalesce"
           FROM deals d
             JOIN aggregates a ON a.id = d.aggregate_id
          WHERE (d.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state])) AND d.changed_at <= (now() - '48:00:00'::interval)
        )
 SELECT kind,
    id,
    COALESCE(name, ( SELECT COALESCE(a.piece_cid, 'aggregate '::text || a.id) AS "coalesce"
           FROM aggregates a
          WHERE a.id = found.aggregate_id)) AS name,
    stage,
    since,
    EXTRACT(epoch FROM now() - since)::double precision / 3600::double precision AS hours,
        CASE
            WHEN since <= (now() - '72:00:00'::interval) THEN 72
            WHEN since <= (now() - '60:00:00'::interval) THEN 60
            ELSE 48
        END AS level,
    uploads::bigint AS uploads,
    bytes,
    provider_id,
    COALESCE(why,
        CASE
            WHEN stage = 'sealed'::text THEN COALESCE(( SELECT 'nobody to propose to: '::text || string_agg((codes.code || ' '::text) || codes.providers, ', '::text ORDER BY codes.providers DESC, codes.code)
               FROM ( SELECT one.value ->> 'code'::text AS code,
                        count(*) AS providers
                       FROM ( SELECT choices.refused
                               FROM choices
                              WHERE choices.aggregate_id = found.aggregate_id
                              ORDER BY choices.id DESC
                             LIMIT 1) c,
                        LATERAL jsonb_array_elements(c.refused) one(value)
                      GROUP BY (one.value ->> 'code'::text)) codes), ( SELECT 'last refusal: '::text || COALESCE(deals.reason_text, deals.reason_code)
               FROM deals
              WHERE deals.aggregate_id = found.aggregate_id AND deals.reason_code IS NOT NULL
              ORDER BY deals.changed_at DESC
             LIMIT 1), 'nothing was proposed yet'::text)
            ELSE ( SELECT format('its deal with %s is %s'::text, deals.provider_id, deals.state) || COALESCE(': '::text || deals.said_status, ''::text)
               FROM deals
              WHERE deals.aggregate_id = found.aggregate_id AND deals.state::text = found.stage
              ORDER BY deals.changed_at DESC
             LIMIT 1)
        END) AS why
   FROM found;

create view ops_time_percentiles as
 SELECT (date_trunc('week'::text, r.reached_at, 'UTC'::text) AT TIME ZONE 'UTC'::text)::date AS week,
    r.step,
    count(*) AS aggregates,
    percentile_cont(0.5::double precision) WITHIN GROUP (ORDER BY r.seconds) AS p50_seconds,
    percentile_cont(0.95::double precision) WITHIN GROUP (ORDER BY r.seconds) AS p95_seconds,
    max(r.seconds) AS max_seconds
   FROM ops_aggregate_times t
     CROSS JOIN LATERAL ( VALUES ('aggregate'::text,t.opened_at,t.seconds_to_aggregate), ('sealed'::text,t.sealed_at,t.seconds_to_sealed), ('published'::text,t.published_at,t.seconds_to_published), ('active'::text,t.active_at,t.seconds_to_active)) r(step, reached_at, seconds)
  WHERE r.reached_at IS NOT NULL
  GROUP BY ((date_trunc('week'::text, r.reached_at, 'UTC'::text) AT TIME ZONE 'UTC'::text)::date), r.step;

create view ops_transfers as
 SELECT d.id AS deal_id,
    d.provider_id,
    d.aggregate_id,
    a.piece_cid,
    a.car_bytes,
        CASE
            WHEN t.deal_id IS NULL THEN 'not_begun'::text
            WHEN t.moved_at > (now() - '00:10:00'::interval) THEN 'moving'::text
            ELSE 'still'::text
        END AS state,
    COALESCE(t.served_bytes, 0::bigint) AS served_bytes,
    LEAST(1::numeric, COALESCE(bit_count(t.served), 0::bigint)::numeric / ceil(a.car_bytes::numeric / 67108864.0))::double precision AS covered_share,
    t.begun_at,
    t.moved_at,
    (t.served_bytes::numeric / NULLIF(EXTRACT(epoch FROM t.moved_at - t.begun_at), 0::numeric))::double precision AS bytes_per_second,
    EXTRACT(epoch FROM now() - COALESCE(t.moved_at, d.changed_at))::double precision AS since_seconds,
    GREATEST(d.changed_at, t.moved_at) + (( SELECT policies.call_off_after_seconds
           FROM policies
          ORDER BY policies.version DESC
         LIMIT 1))::double precision * '00:00:01'::interval AS call_off_at
   FROM deals d
     JOIN aggregates a ON a.id = d.aggregate_id
     LEFT JOIN transfers t ON t.deal_id = d.id
  WHERE d.state = 'accepted'::deal_state AND NOT d.offline AND d.called_off_at IS NULL;

create view ops_uploads as
 SELECT u.id AS upload_id,
    u.root,
    u.state::text AS state,
    u.created_at,
    u.changed_at,
    u.dag_bytes,
    u.missing_count,
    u.missing_first,
    u.failure,
    ( SELECT COALESCE(array_agg(o.name ORDER BY o.name), '{}'::text[]) AS "coalesce"
           FROM upload_owners uo
             JOIN owners o ON o.id = uo.owner_id
          WHERE uo.upload_id = u.id AND uo.ended_at IS NULL) AS owners,
    best.aggregate_id,
    best.piece_cid,
    best.stage,
    COALESCE(best.active, 0::bigint)::integer AS active_replicas,
    COALESCE(best.providers, '{}'::text[]) AS providers
   FROM uploads u
     LEFT JOIN LATERAL ( SELECT a.id AS aggregate_id,
            a.piece_cid,
            d.active,
            d.providers,
                CASE
                    WHEN a.state = 'open'::aggregate_state THEN 'filling'::text
                    WHEN a.state = 'sealing'::aggregate_state THEN 'sealing'::text
                    ELSE COALESCE(d.best::text, 'sealed'::text)
                END AS stage
           FROM placements p
             JOIN aggregates a ON a.id = p.aggregate_id
             LEFT JOIN LATERAL ( SELECT max(deals.state) AS best,
                    count(*) FILTER (WHERE deals.state = 'active'::deal_state) AS active,
                    array_agg(deals.provider_id ORDER BY deals.provider_id) FILTER (WHERE deals.state = 'active'::deal_state) AS providers
                   FROM deals
                  WHERE deals.aggregate_id = a.id AND (deals.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state]))) d ON true
          WHERE p.upload_id = u.id
          ORDER BY d.best DESC NULLS LAST, a.id DESC
         LIMIT 1) best ON true;

create view ops_uploads_by_state as
 SELECT s.state::text AS state,
    COALESCE(k.items, 0::numeric)::bigint AS uploads,
    COALESCE(k.bytes, 0::numeric)::bigint AS bytes
   FROM unnest(enum_range(NULL::upload_state)) s(state)
     LEFT JOIN ( SELECT both_tables.state,
            sum(both_tables.items) AS items,
            sum(both_tables.bytes) AS bytes
           FROM ( SELECT kept_counts.state,
                    kept_counts.items,
                    kept_counts.bytes
                   FROM kept_counts
                  WHERE kept_counts.what = 'upload'::text
                UNION ALL
                 SELECT count_changes.state,
                    count_changes.items,
                    count_changes.bytes
                   FROM count_changes
                  WHERE count_changes.what = 'upload'::text) both_tables
          GROUP BY both_tables.state) k ON k.state = s.state::text;

create view ops_webhooks as
 SELECT w.id AS webhook_id,
    w.owner,
        CASE
            WHEN m.is_muted THEN 'muted'::text
            WHEN w.failing_since IS NULL THEN 'well'::text
            ELSE 'failing'::text
        END AS state,
    w.attempts,
    w.failing_since,
    w.delivered_at,
    w.next_attempt_at,
        CASE
            WHEN m.is_muted THEN 0::bigint
            ELSE GREATEST(COALESCE(( SELECT max(events."position") AS max
               FROM events), 0::bigint) - w.cursor_position, 0::bigint)
        END AS backlog_events,
    COALESCE(l.letters, 0::bigint) AS dead_letters,
    l.oldest_at AS oldest_dead_at
   FROM webhooks w
     LEFT JOIN ( SELECT webhook_dead_letters.webhook_id,
            count(*) AS letters,
            min(webhook_dead_letters.died_at) AS oldest_at
           FROM webhook_dead_letters
          GROUP BY webhook_dead_letters.webhook_id) l ON l.webhook_id = w.id
     CROSS JOIN LATERAL ( SELECT count(*) > 0 AND NOT bool_or(tokens.revoked_at IS NULL AND (tokens.expires_at IS NULL OR tokens.expires_at > now())) AS is_muted
           FROM tokens
          WHERE tokens.name = w.owner) m;

create view outbox as
 SELECT "position",
    xid,
    at,
    upload_id,
    aggregate_id,
    deal_id,
    from_state,
    to_state,
    reason_code,
    detail,
    epoch,
    evidence
   FROM events
  WHERE xid < pg_snapshot_xmin(pg_current_snapshot());

create view upload_statuses as
 SELECT id,
    root,
    state,
    created_at,
    changed_at,
    dag_bytes,
    missing_count,
    missing_first,
    failure,
    ( SELECT pin.status
           FROM pins pin
          WHERE pin.upload_id = u.id) AS pin_status,
        CASE
            WHEN (EXISTS ( SELECT
               FROM parts
              WHERE parts.upload_id = u.id)) THEN NOT (EXISTS ( SELECT
               FROM damage
              WHERE damage.upload_id = u.id AND damage.cleared_at IS NULL))
            ELSE (EXISTS ( SELECT
               FROM uploads_in_deals d
              WHERE d.upload_id = u.id))
        END AS is_kept,
    (( SELECT count(*) AS count
           FROM current_cuts c
          WHERE c.upload_id = u.id))::integer AS cut_count,
    ( SELECT COALESCE(json_agg(placed.*), '[]'::json) AS "coalesce"
           FROM ( SELECT p.seq,
                    p.cut,
                    p.cut IS NOT NULL AND p.topped_up AS given_up,
                    p.selector,
                    a.id AS aggregate_id,
                    a.state,
                    a.entry_count,
                    a.length_bytes,
                    a.capacity_bytes,
                    a.oldest_accepted_at,
                    a.piece_cid,
                    a.batch_root,
                    a.released_at,
                    ( SELECT COALESCE(json_agg(deal.*), '[]'::json) AS "coalesce"
                           FROM ( SELECT d.state,
                                    d.provider_id,
                                    d.changed_at,
                                    d.start_epoch,
                                    d.end_epoch,
                                    d.chain_deal_id,
                                    d.sector_start_epoch,
                                    d.reason_code,
                                    d.reason_text
                                   FROM deals d
                                  WHERE d.aggregate_id = a.id AND (d.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state, 'expired'::deal_state, 'slashed'::deal_state, 'missed'::deal_state]))
                                  ORDER BY d.changed_at, d.id) deal) AS deals,
                    ( SELECT to_json(refused.*) AS to_json
                           FROM ( SELECT r.provider_id,
                                    COALESCE(r.reason_text, r.reason_code) AS text,
                                    r.changed_at
                                   FROM deals r
                                  WHERE r.aggregate_id = a.id AND (r.state = ANY (ARRAY['rejected'::deal_state, 'failed'::deal_state, 'abandoned'::deal_state])) AND NOT (EXISTS ( SELECT
   FROM deals l
  WHERE l.aggregate_id = a.id AND (l.state = ANY (ARRAY['signed'::deal_state, 'sent'::deal_state, 'accepted'::deal_state, 'published'::deal_state, 'active'::deal_state]))))
                                  ORDER BY r.changed_at DESC, r.id
                                 LIMIT 1) refused) AS last_refusal,
                    ( SELECT to_json(come.*) AS to_json
                           FROM ( SELECT
CASE
 WHEN t.published_at IS NOT NULL THEN 'published'::text
 WHEN t.accepted_at IS NOT NULL THEN 'accepted'::text
 WHEN t.signed_at IS NOT NULL THEN 'signed'::text
 WHEN a.state = 'open'::aggregate_state THEN 'filling'::text
 ELSE a.state::text
END AS stage,
CASE
 WHEN t.signed_at IS NOT NULL THEN COALESCE(t.published_at, t.accepted_at, t.signed_at)
 WHEN a.state = 'open'::aggregate_state THEN a.opened_at
 WHEN a.state = 'sealed'::aggregate_state THEN a.sealed_at
 ELSE a.changed_at
END AS since,
                                    ( SELECT json_agg(counted.*) AS json_agg
   FROM ( SELECT r.value ->> 'code'::text AS code,
      count(*)::integer AS providers
     FROM ( SELECT c.refused
       FROM choices c
      WHERE a.state = 'sealed'::aggregate_state AND c.aggregate_id = a.id
      ORDER BY c.id DESC
     LIMIT 1) last,
      LATERAL jsonb_array_elements(last.refused) r(value)
    GROUP BY (r.value ->> 'code'::text)) counted) AS refused
                                   FROM ( VALUES (a.id)) one(id)
                                     LEFT JOIN aggregate_times t ON t.aggregate_id = one.id
                                  WHERE t.active_at IS NULL) come) AS come
                   FROM placements p
                     JOIN aggregates a ON a.id = p.aggregate_id
                  WHERE p.upload_id = u.id
                  ORDER BY a.id DESC) placed) AS placements,
    NOT ( SELECT policies.proposing
           FROM policies
          ORDER BY policies.version DESC
         LIMIT 1) AS proposing_paused
   FROM uploads u;

create view uploads_in_deals as
 SELECT id AS upload_id
   FROM uploads u
  WHERE NOT (EXISTS ( SELECT
           FROM ( SELECT c.cut
                   FROM current_cuts c
                  WHERE c.upload_id = u.id
                UNION ALL
                 SELECT NULL::integer
                  WHERE NOT (EXISTS ( SELECT
                           FROM current_cuts c
                          WHERE c.upload_id = u.id))) run
          WHERE NOT (EXISTS ( SELECT
                   FROM placements p
                  WHERE p.upload_id = u.id AND (p.cut IS NULL OR p.cut = run.cut) AND (( SELECT r.live_replicas
                           FROM aggregate_replicas r
                          WHERE r.aggregate_id = p.aggregate_id)) > 0))));

CREATE OR REPLACE FUNCTION public.aggregate_has_event()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if not exists (select from events e where e.aggregate_id = new.id and e.xid = pg_current_xact_id() and e.to_state = new.state::text) then
    raise exception 'aggregate % became % without an event', new.id, new.state
      using errcode = 'integrity_constraint_violation', constraint = 'aggregates_change_has_event';
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION public.count_deals()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if tg_op = 'INSERT' then
    insert into count_changes (what, state, items, bytes)
    select 'deal', d.state, count(*), coalesce(sum(a.piece_bytes), 0) from new_rows d join aggregates a on a.id = d.aggregate_id group by d.state;
  else
    insert into count_changes (what, state, items, bytes)
    select 'deal', d.state, sum(d.items), coalesce(sum(d.items * a.piece_bytes), 0) from (
      select state, aggregate_id, 1 as items from new_rows
      union all select state, aggregate_id, -1 from old_rows) as d join aggregates a on a.id = d.aggregate_id
    group by d.state having sum(d.items) <> 0 or sum(d.items * a.piece_bytes) <> 0;
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION public.count_parts()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if tg_op = 'INSERT' then
    insert into count_changes (what, state, items, bytes)
    select 'part', '', count(*), sum(length_bytes) from new_rows having count(*) > 0;
  else
    insert into count_changes (what, state, items, bytes)
    select 'part', '', -count(*), -sum(length_bytes) from old_rows having count(*) > 0;
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION public.count_uploads()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if tg_op = 'INSERT' then
    insert into count_changes (what, state, items, bytes)
    select 'upload', state, count(*), coalesce(sum(run_bytes), 0) from new_rows group by state;
  else
    insert into count_changes (what, state, items, bytes)
    select 'upload', state, sum(items), sum(bytes) from (
      select state, 1 as items, coalesce(run_bytes, 0) as bytes from new_rows
      union all select state, -1, -coalesce(run_bytes, 0) from old_rows) as both_rows
    group by state having sum(items) <> 0 or sum(bytes) <> 0;
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION public.deal_has_event()
 RETURNS trigger
 LANGUAGE plpgsql
AS $function$
begin
  if not exists (select from events e where e.deal_id = new.id and e.xid = pg_current_xact_id() and e.to_state = new.state::text) then
    raise exception 'deal % became % without an event', new.id, new.state
      using errcode = 'integrity_constraint_violation', constraint = 'deals_change_has_event';
  end if;
  return null;
end $function$
;

CREATE OR REPLACE FUNCTION public.ops_read_job_faults()
 RETURNS TABLE(job_id uuid, queue text, state text, tries integer, due_at timestamp with time zone, subject jsonb, error text)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog'
AS $function$
begin
  if to_regclass('pgboss.job') is null then return; end if;
  return query execute $job$
    select id, name::text, state::text, retry_count::integer, case when state = 'retry' then start_after end, data,
      coalesce(output ->> 'message', output ->> 'value', output::text)
    from pgboss.job where state in ('retry', 'failed') and name not like E'\\_\\_%' $job$;
end $function$
;

CREATE OR REPLACE FUNCTION public.ops_read_jobs()
 RETURNS TABLE(queue text, state text, jobs bigint, oldest_at timestamp with time zone)
 LANGUAGE plpgsql
 STABLE SECURITY DEFINER
 SET search_path TO 'pg_catalog'
AS $function$
begin
  if to_regclass('pgboss.job') is null then return; end if;
  return query execute $job$
    select name::text, case when state = 'created' and start_after > now() then 'deferred' when state = 'created' then 'waiting' else state::text end,
      count(*), min(case when state = 'failed' then completed_on else coalesce(started_on, start_after) end)
    from pgboss.job where state in ('created', 'retry', 'active', 'failed') and name not like E'\\_\\_%' group by 1, 2 $job$;
end $function$
;

CREATE CONSTRAINT TRIGGER aggregates_change_has_event AFTER INSERT OR UPDATE OF state ON public.aggregates DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION aggregate_has_event();

CREATE CONSTRAINT TRIGGER deals_change_has_event AFTER INSERT OR UPDATE OF state ON public.deals DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION deal_has_event();

CREATE TRIGGER deals_counted AFTER INSERT ON public.deals REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_deals();

CREATE TRIGGER deals_counted_anew AFTER UPDATE ON public.deals REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_deals();

CREATE TRIGGER parts_counted AFTER INSERT ON public.parts REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_parts();

CREATE TRIGGER parts_counted_off AFTER DELETE ON public.parts REFERENCING OLD TABLE AS old_rows FOR EACH STATEMENT EXECUTE FUNCTION count_parts();

CREATE TRIGGER uploads_counted AFTER INSERT ON public.uploads REFERENCING NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_uploads();

CREATE TRIGGER uploads_counted_anew AFTER UPDATE ON public.uploads REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows FOR EACH STATEMENT EXECUTE FUNCTION count_uploads();

comment on view aggregate_replicas is 'How well each sealed aggregate is kept: deals that fill a slot, those that are active, and when the youngest of these became so. What topping up and releasing know of deals.';

comment on table aggregate_times is 'When an aggregate first came to a step: closed, a proposal signed, accepted, published, active; a step that was never seen counts with the next one. Folded out of the events by whichever process comes first each minute; read by status, by the views ops_aggregate_times and ops_stage_times; can be made anew from the events.';

comment on table aggregates is 'One CARv1 each: 59 bytes of header, runs, filler, batch tree. Written by stow, seal and release; read by all later stages; never deleted. length_bytes counts header and runs; filler_bytes are sections of one raw block of zeros; piece_bytes is the padded size, the smallest power of two that holds the CAR; released_at: its bytes are not kept from then on, and its proofs are in the object proofs_key.';

comment on table audit is 'Who did what by hand, and why. Written in the transaction of the act; append only.';

comment on table chain_cursors is 'How far a reader of the chain has come. Written and read by watch, in the transaction of what it found.';

comment on table chain_differences is 'Where the daily reading of all live deals found what no event had told: untold (a change without its event), absent (gone from the state, and not yet known why), another_proposal (the id holds other fields than ours); and where nodes showed a deal differently that was about to change (nodes_disagree). Written and cleared by watch; never deleted; an open row wants an operator.';

comment on table chain_freshness is 'How fresh the deals are: read whole as of this epoch, at this time. Written by the one process that watches, read by all. degraded: since when the chain cannot be read, and why; limited: what its nodes cannot show us; looked_at: when somebody last looked.';

comment on table choices is 'Each decision on whom to propose an aggregate to: chosen [{slot, provider, score, reasons}], refused [{provider, reason}]. Written by propose, when it differs from the last one; read by the API and `lading deal show`.';

comment on table chunks is 'CommP subtree roots of an aggregate''s aligned chunks of 127 * 2^18 bytes, as far as they are known; an aggregate of one chunk has none. Written by hash as the aggregate grows, and by seal what needed the batch tree (chunk 0, the last ones), never changed or deleted; read by seal and by proofs.';

comment on table client_funds is 'What the chain showed of the money of each client of ours when it was last looked at: attoFIL in escrow at the market actor that nothing locks, and DataCap (null: it is no verified client). Written by the process that makes deals, every few minutes; read by the view ops_runway.';

comment on table count_changes is 'What each statement changed of kept_counts, in its own transaction, so that the two are exact together, and no transaction waits for another over a count. Written by triggers on uploads, deals and parts; added to kept_counts and deleted by the sweep.';

comment on view current_cuts is 'The parts that an upload is cut into now. Those of places that it gave up, because it was sent anew, are history.';

comment on table cut_extents is 'The bytes of a cut in order, as ranges of store objects that the parts of its upload name too. Written with the cut; deleted when the bytes are released.';

comment on table cuts is 'Parts of an upload that no aggregate could hold whole. Each is a run by itself: the root and all ancestors of its blocks, then its own blocks, in stored order. Written by cut in one transaction for all of an upload; read by stow, seal, proofs and status; deleted only while none of the upload is placed.';

comment on table damage is 'Stored bytes that are not what they were: a part of an upload, or the tree of an aggregate. Written by scrub, cleared when a later pass finds the bytes sound or nobody needs them any more; never deleted; an open row wants an operator.';

comment on table deals is 'One proposal each, its exact signed bytes committed before any byte left. Written by propose, send and watch by compare-and-set on state; never deleted. settled_at: from then on nothing more can come of it. maybe_received: bytes may have reached the provider in an attempt without a definite answer.';

comment on column deals.called_off_at is 'From then on the piece token of this deal opens nothing.';

comment on column deals.said_status is 'The provider''s own words on the deal when it was last asked (said_at): shown, never believed.';

comment on table events is 'Every change of state, with its evidence; append only: history and outbox in one. position orders the events of one subject; across subjects read the view outbox in the order (xid, position).';

comment on table history_cursor is 'How far the events are folded into aggregate_times, and as of when that is all there is to know; null until the first time. Written by that process alone which holds the row.';

comment on table kept_counts is 'How many uploads there are by state, with the bytes of their runs, deals by state, with the padded bytes of their pieces, and stored parts (state ''''), with theirs; together with count_changes, which hold what came since. Written by the sweep; read by the views ops_funnel, ops_uploads_by_state, ops_deals_by_state and ops_store.';

comment on table network is 'The one network this database belongs to. Written once at first start (genesis of a devnet at first contact); read at every start; never deleted.';

comment on view ops_aggregate_stages is 'Where each aggregate stands now: where its best live deal is, by the order of the states; sealed: it has none.';

comment on view ops_aggregate_times is 'How long each aggregate took to each point, counted from the acceptance of its oldest upload, so that most uploads took less; null: it is not there yet. Up to a minute behind.';

comment on view ops_aggregates is 'One aggregate each: how full, how old, how well kept.';

comment on view ops_audit is 'Who did what by hand, and why.';

comment on view ops_chain is 'How fresh our view of the chain is.';

comment on view ops_daily is 'Per day (UTC) of the last 400: what was sealed, and aggregates that were first published and active. Up to a minute behind.';

comment on view ops_deals is 'One deal each, whatever became of it.';

comment on view ops_deals_by_provider is 'How the deals of each provider stand or ended, and why.';

comment on view ops_deals_by_state is 'A row for each state of a deal, also where there is none; bytes are padded. oldest_at: which of those on their way has not changed for longest.';

comment on view ops_expiring is 'Active deals by when they end, and whether anything follows them.';

comment on view ops_funnel is 'Where everything is: a row for each stage, also where nothing is in it. oldest_at: when the oldest upload in it was accepted, null where nothing waits.';

comment on view ops_job_faults is 'Jobs that are tried again, or were given up: how often they were tried, what they are about, and the last error.';

comment on view ops_jobs is 'Jobs that are not done, by queue and state; oldest_at: due, taken where active, given up where failed.';

comment on view ops_no_takers is 'Why aggregates that are short of deals find nobody, as it was last decided for each. aggregates: of the provider that stands in the way of most.';

comment on view ops_outbox is 'Whether changes get out: the newest event, what an open transaction keeps back, and how far webhooks are behind.';

comment on view ops_pins is 'The pin of each upload in the IPFS Cluster, where one is configured, and why it fails.';

comment on view ops_providers is 'The scoreboard: what each provider holds and fetches, and how its proposals of the last 180 days went.';

comment on view ops_runway is 'How long DataCap (bytes) and market balance (attoFIL) last if as much is spent as by deals of the last 28 days that were published; a shorter time counts where the first deal is younger.';

comment on view ops_stage_times is 'When each aggregate entered and left each stage for the first time (left_at null: it is there), and when its first deal became active. waiting is told of its oldest upload. Up to a minute behind.';

comment on view ops_store is 'What lies in the object store by the rows, what was released, and what is damaged.';

comment on view ops_stuck is 'What is not where it should be after 48, 60 and 72 hours: uploads without an aggregate, aggregates without an active deal (but those that nobody owns), and deals that are not published.';

comment on view ops_time_percentiles is 'How long aggregates took to each step, counted from the acceptance of their oldest upload, by the week (from Monday, UTC) in which they came there.';

comment on view ops_transfers is 'Pieces that providers of accepted deals fetch, or should.';

comment on view ops_uploads is 'One upload each, with the aggregate that has come furthest: to be asked by root or upload_id, or for the newest.';

comment on view ops_uploads_by_state is 'Uploads by state, with the bytes of their runs in aggregates (0 while they are incomplete).';

comment on view ops_webhooks is 'How the calls of each webhook go (muted: its owner''s token was revoked or has expired, and it is told nothing); not where they go to, which may be a secret.';

comment on view outbox is 'Events that are safe to hand out in the order (xid, position), with the pair as cursor: every transaction that is still open or to come has a larger xid. position alone would lose the event of a younger transaction that took a lower position and commits later.';

comment on table owners is 'Token names that sent uploads. Written by receive; read by lists; never deleted.';

comment on table part_blocks is 'Blocks held of uploads that are not complete, by CIDv1, with the CIDv1s they link to in order. reached: links lead to it from the root. Written by receive; deleted by the next sweep once the upload is complete.';

comment on table parts is 'Stored sections of an upload: canonical CAR sections (first occurrence of each CID, minimal varints, no header) in a range of a store object. No block is in two parts of one upload. Written by receive; read by seal and piece serving. run_seq: place in the upload''s run, null while the upload is incomplete; id gives the order of acceptance.';

comment on table pin_cluster is 'Whether the IPFS Cluster answers, and since when it does not: pin statuses are as of answered_at. Written by the pin stage, read by status and doctor; never deleted.';

comment on table pin_request_events is 'Every change of state of a request to pin, append only. Apart from events, which are of uploads, aggregates and deals: a request is nothing that a deal is made of.';

comment on table pin_requests is 'One request of POST /pins each. Written by the API, and by the job fetch of its root; removed ones stay for their history. pinned: all blocks came, and the upload tells what is to be known from there on. gives_ownership: the token owns the upload by requests like this alone, so that the last one to go ends it. progress_at, next_attempt_at: by the database''s clock.';

comment on table pins is 'The pin of an upload in an IPFS Cluster, from its acceptance on where one is configured. status: what is told of it; unpinned: nobody owns it any more. step: what is to be done at due_at (by the database''s clock; whoever does it moves that on for as long): give the bytes, look what became of them, recover, unpin. wish: counts uploads and deletions, so that what was asked before one is not written after it. acted: something was done about the failure since it was last seen. failing_since: no look has found it pinned since then. Written by receive, delete and the pin stage; read by status; never deleted.';

comment on table placements is 'Where a run lies in an aggregate: never moved, never deleted. Written by stow, selector by seal; read by seal, piece serving and the API. cut: the part of the upload, null when it is whole; topped_up: placed once more to bring a small aggregate to the smallest piece that providers take.';

comment on column placements.topped_up is 'Not the place of its own that an upload, or a cut of one, has once: it brings a small aggregate to the smallest piece that providers take, or it was the place before the upload was sent anew.';

comment on table policies is 'Deal policy, a new row each change, the highest version rules. Prices are attoFIL per GiB per epoch. Written by operators; read by propose; never deleted.';

comment on column policies.max_in_flight_bytes is 'Padded bytes of proposals to one provider that it has not published yet; null: no cap. So are the other caps.';

comment on column policies.call_off_after_seconds is 'A transfer that has not begun or does not move for so long is called off.';

comment on column policies.proposing is 'False: nothing new is proposed; what is in flight goes on.';

comment on column policies.reason is 'Why, in the words of whoever made this version; null: nothing was said.';

comment on column policies.reads_per_second is 'Live deals read by id from the chain each second, at most, in the daily comparison. A million deals a day are 11.6.';

comment on table providers is 'Storage providers we may propose to. Written by operators and by resolving on chain; read by choosing; removed by state, not by delete. retry_at: not asked before.';

comment on column providers.org is 'Who runs it, by an operator''s word: for caps. Null: the owner on chain counts instead.';

comment on column providers.region is 'Where it is, by an operator''s word: for caps.';

comment on column providers.agent is 'The software it said it is (libp2p identify), and seen_at when it last answered anything.';

comment on column providers.transport is 'The way that worked last, tried first; transport_at is when.';

comment on table pull_events is 'What became of a pull, in the transaction that changed it.';

comment on table pulls is 'One CAR to be fetched each. Written by POST /uploads; lease, progress and outcome by the one process that holds the lease, by the database''s clock; cancelled by DELETE. The bytes that are here already lie in a file of that process (DATA_DIR/pulls); validator says what they are of.';

comment on column pulls.url is 'As asked for. It may hold a signature, and is shown to its owner and to operators alone.';

comment on table restorations is 'Released aggregates whose bytes were fetched back for a repair or a renewal, or whose fetching failed. Written by the restore stage; the row goes when the bytes are released again.';

comment on column restorations.object_key is 'The whole CAR, checked against the piece CID before; null: it is not there.';

comment on column restorations.next_at is 'Nobody fetches before; means nothing once the object is there.';

comment on column restorations.refusals is 'Why what each provider serves was not taken, the last time.';

comment on table scrub_progress is 'How far the reading of all stored bytes has come: parts and trees up to after_id are read in the pass that began then. pass_ended_at: when the last whole pass ended. Written and read by scrub, so that a restart goes on.';

comment on table tokens is 'Tokens made by operators; written by POST /tokens and lading token, read at each first use in two seconds, never deleted.';

comment on column tokens.last_used_at is 'Coarse: written at most once a minute by each process.';

comment on table transfers is 'What a provider was sent of its piece: a bit for each 64 MiB of the CAR, set before the first byte of it leaves; served_bytes counts every byte sent, repetitions too. Written by piece serving; read by calling off and by status.';

comment on column transfers.curve_bytes is 'served_bytes as of curve_at, a point for each 64th of the piece. Written with served_bytes; read by the API.';

comment on table upload_owners is 'Who sent an upload. Written by receive; ended, not deleted, by the API.';

comment on view upload_statuses is 'All that is told of an upload, in one row: where it lies, whole or in parts (newest aggregate first), with the deals that are shown (oldest change first) and the last refusal of each aggregate that has no live deal. What /check and the lists of uploads read, so that they cannot differ. Each part is looked up by index for the rows that are asked for alone.';

comment on table uploads is 'One row a root CID (CIDv1 base32). Written by receive and stow; read by the API and stow; never deleted. run_bytes: bytes of its run in an aggregate; dag_bytes: sum of its blocks'' bytes.';

comment on view uploads_in_deals is 'Uploads all of which lies, whole or in parts, in aggregates that have a live deal: what holds those whose bytes were released. Such an upload is pinned, and one that is sent again is stored anew when it is no more among them. To be asked of single uploads.';

comment on table wanted_blocks is 'CIDv1s that reached blocks of an incomplete upload link to and that did not come; id gives the order in which the links were found; came: the block is there since the links were last followed. Written by receive; an upload is complete when none is left.';

comment on table webhook_dead_letters is 'Calls that no receiver took in all the time that they were tried: the changes after `from` up to `to`, which stand in the outbox still. Written by delivery; redrive_at set by the API asks for one more try; deleted when that succeeds.';

comment on table webhooks is 'One receiver of changes each. Written and deleted by the API; cursor, attempts and lease by the one process that holds the lease, by the database''s clock. All changes up to the cursor were taken by the receiver, or are dead letters; failing_to is the last change of the call that is tried again. Its secret is derived from TOKEN_SECRET and stands nowhere.';
