import { MAX_CIDS } from './cluster/cluster-client.ts';
import { decideLook } from './decide-pin.ts';
import { putBack, settle, type PinDeps } from './pin-stage.ts';
import { claimDue, giveBack, type PinChange } from './pin-store.ts';

/** A CID of which the cluster said nothing is asked for again after so long. */
const UNANSWERED_MS = 30_000;

/**
 * Asks the cluster for one batch of pins that are due, and settles what it says. True: there may be more that are due.
 * Throws ClusterUnreachable; then nothing is told of them.
 */
export async function lookNext(deps: PinDeps, signal: AbortSignal): Promise<boolean> {
  const due = await claimDue(deps.db, 'look', MAX_CIDS);
  if (due.length === 0) return false;
  try {
    const sights = await deps.cluster.statuses(
      due.map(({ root }) => root),
      signal,
    );
    const changes: PinChange[] = due.flatMap((pin) => {
      const sight = sights.get(pin.root);
      return sight === undefined ? [] : [{ pin, move: decideLook(pin, sight, deps.rules) }];
    });
    await giveBack(
      deps.db,
      due.filter(({ root }) => !sights.has(root)),
      UNANSWERED_MS,
    );
    await settle(deps, changes);
  } catch (error) {
    await putBack(deps, due, error);
    throw error;
  }
  return due.length === MAX_CIDS;
}
