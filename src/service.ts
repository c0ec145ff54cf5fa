import { join } from 'node:path';
import { GroupCommit } from './aggregate/receive/commit-group.ts';
import { receiveCar } from './aggregate/receive/receive.ts';
import { receiveLimits } from './aggregate/receive/receive-limits.ts';
import { sealNow } from './aggregate/place/stow.ts';
import { createQuota } from './aggregate/keep/quota.ts';
import { NotReady } from './api/health.ts';
import { createServer } from './api/server.ts';
import type { Server } from './api/answers/typed-server.ts';
import { listeningUrl, type Config } from './config.ts';
import { auditSeal } from './deals/audit.ts';
import { addProvider } from './deals/providers/providers.ts';
import { createStatusReader } from './deals/status/status-reader.ts';
import { LadingError } from './errors.ts';
import { openFoundation, type Foundation, type ServiceOptions } from './foundation.ts';
import { sweepAtStart } from './keeping.ts';
import { wakeProposals } from './wake-proposals.ts';
import { openWork, type Work } from './work.ts';
import type { Log } from './log.ts';
import { runLoop } from './run-loop.ts';
import { createDatabaseTokens, type DatabaseTokens } from './tokens/database-tokens.ts';

/** When a token was last used is for people: a minute is near enough. */
const LAST_USED_MS = 60_000;

export interface Service extends AsyncDisposable {
  /** Where the API listens; undefined where this process has no role `api`. */
  readonly url: string | undefined;
  /** Resolves with the reason when something ended that the service cannot go on without, such as its own database. */
  readonly broken: Promise<string>;
  /** Finishes what is in hand, within 10 s, and closes everything. */
  stop(): Promise<void>;
}

function readiness({ database, store }: Foundation, work: Work) {
  return {
    database: async () => void (await database.pool.query('select 1')),
    store: () => store.probe(),
    chain: async () => {
      const { degraded, fault } = work.chainView();
      if (fault !== undefined) throw new NotReady(degraded.join('; '), fault.since);
    },
  };
}

function createApi(base: Foundation, work: Work) {
  const { config, log, clock, database, network, store, jobs, chain, rpcHealth, pieceTokens } = base;
  const { kysely } = database;
  const limits = receiveLimits(config);
  const spillFolder = join(config.dataDir, 'spill');
  const groups = new GroupCommit({ kysely, store, jobs, clock, log });
  const quota = createQuota({ kysely, clock, quotaBytes: config.storeQuotaBytes });
  const configuredNames = config.apiTokens.map(({ name }) => name);
  const databaseTokens = createDatabaseTokens({ kysely, clock, log, configuredNames });
  const server = createServer({
    kysely,
    statuses: createStatusReader(base.database),
    store,
    clock,
    log,
    tokens: config.apiTokens,
    databaseTokens,
    publicCheck: config.publicCheck,
    rateLimits: config.rateLimits,
    trustProxy: config.trustProxy,
    corsOrigins: config.corsOrigins,
    pieceRate: config.pieceRate,
    webhookSecret: base.webhookSecret,
    webhookRules: config.webhooks,
    sealRules: config.sealing,
    jobs,
    dealNetwork: () => network.dealNetwork(),
    chainView: work.chainView,
    outlooks: work.outlooks,
    readiness: readiness(base, work),
    metrics: {
      contentType: base.metrics.contentType,
      text: base.metrics.scraper({ kysely, store, clock, rpcHealth }),
    },
    metricsFrom: config.metricsFrom,
    onAnswered: base.metrics.counters.requestAnswered,
    onPieceBytes: base.metrics.counters.pieceServed,
    verifyPieceToken: (token) => pieceTokens.verify(token),
    pieceTokens,
    publicUrl: config.publicUrl,
    addProvider: (given) => addProvider({ db: kysely, chain, clock }, given),
    providersChanged: () => wakeProposals(kysely, jobs),
    policyChanged: () => wakeProposals(kysely, jobs),
    receiveCar: async (input) => {
      await quota.expect(input.declaredBytes ?? 0);
      return receiveCar(
        { kysely, store, jobs, clock, limits, log, groups, spillFolder },
        { ...input, body: quota.meter(input.body) },
      );
    },
    sealAggregate: (id, act) =>
      sealNow({ db: kysely, jobs, clock, rules: config.sealing, log }, id, auditSeal(id, act, clock.now())),
  });
  // Whoever was cut off while closing may still be in a group: database and store stay until that is written.
  server.addHook('onClose', () => groups.idle());
  keepLastUsed(server, databaseTokens, log);
  return server;
}

/** Off the path of requests: now and then, and a last time when no more come. */
function keepLastUsed(server: Server, databaseTokens: DatabaseTokens, log: Log): void {
  const ending = new AbortController();
  const { signal } = ending;
  const loop = runLoop({ name: 'tokens-last-used', everyMs: LAST_USED_MS, jitter: 0.2, signal, log }, async () => {
    await databaseTokens.saveLastUsed();
    return false;
  });
  server.addHook('onClose', async () => {
    ending.abort();
    await loop;
    await databaseTokens.saveLastUsed().catch(() => undefined);
  });
}

type Api = ReturnType<typeof createApi>;

async function listen(api: Api, { host, port }: Config): Promise<string> {
  await api.listen({ host, port }).catch((cause: unknown) => {
    throw new LadingError(
      'LISTEN_FAILED',
      `cannot listen at ${listeningUrl(host, port)}: choose another address by HOST and PORT`,
      { cause },
    );
  });
  const address = api.server.address();
  return listeningUrl(host, typeof address === 'object' && address !== null ? address.port : port);
}

/**
 * Puts the service together and starts it: database, store, jobs, chain, then the API, then the work of its roles.
 * Nothing is left running when any part fails to start.
 */
export async function startService(config: Config, options: ServiceOptions): Promise<Service> {
  await using stack = new AsyncDisposableStack();
  const base = await openFoundation(config, options, stack);
  const stopping = new AbortController();
  stack.defer(() => stopping.abort());
  sweepAtStart(base, stopping.signal);
  // A start that is called off must not wait for a chain that does not answer.
  const signal = AbortSignal.any([stopping.signal, options.signal]);
  const work = stack.use(await openWork(base, signal));
  const api = config.roles.includes('api') ? createApi(base, work) : undefined;
  if (api !== undefined) stack.defer(() => api.close());
  const url = api && (await listen(api, config));
  await work.begin({ publicUrl: config.publicUrl ?? url ?? listeningUrl(config.host, config.port) });
  base.log.info(
    { url, roles: config.roles, network: config.network, publicUrl: config.publicUrl ?? url },
    'service.started',
  );
  const owned = stack.move();
  return createHandle({ url, base, api, work, stopping, owned });
}

interface Running {
  url: string | undefined;
  base: Foundation;
  api: Api | undefined;
  work: Work;
  stopping: AbortController;
  owned: AsyncDisposableStack;
}

function createHandle({ url, base, api, work, stopping, owned }: Running): Service {
  let stopped: Promise<void> | undefined;
  const stop = async () => {
    base.log.info({}, 'service.stopping');
    stopping.abort();
    // Side by side, because each has most of the 10 s for what it has in hand; only then what they stand on.
    await Promise.all([api?.close(), base.jobs.stop(), work[Symbol.asyncDispose]()]);
    await owned.disposeAsync();
    base.log.info({}, 'service.stopped');
  };
  const once = () => (stopped ??= stop());
  const broken = base.database.ended.then((words) => `the embedded PostgreSQL ended by itself: ${words}`);
  return { url, broken, stop: once, [Symbol.asyncDispose]: once };
}
