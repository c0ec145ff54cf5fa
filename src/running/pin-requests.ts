import type { Foundation } from './foundation.ts';
import { createFetcher } from '../outgoing/fetcher.ts';
import { wantPinsOnCompletion } from '../pins/pin-wishes.ts';
import { createFetchHandler } from '../pins/requests/fetch-handler.ts';
import { createSources } from '../pins/requests/sources.ts';
import type { Receiver } from './receiving.ts';

/** The fetching of what is to be pinned by CID. */
export interface PinFetching {
  /** Where clients connect to, so that our IPFS node finds them. */
  delegates(): Promise<readonly string[]>;
  /** From here on this process fetches. */
  begin(): Promise<void>;
}

export function createPinFetching(base: Foundation, receiver: Receiver, stack: AsyncDisposableStack): PinFetching {
  const { config, database, jobs, clock, log, random } = base;
  const { allowPrivate, networks } = config.pulls;
  const rules = { allowPrivate, networks };
  const strangers = stack.adopt(createFetcher(rules), (made) => made.close());
  // Those of the configuration are the operator's own, wherever they are.
  const ours = stack.adopt(createFetcher({ allowPrivate: true }), (made) => made.close());
  const sources = createSources({ strangers, ours, ...config.ipfsSources, rules, log });
  const handler = createFetchHandler({
    kysely: database.kysely,
    jobs,
    clock,
    log,
    random,
    receive: receiver.receive,
    maxUploadBytes: config.maxUploadBytes,
    configuredNames: config.apiTokens.map(({ name }) => name),
    giveUpMs: config.uploadTimeoutMs,
    sourcesOf: sources.of,
    onOwned: config.ipfsCluster && wantPinsOnCompletion(jobs),
  });
  return { delegates: sources.delegates, begin: () => jobs.work('fetch', handler) };
}
