import { createHash } from 'node:crypto';
import { sql, type Kysely } from 'kysely';
import type { DB } from '../src/db/tables.ts';

/** As the customer counts: 10 M uploads in 20,000 aggregates with 100,000 deals. */
const UPLOADS_PER_AGGREGATE = 500;
const DEALS_PER_AGGREGATE = 5;
const RUN_BYTES = 60_000;
const CAR_HEADER_BYTES = 59;
const PIECE_BYTES = 2n ** 26n;

/** The root of upload n: a valid CIDv1 of a raw block, whose digest nobody knows content for. The SQL below says the same. */
export function rootOf(n: number): string {
  const md5 = (text: string) => createHash('md5').update(text).digest('hex');
  const letters = (hex: string) => hex.replaceAll(/[0189]/g, (digit) => 'ghij'['0189'.indexOf(digit)] ?? '');
  return `bafkreia${letters(md5(String(n)))}${letters(md5(`x${n}`)).slice(0, 18)}a`;
}

const rootSql = sql`'bafkreia' || translate(md5(n::text), '0189', 'ghij') || left(translate(md5('x' || n), '0189', 'ghij'), 18) || 'a'`;

/** Indexes are built after their rows: one sort in place of as many searches as rows. */
export async function withoutIndexes(db: Kysely<DB>, table: string, fill: () => Promise<unknown>): Promise<void> {
  const { rows: constraints } = await sql<{ name: string; definition: string }>`
    select conname as name, pg_get_constraintdef(oid) as definition from pg_constraint
    where conrelid = ${table}::regclass and contype in ('u', 'p') and conname not like '%_pkey'`.execute(db);
  const { rows: indexes } = await sql<{ name: string; definition: string }>`
    select indexname as name, indexdef as definition from pg_indexes where schemaname = 'public' and tablename = ${table}
    and not exists (select from pg_constraint where conname = indexname)`.execute(db);
  for (const { name } of constraints)
    await sql`alter table ${sql.table(table)} drop constraint ${sql.id(name)}`.execute(db);
  for (const { name } of indexes) await sql`drop index ${sql.id(name)}`.execute(db);
  await fill();
  for (const { name, definition } of constraints) {
    await sql`alter table ${sql.table(table)} add constraint ${sql.id(name)} ${sql.raw(definition)}`.execute(db);
  }
  for (const { definition } of indexes) await sql.raw(definition).execute(db);
}

async function insertUploads(db: Kysely<DB>, uploads: number): Promise<void> {
  await withoutIndexes(db, 'uploads', () =>
    sql`insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
      select ${rootSql}, 'stowed', ${RUN_BYTES}::int, ${RUN_BYTES}::int, 1,
        '2026-01-01'::timestamptz + n * interval '1 ms', '2026-01-01'::timestamptz + n * interval '1 ms'
      from generate_series(0, ${uploads}::int - 1) as n`.execute(db),
  );
  await withoutIndexes(db, 'placements', () =>
    sql`insert into placements (aggregate_id, seq, upload_id, offset_bytes, length_bytes, selector)
      select n / ${UPLOADS_PER_AGGREGATE}::int + 1, n % ${UPLOADS_PER_AGGREGATE}::int, n + 1,
        ${CAR_HEADER_BYTES}::int + (n % ${UPLOADS_PER_AGGREGATE}::int) * ${RUN_BYTES}::bigint, ${RUN_BYTES}::int,
        'Links/0/Hash/Links/' || n % ${UPLOADS_PER_AGGREGATE}::int || '/Hash/Links/0/Hash'
      from generate_series(0, ${uploads}::int - 1) as n`.execute(db),
  );
}

/** Their bytes are here: of those that were released it is looked up whether their deals hold them. */
async function insertParts(db: Kysely<DB>, uploads: number): Promise<void> {
  await withoutIndexes(db, 'parts', () =>
    sql`insert into parts (upload_id, object_key, object_offset, length_bytes, block_count, run_seq, created_at)
      select n + 1, 'segments/' || n / ${UPLOADS_PER_AGGREGATE}::int, n % ${UPLOADS_PER_AGGREGATE}::int * ${RUN_BYTES}::bigint,
        ${RUN_BYTES}::int, 1, 0, '2026-01-01'
      from generate_series(0, ${uploads}::int - 1) as n`.execute(db),
  );
}

async function insertAggregates(db: Kysely<DB>, aggregates: number): Promise<void> {
  const length = CAR_HEADER_BYTES + UPLOADS_PER_AGGREGATE * RUN_BYTES;
  await sql`insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, tree_key,
      tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
    select 'sealed', ${PIECE_BYTES}, ${length}::int, ${UPLOADS_PER_AGGREGATE}::int, now(), 'operator', 'trees/' || n, 5000000,
      ${rootSql}, ${length + 5_000_000}::int, 'baga6ea4seaq' || translate(md5(n::text), '0189', 'ghij') || left(md5('y' || n), 20),
      ${PIECE_BYTES}, now(), now(), now()
    from generate_series(1, ${aggregates}::int) as n`.execute(db);
}

/** Of each aggregate three deals are active, one is published, and one was refused. */
async function insertDeals(db: Kysely<DB>, aggregates: number): Promise<void> {
  await sql`insert into providers (id, state, address_source, added_at)
    select 'f0' || 1000 + n, 'enabled', 'chain', now() from generate_series(0, ${DEALS_PER_AGGREGATE - 1}::int) as n`.execute(
    db,
  );
  await sql`insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client, signed_proposal,
      proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, attempts, chain_deal_id,
      publish_message, published_epoch, sector_number, sector_start_epoch, reason_code, reason_text, settled_at, created_at, changed_at)
    select gen_random_uuid(), n / ${DEALS_PER_AGGREGATE}::int + 1, kind, 0, 'f0' || 1000 + kind, 1,
      (case kind when 4 then 'rejected' when 3 then 'published' else 'active' end)::deal_state,
      'f1client', '\\x00', 'bafyproposal' || n, true, 4000000, 5500000, 0, 0, 1, case when kind = 4 then null else n + 1 end,
      case when kind = 4 then null else 'bafypublish' || n end, case when kind = 4 then null else 1 end,
      case when kind < 3 then n end, case when kind < 3 then 3990000 + n % 5000 end,
      case when kind = 4 then 'rejected' end, case when kind = 4 then 'miner is not accepting online storage deals' end,
      case when kind = 4 then now() end, now() - n * interval '1 s', now() - n * interval '1 s'
    from generate_series(0, ${aggregates * DEALS_PER_AGGREGATE - 1}::int) as n, lateral (select n % ${DEALS_PER_AGGREGATE}::int as kind) as k`.execute(
    db,
  );
}

/** As the history knows them: long active. */
async function insertTimes(db: Kysely<DB>): Promise<void> {
  await sql`insert into aggregate_times (aggregate_id, closed_at, signed_at, accepted_at, published_at, active_at)
    select id, now(), now(), now(), now(), now() from aggregates`.execute(db);
}

/** Rows as the stages leave them, straight into the tables; `uploads` is a multiple of 500. */
export async function insertCheckRows(db: Kysely<DB>, uploads: number): Promise<void> {
  const aggregates = uploads / UPLOADS_PER_AGGREGATE;
  await db.connection().execute(async (held) => {
    // The law that each state has its event is for transactions of the service; here rows come in bulk.
    await sql`set session_replication_role = replica`.execute(held);
    await sql`set statement_timeout = 0`.execute(held);
    await sql`set synchronous_commit = off`.execute(held);
    await sql`set maintenance_work_mem = '1GB'`.execute(held);
    await insertAggregates(held, aggregates);
    await insertDeals(held, aggregates);
    await insertTimes(held);
    await insertUploads(held, uploads);
    await insertParts(held, uploads);
    await sql`vacuum (analyze) uploads, parts, placements, aggregates, aggregate_times, deals`.execute(held);
    await sql`reset all`.execute(held);
  });
}
