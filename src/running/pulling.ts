import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { receiveLimits } from '../aggregate/receive/receive-limits.ts';
import type { Foundation } from './foundation.ts';
import { createFetcher } from '../outgoing/fetcher.ts';
import type { Sources } from '../pulls/open-source.ts';
import { endPullLeases } from '../pulls/pull-lease.ts';
import { listWaitingPulls } from '../pulls/pull-store.ts';
import { runNextPull } from '../pulls/pull.ts';
import { sweepSpools } from '../pulls/spool.ts';
import type { Config } from '../config.ts';
import type { Receiver } from './receiving.ts';

/** Where uploads by URL may come from. */
export function pullSources({ pulls }: Config): Sources {
  const { s3Places, ...rules } = pulls;
  return { fetcher: createFetcher(rules), s3Places };
}

/** Fetches uploads by URL; a stop of the service ends what is in hand at once, to go on from there. */
export async function beginPulling(base: Foundation, receiver: Receiver, stop: AbortSignal): Promise<void> {
  const { config, database, jobs, clock, random, log } = base;
  const db = database.kysely;
  if (database.soleOwner) await endPullLeases(db);
  const deps = {
    db,
    jobs,
    clock,
    random,
    log,
    sources: pullSources(config),
    receive: receiver.receive,
    limits: receiveLimits(config),
    folder: spoolFolder(config),
    configuredNames: config.apiTokens.map(({ name }) => name),
    holder: randomUUID(),
  };
  await jobs.work('pull', async (due, signal) => {
    for (const _job of due) await runNextPull(deps, AbortSignal.any([signal, stop]));
  });
}

/** Forgets what came of pulls that were cancelled, or that another machine fetched. */
export async function sweepPulls({ config, database, log }: Foundation): Promise<void> {
  const removed = await sweepSpools(spoolFolder(config), (ids) => listWaitingPulls(database.kysely, ids));
  if (removed > 0) log.info({ removed }, 'pulls.unfinished_removed');
}

function spoolFolder({ dataDir }: Config): string {
  return join(dataDir, 'pulls');
}
