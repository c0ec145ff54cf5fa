-- The schema that migrations/NNNN_*.sql and views.sql make, read from the catalogs of a migrated database: for reading
-- and for review, never applied. Made by `npx node scripts/generate-schema.ts`; a test compares.

create type address_source as enum ('chain', 'manual');

create type aggregate_state as enum ('open', 'sealing', 'sealed');

create type deal_state as enum ('signed', 'sent', 'accepted', 'published', 'active', 'rejected', 'failed', 'abandoned', 'missed', 'expired', 'slashed');

create type provider_state as enum ('enabled', 'paused', 'removed');

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
  reads_per_second integer not null default 25,
  constraint policies_call_off_sane CHECK ((call_off_after_seconds >= 60)),
  constraint policies_duration_in_actor_limits CHECK (((duration_epochs >= 518400) AND (duration_epochs <= 3680640))),
  constraint policies_in_flight_sane CHECK ((max_in_flight_bytes > 0)),
  constraint policies_org_cap_sane CHECK ((max_per_org >= 1)),
  constraint policies_prices_not_negative CHECK (((max_price >= (0)::numeric) AND (max_verified_price >= (0)::numeric))),
  constraint policies_rate_sane CHECK ((max_proposals_per_hour >= 1)),
  constraint policies_reads_sane CHECK (((reads_per_second >= 1) AND (reads_per_second <= 10000))),
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
  constraint transfers_bytes_not_negative CHECK ((served_bytes >= 0)),
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

CREATE UNIQUE INDEX damage_open ON public.damage USING btree (object_key, object_offset) WHERE (cleared_at IS NULL);

CREATE INDEX deals_accepted ON public.deals USING btree (changed_at) WHERE (state = 'accepted'::deal_state);

CREATE INDEX deals_by_age ON public.deals USING btree (created_at, id);

CREATE UNIQUE INDEX deals_chain_id_unique ON public.deals USING btree (chain_deal_id) WHERE (chain_deal_id IS NOT NULL);

CREATE INDEX deals_ending ON public.deals USING btree (end_epoch) WHERE (state = 'active'::deal_state);

CREATE INDEX deals_in_state ON public.deals USING btree (state, created_at, id);

CREATE INDEX deals_of_aggregate ON public.deals USING btree (aggregate_id);

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

CREATE INDEX placements_of_upload ON public.placements USING btree (upload_id);

CREATE UNIQUE INDEX placements_once ON public.placements USING btree (upload_id, COALESCE(cut, '-1'::integer)) WHERE (NOT topped_up);

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
    (( SELECT count(*) AS count
           FROM cuts c
          WHERE c.upload_id = u.id))::integer AS cut_count,
    ( SELECT COALESCE(json_agg(placed.*), '[]'::json) AS "coalesce"
           FROM ( SELECT p.seq,
                    p.cut,
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
                  ORDER BY a.id DESC) placed) AS placements
   FROM uploads u;

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

CREATE CONSTRAINT TRIGGER aggregates_change_has_event AFTER INSERT OR UPDATE OF state ON public.aggregates DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION aggregate_has_event();

CREATE CONSTRAINT TRIGGER deals_change_has_event AFTER INSERT OR UPDATE OF state ON public.deals DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION deal_has_event();

comment on view aggregate_replicas is 'How well each sealed aggregate is kept: deals that fill a slot, those that are active, and when the youngest of these became so. What topping up and releasing know of deals.';

comment on table aggregate_times is 'When an aggregate first came to a step: closed, a proposal signed, accepted, published, active; a step that was never seen counts with the next one. Folded out of the events by whichever process comes first each minute; read by status, by the views ops_aggregate_times and ops_stage_times; can be made anew from the events.';

comment on table aggregates is 'One CARv1 each: 59 bytes of header, runs, filler, batch tree. Written by stow, seal and release; read by all later stages; never deleted. length_bytes counts header and runs; filler_bytes are sections of one raw block of zeros; piece_bytes is the padded size, the smallest power of two that holds the CAR; released_at: its bytes are not kept from then on, and its proofs are in the object proofs_key.';

comment on table audit is 'Who did what by hand, and why. Written in the transaction of the act; append only.';

comment on table chain_cursors is 'How far a reader of the chain has come. Written and read by watch, in the transaction of what it found.';

comment on table chain_differences is 'Where the daily reading of all live deals found what no event had told: untold (a change without its event), absent (gone from the state, and not yet known why), another_proposal (the id holds other fields than ours); and where nodes showed a deal differently that was about to change (nodes_disagree). Written and cleared by watch; never deleted; an open row wants an operator.';

comment on table chain_freshness is 'How fresh the deals are: read whole as of this epoch, at this time. Written by the one process that watches, read by all. degraded: since when the chain cannot be read, and why; limited: what its nodes cannot show us; looked_at: when somebody last looked.';

comment on table choices is 'Each decision on whom to propose an aggregate to: chosen [{slot, provider, score, reasons}], refused [{provider, reason}]. Written by propose, when it differs from the last one; read by the API and `lading deal show`.';

comment on table chunks is 'CommP subtree roots of an aggregate''s aligned chunks of 127 * 2^18 bytes, as far as they are known; an aggregate of one chunk has none. Written by hash as the aggregate grows, and by seal what needed the batch tree (chunk 0, the last ones), never changed or deleted; read by seal and by proofs.';

comment on table cut_extents is 'The bytes of a cut in order, as ranges of store objects that the parts of its upload name too. Written with the cut; deleted when the bytes are released.';

comment on table cuts is 'Parts of an upload that no aggregate could hold whole. Each is a run by itself: the root and all ancestors of its blocks, then its own blocks, in stored order. Written by cut in one transaction for all of an upload; read by stow, seal, proofs and status; deleted only while none of the upload is placed.';

comment on table damage is 'Stored bytes that are not what they were: a part of an upload, or the tree of an aggregate. Written by scrub, cleared when a later pass finds the bytes sound or nobody needs them any more; never deleted; an open row wants an operator.';

comment on table deals is 'One proposal each, its exact signed bytes committed before any byte left. Written by propose, send and watch by compare-and-set on state; never deleted. settled_at: from then on nothing more can come of it. maybe_received: bytes may have reached the provider in an attempt without a definite answer.';

comment on column deals.called_off_at is 'From then on the piece token of this deal opens nothing.';

comment on column deals.said_status is 'The provider''s own words on the deal when it was last asked (said_at): shown, never believed.';

comment on table events is 'Every change of state, with its evidence; append only: history and outbox in one. position orders the events of one subject; across subjects read the view outbox in the order (xid, position).';

comment on table history_cursor is 'How far the events are folded into aggregate_times, and as of when that is all there is to know; null until the first time. Written by that process alone which holds the row.';

comment on table network is 'The one network this database belongs to. Written once at first start (genesis of a devnet at first contact); read at every start; never deleted.';

comment on view ops_aggregate_times is 'How long each aggregate took to each point, counted from the acceptance of its oldest upload, so that most uploads took less; null: it is not there yet. Up to a minute behind.';

comment on view ops_stage_times is 'When each aggregate entered and left each stage for the first time (left_at null: it is there), and when its first deal became active. waiting is told of its oldest upload. Up to a minute behind.';

comment on view outbox is 'Events that are safe to hand out in the order (xid, position), with the pair as cursor: every transaction that is still open or to come has a larger xid. position alone would lose the event of a younger transaction that took a lower position and commits later.';

comment on table owners is 'Token names that sent uploads. Written by receive; read by lists; never deleted.';

comment on table part_blocks is 'Blocks held of uploads that are not complete, by CIDv1, with the CIDv1s they link to in order. reached: links lead to it from the root. Written by receive; deleted by the next sweep once the upload is complete.';

comment on table parts is 'Stored sections of an upload: canonical CAR sections (first occurrence of each CID, minimal varints, no header) in a range of a store object. No block is in two parts of one upload. Written by receive; read by seal and piece serving. run_seq: place in the upload''s run, null while the upload is incomplete; id gives the order of acceptance.';

comment on table placements is 'Where a run lies in an aggregate: never moved, never deleted. Written by stow, selector by seal; read by seal, piece serving and the API. cut: the part of the upload, null when it is whole; topped_up: placed once more to bring a small aggregate to the smallest piece that providers take.';

comment on column placements.topped_up is 'Not the place of its own that an upload, or a cut of one, has once: it brings a small aggregate to the smallest piece that providers take, or it was the place before the upload was sent anew.';

comment on table policies is 'Deal policy, a new row each change, the highest version rules. Prices are attoFIL per GiB per epoch. Written by operators; read by propose; never deleted.';

comment on column policies.max_in_flight_bytes is 'Padded bytes of proposals to one provider that it has not published yet; null: no cap. So are the other caps.';

comment on column policies.call_off_after_seconds is 'A transfer that has not begun or does not move for so long is called off.';

comment on column policies.proposing is 'False: nothing new is proposed; what is in flight goes on.';

comment on column policies.reads_per_second is 'Live deals read by id from the chain each second, at most, in the daily comparison. A million deals a day are 11.6.';

comment on table providers is 'Storage providers we may propose to. Written by operators and by resolving on chain; read by choosing; removed by state, not by delete. retry_at: not asked before.';

comment on column providers.org is 'Who runs it, by an operator''s word: for caps. Null: the owner on chain counts instead.';

comment on column providers.region is 'Where it is, by an operator''s word: for caps.';

comment on column providers.agent is 'The software it said it is (libp2p identify), and seen_at when it last answered anything.';

comment on column providers.transport is 'The way that worked last, tried first; transport_at is when.';

comment on table restorations is 'Released aggregates whose bytes were fetched back for a repair or a renewal, or whose fetching failed. Written by the restore stage; the row goes when the bytes are released again.';

comment on column restorations.object_key is 'The whole CAR, checked against the piece CID before; null: it is not there.';

comment on column restorations.next_at is 'Nobody fetches before; means nothing once the object is there.';

comment on column restorations.refusals is 'Why what each provider serves was not taken, the last time.';

comment on table scrub_progress is 'How far the reading of all stored bytes has come: parts and trees up to after_id are read in the pass that began then. pass_ended_at: when the last whole pass ended. Written and read by scrub, so that a restart goes on.';

comment on table tokens is 'Tokens made by operators; written by POST /tokens and lading token, read at each first use in two seconds, never deleted.';

comment on column tokens.last_used_at is 'Coarse: written at most once a minute by each process.';

comment on table transfers is 'What a provider was sent of its piece: a bit for each 64 MiB of the CAR, set before the first byte of it leaves; served_bytes counts every byte sent, repetitions too. Written by piece serving; read by calling off and by status.';

comment on table upload_owners is 'Who sent an upload. Written by receive; ended, not deleted, by the API.';

comment on view upload_statuses is 'All that is told of an upload, in one row: where it lies, whole or in parts (newest aggregate first), with the deals that are shown (oldest change first) and the last refusal of each aggregate that has no live deal. What /check and the lists of uploads read, so that they cannot differ. Each part is looked up by index for the rows that are asked for alone.';

comment on table uploads is 'One row a root CID (CIDv1 base32). Written by receive and stow; read by the API and stow; never deleted. run_bytes: bytes of its run in an aggregate; dag_bytes: sum of its blocks'' bytes.';

comment on table wanted_blocks is 'CIDv1s that reached blocks of an incomplete upload link to and that did not come; id gives the order in which the links were found; came: the block is there since the links were last followed. Written by receive; an upload is complete when none is left.';

comment on table webhook_dead_letters is 'Calls that no receiver took in all the time that they were tried: the changes after `from` up to `to`, which stand in the outbox still. Written by delivery; redrive_at set by the API asks for one more try; deleted when that succeeds.';

comment on table webhooks is 'One receiver of changes each. Written and deleted by the API; cursor, attempts and lease by the one process that holds the lease, by the database''s clock. All changes up to the cursor were taken by the receiver, or are dead letters; failing_to is the last change of the call that is tried again. Its secret is derived from TOKEN_SECRET and stands nowhere.';
