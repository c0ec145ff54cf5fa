import { isForeignChain } from '../../chain/admission.ts';
import { isEndpointFault, RpcError } from '../../chain/rpc-error.ts';
import { describeError, LadingError } from '../../errors.ts';
import { whileWatcher } from './chain-cursor-store.ts';
import { discoverDeals, distrustNewest } from './discover-deals.ts';
import { findWatchStatus } from './freshness-store.ts';
import {
  confirmFinalized,
  endOverdue,
  endOverdueAsked,
  readEnding,
  readPublished,
  readStarting,
  readSuspects,
  rereadReorged,
} from './read-known-deals.ts';
import { reconcile } from './reconcile.ts';
import { look, SightOvertaken, type Sight, type WatchDeps, type WatcherDeps } from './watch-sight.ts';
import { setDegraded, setFresh } from './watch-view.ts';

export type { WatcherDeps } from './watch-sight.ts';
export { findWatchStatus, type WatchStatus } from './freshness-store.ts';
export { createWatchView } from './watch-view.ts';

/** A chain makes a tipset every 30 s, with a few empty rounds among them: one that stands still this long has a fault. */
const STILL_MS = 10 * 60_000;
/** Endpoints differ by a few epochs, and a reorg can shorten a chain: only a node this far back is called behind. */
const BEHIND_EPOCHS = 5;

/**
 * One pass of the watch: looks at the chain, finds our deals in its events, reads those we know, and brings each row to
 * what the chain shows (docs/deals.md). True: there is more to do at once. A chain that cannot be read changes nothing
 * but the status; faults of the database are thrown.
 */
export async function watchNext(deps: WatcherDeps, signal: AbortSignal): Promise<boolean> {
  const outcome = await whileWatcher(deps.db, () => watchOnce(deps, signal));
  // Another process watches: what it left is what we know.
  if (outcome === undefined) deps.view.status = await findWatchStatus(deps.db, deps.clock);
  return outcome ?? false;
}

/** Reads one node; when that fails, another from the start, until each had its turn. */
async function watchOnce(deps: WatcherDeps, signal: AbortSignal): Promise<boolean> {
  const failed = new Map<string, LadingError>();
  for (;;) {
    let node: string | undefined;
    try {
      const chain = await deps.chain.session(signal, deps.lookbackEpochs);
      const before = failed.get(chain.node);
      if (before !== undefined) throw before;
      ({ node } = chain);
      return await watchNode({ ...deps, chain }, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof SightOvertaken) return false;
      if (!isChainFault(error) && !isOutvoted(error)) throw error;
      if (node === undefined || !(isEndpointFault(error) || isOutvoted(error))) {
        await setDegraded(deps, error);
        return false;
      }
      deps.log.warn({ node, reason: describeError(error) }, 'watch.node_failed');
      failed.set(node, error);
    }
  }
}

async function watchNode(deps: WatchDeps, signal: AbortSignal): Promise<boolean> {
  const found = await look(deps, signal);
  if (found.kind === 'sight') {
    try {
      return await readSight(deps, found.sight, signal);
    } catch (error) {
      if (isChainFault(error) || isOutvoted(error)) await distrustNewest(deps, found.sight);
      throw error;
    }
  }
  const { epoch, seenEpoch } = found;
  if (seenEpoch - epoch > BEHIND_EPOCHS)
    await setDegraded(deps, `the node is behind: it shows epoch ${epoch}, and ${seenEpoch} was seen before`);
  return false;
}

/** The node shows what most others do not: another is read. */
function isOutvoted(error: unknown): error is LadingError {
  return error instanceof LadingError && error.code === 'NODE_OUTVOTED';
}

/** What is wrong with the chain or what it shows, and not with us. */
function isChainFault(error: unknown): error is LadingError {
  if (error instanceof RpcError || isForeignChain(error)) return true;
  return (
    error instanceof LadingError &&
    ['WATCH_ID_CLASH', 'CHAIN_FROM_THE_FUTURE', 'NODES_DISAGREE', 'FINALITY_BROKEN'].includes(error.code)
  );
}

async function readSight(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<boolean> {
  const { view, clock } = deps;
  view.disputed.clear();
  const shown = `${sight.tipset.key.join()} ${sight.finalized.height}`;
  const still = shown === view.doneWith;
  if (!still) view.movedAt = clock.now();
  if (still && sight.reorg === undefined) {
    await reportStill(deps, sight);
    return false;
  }
  let changes = await rereadReorged(deps, sight, signal);
  // What no event tells is read even where discovery fails: that only makes finding new deals later.
  const discovery = await discoverDeals(deps, sight, signal).catch((error: unknown) => {
    if (signal.aborted || !isChainFault(error)) throw error;
    return { fault: error, limited: undefined, eventsBelow: sight.eventsBelow, changes: 0, complete: true };
  });
  changes += discovery.changes;
  // Known deals can wait until all events were looked at: the same pass again goes on with those.
  if (!discovery.complete && view.disputed.size === 0) return true;
  const fault = 'fault' in discovery ? discovery.fault : undefined;
  const { limited } = discovery;
  const upTo = { ...sight, eventsBelow: discovery.eventsBelow, reorg: undefined };
  changes += await readKnown(deps, { sight: upTo, hasEvents: fault === undefined && limited === undefined }, signal);
  if (fault !== undefined) {
    await distrustNewest(deps, sight);
    await setDegraded(deps, fault);
    return false;
  }
  const disputed = view.disputed.size;
  if (disputed > 0) {
    // Those deals stay as they are, and are read again at the next pass.
    await setDegraded(deps, `the nodes disagree about ${disputed === 1 ? 'a deal' : `${disputed} deals`}`);
    return false;
  }
  await setFresh(deps, sight.tipset.height, limited);
  view.doneWith = shown;
  return changes > 0;
}

/** Deals that are due, what became final, and the daily reading of all: each no more than it needs. */
async function readKnown(
  deps: WatchDeps,
  { sight, hasEvents }: { sight: Sight; hasEvents: boolean },
  signal: AbortSignal,
): Promise<number> {
  let changes = 0;
  const reads = [readStarting, readEnding, readSuspects, confirmFinalized, hasEvents ? endOverdue : endOverdueAsked];
  for (const read of hasEvents ? reads : [readPublished, ...reads]) changes += await read(deps, sight, signal);
  return changes + (await reconcile(deps, { sight, hasEvents, credit: deps.view.credit }, signal));
}

async function reportStill(deps: WatchDeps, sight: Sight): Promise<void> {
  const { view, clock } = deps;
  const epoch = sight.tipset.height;
  const stillMs = clock.now().getTime() - (view.movedAt ?? clock.now()).getTime();
  if (stillMs > STILL_MS) await setDegraded(deps, `the node has shown no new tipset since epoch ${epoch}`);
  else await setFresh(deps, epoch, view.status.limited);
}
