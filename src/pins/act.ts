import { carV1Header } from '../filecoin/car.ts';
import { parseCid } from '../filecoin/cid.ts';
import { describeError, unreachable } from '../errors.ts';
import type { CarToAdd } from './cluster/cluster-client.ts';
import { ClusterUnreachable } from './cluster/cluster-fault.ts';
import { decideRefused, decideTaken, unpinned, type PinMove } from './decide-pin.ts';
import { putBack, settle, type PinDeps } from './pin-stage.ts';
import { claimDue, findRunBytes, LEASE_MS, listRanges, renewLease, type DuePin } from './pin-store.ts';

/** Acts side by side: a peer writes each block it is given to disk. */
const LANES = 8;
/** Taken at a time: some seconds' work of all lanes. */
const CLAIMED = 32;

/**
 * Does all that is due: gives bytes to the cluster, recovers, unpins. Ends early where the cluster cannot be reached; what
 * is due then is due again, and the sweep sends for whoever does it.
 */
export async function actOnAllDue(deps: PinDeps, signal: AbortSignal): Promise<void> {
  const queue: DuePin[] = [];
  let filling: Promise<void> | undefined;
  let fault: unknown;
  const fill = async () => {
    queue.push(...(await claimDue(deps.db, 'act', CLAIMED)));
    filling = undefined;
  };
  const lane = async () => {
    while (fault === undefined && !signal.aborted) {
      if (queue.length === 0) await (filling ??= fill());
      const pin = queue.shift();
      if (pin === undefined) return;
      try {
        await actOn(deps, pin, signal);
      } catch (error) {
        fault ??= error;
        await putBack(deps, [pin], error);
      }
    }
  };
  await Promise.all(Array.from({ length: LANES }, lane));
  await putBack(deps, queue, fault);
  // That the cluster is gone is told where its pins are told of, and each new upload would tell it again here.
  if (fault !== undefined && !signal.aborted && !(fault instanceof ClusterUnreachable)) throw fault;
}

async function actOn(deps: PinDeps, pin: DuePin, signal: AbortSignal): Promise<void> {
  const lease = setInterval(() => void renewLease(deps.db, pin).catch(() => undefined), LEASE_MS / 3);
  try {
    const move = await act(deps, pin, signal);
    await settle(deps, [{ pin, move }]);
  } finally {
    clearInterval(lease);
  }
}

async function act(deps: PinDeps, pin: DuePin, signal: AbortSignal): Promise<PinMove> {
  const { cluster, rules } = deps;
  if (pin.step === 'look') throw new Error('a look is no act');
  try {
    switch (pin.step) {
      case 'unpin':
        await cluster.unpin(pin.root, signal);
        return unpinned;
      case 'recover':
        await cluster.recover(pin.root, signal);
        return decideTaken(pin, pin.step, rules);
      case 'give':
        await give(deps, pin, signal);
        return decideTaken(pin, pin.step, rules);
      default:
        return unreachable(pin.step);
    }
  } catch (error) {
    // What cannot be read here, or is refused there, is of this pin alone: the others go on.
    if (signal.aborted || error instanceof ClusterUnreachable) throw error;
    return decideRefused(pin, pin.step, describeError(error), rules);
  }
}

/** Its bytes where we have them; else its nodes may have them, or find them elsewhere. */
async function give(deps: PinDeps, pin: DuePin, signal: AbortSignal): Promise<void> {
  const runBytes = await findRunBytes(deps.db, pin.uploadId);
  if (runBytes === undefined) await deps.cluster.pin(pin.root, signal);
  else await deps.cluster.add(carOf(deps, pin, runBytes), signal);
}

/** The upload as one CAR, as long as said before: its stored run behind a header of its root. */
function carOf({ db, store }: PinDeps, { uploadId, root }: DuePin, runBytes: number): CarToAdd {
  const header = carV1Header(parseCid(root));
  async function* chunks() {
    yield header;
    for await (const { objectKey, offset, length } of listRanges(db, uploadId)) {
      yield* store.read(objectKey, offset, length);
    }
  }
  return { root, lengthBytes: header.length + runBytes, chunks: chunks() };
}
