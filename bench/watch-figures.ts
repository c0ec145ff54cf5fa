import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import type { DB } from '../src/db/tables.ts';
import { createWatchView, watchNext, type WatcherDeps } from '../src/deals/watch/watch.ts';
import { silentLog } from '../src/log/log.ts';
import { rounded } from './measure.ts';
import type { Synthetic } from './watch-chain.ts';

export const LOOKBACK = 10;
export const EPOCH_MS = 30_000;
export const ACTIVATIONS = 10_000;
const RSS_SAMPLE_MS = 50;
const MIB = 1024 * 1024;
const never = new AbortController().signal;

export interface Figures {
  seconds: number;
  cpuSeconds: number;
  calls: number;
  /** The most that the process held at once, in MiB. */
  rssMib: number;
}

export async function timed(synthetic: Synthetic, act: () => Promise<void>): Promise<Figures> {
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

export async function settle(deps: WatcherDeps): Promise<void> {
  while (await watchNext(deps, never));
  const { degraded } = deps.view.status;
  if (degraded !== undefined) throw new Error(`the watch is degraded: ${degraded.reason}`);
}

export async function countIn(db: Kysely<DB>, state: 'published' | 'active' | 'slashed'): Promise<number> {
  const { rows } = await sql<{ n: bigint }>`select count(*) as n from deals where state = ${state}`.execute(db);
  return Number(rows[0]?.n ?? 0);
}

export function expectCount(what: string, found: number, expected: number): void {
  if (found !== expected) throw new Error(`${what}: ${found}, and not ${expected}`);
}

/** A watch over this chain, and a clock that goes with it. */
export function watchOver(db: Kysely<DB>, synthetic: Synthetic) {
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
  return { deps, grow };
}
