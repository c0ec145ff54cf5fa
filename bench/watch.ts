import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql, type Kysely } from 'kysely';
import type { DealEvent, DealEventType } from '../src/chain/actor-events.ts';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import type { DB } from '../src/db/tables.ts';
import { createWatchView, watchNext, type WatcherDeps } from '../src/deals/watch/watch.ts';
import { formatAddress, idAddress } from '../src/filecoin/address.ts';
import { keyAddress, signWithKey, type LotusKey } from '../src/filecoin/lotus-key.ts';
import { pieceCidV1 } from '../src/filecoin/piece.ts';
import { encodeProposal, encodeSignedProposal, type DealProposal } from '../src/filecoin/proposal.ts';
import { silentLog } from '../src/log.ts';
import { rounded } from './measure.ts';

const KEY: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) };
const CLIENT_ID = 'f0103';
const PROVIDER_ID = 1_002n;
const START_HEIGHT = 100_000;
const FINALITY = 900;
const LOOKBACK = 10;
const EPOCH_MS = 30_000;
const IDLE_POLLS = 20;
const ACTIVATIONS = 10_000;
const REORG_DEPTH = 100;
const REORGED = 5_000;
const BACKFILL_EPOCHS = 7 * 2_880;
const BACKFILL_EVENTS = 20_000;
/** Ids of ours lie apart from each other: twenty deals of the market to one of ours. */
const ID_STEP = 20;
const RSS_SAMPLE_MS = 50;
/** Calls of one request (src/chain/rpc-endpoint.ts). */
const BATCH_CALLS = 50;
const MIB = 1024 * 1024;
const never = new AbortController().signal;

const proposal: DealProposal = {
  pieceCid: pieceCidV1(new Uint8Array(32).fill(1)),
  pieceBytes: 2_048n,
  verified: false,
  client: keyAddress(KEY),
  provider: idAddress(PROVIDER_ID),
  label: 'bench',
  startEpoch: START_HEIGHT + 40_000,
  endEpoch: START_HEIGHT + 1_500_000,
  pricePerEpoch: 0n,
  providerCollateral: 0n,
  clientCollateral: 0n,
};

/** A chain with what the watch asks of it: every deal is the one proposal, in a sector since an epoch, or in none. */
function syntheticChain(deals: number) {
  const provedAt = new Int32Array(deals + 1).fill(1);
  const events = new Map<number, DealEvent[]>();
  const forks: number[] = [];
  let head = START_HEIGHT;
  let calls = 0;
  const fork = (height: number) => forks.filter((root) => height > root).length;
  const keyAt = (height: number) => [`bafyt${fork(height)}x${height}`];
  const tipset = (height: number) => ({
    key: keyAt(height),
    parents: keyAt(height - 1),
    height,
    timestampSeconds: 30 * height,
  });
  const counted = <T>(value: T): Promise<T> => {
    calls += 1;
    return Promise.resolve(value);
  };
  const heightOf = (key: readonly string[] | undefined) => (key === undefined ? head : Number(key[0]?.split('x')[1]));
  const chainProposal = {
    ...proposal,
    pieceCid: proposal.pieceCid.toString(),
    client: CLIENT_ID,
    provider: formatAddress(proposal.provider),
    label: 'bench',
  };
  const dealAt = (id: bigint, key: readonly string[] | undefined) => {
    const proved = provedAt[Number(id) / ID_STEP] ?? 0;
    const shown = proved > 0 && proved < heightOf(key) ? proved : -1;
    return { proposal: chainProposal, sectorNumber: shown < 0 ? 0n : id, sectorStartEpoch: shown, slashEpoch: -1 };
  };
  const reads: Omit<WatcherDeps['chain'], 'session'> = {
    head: () => counted(tipset(head)),
    finalized: () => counted(tipset(head - FINALITY)),
    tipsetAt: (height) => counted(tipset(height)),
    lookupId: () => counted(CLIENT_ID),
    marketDeal: (id, { tipset: key }) => counted(dealAt(id, key)),
    // Of a node that takes batches.
    marketDeals: (ids, { tipset: key }) => {
      calls += Math.ceil(ids.length / BATCH_CALLS) - 1;
      return counted(new Map(ids.map((id) => [id, { value: dealAt(id, key) }])));
    },
    dealEvents: ({ fromHeight, toHeight }) => {
      const found: DealEvent[] = [];
      for (let height = fromHeight; height <= toHeight; height += 1) found.push(...(events.get(height) ?? []));
      return counted(found);
    },
    parentMessages: () => counted([]),
    searchMessage: () => counted(undefined),
    getMessage: () => counted(undefined),
  };
  // One that is asked again what would change a deal: its calls count as well.
  const witness = { node: 'witness', marketDeals: reads.marketDeals, distrust: () => undefined };
  const node = { ...reads, node: 'synthetic', witnesses: [witness] };
  const chain = { ...node, session: () => Promise.resolve(node) };
  return {
    chain,
    provedAt,
    takeCalls: () => {
      const taken = calls;
      calls = 0;
      return taken;
    },
    height: () => head,
    grow: (epochs: number) => {
      head += epochs;
    },
    reorg: (root: number) => forks.push(root),
    tell(type: DealEventType, deal: number, height: number) {
      const event = {
        type,
        dealId: BigInt(deal * ID_STEP),
        client: CLIENT_ID,
        provider: formatAddress(proposal.provider),
        height,
        tipset: tipset(height).key,
        message: `bafy${type}${deal}`,
      };
      events.set(height, [...(events.get(height) ?? []), event]);
    },
    forget: (height: number) => events.delete(height),
  };
}

/** The last `unproven` of them are published, all others active; each as the watch leaves it, with its events. */
async function insertDeals(db: Kysely<DB>, deals: number, unproven: number): Promise<void> {
  const signed = encodeSignedProposal({ proposal, signature: signWithKey(KEY, encodeProposal(proposal)) });
  const perAggregate = 10;
  await db.connection().execute(async (held) => {
    // The law that each state has its event is for transactions of the service; here rows and events come in bulk.
    await sql`set session_replication_role = replica`.execute(held);
    await sql`insert into providers (id, state, address_source, added_at)
      values (${formatAddress(proposal.provider)}, 'enabled', 'chain', now())`.execute(held);
    await sql`insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, tree_key,
        tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
      select 'sealed', 2032, 1500, 1, now(), 'operator', 'trees/' || i, 100, 'bench', 1600, 'piece' || i, 2048, now(), now(), now()
      from generate_series(1, ${Math.ceil(deals / perAggregate)}::int) as i`.execute(held);
    await sql`insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client, signed_proposal,
        proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, attempts, chain_deal_id,
        publish_message, published_epoch, sector_number, sector_start_epoch, created_at, changed_at)
      select gen_random_uuid(), (i - 1) / ${perAggregate}::int + 1, 0, i % ${perAggregate}::int, ${formatAddress(proposal.provider)}, 1,
        (case when i > ${deals - unproven}::int then 'published' else 'active' end)::deal_state,
        ${formatAddress(proposal.client)}, ${Buffer.from(signed)}, 'bafy' || i, false, ${proposal.startEpoch}::int, ${proposal.endEpoch}::int, 0, 0, 1,
        i * ${ID_STEP}::bigint, 'bafypublish' || i, 1,
        case when i > ${deals - unproven}::int then null else i * ${ID_STEP}::bigint end,
        case when i > ${deals - unproven}::int then null else 1 end, now(), now()
      from generate_series(1, ${deals}::int) as i`.execute(held);
    await sql`insert into events (at, deal_id, from_state, to_state, epoch)
      select now(), id, 'accepted', state::text, 2 from deals`.execute(held);
    await sql`set session_replication_role = default`.execute(held);
  });
  await sql`analyze`.execute(db);
}

interface Figures {
  seconds: number;
  cpuSeconds: number;
  calls: number;
  /** The most that the process held at once, in MiB. */
  rssMib: number;
}

type Synthetic = ReturnType<typeof syntheticChain>;

async function timed(synthetic: Synthetic, act: () => Promise<void>): Promise<Figures> {
  synthetic.takeCalls();
  let rss = 0;
  const sampler = setInterval(() => {
    rss = Math.max(rss, process.memoryUsage.rss());
  }, RSS_SAMPLE_MS);
  const before = process.cpuUsage();
  const start = performance.now();
  await act();
  const seconds = (performance.now() - start) / 1_000;
  const { user, system } = process.cpuUsage(before);
  clearInterval(sampler);
  const rssMib = Math.round(Math.max(rss, process.memoryUsage.rss()) / MIB);
  return {
    seconds: rounded(seconds),
    cpuSeconds: rounded((user + system) / 1e6),
    calls: synthetic.takeCalls(),
    rssMib,
  };
}

async function settle(deps: WatcherDeps): Promise<void> {
  while (await watchNext(deps, never));
  const { degraded } = deps.view.status;
  if (degraded !== undefined) throw new Error(`the watch is degraded: ${degraded.reason}`);
}

async function countIn(db: Kysely<DB>, state: 'published' | 'active' | 'slashed'): Promise<number> {
  const { rows } = await sql<{ n: bigint }>`select count(*) as n from deals where state = ${state}`.execute(db);
  return Number(rows[0]?.n ?? 0);
}

function expectCount(what: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found}, and not ${expected}`);
}

/**
 * The watch over so many live deals of ours, its code and its rows with a chain that answers at once: what an idle poll
 * costs, and how long changes, a reorg, a week's back-fill and the daily reading of all take.
 */
export async function benchWatch(size = '10000'): Promise<Record<string, unknown>> {
  const deals = Number(size);
  if (!Number.isSafeInteger(deals) || deals < ACTIVATIONS)
    throw new Error(`give a number of deals from ${ACTIVATIONS}`);
  const folder = await mkdtemp(join(tmpdir(), 'lading-bench-watch-'));
  try {
    await chmod(folder, 0o755);
    await using server = await startEmbedded({ dataDir: folder, log: silentLog, signal: never });
    await migrate(server.url);
    await using database = connect(server.url);
    const { kysely: db } = database;
    await insertDeals(db, deals, ACTIVATIONS);
    const synthetic = syntheticChain(deals);
    const first = deals - ACTIVATIONS + 1;
    synthetic.provedAt.fill(0, first);
    let now = Date.now();
    const deps: WatcherDeps = {
      db,
      jobs: { send: () => Promise.resolve() },
      chain: synthetic.chain,
      clock: { now: () => new Date(now) },
      log: silentLog,
      lookbackEpochs: LOOKBACK,
      view: createWatchView(),
      reconcilePerSecond: 0,
    };
    const grow = (epochs: number) => {
      synthetic.grow(epochs);
      now += epochs * EPOCH_MS;
    };
    await settle(deps);
    await sql`insert into chain_cursors (name, height, tipset, at) values ('watch.round', ${START_HEIGHT * 10}, '{}', now())
      on conflict (name) do update set height = excluded.height`.execute(db);
    await sql`delete from chain_cursors where name = 'watch.reconciled'`.execute(db);

    const polls: Figures[] = [];
    for (let poll = 0; poll < IDLE_POLLS; poll += 1) {
      grow(1);
      polls.push(await timed(synthetic, () => settle(deps)));
    }
    const worst = (pick: (figures: Figures) => number) => Math.max(...polls.map(pick));

    // Ten thousand sectors proven in one epoch, told once it lies behind the look-back.
    const proven = synthetic.height();
    for (let deal = first; deal <= deals; deal += 1) {
      synthetic.provedAt[deal] = proven;
      synthetic.tell('deal-activated', deal, proven);
    }
    grow(LOOKBACK + 1);
    const activations = await timed(synthetic, () => settle(deps));
    expectCount('active deals', await countIn(db, 'active'), deals);

    // Half of these were proven in tipsets that a reorg takes back.
    grow(REORG_DEPTH - LOOKBACK - 5);
    await settle(deps);
    synthetic.forget(proven);
    for (let deal = first; deal < first + REORGED; deal += 1) synthetic.provedAt[deal] = 0;
    for (let deal = first + REORGED; deal <= deals; deal += 1) synthetic.tell('deal-activated', deal, proven);
    synthetic.reorg(synthetic.height() - REORG_DEPTH);
    grow(1);
    const reorg = await timed(synthetic, () => settle(deps));
    expectCount('published deals after the reorg', await countIn(db, 'published'), REORGED);

    // A week in which nobody looked.
    const from = synthetic.height();
    for (let told = 0; told < BACKFILL_EVENTS; told += 1) {
      const deal = (told % ACTIVATIONS) + first;
      const height = from + Math.floor((told * (BACKFILL_EPOCHS - 20)) / BACKFILL_EVENTS);
      if (synthetic.provedAt[deal] === 0) synthetic.provedAt[deal] = height;
      synthetic.tell('deal-activated', deal, height);
    }
    grow(BACKFILL_EPOCHS);
    const backfill = await timed(synthetic, () => settle(deps));
    expectCount('active deals after the back-fill', await countIn(db, 'active'), deals);

    await sql`delete from chain_cursors where name = 'watch.round'`.execute(db);
    Object.assign(deps, { reconcilePerSecond: deals });
    grow(1);
    const reconciled = await timed(synthetic, () => settle(deps));
    const { rows } = await sql<{ n: bigint }>`select count(*) as n from chain_differences`.execute(db);
    expectCount('differences', Number(rows[0]?.n ?? 0), 0);

    const idle = {
      calls: worst(({ calls }) => calls),
      cpu_s: worst(({ cpuSeconds }) => cpuSeconds),
      seconds: worst(({ seconds }) => seconds),
    };
    console.log(`The watch over ${deals} live deals, ${process.arch}`);
    console.log(
      `  idle poll (worst of ${IDLE_POLLS})         ${idle.calls} calls, ${idle.cpu_s} s CPU, ${idle.seconds} s`,
    );
    const line = (name: string, { seconds, cpuSeconds, calls, rssMib }: Figures) =>
      console.log(`  ${name.padEnd(34)} ${seconds} s, ${cpuSeconds} s CPU, ${calls} calls, ${rssMib} MiB`);
    line(`${ACTIVATIONS} activations in an epoch`, activations);
    line(`reorg of ${REORG_DEPTH} epochs, ${REORGED} deals`, reorg);
    line(`back-fill of a week, ${BACKFILL_EVENTS} events`, backfill);
    line('daily reading of all, without a rate', reconciled);
    return { bench: 'watch', deals, idle, activations, reorg, backfill, reconciled };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
