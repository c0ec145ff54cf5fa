import { sql, type Kysely } from 'kysely';
import type { DB } from '../src/db/tables.ts';
import { withoutIndexes } from './check-rows.ts';

/** What a service of some years has beside its rows of check-rows.ts: time, many providers, trouble, work at hand. */
const PROVIDERS = 60;
const WEEKS_SECONDS = 73 * 7 * 86_400;
/** The youngest, whose deals are on their way. */
const YOUNG_SHARE = 0.05;
const WAITING = 20_000;
const INCOMPLETE = 5_000;
const FAILED = 2_000;
const EVENTS_PER_DEAL = 5;
const UPLOAD_EVENTS = 1_000_000;
const JOBS = 20_000;
const WEBHOOKS = 20;
const DEAD_LETTERS = 1_000;
const GENESIS_SECONDS = 1_598_306_400;
const PROPOSAL_BYTES = 480;

const nowEpoch = sql`((extract(epoch from now()) - ${sql.lit(GENESIS_SECONDS)}) / 30)::bigint`;
/** How long ago aggregate `id` was begun: evenly over the year, the youngest last. */
const age = sql`((1 - a.id::float8 / (select max(id) from aggregates)) * ${sql.lit(WEEKS_SECONDS)} * interval '1 s' + interval '10 h')`;

async function spreadAggregates(db: Kysely<DB>): Promise<void> {
  await sql`insert into network (name, genesis_seconds) values ('mainnet', ${GENESIS_SECONDS}::bigint) on conflict do nothing`.execute(
    db,
  );
  await sql`update aggregates a set oldest_accepted_at = now() - ${age}, opened_at = now() - ${age} + interval '10 min',
    sealed_at = now() - ${age} + interval '6 h', changed_at = now() - ${age} + interval '6 h' where state = 'sealed'`.execute(
    db,
  );
  await sql`update aggregates set state = 'open', seal_reason = null, tree_key = null, tree_bytes = null, batch_root = null, car_bytes = null,
    piece_cid = null, piece_bytes = null, sealed_at = null where id > (select max(id) - 4 from aggregates)`.execute(db);
  await sql`update aggregates set released_at = sealed_at + interval '90 d', proofs_key = 'proofs/' || id where id % 3 = 0
    and sealed_at < now() - interval '90 d'`.execute(db);
  await sql`update aggregate_times t set closed_at = a.oldest_accepted_at + interval '5 h', signed_at = a.sealed_at + interval '2 min',
    accepted_at = a.sealed_at + interval '20 min', published_at = a.sealed_at + interval '3 h',
    active_at = case when a.id % 50 <> 0 then a.sealed_at + (20 + a.id % 40) * interval '1 h' end
    from aggregates a where a.id = t.aggregate_id and a.state = 'sealed'`.execute(db);
  await sql`update aggregate_times set active_at = null where active_at > now()`.execute(db);
}

/** The youngest aggregates' deals are still on their way, in all states; the others' have run since they were made. */
async function spreadDeals(db: Kysely<DB>): Promise<void> {
  await sql`insert into providers (id, state, address_source, added_at, peer_id) select 'f0' || 1000 + n,
    (case when n % 20 = 19 then 'paused' else 'enabled' end)::provider_state, 'chain', now(), '12D3KooW' || n
    from generate_series(0, ${sql.lit(PROVIDERS - 1)}) as n on conflict do nothing`.execute(db);
  await sql`delete from deals d using aggregates a where a.id = d.aggregate_id and a.state = 'open'`.execute(db);
  await sql`update deals d set provider_id = 'f0' || 1000 + ((hashint8(d.aggregate_id) & 1048575) + d.slot * 7) % ${sql.lit(PROVIDERS)},
    signed_proposal = decode(repeat(md5(d.id::text), ${sql.lit(PROPOSAL_BYTES / 16)}), 'hex'),
    created_at = a.sealed_at + interval '2 min', changed_at = a.sealed_at + interval '1 d',
    start_epoch = ${nowEpoch} - (extract(epoch from now() - a.sealed_at) / 30)::bigint + 5760,
    end_epoch = ${nowEpoch} - (extract(epoch from now() - a.sealed_at) / 30)::bigint + 5760 + 1468800,
    published_epoch = case when d.chain_deal_id is not null then ${nowEpoch} - (extract(epoch from now() - a.sealed_at) / 30)::bigint + 360 end,
    sector_start_epoch = case when d.state in ('active', 'published') then ${nowEpoch} - (extract(epoch from now() - a.sealed_at) / 30)::bigint + 2880 end,
    price_per_epoch = 1000000, state = case when d.state = 'published' and a.id % 7 = 0 then 'slashed' when d.state = 'published' then 'active'
      when d.state = 'rejected' and a.id % 11 = 0 then 'failed' else d.state end,
    reason_code = case when d.state = 'published' and a.id % 7 = 0 then 'slashed' when d.state = 'rejected' then (array['price', 'paused', 'rejected', 'busy'])[1 + a.id % 4] end,
    sector_number = coalesce(d.sector_number, case when d.state = 'published' then 1 end),
    settled_at = case when (d.state = 'published' and a.id % 7 = 0) or d.state = 'rejected' then a.sealed_at + interval '1 d' end
    from aggregates a where a.id = d.aggregate_id`.execute(db);
  await sql`update deals set state = (array['signed', 'sent', 'accepted', 'published']::deal_state[])[1 + least(slot, aggregate_id % 4)],
    sector_number = null, sector_start_epoch = null, reason_code = null, reason_text = null, settled_at = null, attempts = least(slot, aggregate_id % 4, 1),
    chain_deal_id = case when slot = 3 and aggregate_id % 4 = 3 then chain_deal_id end, published_epoch = case when slot = 3 and aggregate_id % 4 = 3 then published_epoch end
    where aggregate_id > (select (1 - ${sql.lit(YOUNG_SHARE)}) * max(id) from aggregates) and slot < 4`.execute(db);
  await sql`insert into transfers (deal_id, served, served_bytes, begun_at, moved_at) select id, '\\xff0f', 900000000, changed_at, now() - (hashtext(id::text) & 65535) * interval '1 s'
    from deals where state = 'accepted' and slot = 3`.execute(db);
  await sql`insert into choices (aggregate_id, at, policy_version, chosen, refused) select id, sealed_at, 1, '[]',
    (select jsonb_agg(jsonb_build_object('provider', 'f0' || 1000 + n, 'code', (array['price', 'resting', 'cap_org', 'min_piece'])[1 + (n + a.id) % 4], 'reason', 'x'))
      from generate_series(0, 9) as n) from aggregates a where state = 'sealed'`.execute(db);
}

async function addUploads(db: Kysely<DB>): Promise<void> {
  await sql`insert into uploads (root, state, run_bytes, dag_bytes, block_count, missing_count, missing_first, failure, created_at, changed_at)
    select 'bafkreiw' || translate(md5('w' || n::text), '0189', 'ghij'),
      kind, case when kind = 'waiting' then 70000 end, case when kind = 'waiting' then 60000 end, case when kind = 'waiting' then 1 end,
      case when kind = 'incomplete' then 3 end, case when kind = 'incomplete' then 'bafkreimissing' end,
      case when kind = 'failed' then 'blocks never came' end, now() - n * interval '10 s', now() - n * interval '10 s'
    from generate_series(1, ${sql.lit(WAITING + INCOMPLETE + FAILED)}) as n, lateral (select
      (case when n <= ${sql.lit(WAITING)} then 'waiting' when n <= ${sql.lit(WAITING + INCOMPLETE)} then 'incomplete' else 'failed' end)::upload_state as kind) as k`.execute(
    db,
  );
}

async function addEvents(db: Kysely<DB>): Promise<void> {
  await sql`insert into events (xid, at, upload_id, to_state) select '10'::xid8, now() - interval '300 d' + n * interval '10 s', n, 'waiting'
    from generate_series(1, ${sql.lit(UPLOAD_EVENTS)}) as n`.execute(db);
  await sql`insert into events (xid, at, deal_id, from_state, to_state) select '11'::xid8, created_at + n * interval '1 h', id, 'sent', 'accepted'
    from deals, generate_series(1, ${sql.lit(EVENTS_PER_DEAL)}) as n`.execute(db);
  await sql`insert into webhooks (id, owner, url, filter, created_at, cursor_xid, cursor_position, cursor_index)
    select gen_random_uuid(), 'owner' || n, 'https://example.com/' || n, '{}', now(), '10', n * 1000, 0 from generate_series(1, ${sql.lit(WEBHOOKS)}) as n`.execute(
    db,
  );
  await sql`insert into webhook_dead_letters (webhook_id, from_xid, from_position, from_index, to_xid, to_position, to_index, first_change, changes, attempts, error, failing_since, died_at)
    select (select id from webhooks order by owner limit 1), '1000', n, 0, '1000', n + 1, 0, 'x', 1, 30, 'HTTP 500', now() - interval '3 d', now()
    from generate_series(1, ${sql.lit(DEAD_LETTERS)}) as n`.execute(db);
  await sql`insert into chain_freshness (as_of, epoch, looked_at) values (now(), ${nowEpoch}, now()) on conflict do nothing`.execute(
    db,
  );
}

/** Those who own what is on its way; what else was ever sent has owners too, whom no view looks at. */
async function addOwners(db: Kysely<DB>): Promise<void> {
  await sql`insert into owners (name) values ('service') on conflict do nothing`.execute(db);
  await sql`insert into upload_owners (upload_id, owner_id, since) select p.upload_id, o.id, now() from placements p, owners o
    where p.aggregate_id > (select (1 - 2 * ${sql.lit(YOUNG_SHARE)}) * max(id) from aggregates)`.execute(db);
}

async function addMoney(db: Kysely<DB>): Promise<void> {
  await sql`insert into policies (replicas, verified, max_price, max_verified_price, duration_epochs, start_delay_epochs, fast_retrieval, created_at, created_by)
    select 4, verified, max_price, max_verified_price, duration_epochs, start_delay_epochs, fast_retrieval, now(), 'bench' from policies order by version limit 1`.execute(
    db,
  );
  await sql`insert into client_funds (client, at, epoch, free_escrow, datacap_bytes) values ('f1client', now(), ${nowEpoch}, 1e21, 1e15)`.execute(
    db,
  );
}

/** The triggers that count did not see these rows come. */
async function countRows(db: Kysely<DB>): Promise<void> {
  await sql`insert into kept_counts (what, state, items, bytes)
    select 'upload', state::text, count(*), coalesce(sum(run_bytes), 0) from uploads group by state
    union all select 'deal', d.state::text, count(*), sum(a.piece_bytes) from deals d join aggregates a on a.id = d.aggregate_id group by d.state`.execute(
    db,
  );
}

/** Needs the tables of the job engine. */
async function addJobs(db: Kysely<DB>): Promise<void> {
  await sql`insert into pgboss.job (name, data, state, retry_count, output) select 'propose', jsonb_build_object('aggregateId', n),
    (case when n % 10 = 0 then 'retry' else 'created' end)::pgboss.job_state, n % 3, case when n % 10 = 0 then '{"message":"no answer"}'::jsonb end
    from generate_series(1, ${sql.lit(JOBS)}) as n`.execute(db);
}

/** After insertCheckRows. */
export async function insertOpsRows(db: Kysely<DB>): Promise<void> {
  await db.connection().execute(async (held) => {
    await sql`set session_replication_role = replica`.execute(held);
    await sql`set statement_timeout = 0`.execute(held);
    await sql`set synchronous_commit = off`.execute(held);
    await spreadAggregates(held);
    await withoutIndexes(held, 'deals', () => spreadDeals(held));
    await addUploads(held);
    await addEvents(held);
    await addJobs(held);
    await addOwners(held);
    await addMoney(held);
    await countRows(held);
    // As they come: the oldest first.
    await sql`cluster deals using deals_by_age`.execute(held);
    await sql`vacuum full aggregates`.execute(held);
    await sql`vacuum (analyze)`.execute(held);
    await sql`reset all`.execute(held);
  });
}
