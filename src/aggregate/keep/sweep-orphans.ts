import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { listNamedKeys } from '../receive/upload-store.ts';

/** An object's row is committed within seconds of the object; a process that takes an hour for it is long dead. */
const ORPHAN_GRACE_MS = 3_600_000;
/** Keys of one query: bounds memory, and stays far below PostgreSQL's 65,535 parameters. */
const BATCH_KEYS = 1_000;
/** Only objects of receiving: what other stages write under other prefixes is theirs to sweep. */
const PREFIX = 'runs/';

interface SweepDeps {
  kysely: Kysely<DB>;
  store: ObjectStore;
  clock: Clock;
}

/**
 * Removes objects of receiving that no row names: what a process left that died between the object's commit and the
 * transaction's. Answers how many. Objects younger than the grace may still get their row.
 */
export async function sweepOrphans(
  deps: SweepDeps,
  graceMs: number = ORPHAN_GRACE_MS,
  signal?: AbortSignal,
): Promise<number> {
  const before = deps.clock.now().getTime() - graceMs;
  let removed = 0;
  let batch: string[] = [];
  for await (const { key, modifiedAt } of deps.store.list()) {
    signal?.throwIfAborted();
    if (!key.startsWith(PREFIX) || modifiedAt.getTime() > before) continue;
    batch.push(key);
    if (batch.length < BATCH_KEYS) continue;
    removed += await removeUnnamed(deps, batch);
    batch = [];
  }
  return removed + (await removeUnnamed(deps, batch));
}

async function removeUnnamed({ kysely, store }: SweepDeps, keys: string[]): Promise<number> {
  if (keys.length === 0) return 0;
  const named = await listNamedKeys(kysely, keys);
  const orphans = keys.filter((key) => !named.has(key));
  for (const key of orphans) await store.remove(key);
  return orphans.length;
}
