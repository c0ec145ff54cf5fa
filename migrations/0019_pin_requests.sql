-- Requests to pin by CID (IPFS Pinning Service API): what was asked, and how far the fetching of its DAG has come.

create type pin_request_state as enum ('queued', 'pinning', 'pinned', 'failed', 'removed');

create table pin_requests (
  id uuid primary key,
  owner_id bigint not null references owners,
  root text not null constraint pin_requests_root_is_base32_v1 check (root ~ '^b[a-z2-7]+$'),
  -- As it was asked: v0 or v1, in any base.
  cid text not null constraint pin_requests_cid_given check (cid <> ''),
  name text constraint pin_requests_name_short check (length(name) <= 255),
  origins text[] not null,
  meta jsonb constraint pin_requests_meta_is_object check (jsonb_typeof(meta) = 'object'),
  state pin_request_state not null,
  gives_ownership boolean not null,
  detail text,
  attempts integer not null default 0 constraint pin_requests_attempts_not_negative check (attempts >= 0),
  created_at timestamptz not null
    -- Clients name a request's place in a list by this time, in milliseconds.
    constraint pin_requests_created_in_milliseconds check (created_at = date_trunc('milliseconds', created_at)),
  changed_at timestamptz not null,
  progress_at timestamptz not null default now(),
  next_attempt_at timestamptz default now(),
  constraint pin_requests_place_unique unique (owner_id, created_at),
  constraint pin_requests_due_while_open check ((next_attempt_at is not null) = (state in ('queued', 'pinning')))
);
create index pin_requests_open on pin_requests (root) where state in ('queued', 'pinning');
create index pin_requests_due on pin_requests (next_attempt_at) where state in ('queued', 'pinning');
create index pin_requests_of_owner_and_root on pin_requests (owner_id, root);
comment on table pin_requests is
  'One request of POST /pins each. Written by the API, and by the job fetch of its root; removed ones stay for their history. pinned: all blocks came, and the upload tells what is to be known from there on. gives_ownership: the token owns the upload by requests like this alone, so that the last one to go ends it. progress_at, next_attempt_at: by the database''s clock.';

create table pin_request_events (
  position bigint generated always as identity primary key,
  request_id uuid not null references pin_requests,
  at timestamptz not null,
  from_state pin_request_state,
  to_state pin_request_state not null,
  detail text
);
create index pin_request_events_of_request on pin_request_events (request_id, position);
comment on table pin_request_events is
  'Every change of state of a request to pin, append only. Apart from events, which are of uploads, aggregates and deals: a request is nothing that a deal is made of.';
