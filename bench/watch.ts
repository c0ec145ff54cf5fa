import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { connect } from '../src/db/connect.ts';
import { startEmbedded } from '../src/db/embedded.ts';
import { migrate } from '../src/db/migrate.ts';
import { silentLog } from '../src/log/log.ts';
import { BACKFILL_EPOCHS, BACKFILL_EVENTS, backFill } from './watch-backfill.ts';
import { START_HEIGHT, syntheticChain } from './watch-chain.ts';
import {
  ACTIVATIONS,
  countIn,
  expectCount,
  LOOKBACK,
  settle,
  timed,
  watchOver,
  type Figures,
} from './watch-figures.ts';
import { insertDeals } from './watch-rows.ts';

const IDLE_POLLS = 20;
const REORG_DEPTH = 100;
const REORGED = 5_000;
const never = new AbortController().signal;

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
    const synthetic = syntheticChain(deals, ACTIVATIONS);
    const { first, lastProvedAt } = synthetic;
    const { deps, grow } = watchOver(db, synthetic);
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
    lastProvedAt.fill(proven);
    for (let deal = first; deal <= deals; deal += 1) synthetic.tell('deal-activated', deal, proven);
    grow(LOOKBACK + 1);
    const activations = await timed(synthetic, () => settle(deps));
    expectCount('active deals', await countIn(db, 'active'), deals);

    // Half of these were proven in tipsets that a reorg takes back.
    grow(REORG_DEPTH - LOOKBACK - 5);
    await settle(deps);
    synthetic.forget(proven);
    lastProvedAt.fill(0, 0, REORGED);
    for (let deal = first + REORGED; deal <= deals; deal += 1) synthetic.tell('deal-activated', deal, proven);
    synthetic.reorg(synthetic.height() - REORG_DEPTH);
    grow(1);
    const reorg = await timed(synthetic, () => settle(deps));
    expectCount('published deals after the reorg', await countIn(db, 'published'), REORGED);

    const backfill = await backFill({
      url: server.url,
      deals,
      past: synthetic.past(),
      lastProvedAt,
    });
    // The same week for the chain of this process.
    for (let at = 0; at < ACTIVATIONS; at += 1) lastProvedAt[at] ||= synthetic.height() + 1;
    grow(BACKFILL_EPOCHS);
    await settle(deps);

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
    console.log(`  of these MiB, with the chain made        ${backfill.startMib} before the watch began`);
    line('daily reading of all, without a rate', reconciled);
    return { bench: 'watch', deals, idle, activations, reorg, backfill, reconciled };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
