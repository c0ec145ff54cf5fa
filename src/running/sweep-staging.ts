import type { Log } from '../log/log.ts';
import type { ServiceStore } from '../storage/store.ts';

/** Nobody sends an upload that brings nothing for a day: the process that staged it is dead. */
const STAGING_GRACE_MS = 86_400_000;

/** Removes from the store what killed processes left unfinished. `graceMs` 0: this process is alone, all of it goes. */
export async function sweepStaging(
  { store, log }: { store: Pick<ServiceStore, 'sweepStaging'>; log: Log },
  graceMs: number = STAGING_GRACE_MS,
): Promise<void> {
  const removed = await store.sweepStaging(graceMs);
  if (removed > 0) log.info({ removed }, 'store.unfinished_removed');
}
