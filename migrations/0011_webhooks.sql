-- Webhooks: who is told of changes by calls, how far each has come, and what could not be delivered.

create table webhooks (
  id uuid primary key,
  owner text not null constraint webhooks_owner_given check (owner <> ''),
  url text not null constraint webhooks_url_is_http check (url ~ '^https?://'),
  filter jsonb not null,
  created_at timestamptz not null,
  cursor_xid xid8 not null,
  cursor_position bigint not null,
  cursor_index integer not null,
  attempts integer not null default 0,
  failing_since timestamptz,
  failing_to text,
  last_error text,
  delivered_at timestamptz,
  next_attempt_at timestamptz not null default now(),
  leased_by uuid,
  leased_until timestamptz,
  constraint webhooks_cursor_not_negative check (cursor_position >= 0 and cursor_index >= 0),
  constraint webhooks_attempts_while_failing check (
    attempts >= 0 and (attempts > 0) = (failing_since is not null) and (attempts > 0) = (failing_to is not null)
    and (attempts = 0 or last_error is not null)),
  constraint webhooks_lease_is_whole check ((leased_by is null) = (leased_until is null))
);
create index webhooks_of_owner on webhooks (owner, created_at);
comment on table webhooks is
  'One receiver of changes each. Written and deleted by the API; cursor, attempts and lease by the one process that holds the lease, by the database''s clock. All changes up to the cursor were taken by the receiver, or are dead letters; failing_to is the last change of the call that is tried again. Its secret is derived from TOKEN_SECRET and stands nowhere.';

create table webhook_dead_letters (
  id bigint generated always as identity primary key,
  webhook_id uuid not null references webhooks on delete cascade,
  from_xid xid8 not null,
  from_position bigint not null,
  from_index integer not null,
  to_xid xid8 not null,
  to_position bigint not null,
  to_index integer not null,
  first_change text not null,
  changes integer not null constraint webhook_dead_letters_not_empty check (changes > 0),
  attempts integer not null constraint webhook_dead_letters_were_tried check (attempts > 0),
  error text not null,
  failing_since timestamptz not null,
  died_at timestamptz not null,
  redrive_at timestamptz,
  constraint webhook_dead_letters_in_order check ((from_xid, from_position, from_index) < (to_xid, to_position, to_index))
);
create index webhook_dead_letters_of_webhook on webhook_dead_letters (webhook_id, id);
create index webhook_dead_letters_to_redrive on webhook_dead_letters (webhook_id, id) where redrive_at is not null;
comment on table webhook_dead_letters is
  'Calls that no receiver took in all the time that they were tried: the changes after `from` up to `to`, which stand in the outbox still. Written by delivery; redrive_at set by the API asks for one more try; deleted when that succeeds.';
