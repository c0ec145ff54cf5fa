import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Tipset } from '../../chain/head.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { Jobs } from '../../jobs.ts';
import type { Log } from '../../log.ts';
import { EPOCHS_PER_DAY } from '../../filecoin/limits.ts';
import { holdSight, listCursors, saveCursor, type Cursor, type Cursors } from './chain-cursor-store.ts';
import type { At } from './deal-step.ts';
import { settleSighting, type Change, type Sighting } from './settle-sight.ts';
import { findFirstStart } from './watch-store.ts';
import type { WatchView } from './watch-view.ts';

export type WatchChain = Pick<Chain, 'head' | 'finalized' | 'tipsetAt' | 'lookupId' | 'marketDeal' | 'dealEvents'>;

export interface WatchDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  chain: WatchChain;
  clock: Clock;
  log: Log;
  /** Reads are taken so many epochs behind the head, as the newest tipsets are often undone. */
  lookbackEpochs: number;
  view: WatchView;
}

/** One look at the chain: everything of a pass is read as of this tipset. */
export interface Sight {
  tipset: Tipset;
  finalized: Tipset;
  /** Every deal event in a tipset below this height was looked at. */
  eventsBelow: number;
  /** What was seen up to here was confirmed once it was final. */
  confirmed: number;
  /** A reorg undid tipsets above this height, and what was seen in them is not read again yet. */
  reorgedAbove: number | undefined;
}

export type Look =
  | { kind: 'sight'; sight: Sight }
  /** The node shows less than we have seen. Nothing is read from it. */
  | { kind: 'behind'; epoch: number; seenEpoch: number };

/** Deals start at most 14 days after they are signed (policies_start_delay_sane), so none was published earlier. */
const LONGEST_START_DELAY_EPOCHS = 14 * EPOCHS_PER_DAY;

/** Where events are read from when none were before: below the publish of any deal there is. */
async function firstEventHeight(db: Kysely<DB>, tipset: Tipset): Promise<number> {
  const firstStart = await findFirstStart(db);
  if (firstStart === undefined) return tipset.height;
  return Math.max(0, Math.min(tipset.height, firstStart - LONGEST_START_DELAY_EPOCHS));
}

function sameKey(a: readonly string[], b: readonly string[]): boolean {
  return a.join() === b.join();
}

/** Is the tipset of our last look not in the chain any more? */
async function isReorged(chain: WatchChain, last: Cursor, tipset: Tipset, signal: AbortSignal): Promise<boolean> {
  const now = tipset.height === last.height ? tipset : await chain.tipsetAt(last.height, signal);
  return !sameKey(now.key, last.tipset);
}

interface Found {
  cursors: Cursors;
  tipset: Tipset;
  finalized: Tipset;
  reorged: boolean;
}

/** Where the cursors stand after this look. After a reorg, events are read again from what was final before it. */
async function nextCursors(db: Kysely<DB>, { cursors, tipset, finalized, reorged }: Found) {
  const finalBefore = cursors.finalized?.height ?? 0;
  const eventsBelow = cursors.events?.height ?? (await firstEventHeight(db, tipset));
  const above = Math.min(cursors.reorg?.height ?? finalBefore, finalBefore);
  return {
    finalized: Math.max(finalBefore, finalized.height),
    eventsBelow: reorged ? Math.min(eventsBelow, finalBefore) : eventsBelow,
    confirmed: cursors.confirmed?.height ?? finalized.height,
    reorgedAbove: reorged ? above : cursors.reorg?.height,
  };
}

async function saveSight(db: Kysely<DB>, { tipset, finalized, ...sight }: Sight & { finalHeight: number }, at: Date) {
  const { key } = tipset;
  await db.transaction().execute(async (trx) => {
    await saveCursor(trx, 'reads', { height: tipset.height, tipset: key }, at);
    await saveCursor(trx, 'finalized', { height: sight.finalHeight, tipset: finalized.key }, at);
    await saveCursor(trx, 'events', { height: sight.eventsBelow, tipset: key }, at);
    await saveCursor(trx, 'confirmed', { height: sight.confirmed, tipset: key }, at);
    if (sight.reorgedAbove !== undefined)
      await saveCursor(trx, 'reorg', { height: sight.reorgedAbove, tipset: key }, at);
  });
}

/** Looks at the chain, notices a reorg of what was seen before, and commits as of where this pass reads. */
export async function look({ db, chain, clock, log, lookbackEpochs }: WatchDeps, signal: AbortSignal): Promise<Look> {
  const head = await chain.head(signal);
  const finalized = await chain.finalized(signal);
  const tipset = await chain.tipsetAt(Math.max(0, head.height - lookbackEpochs), signal);
  const cursors = await listCursors(db);
  const { reads } = cursors;
  if (reads !== undefined && tipset.height < reads.height) {
    return { kind: 'behind', epoch: tipset.height, seenEpoch: reads.height };
  }
  const reorged = reads !== undefined && (await isReorged(chain, reads, tipset, signal));
  const next = await nextCursors(db, { cursors, tipset, finalized, reorged });
  if (reorged) log.warn({ epoch: tipset.height, below: reads.height, above: next.reorgedAbove }, 'watch.reorg');
  const { finalized: finalHeight, ...rest } = next;
  const sight = { tipset, finalized, ...rest };
  await saveSight(db, { ...sight, finalHeight }, clock.now());
  return { kind: 'sight', sight };
}

/** As of when something seen in this sight was seen. */
export function atOf(sight: Sight): At {
  const { tipset, finalized, eventsBelow, reorgedAbove } = sight;
  const at = {
    epoch: tipset.height,
    tipset: tipset.key,
    finalizedEpoch: finalized.height,
    discoveredEpoch: eventsBelow,
  };
  return reorgedAbove === undefined ? at : { ...at, reorgedAbove };
}

function logChanges(log: Log, changes: Change[]): void {
  for (const { to, ...fields } of changes) log.info({ ...fields, to }, `deal.${to}`);
}

/**
 * Commits what was seen, with what `also` writes, in one transaction; false when another process has looked at the
 * chain since, whose sight is newer. Settles in the order of the list.
 */
export async function commitSightings(
  { db, jobs, clock, log }: WatchDeps,
  sight: Sight,
  sightings: readonly Sighting[],
  also?: (trx: Kysely<DB>, now: Date) => Promise<void>,
): Promise<number> {
  if (sightings.length === 0 && also === undefined) return 0;
  const now = clock.now();
  const changes = await db.transaction().execute(async (trx) => {
    const { height, key } = sight.tipset;
    if (!(await holdSight(trx, { height, tipset: key }))) throw new SightOvertaken();
    const made: Change[] = [];
    for (const sighting of sightings) made.push(...(await settleSighting({ trx, jobs, now }, sighting)));
    await also?.(trx, now);
    return made;
  });
  logChanges(log, changes);
  return changes.length;
}

/** Another process reads the chain as of a newer tipset; this pass has nothing to add. */
export class SightOvertaken extends Error {
  override readonly name = 'SightOvertaken';
}
