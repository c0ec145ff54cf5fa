import { awaitingWord } from './ask-before-ending.ts';
import { deleteCursor, saveCursor } from './chain-cursor-store.ts';
import { listSuspects } from './difference-store.ts';
import { hearPublishesAgain } from './hear-again.ts';
import { observeDeals } from './observe-deal.ts';
import { atOf, commitSightings, type Sight, type WatchDeps } from './watch-sight.ts';
import {
  listDue,
  listInState,
  listOverdue,
  listSeenBetween,
  type DealRecord,
  type SeenPosition,
} from './watch-store.ts';

/** One commit's worth: a lost pass repeats no more than this, and its reads take a node a second or two. */
const BATCH = 100;
/** Where a node tells no events, deals between publish and proof are read at every pass, up to this many. */
const MAX_PUBLISHED = 200;
/** Deals that are due are read in one pass up to this many; those left over are due at the next. */
const MAX_DUE = 5_000;
/** A provider proves as late as the start epoch itself, and the event of it comes a few epochs later. */
const START_GRACE_EPOCHS = 5;
/** Deals that were absent and not yet known why: read at each pass until it is clear. */
const MAX_SUSPECTS = 10;

/** What could be read is settled, though another deal of the batch could not: its fault is thrown then. */
async function readBatch(deps: WatchDeps, deals: DealRecord[], sight: Sight, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const observed = await observeDeals(deps, deals, sight, signal);
  const sightings = observed.flatMap((one) => one.sightings);
  const changes = await commitSightings(deps, sight, sightings);
  const fault = observed.find((one) => one.fault !== undefined)?.fault;
  if (fault !== undefined) throw fault;
  return changes;
}

/** Reads, page by page, every deal that changed by what was seen at these epochs. */
async function readSeenBetween(
  deps: WatchDeps,
  epochs: { from: number; to: number },
  sight: Sight,
  signal: AbortSignal,
): Promise<number> {
  let changes = 0;
  let after: SeenPosition | undefined;
  do {
    const { deals, next } = await listSeenBetween(deps.db, epochs, { after, limit: BATCH });
    changes += await readBatch(deps, deals, sight, signal);
    after = next;
  } while (after !== undefined);
  return changes;
}

/** After a reorg: reads again all that was seen in tipsets which may be gone. */
export async function rereadReorged(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  const { reorg } = sight;
  if (reorg === undefined) return 0;
  deps.view.clientIds.clear();
  const epochs = { from: reorg.above + 1, to: Number.MAX_SAFE_INTEGER };
  const changes = await readSeenBetween(deps, epochs, sight, signal);
  if (deps.view.disputed.size > 0) return changes;
  await commitSightings(deps, sight, [], (trx) => deleteCursor(trx, 'reorg'));
  return changes;
}

/** What was seen before it was final is read once more when it is. */
export async function confirmFinalized(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  const finalized = Math.min(sight.finalized.height, sight.tipset.height);
  if (finalized <= sight.confirmed) return 0;
  const changes = await readSeenBetween(deps, { from: sight.confirmed + 1, to: finalized }, sight, signal);
  if (deps.view.disputed.size > 0) return changes;
  await commitSightings(deps, sight, [], (trx, now) =>
    saveCursor(trx, 'confirmed', { height: finalized, tipset: sight.finalized.key }, now),
  );
  return changes;
}

/**
 * Published deals, oldest first, going on where the last pass ended; after the youngest the round begins anew. For
 * nodes without events: where there are some, a proof is told by one.
 */
export async function readPublished(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  let changes = 0;
  for (let read = 0; read < MAX_PUBLISHED; read += BATCH) {
    const deals = await listInState(deps.db, 'published', { after: deps.view.publishedAfter, limit: BATCH });
    // One that cannot be read must not keep those after it waiting.
    deps.view.publishedAfter = deals.length < BATCH ? -1n : (deals.at(-1)?.chainDealId ?? -1n);
    changes += await readBatch(deps, deals, sight, signal);
    if (deals.length < BATCH) return changes;
  }
  return changes;
}

/** Reads what is due in this range, in turn: what stays due for a fault of the chain must not keep others waiting. */
async function readDue(
  deps: WatchDeps,
  what: 'starting' | 'ending',
  { sight, from, to }: { sight: Sight; from: number; to: number },
  signal: AbortSignal,
): Promise<number> {
  let changes = 0;
  for (let read = 0; read < MAX_DUE; read += BATCH) {
    const due = await listDue(deps.db, what, { from, to, after: deps.view.dueAfter[what], limit: BATCH });
    const last = due.length < BATCH ? undefined : due.at(-1);
    deps.view.dueAfter[what] = last && { epoch: what === 'starting' ? last.startEpoch : last.endEpoch, id: last.id };
    changes += await readBatch(deps, due, sight, signal);
    if (last === undefined) return changes;
  }
  return changes;
}

/** Published deals at their start, when a proof is due, and once more when the start is final: then it is too late. */
export async function readStarting(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  const { view } = deps;
  const final = Math.min(sight.tipset.height, sight.finalized.height) - 1;
  const late = await readDue(deps, 'starting', { sight, from: 0, to: final }, signal);
  const started = sight.tipset.height - START_GRACE_EPOCHS;
  const from = Math.max(final + 1, view.startedBelow ?? 0);
  let changes = late;
  if (started >= from) {
    view.dueAfter.starting = undefined;
    changes += await readDue(deps, 'starting', { sight, from, to: started }, signal);
    if (view.dueAfter.starting === undefined) view.startedBelow = started + 1;
    view.dueAfter.starting = undefined;
  }
  return changes;
}

/** Active deals whose term is over: no event tells of it, and the actor may hold them for long. */
export async function readEnding(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  return readDue(deps, 'ending', { sight, from: 0, to: sight.tipset.height }, signal);
}

/** Deals that the daily reading found absent, until it is final what became of them. */
export async function readSuspects(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  return readBatch(deps, await listSuspects(deps.db, MAX_SUSPECTS), sight, signal);
}

/**
 * Proposals that were never published and cannot be any more: the events were complete, and all nodes are asked for them
 * once more. Where the nodes disagree about a deal that is found by it, none is ended.
 */
export async function endOverdue(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  const overdue = await listOverdueAt(deps, sight);
  if (overdue.length === 0) return 0;
  const found = await hearPublishesAgain(deps, overdue, sight, signal);
  if (deps.view.disputed.size > 0) return found;
  const heard = new Set(overdue.map(({ id }) => id));
  // Those that were found are overdue no more.
  const still = found === 0 ? overdue : (await listOverdueAt(deps, sight)).filter(({ id }) => heard.has(id));
  return found + (await endUnpublished(deps, sight, still));
}

/** As endOverdue, where events are not there: a provider that accepted is asked before its deal ends. */
export async function endOverdueAsked(deps: WatchDeps, sight: Sight): Promise<number> {
  const deals = await listOverdueAt(deps, sight);
  const waiting = await awaitingWord(deps, deals);
  return endUnpublished(
    deps,
    sight,
    deals.filter(({ id }) => !waiting.has(id)),
  );
}

function listOverdueAt({ db }: WatchDeps, { tipset, finalized, eventsBelow }: Sight): Promise<DealRecord[]> {
  return listOverdue(db, Math.min(tipset.height, finalized.height, eventsBelow), BATCH);
}

function endUnpublished(deps: WatchDeps, sight: Sight, deals: readonly DealRecord[]): Promise<number> {
  const at = atOf(sight);
  const sightings = deals.map(({ id }) => ({ dealId: id, seen: { kind: 'absent' as const }, at }));
  return commitSightings(deps, sight, sightings);
}
