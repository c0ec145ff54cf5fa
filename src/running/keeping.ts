import { letGo } from '../aggregate/keep/let-go.ts';
import { releaseAll } from '../aggregate/keep/release/release.ts';
import { scrubNext } from '../aggregate/keep/scrub.ts';
import { sweepOrphans, type Suspects } from '../aggregate/keep/sweep-orphans.ts';
import { systemClock } from '../clock.ts';
import { letRestoredGo } from '../deals/restore/restore-store.ts';
import { describeError } from '../errors.ts';
import type { Foundation } from './foundation.ts';

/** A step that runs about every so often, and again at once while it says that it did something. */
export type AddLoop = (name: string, everyMs: number, step: () => Promise<boolean>) => void;

/** Every object of the store is listed: what is looked for costs space and nothing else. */
const ORPHAN_SWEEP_MS = 2 * 3_600_000;
/** What is looked for waits for days. */
const LET_GO_MS = 600_000;
/** As above; a round without anything to release is one query. */
const RELEASE_MS = 600_000;
/** Bytes that were fetched back stay for so long at least: their proposals are to be signed and sent first. */
const RESTORED_MS = 3_600_000;
/** The others wait for the next round. */
const RESTORED_ROUND = 1_000;
/** A step reads about as much as this time allows, so the rate holds within it. */
const SCRUB_MS = 5_000;

/**
 * What a crash between an object and its row left, before anything else runs: alone with a folder next to our own
 * database, whatever is older than this start is ours. Nobody waits for it; ages are of files, so the clock is the
 * system's.
 */
export function sweepAtStart({ config, database, store, log }: Foundation, signal: AbortSignal): void {
  if (!database.soleOwner || !config.storeUrl.startsWith('file:')) return;
  sweepOrphans({ kysely: database.kysely, store, clock: systemClock }, { graceMs: 0, signal }).then(
    (removed) => removed > 0 && log.info({ removed }, 'store.orphans_removed'),
    (error: unknown) => signal.aborted || log.warn({ err: describeError(error) }, 'store.orphan_sweep_failed'),
  );
}

/** The loops that let go of bytes and look after those that stay. */
export function beginKeeping({ config, database, store, clock, log }: Foundation, loop: AddLoop, signal: AbortSignal) {
  const { kysely } = database;
  const { retentionMs, scrubBytesPerSecond: bytesPerSecond } = config;
  const suspects: Suspects = new Map();
  loop('orphans', ORPHAN_SWEEP_MS, async () => {
    const removed = await sweepOrphans({ kysely, store, clock: systemClock }, { suspects, signal });
    if (removed > 0) log.info({ removed }, 'store.orphans_removed');
    return false;
  });
  loop('let-go', LET_GO_MS, () => letGo({ kysely, clock, log }));
  if (retentionMs !== undefined) {
    loop('release', RELEASE_MS, async () => {
      await releaseAll({ db: kysely, store, clock, log, retentionMs }, signal);
      const changedBefore = new Date(clock.now().getTime() - Math.max(retentionMs, RESTORED_MS));
      const aggregates = await letRestoredGo(kysely, clock.now(), { changedBefore, limit: RESTORED_ROUND });
      if (aggregates > 0) log.info({ aggregates }, 'aggregate.restored_let_go');
      return false;
    });
  }
  if (bytesPerSecond > 0) {
    loop('scrub', SCRUB_MS, () => scrubNext({ db: kysely, store, clock, log, bytesPerSecond }, signal));
  }
}
