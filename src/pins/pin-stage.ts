import type { Kysely } from 'kysely';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { describeError } from '../errors.ts';
import type { Jobs } from '../jobs/jobs.ts';
import type { Log } from '../log/log.ts';
import type { ObjectStore } from '../storage/store.ts';
import { noteAnswered, noteFailing } from './cluster-standing.ts';
import type { PinCluster } from './cluster/cluster-client.ts';
import { ClusterUnreachable } from './cluster/cluster-fault.ts';
import type { PinRules } from './decide-pin.ts';
import { giveBack, settlePins, type DuePin, type PinChange } from './pin-store.ts';

export interface PinDeps {
  db: Kysely<DB>;
  store: Pick<ObjectStore, 'read'>;
  jobs: Pick<Jobs, 'send'>;
  clock: Clock;
  log: Log;
  cluster: PinCluster;
  rules: PinRules;
}

/** What was in hand when the cluster could not be reached is due again after so long: it may be back by then. */
const UNREACHED_MS = 15_000;

/** Writes down what became of pins, and wakes who is to act on them, in one transaction. */
export async function settle(deps: PinDeps, changes: readonly PinChange[]): Promise<void> {
  const { db, jobs, clock, log } = deps;
  const isActDue = changes.some(({ move }) => move.step !== undefined && move.step !== 'look' && move.waitMs === 0);
  const settled = await db.transaction().execute(async (trx) => {
    const changed = await settlePins(trx, changes, clock.now());
    if (isActDue) await jobs.send(trx, 'pin', {});
    return changed;
  });
  await tellAnswered(deps);
  const errors = new Map(changes.map(({ pin, move }) => [pin.uploadId, move.failure]));
  const roots = new Map(changes.map(({ pin }) => [pin.uploadId, pin.root]));
  for (const { uploadId, from, to } of settled) {
    if (to !== 'failed' && from !== 'pinned') continue;
    const failure = errors.get(uploadId);
    const err = typeof failure === 'object' ? failure.error : undefined;
    log.warn({ uploadId: uploadId.toString(), root: roots.get(uploadId), from, to, err }, 'pin.failing');
  }
}

/** Whether the cluster answers at all, where nothing else asks it. Always false: there is no more to do. */
export async function probeCluster(deps: PinDeps, signal: AbortSignal): Promise<boolean> {
  try {
    await deps.cluster.version(signal);
    await tellAnswered(deps);
  } catch (error) {
    signal.throwIfAborted();
    await tellFailing(deps, error);
  }
  return false;
}

async function tellAnswered({ db, log }: PinDeps): Promise<void> {
  if (await noteAnswered(db)) log.info({}, 'pin.cluster_answers');
}

async function tellFailing({ db, log }: PinDeps, error: unknown): Promise<void> {
  const err = describeError(error);
  if (await noteFailing(db, err)) log.warn({ err }, 'pin.cluster_unreachable');
}

/** Nothing is known of these pins, so nothing is told of them; that the cluster is gone is. */
export async function putBack(deps: PinDeps, pins: readonly DuePin[], error: unknown): Promise<void> {
  const isGone = error instanceof ClusterUnreachable;
  await giveBack(deps.db, pins, isGone ? UNREACHED_MS : 0);
  if (isGone) await tellFailing(deps, error);
}
