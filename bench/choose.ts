import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql, type Kysely } from 'kysely';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { choose } from '../src/deals/propose/choose.ts';
import { listProviderFacts } from '../src/deals/propose/facts-store.ts';
import { toUsed, wantedSlots } from '../src/deals/propose/plan-slots.ts';
import { changePolicy, type Policy } from '../src/deals/propose/policy.ts';
import { findPolicy } from '../src/deals/propose/policy-store.ts';
import { listPastDeals, listProposable } from '../src/deals/propose/proposal-store.ts';
import { silentLog } from '../src/log/log.ts';

const REPLICAS = 5;
const GIB = 2n ** 30n;
const MIB = 2 ** 20;
const RSS_SAMPLE_MS = 20;
const never = new AbortController().signal;

interface Sizes {
  providers: number;
  aggregates: number;
  deals: number;
}

/** Providers of 500 orgs in 20 regions, each with an ask; sealed aggregates without deals, and `deals` of earlier ones. */
async function insertRows(db: Kysely<DB>, { providers, aggregates, deals }: Sizes): Promise<void> {
  const earlier = Math.ceil(deals / REPLICAS);
  await db.connection().execute(async (held) => {
    // The law that each state has its event is for transactions of the service; here rows come in bulk.
    await sql`set session_replication_role = replica`.execute(held);
    await sql`insert into providers (id, state, address_source, added_at, resolved_at, peer_id, multiaddrs, sector_bytes, owner_id,
        org, region, ask_price, ask_verified_price, ask_min_piece_bytes, ask_max_piece_bytes, ask_at)
      select 'f0' || (1000 + i), 'enabled', 'chain', now(), now(), 'peer' || i, '{/ip4/192.0.2.1/tcp/1}', ${64n * GIB}, 'f0' || (90000 + i % 500),
        'org ' || i % 500, 'region ' || i % 20, 0, i % 3, 256, ${64n * GIB}, now()
      from generate_series(1, ${providers}::int) i`.execute(held);
    await sql`insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, tree_key,
        tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
      select 'sealed', 34091302912, 34000000000, 1, now(), 'operator', 'trees/' || i, 100, 'bench', 34000000100, 'piece' || i, 34359738368,
        now(), now(), now()
      from generate_series(1, ${earlier + aggregates}::int) i`.execute(held);
    await sql`insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client, signed_proposal,
        proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, attempts, chain_deal_id,
        sector_start_epoch, reason_code, settled_at, created_at, changed_at)
      select gen_random_uuid(), (i - 1) / ${REPLICAS}::int + 1, i % ${REPLICAS}::int, 0, 'f0' || (1001 + i % ${providers}::int), 1,
        (case when i % 7 = 0 then 'rejected' when i % 11 = 0 then 'accepted' else 'active' end)::deal_state, 'f1bench', '', 'bafy' || i, true, 10000, 1500000,
        0, 0, 1, case when i % 7 = 0 or i % 11 = 0 then null else i end, case when i % 7 = 0 or i % 11 = 0 then null else 9000 + i % 900 end,
        case when i % 7 = 0 then 'provider_busy' end, case when i % 7 = 0 then now() end,
        now() - (i % 100) * interval '1 day', now() - (i % 90) * interval '1 day'
      from generate_series(1, ${deals}::int) i`.execute(held);
    await sql`set session_replication_role = default`.execute(held);
  });
  await sql`analyze`.execute(db);
}

async function decide(db: Kysely<DB>, policy: Policy, earlier: number) {
  const now = new Date();
  const before = performance.now();
  const rows = await sql<{ id: bigint }>`select id from aggregates where id > ${earlier} order by id`.execute(db);
  const ids = rows.rows.map(({ id }) => id);
  const pieces = await listProposable(db, ids);
  const past = await listPastDeals(db, ids);
  const candidates = await listProviderFacts(db, now);
  const read = performance.now();
  const wants = pieces.map(({ aggregateId, pieceBytes }) => {
    const deals = past.get(aggregateId) ?? [];
    const slots = wantedSlots({ aggregateId, policy, past: deals, headEpoch: 1_000 });
    return { aggregateId, pieceBytes, slots, used: deals.map(toUsed) };
  });
  const choices = choose({ policy, candidates, wants, now, seed: 1 });
  const chosen = choices.reduce((sum, choice) => sum + choice.chosen.length, 0);
  return { chosen, readS: rounded((read - before) / 1_000), chooseS: rounded((performance.now() - read) / 1_000) };
}

function rounded(value: number): number {
  return Math.round(value * 100) / 100;
}

async function measured(db: Kysely<DB>, policy: Policy, earlier: number) {
  globalThis.gc?.();
  const base = process.memoryUsage.rss();
  let peak = base;
  const sample = () => {
    peak = Math.max(peak, process.memoryUsage.rss());
  };
  const sampler = setInterval(sample, RSS_SAMPLE_MS);
  const figures = await decide(db, policy, earlier);
  sample();
  clearInterval(sampler);
  return { ...figures, grownMib: Math.round((peak - base) / MIB), rssMib: Math.round(peak / MIB) };
}

/**
 * Choosing for so many waiting replicas (five an aggregate) among so many providers, with a history of `deals` in the
 * database: reading all facts, then the pure choice; once with room for all, once where caps leave most of them waiting.
 */
export async function benchChoose(replicas = '10000', providers = '2000', deals = '200000') {
  const sizes = {
    aggregates: Math.ceil(Number(replicas) / REPLICAS),
    providers: Number(providers),
    deals: Number(deals),
  };
  if (Object.values(sizes).some((size) => !Number.isSafeInteger(size) || size < 1))
    throw new Error('give numbers above 0: replicas, providers, deals');
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-choose-'));
  try {
    await chmod(folder, 0o755);
    await using server = await startEmbedded({ dataDir: folder, log: silentLog, signal: never });
    await migrate(server.url);
    await using database = connect(server.url);
    const { kysely: db } = database;
    await insertRows(db, sizes);
    const current = await findPolicy(db);
    const terms = ['max_per_org=1', 'max_per_region=1', 'max_price=100', 'max_verified_price=100'];
    const policy = { ...changePolicy(current, terms), version: current.version };
    const earlier = Math.ceil(sizes.deals / REPLICAS);
    const roomy = await measured(db, policy, earlier);
    const tight = await measured(db, { ...policy, maxInFlightBytes: 384n * GIB, maxProposalsPerHour: 2 }, earlier);
    for (const [name, { chosen, readS, chooseS, grownMib, rssMib }] of Object.entries({ roomy, tight })) {
      console.log(
        `  ${name}: ${chosen} chosen, facts ${readS} s, choosing ${chooseS} s, RSS +${grownMib} MiB to ${rssMib} MiB`,
      );
    }
    return { bench: 'choose', replicas: sizes.aggregates * REPLICAS, ...sizes, roomy, tight };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
