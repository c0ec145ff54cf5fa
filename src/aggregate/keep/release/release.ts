import type { Kysely } from 'kysely';
import type { Clock } from '../../../clock.ts';
import type { DB } from '../../../db/tables.ts';
import { whileAlone } from '../../../db/while-alone.ts';
import { describeError } from '../../../errors.ts';
import type { Log } from '../../../log/log.ts';
import type { ObjectStore } from '../../../storage/store.ts';
import { findSealed } from '../../aggregate-rows.ts';
import { listReleasable, releaseBytes } from './release-store.ts';
import { writeProofs } from './write-proofs.ts';

export interface ReleaseDeps {
  db: Kysely<DB>;
  store: ObjectStore;
  clock: Clock;
  log: Log;
  /** How long the wanted replicas must have been active. */
  retentionMs: number;
  /** Only for tests: as the chunks of aggregates were hashed. */
  chunkBytes?: number;
}

/** Aggregates of one round; the others wait for the next. */
const ROUND_AGGREGATES = 100;

/**
 * Releases the bytes of aggregates that are kept well enough without us; answers how many. First all proofs, then one
 * transaction, then the sweep: a process that dies anywhere leaves what the next round does again. One that cannot be
 * proven keeps its bytes, is told in the log, and does not stop the others. Only one process releases at a time.
 */
export async function releaseAll(deps: ReleaseDeps, signal: AbortSignal): Promise<number> {
  return (await whileAlone(deps.db, 'release', () => releaseRound(deps, signal))) ?? 0;
}

async function releaseRound(deps: ReleaseDeps, signal: AbortSignal): Promise<number> {
  const rule = { activeBefore: new Date(deps.clock.now().getTime() - deps.retentionMs) };
  let released = 0;
  for (const { id } of await listReleasable(deps.db, rule, { limit: ROUND_AGGREGATES })) {
    signal.throwIfAborted();
    try {
      if (await releaseOne(deps, id, signal)) released += 1;
    } catch (error) {
      if (signal.aborted) throw error;
      deps.log.error({ aggregateId: id.toString(), err: describeError(error) }, 'aggregate.release_failed');
    }
  }
  return released;
}

async function releaseOne(deps: ReleaseDeps, id: bigint, signal: AbortSignal): Promise<boolean> {
  const aggregate = await findSealed(deps.db, id);
  if (aggregate === undefined) return false;
  const proofsKey = await writeProofs(deps, aggregate, signal);
  const at = deps.clock.now();
  const rule = { activeBefore: new Date(at.getTime() - deps.retentionMs) };
  const released = await releaseBytes(deps.db, { id, proofsKey, at }, rule);
  const fields = { aggregateId: id.toString(), pieceCid: aggregate.pieceCid, carBytes: aggregate.carBytes, proofsKey };
  if (released) deps.log.info(fields, 'aggregate.bytes_released');
  return released;
}
