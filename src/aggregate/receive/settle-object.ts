import type { ReceiveDeps } from './receive.ts';
import { attemptTransaction, type Attempt } from './attempt-transaction.ts';
import { settleUpload, type SettleInput, type Settled } from './settle-upload.ts';

const SEGMENT_PREFIX = 'runs/s-';

/**
 * The key of an object that holds the runs of several uploads. It shows, so that nobody removes the object for the sake of
 * one upload: only the sweep does, when no row names it.
 */
export function segmentKey(uuid: string): string {
  return `${SEGMENT_PREFIX}${uuid}`;
}

type SettleDeps = Pick<ReceiveDeps, 'kysely' | 'jobs' | 'store' | 'log' | 'onComplete'>;

/** One upload in a transaction of its own; objects of one upload that it made useless are removed. */
export async function trySettle(deps: SettleDeps, input: SettleInput): Promise<Attempt<Settled>> {
  const attempt = await attemptTransaction(deps.kysely, (trx) => settleUpload(trx, deps, input));
  if (!attempt.done) return attempt;
  for (const key of attempt.result.unneeded) if (!key.startsWith(SEGMENT_PREFIX)) await dropObject(deps, key);
  return attempt;
}

/** An object that stays by a fault here is removed by sweepOrphans. */
export async function dropObject({ store, log }: Pick<SettleDeps, 'store' | 'log'>, objectKey: string): Promise<void> {
  try {
    await store.remove(objectKey);
  } catch (error) {
    log.warn({ objectKey, err: error }, 'upload.object_left');
  }
}
