-- Uploads by URL: CARs that we fetch ourselves, how far each has come, and what became of it.

create type pull_state as enum ('waiting', 'pulled', 'failed', 'cancelled');

create table pulls (
  id uuid primary key default gen_random_uuid(),
  owner text not null constraint pulls_owner_given check (owner <> ''),
  url text not null constraint pulls_url_is_known check (url ~ '^(https?|s3)://'),
  wanted_root text constraint pulls_wanted_root_given check (wanted_root <> ''),
  state pull_state not null default 'waiting',
  created_at timestamptz not null default clock_timestamp(),
  settled_at timestamptz,
  next_attempt_at timestamptz not null default clock_timestamp(),
  attempts integer not null default 0,
  failing_since timestamptz,
  error_code text,
  error text,
  validator text,
  size_bytes bigint,
  pulled_bytes bigint not null default 0,
  root text,
  leased_by uuid,
  leased_until timestamptz,
  constraint pulls_settled_at_its_end check ((state = 'waiting') = (settled_at is null)),
  constraint pulls_pulled_has_root check ((state = 'pulled') = (root is not null)),
  constraint pulls_error_is_whole check ((error_code is null) = (error is null)),
  constraint pulls_failed_says_why check ((state = 'failed' or failing_since is not null) = (error is not null)),
  constraint pulls_failing_while_waiting check (failing_since is null or state = 'waiting'),
  constraint pulls_lease_is_whole check ((leased_by is null) = (leased_until is null)),
  constraint pulls_lease_while_waiting check (leased_by is null or state = 'waiting'),
  constraint pulls_counts_not_negative check (attempts >= 0 and pulled_bytes >= 0 and size_bytes >= 0)
);
-- Asking again for what is under way changes nothing.
create unique index pulls_waiting_unique on pulls (owner, url) where state = 'waiting';
create index pulls_due on pulls (next_attempt_at) where state = 'waiting';
create index pulls_of_owner on pulls (owner, created_at, id);
create index pulls_by_age on pulls (created_at, id);
comment on table pulls is
  'One CAR to be fetched each. Written by POST /uploads; lease, progress and outcome by the one process that holds the lease, by the database''s clock; cancelled by DELETE. The bytes that are here already lie in a file of that process (DATA_DIR/pulls); validator says what they are of.';
comment on column pulls.url is 'As asked for. It may hold a signature, and is shown to its owner and to operators alone.';

create table pull_events (
  id bigint generated always as identity primary key,
  pull_id uuid not null references pulls on delete cascade,
  at timestamptz not null default clock_timestamp(),
  kind text not null constraint pull_events_kind_known check (kind in ('asked', 'interrupted', 'pulled', 'failed', 'cancelled')),
  pulled_bytes bigint not null default 0 constraint pull_events_bytes_not_negative check (pulled_bytes >= 0),
  error_code text,
  error text,
  constraint pull_events_error_is_whole check ((error_code is null) = (error is null))
);
create index pull_events_of_pull on pull_events (pull_id, id);
comment on table pull_events is 'What became of a pull, in the transaction that changed it.';
