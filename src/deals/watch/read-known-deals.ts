import { deleteCursor, saveCursor } from './chain-cursor-store.ts';
import { observeDeal } from './observe-deal.ts';
import { atOf, commitSightings, type Sight, type WatchDeps } from './watch-sight.ts';
import { listInState, listOverdue, listSeenBetween, listTermOver, type DealRecord } from './watch-store.ts';

/** One commit's worth: a lost pass repeats no more than this, and its reads take a node a second or two. */
const BATCH = 100;
/** Deals between publish and proof, a day or two each: read at every pass, up to this many. */
const MAX_PUBLISHED = 200;
/** A slow round through all active deals: with a pass every 30 s, about 29,000 a day. */
const SWEEP = 10;

async function readBatch(deps: WatchDeps, deals: DealRecord[], sight: Sight, signal: AbortSignal): Promise<number> {
  signal.throwIfAborted();
  const sightings = await Promise.all(deals.map((deal) => observeDeal(deps, deal, sight, signal)));
  return commitSightings(deps, sight, sightings.flat());
}

/** Reads, page by page, every deal that changed by what was seen at these epochs. */
async function readSeenBetween(
  deps: WatchDeps,
  epochs: { from: number; to: number },
  sight: Sight,
  signal: AbortSignal,
): Promise<number> {
  let changes = 0;
  let after: string | undefined;
  for (;;) {
    const deals = await listSeenBetween(deps.db, epochs, { after, limit: BATCH });
    changes += await readBatch(deps, deals, sight, signal);
    after = deals.at(-1)?.id;
    if (deals.length < BATCH) return changes;
  }
}

/** After a reorg: reads again all that was seen in tipsets which may be gone. */
export async function rereadReorged(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  const { reorgedAbove } = sight;
  if (reorgedAbove === undefined) return 0;
  deps.view.clientIds.clear();
  const epochs = { from: reorgedAbove + 1, to: Number.MAX_SAFE_INTEGER };
  const changes = await readSeenBetween(deps, epochs, sight, signal);
  await commitSightings(deps, sight, [], (trx) => deleteCursor(trx, 'reorg'));
  return changes;
}

/** What was seen before it was final is read once more when it is. */
export async function confirmFinalized(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  const finalized = Math.min(sight.finalized.height, sight.tipset.height);
  if (finalized <= sight.confirmed) return 0;
  const changes = await readSeenBetween(deps, { from: sight.confirmed + 1, to: finalized }, sight, signal);
  await commitSightings(deps, sight, [], (trx, now) =>
    saveCursor(trx, 'confirmed', { height: finalized, tipset: sight.finalized.key }, now),
  );
  return changes;
}

/** Published deals, oldest first, going on where the last pass ended; after the youngest the round begins anew. */
export async function readPublished(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  let changes = 0;
  for (let read = 0; read < MAX_PUBLISHED; read += BATCH) {
    const deals = await listInState(deps.db, 'published', { after: deps.view.publishedAfter, limit: BATCH });
    changes += await readBatch(deps, deals, sight, signal);
    deps.view.publishedAfter = deals.length < BATCH ? -1n : (deals.at(-1)?.chainDealId ?? -1n);
    if (deals.length < BATCH) return changes;
  }
  return changes;
}

/** Active deals whose term is over, and a few others in turn: an event that a node never told is found by these. */
export async function readActive(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<number> {
  const over = await listTermOver(deps.db, sight.tipset.height, BATCH);
  const swept = await listInState(deps.db, 'active', { after: deps.view.activeAfter, limit: SWEEP });
  const due = new Map([...over, ...swept].map((deal) => [deal.id, deal]));
  const changes = await readBatch(deps, [...due.values()], sight, signal);
  deps.view.activeAfter = swept.length < SWEEP ? -1n : (swept.at(-1)?.chainDealId ?? -1n);
  return changes;
}

/** Proposals that were never published and cannot be any more. Needs no read: the events were complete. */
export async function endOverdue(deps: WatchDeps, sight: Sight): Promise<number> {
  const final = Math.min(sight.tipset.height, sight.finalized.height, sight.eventsBelow);
  const deals = await listOverdue(deps.db, final, BATCH);
  const at = atOf(sight);
  const sightings = deals.map(({ id }) => ({ dealId: id, seen: { kind: 'absent' as const }, at }));
  return commitSightings(deps, sight, sightings);
}
