-- Tokens that operators make and revoke while the service runs, beside those of its configuration. Of the token itself only
-- the SHA-256 is kept: it is 256 random bits, so there is nothing to guess that a slow hash would protect, and it is
-- looked up by index.

create type token_role as enum ('upload', 'ops', 'read');

create table tokens (
  id bigint generated always as identity primary key,
  -- No colon: nobody gets a name that looks like the actor of the command line (cli:user) in the audit.
  name text not null constraint tokens_name_plain check (name ~ '^[A-Za-z0-9][A-Za-z0-9._@-]{0,63}$'),
  role token_role not null,
  digest bytea not null constraint tokens_digest_unique unique
    constraint tokens_digest_is_sha256 check (octet_length(digest) = 32),
  created_at timestamptz not null,
  created_by text not null constraint tokens_created_by_given check (created_by <> ''),
  expires_at timestamptz constraint tokens_expires_later check (expires_at > created_at),
  last_used_at timestamptz,
  revoked_at timestamptz,
  revoked_by text,
  constraint tokens_revoked_by_somebody check ((revoked_at is null) = (revoked_by is null))
);
-- A name is an owner of uploads. Once revoked it may be given again: the new token takes up what the old one owned.
create unique index tokens_name_not_revoked on tokens (name) where revoked_at is null;
comment on table tokens is
  'Tokens made by operators; written by POST /tokens and lading token, read at each first use in two seconds, never deleted.';
comment on column tokens.last_used_at is 'Coarse: written at most once a minute by each process.';
