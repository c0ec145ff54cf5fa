import type { Kysely } from 'kysely';
import type { Chain } from '../../chain/chain.ts';
import type { Tipset } from '../../chain/head.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import { LadingError } from '../../errors.ts';
import { lastEpochBy } from '../../filecoin/epoch.ts';
import { EPOCHS_PER_DAY } from '../../filecoin/limits.ts';
import { holdSight, listCursors, saveCursor, type Cursor, type Cursors } from './chain-cursor-store.ts';
import type { At } from './deal-step.ts';
import type { ChainTipset, HeadMove } from './follow-head.ts';
import type { Witness } from './hear-witnesses.ts';
import { checkFinal, findReorg, knownTipsets, laterFinal, remember, type Final } from './notice-reorg.ts';
import { settleSightings, type Change, type Sighting } from './settle-sight.ts';
import { findFirstStart } from './watch-store.ts';
import type { WatchView } from './watch-view.ts';

export type WatchChain = Pick<
  Chain,
  | 'head'
  | 'finalized'
  | 'tipsetAt'
  | 'lookupId'
  | 'marketDeal'
  | 'marketDeals'
  | 'dealEvents'
  | 'parentMessages'
  | 'searchMessage'
  | 'getMessage'
> & {
  /** The node that all of this is read from, where it is one. */
  readonly node?: string;
  /** Other nodes that show the same chain. */
  readonly witnesses?: readonly Witness[];
  /** The node was outvoted: others are read from now on. */
  distrust?(): void;
  /** Reads of one node alone; reads are taken so far below its head. */
  session?(signal: AbortSignal, lookbackEpochs?: number): Promise<WatchChain & { readonly node: string }>;
};

export interface WatchDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  chain: WatchChain;
  clock: Clock;
  log: Log;
  /** Reads are taken so many epochs behind the head, as the newest tipsets are often undone. */
  lookbackEpochs: number;
  view: WatchView;
  /** Undefined: heights are not judged by the clock. */
  chainTime?: ChainTime | undefined;
  /** Deals read again a second, at most, by the daily reading of all live deals; undefined: as the policy says. */
  reconcilePerSecond?: number;
}

/** Of a watch that passes again and again: each pass reads one node, so that all it sees is of one chain. */
export interface WatcherDeps extends WatchDeps {
  chain: WatchChain & Required<Pick<WatchChain, 'session'>>;
}

/** One look at the chain: everything of a pass is read as of this tipset. */
export interface Sight {
  tipset: Tipset;
  finalized: Final;
  /** Every deal event in a tipset below this height was looked at. */
  eventsBelow: number;
  /** What was seen up to here was confirmed once it was final. */
  confirmed: number;
  /** A reorg undid tipsets above this height, and what was seen in them is not read again yet. */
  reorg: Reorg | undefined;
  /** The node that showed it. */
  node: string | undefined;
}

export interface Reorg {
  above: number;
  /** The tipset of the last look before it, which is in the chain no more. */
  tipset: string[];
}

/** What time says of heights, where it says anything: epochs of a devnet are as long as it likes. */
export interface ChainTime {
  /** Unix seconds. */
  genesisSeconds: number;
}

export type Look =
  | { kind: 'sight'; sight: Sight }
  /** The node shows less than we have seen. Nothing is read from it. */
  | { kind: 'behind'; epoch: number; seenEpoch: number };

/** Deals start at most 14 days after they are signed (policies_start_delay_sane), so none was published earlier. */
export const LONGEST_START_DELAY_EPOCHS = 14 * EPOCHS_PER_DAY;

/** Where events are read from when none were before: below the publish of any deal there is. */
async function firstEventHeight(db: Kysely<DB>, tipset: Tipset): Promise<number> {
  const firstStart = await findFirstStart(db);
  if (firstStart === undefined) return tipset.height;
  return Math.max(0, Math.min(tipset.height, firstStart - LONGEST_START_DELAY_EPOCHS));
}

interface Found {
  cursors: Cursors;
  tipset: Tipset;
  finalized: Final;
  move: HeadMove<ChainTipset> | undefined;
}

/**
 * Where the cursors stand after this look. After a reorg, all is read again from the last tipset that we know to be in
 * the chain still: one that we read as of, else what was final before.
 */
async function nextCursors(db: Kysely<DB>, { cursors, tipset, finalized, move }: Found) {
  const eventsBelow = cursors.events?.height ?? (await firstEventHeight(db, tipset));
  const { reorg: unread, reads } = cursors;
  const confirmed = cursors.confirmed?.height ?? finalized.height;
  if (move === undefined) {
    return { eventsBelow, confirmed, reorg: unread && { above: unread.height, tipset: unread.tipset } };
  }
  const ancestor = Math.max(cursors.finalized?.height ?? 0, move.ancestor?.height ?? 0);
  const above = Math.min(unread?.height ?? ancestor, ancestor);
  const reorg = { above, tipset: reads?.tipset ?? [] };
  return { eventsBelow: Math.min(eventsBelow, ancestor), confirmed, reorg };
}

async function saveSight(db: Kysely<DB>, { tipset, finalized, ...sight }: Sight, at: Date) {
  const { key } = tipset;
  await db.transaction().execute(async (trx) => {
    await saveCursor(trx, 'reads', { height: tipset.height, tipset: key }, at);
    await saveCursor(trx, 'finalized', { height: finalized.height, tipset: finalized.key }, at);
    await saveCursor(trx, 'events', { height: sight.eventsBelow, tipset: key }, at);
    await saveCursor(trx, 'confirmed', { height: sight.confirmed, tipset: key }, at);
    const { reorg } = sight;
    if (reorg !== undefined) await saveCursor(trx, 'reorg', { height: reorg.above, tipset: reorg.tipset }, at);
  });
}

/** The highest epoch that there can be by now. */
function lastEpoch({ chainTime, clock }: WatchDeps): number {
  if (chainTime === undefined) return Number.POSITIVE_INFINITY;
  return lastEpochBy(chainTime.genesisSeconds, clock.now());
}

/** A node that shows what cannot be is not read, and leaves no trace. */
function checkHead(head: Tipset, finalized: Tipset, last: number): void {
  if (head.height > last || finalized.height > last) {
    throw new LadingError(
      'CHAIN_FROM_THE_FUTURE',
      `the node shows epoch ${Math.max(head.height, finalized.height)}, and by the clock there is none above ${last}`,
      { retry: 'later' },
    );
  }
}

/**
 * Cursors that a node from the future left, before it could be told, are taken back to where the chain is: all that
 * was seen there is read again, as after a reorg.
 */
function takeBack(cursors: Cursors, finalized: Tipset, last: number): Cursors {
  const { reads } = cursors;
  if (reads === undefined || reads.height <= last) return cursors;
  const at = reads.at;
  const final = { height: finalized.height, tipset: finalized.key, at };
  const lowered = (cursor: (Cursor & { at: Date }) | undefined) =>
    cursor !== undefined && cursor.height > finalized.height ? final : cursor;
  const reorg = lowered(cursors.reorg);
  const kept = { finalized: lowered(cursors.finalized), events: lowered(cursors.events) };
  return Object.fromEntries(
    Object.entries({
      ...cursors,
      ...kept,
      confirmed: lowered(cursors.confirmed),
      reads: { ...final, tipset: reads.tipset },
      reorg,
    }).filter(([, cursor]) => cursor !== undefined),
  );
}

/** Looks at the chain, notices a reorg of what was seen before, and commits as of where this pass reads. */
export async function look(deps: WatchDeps, signal: AbortSignal): Promise<Look> {
  const { db, chain, clock, log, lookbackEpochs } = deps;
  const head = await chain.head(signal);
  const shownFinal = await chain.finalized(signal);
  const last = lastEpoch(deps);
  checkHead(head, shownFinal, last);
  const tipset = await chain.tipsetAt(Math.max(0, head.height - lookbackEpochs), signal);
  const cursors = takeBack(await listCursors(db), shownFinal, last);
  const finalized = laterFinal(shownFinal, cursors.finalized);
  const { reads } = cursors;
  if (reads !== undefined && tipset.height < reads.height) {
    return { kind: 'behind', epoch: tipset.height, seenEpoch: reads.height };
  }
  const known = knownTipsets(deps.view, reads);
  const move = await findReorg(chain, known, tipset, signal);
  if (move !== undefined) await checkFinal(chain, cursors.finalized, signal);
  const next = await nextCursors(db, { cursors, tipset, finalized, move });
  if (move !== undefined) {
    const [undone, applied] = [move.undone.length, move.applied.length];
    log.warn({ epoch: tipset.height, below: reads?.height, above: next.reorg?.above, undone, applied }, 'watch.reorg');
  }
  const sight = { tipset, finalized, node: chain.node, ...next };
  await saveSight(db, sight, clock.now());
  deps.view.recent = remember(known, tipset, move);
  return { kind: 'sight', sight };
}

/** As of when something seen in this sight was seen. */
export function atOf(sight: Sight): At {
  const { tipset, finalized, eventsBelow, reorg, node } = sight;
  const at = {
    ...(node !== undefined && { node }),
    epoch: tipset.height,
    tipset: tipset.key,
    finalizedEpoch: finalized.height,
    discoveredEpoch: eventsBelow,
  };
  return reorg === undefined ? at : { ...at, reorgedAbove: reorg.above, undoneTipset: reorg.tipset };
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
    const made = await settleSightings({ trx, jobs, now }, sightings);
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
