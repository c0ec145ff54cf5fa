import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { Log } from '../../log.ts';
import { listCursors } from './chain-cursor-store.ts';

/** How fresh our view of the chain is. */
export interface WatchStatus {
  /** When deals were last compared with the chain; undefined: never. */
  asOf: Date | undefined;
  /** The height as of which they were. */
  epoch: number | undefined;
  degraded?: { since: Date; reason: string };
}

/** What the watch of one process remembers between its passes. Nothing in it is needed again after a restart. */
export interface WatchView {
  status: WatchStatus;
  /** The last pass that left nothing to do, as text: while the chain shows the same, there is nothing to read again. */
  doneWith: string | undefined;
  /** When the chain last showed a new tipset. */
  movedAt: Date | undefined;
  /** How far the rounds through published and active deals have come, by chain deal id. */
  publishedAfter: bigint;
  activeAfter: bigint;
  /** `f0…` by signing address. */
  clientIds: Map<string, string>;
}

export function createWatchView(): WatchView {
  return {
    status: { asOf: undefined, epoch: undefined },
    doneWith: undefined,
    movedAt: undefined,
    publishedAfter: -1n,
    activeAfter: -1n,
    clientIds: new Map(),
  };
}

interface Keeping {
  view: WatchView;
  clock: Clock;
  log: Log;
}

export function setFresh({ view, clock, log }: Keeping, epoch: number): void {
  if (view.status.degraded !== undefined) log.info({ epoch }, 'watch.recovered');
  view.status = { asOf: clock.now(), epoch };
}

/** Says once what is wrong; `asOf` stays where it was, so that readers can tell how old what they see is. */
export function setDegraded({ view, clock, log }: Keeping, reason: string): void {
  const { asOf, epoch, degraded } = view.status;
  if (degraded?.reason !== reason) log.warn({ reason }, 'watch.degraded');
  view.status = { asOf, epoch, degraded: { since: degraded?.since ?? clock.now(), reason } };
}

/** A pass every epoch or so moves this; many missed ones mean that no process watches. */
const SILENCE_MS = 5 * 60_000;

/** The status for a process that does not watch itself, from what the watching one left in the database. */
export async function findWatchStatus(db: Kysely<DB>, clock: Clock): Promise<WatchStatus> {
  const { done } = await listCursors(db);
  if (done === undefined) return { asOf: undefined, epoch: undefined };
  const status = { asOf: done.at, epoch: done.height };
  const silent = clock.now().getTime() - done.at.getTime() > SILENCE_MS;
  return silent ? { ...status, degraded: { since: done.at, reason: 'no process has read the chain since' } } : status;
}
