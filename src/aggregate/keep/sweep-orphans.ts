import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { listNeededKeys } from './named-objects.ts';

/** An object's row is committed within seconds of the object; a process that takes an hour for it is long dead. */
const ORPHAN_GRACE_MS = 3_600_000;
/** Keys of one query: bounds memory, and stays far below PostgreSQL's 65,535 parameters. */
const BATCH_KEYS = 1_000;
/** Between batches, so that a store of millions of objects is walked beside the work and not before it. */
const BATCH_PAUSE_MS = 100;
/** Objects that wait for their second look, about 100 bytes each; more of them wait for the pass after. */
const MAX_SUSPECTS = 100_000;
/** What is written by stages of ours, and by a doctor that died over it; anything else in the store is left alone. */
const PREFIXES = ['runs/', 'trees/', 'proofs/', 'cars/', 'doctor/'];

interface SweepDeps {
  kysely: Kysely<DB>;
  store: ObjectStore;
  clock: Clock;
}

/** Objects that nothing named when they were last looked at, and since when, in milliseconds since 1970. */
export type Suspects = Map<string, number>;

interface SweepOptions {
  /** An object younger than this, or not unnamed for this long, may still get its row. 0: it may not, it goes at once. */
  graceMs?: number;
  /** Where one pass leaves its suspects for the next. */
  suspects?: Suspects;
  pauseMs?: number;
  signal?: AbortSignal;
}

/**
 * Removes objects that nothing names: what a process left that died between the object and its row, what was removed or
 * released since. An object goes when it was unnamed in two passes the grace apart, because its age alone says little:
 * stores that take an object in pieces date it from the first. Without `suspects` one look is enough. Answers how many.
 */
export async function sweepOrphans(deps: SweepDeps, options: SweepOptions = {}): Promise<number> {
  const { graceMs = ORPHAN_GRACE_MS, pauseMs = BATCH_PAUSE_MS, signal } = options;
  const before = deps.clock.now().getTime() - graceMs;
  const seen: Suspects = new Map();
  let removed = 0;
  let batch: string[] = [];
  for await (const { key, modifiedAt } of deps.store.list()) {
    signal?.throwIfAborted();
    if (!PREFIXES.some((prefix) => key.startsWith(prefix)) || modifiedAt.getTime() > before) continue;
    batch.push(key);
    if (batch.length < BATCH_KEYS) continue;
    removed += await sweepBatch(deps, batch, { before, seen, known: options.suspects });
    batch = [];
    await delay(pauseMs, undefined, { signal });
  }
  removed += await sweepBatch(deps, batch, { before, seen, known: options.suspects });
  keepSuspects(options.suspects, seen);
  return removed;
}

interface Pass {
  before: number;
  /** The suspects of this pass. */
  seen: Suspects;
  /** Those of the last one; undefined: one look is enough. */
  known: Suspects | undefined;
}

async function sweepBatch({ kysely, store, clock }: SweepDeps, keys: string[], pass: Pass): Promise<number> {
  const needed = await listNeededKeys(kysely, keys);
  let removed = 0;
  for (const key of keys) {
    if (needed.has(key)) continue;
    const since = pass.known === undefined ? pass.before : (pass.known.get(key) ?? clock.now().getTime());
    if (since <= pass.before) {
      await store.remove(key);
      removed += 1;
    } else if (pass.seen.size < MAX_SUSPECTS) pass.seen.set(key, since);
  }
  return removed;
}

function keepSuspects(known: Suspects | undefined, seen: Suspects): void {
  if (known === undefined) return;
  known.clear();
  for (const [key, since] of seen) known.set(key, since);
}
