import { isForeignChain } from '../../chain/admission.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import { LadingError } from '../../errors.ts';
import { saveCursor, whileWatcher } from './chain-cursor-store.ts';
import { discoverDeals } from './discover-deals.ts';
import { confirmFinalized, endOverdue, readActive, readPublished, rereadReorged } from './read-known-deals.ts';
import { look, SightOvertaken, type Sight, type WatchDeps } from './watch-sight.ts';
import { findWatchStatus, setDegraded, setFresh } from './watch-view.ts';

export type { WatchDeps } from './watch-sight.ts';
export { createWatchView, findWatchStatus, type WatchStatus } from './watch-view.ts';

/** A chain makes a tipset every 30 s, with a few empty rounds among them: one that stands still this long has a fault. */
const STILL_MS = 10 * 60_000;
/** Endpoints differ by a few epochs, and a reorg can shorten a chain: only a node this far back is called behind. */
const BEHIND_EPOCHS = 5;

/**
 * One pass of the watch: looks at the chain, finds our deals in its events, reads those we know, and brings each row to
 * what the chain shows (docs/deals.md). True: there is more to do at once. A chain that cannot be read changes nothing
 * but the status; faults of the database are thrown.
 */
export async function watchNext(deps: WatchDeps, signal: AbortSignal): Promise<boolean> {
  const outcome = await whileWatcher(deps.db, () => watchOnce(deps, signal));
  // Another process watches: what it left is what we know.
  if (outcome === undefined) deps.view.status = await findWatchStatus(deps.db, deps.clock);
  return outcome ?? false;
}

async function watchOnce(deps: WatchDeps, signal: AbortSignal): Promise<boolean> {
  try {
    const found = await look(deps, signal);
    if (found.kind === 'sight') return await readSight(deps, found.sight, signal);
    const { epoch, seenEpoch } = found;
    if (seenEpoch - epoch > BEHIND_EPOCHS)
      setDegraded(deps, `the node is behind: it shows epoch ${epoch}, and ${seenEpoch} was seen before`);
    return false;
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof SightOvertaken) return false;
    if (!isChainFault(error)) throw error;
    setDegraded(deps, error.message);
    return false;
  }
}

/** What is wrong with the chain or what it shows, and not with us. */
function isChainFault(error: unknown): error is LadingError {
  if (error instanceof RpcError || isForeignChain(error)) return true;
  return error instanceof LadingError && error.code === 'WATCH_ID_CLASH';
}

async function readSight(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<boolean> {
  const { view, clock } = deps;
  const shown = `${sight.tipset.key.join()} ${sight.finalized.height}`;
  const still = shown === view.doneWith;
  if (!still) view.movedAt = clock.now();
  if (still && sight.reorgedAbove === undefined) {
    await reportStill(deps, sight);
    return false;
  }
  let changes = await rereadReorged(deps, sight, signal);
  // What no event tells is read even where a node has no events: that only makes finding new deals later.
  const discovery = await discoverDeals(deps, sight, signal).catch((error: unknown) => {
    if (signal.aborted || !isChainFault(error)) throw error;
    return { fault: error, eventsBelow: sight.eventsBelow, changes: 0, complete: true };
  });
  changes += discovery.changes;
  // Known deals can wait until all events were looked at: the same pass again goes on with those.
  if (!discovery.complete) return true;
  const upTo = { ...sight, eventsBelow: discovery.eventsBelow, reorgedAbove: undefined };
  for (const read of [readPublished, readActive, confirmFinalized, endOverdue]) {
    changes += await read(deps, upTo, signal);
  }
  if ('fault' in discovery) {
    setDegraded(deps, discovery.fault.message);
    return false;
  }
  await markDone(deps, sight);
  view.doneWith = shown;
  return changes > 0;
}

/** Everything was read as of this sight: told to those who ask this process, and left for the others. */
async function markDone(deps: WatchDeps, { tipset: { height, key } }: Sight): Promise<void> {
  await saveCursor(deps.db, 'done', { height, tipset: key }, deps.clock.now());
  setFresh(deps, height);
}

async function reportStill(deps: WatchDeps, sight: Sight): Promise<void> {
  const { view, clock } = deps;
  const epoch = sight.tipset.height;
  const stillMs = clock.now().getTime() - (view.movedAt ?? clock.now()).getTime();
  if (stillMs > STILL_MS) setDegraded(deps, `the node has shown no new tipset since epoch ${epoch}`);
  else await markDone(deps, sight);
}
