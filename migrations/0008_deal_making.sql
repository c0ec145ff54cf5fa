-- What deal making knows of providers, wants of them, decides and remembers.

alter table providers
  add column org text,
  add column region text,
  add column agent text,
  add column seen_at timestamptz,
  add column transport text constraint providers_transport_known check (transport in ('libp2p', 'https')),
  add column transport_at timestamptz,
  add column ask_price numeric(40, 0),
  add column ask_verified_price numeric(40, 0),
  add column ask_min_piece_bytes bigint,
  add column ask_max_piece_bytes bigint,
  add column ask_at timestamptz,
  add constraint providers_ask_is_whole check (num_nulls(ask_price, ask_verified_price, ask_min_piece_bytes, ask_max_piece_bytes, ask_at) in (0, 5));
comment on column providers.org is 'Who runs it, by an operator''s word: for caps. Null: the owner on chain counts instead.';
comment on column providers.region is 'Where it is, by an operator''s word: for caps.';
comment on column providers.agent is 'The software it said it is (libp2p identify), and seen_at when it last answered anything.';
comment on column providers.transport is 'The way that worked last, tried first; transport_at is when.';

alter table policies
  add column max_per_org integer constraint policies_org_cap_sane check (max_per_org >= 1),
  add column max_per_region integer constraint policies_region_cap_sane check (max_per_region >= 1),
  add column allow_providers text[] not null default '{}',
  add column deny_providers text[] not null default '{}',
  add column max_in_flight_bytes bigint constraint policies_in_flight_sane check (max_in_flight_bytes > 0),
  add column max_proposals_per_hour integer constraint policies_rate_sane check (max_proposals_per_hour >= 1),
  add column renew_before_epochs bigint not null default 129600 constraint policies_renewal_sane check (renew_before_epochs between 0 and 518400),
  add column call_off_after_seconds integer not null default 21600 constraint policies_call_off_sane check (call_off_after_seconds >= 60),
  add column proposing boolean not null default true,
  add column offline boolean not null default false;
comment on column policies.max_in_flight_bytes is 'Padded bytes of proposals to one provider that it has not published yet; null: no cap. So are the other caps.';
comment on column policies.call_off_after_seconds is 'A transfer that has not begun or does not move for so long is called off.';
comment on column policies.proposing is 'False: nothing new is proposed; what is in flight goes on.';

create table choices (
  id bigint generated always as identity primary key,
  aggregate_id bigint not null references aggregates,
  at timestamptz not null,
  policy_version integer not null references policies,
  chosen jsonb not null,
  refused jsonb not null
);
create index choices_of_aggregate on choices (aggregate_id, id);
comment on table choices is
  'Each decision on whom to propose an aggregate to: chosen [{slot, provider, score, reasons}], refused [{provider, reason}]. Written by propose, when it differs from the last one; read by the API and `lading deal show`.';

alter table deals
  add column offline boolean not null default false,
  add column called_off_at timestamptz,
  add column next_status_at timestamptz,
  add column said_status text,
  add column said_at timestamptz,
  add column said_publish_message text;
create index deals_to_ask on deals (next_status_at) where state in ('sent', 'accepted') and next_status_at is not null;
comment on column deals.called_off_at is 'From then on the piece token of this deal opens nothing.';
comment on column deals.said_status is 'The provider''s own words on the deal when it was last asked (said_at): shown, never believed.';

create table transfers (
  deal_id uuid primary key references deals,
  served bytea not null,
  served_bytes bigint not null constraint transfers_bytes_not_negative check (served_bytes >= 0),
  begun_at timestamptz not null,
  moved_at timestamptz not null
);
comment on table transfers is
  'What a provider was sent of its piece: a bit for each 64 MiB of the CAR, set before the first byte of it leaves; served_bytes counts every byte sent, repetitions too. Written by piece serving; read by calling off and by status.';

create table audit (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  actor text not null constraint audit_actor_given check (actor <> ''),
  action text not null,
  subject text not null,
  reason text,
  detail jsonb
);
comment on table audit is 'Who did what by hand, and why. Written in the transaction of the act; append only.';
