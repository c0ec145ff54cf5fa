import { sealNow } from './aggregate/place/stow.ts';
import { NotReady } from './api/health.ts';
import { createServer } from './api/server.ts';
import type { Server } from './api/answers/typed-server.ts';
import { listeningUrl, type Config } from './config.ts';
import { auditSeal } from './deals/audit.ts';
import { findProposing } from './deals/propose/pause.ts';
import { addProvider } from './deals/providers/providers.ts';
import { createStatusReader } from './deals/status/status-reader.ts';
import { describeError, LadingError } from './errors.ts';
import { openFoundation, type Foundation, type ServiceOptions } from './running/foundation.ts';
import { sweepAtStart } from './running/keeping.ts';
import { freeBytesIn } from './storage/free-bytes.ts';
import { pullSources } from './running/pulling.ts';
import { createReceiver, type Receiver } from './running/receiving.ts';
import { wakeProposals } from './running/wake-proposals.ts';
import { wantPinsOnCompletion } from './pins/pin-wishes.ts';
import { openWork, type Work } from './running/work.ts';
import type { Log } from './log/log.ts';
import { runLoop } from './jobs/run-loop.ts';
import { readyFirstLoad } from './dashboard/routes.ts';
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

/** What everybody may know who asks whether the service is ready. */
async function readNotices({ database }: Foundation): Promise<Record<string, string>> {
  const { proposing, since } = await findProposing(database.kysely);
  return proposing ? {} : { proposing: `paused since ${since.toISOString()}` };
}

function createApi(base: Foundation, work: Work, receiver: Receiver) {
  const { config, log, clock, database, network, store, jobs, chain, rpcHealth, pieceTokens } = base;
  const { kysely } = database;
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
    sessionSecret: base.sessionSecret,
    networkName: config.network,
    rpcHealth,
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
    ...(work.pinView !== undefined && { pinView: work.pinView }),
    readiness: readiness(base, work),
    notices: () => readNotices(base),
    metrics: {
      contentType: base.metrics.contentType,
      text: base.metrics.scraper({
        kysely,
        store,
        disk: { freeBytes: () => freeBytesIn(config.dataDir) },
        clock,
        rpcHealth,
      }),
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
    receiveCar: (input) => receiver.receive(input),
    pullSources: pullSources(config),
    delegates: work.delegates,
    expectBytes: receiver.expect,
    onOwned: config.ipfsCluster && wantPinsOnCompletion(jobs),
    sealAggregate: (id, act) =>
      sealNow({ db: kysely, jobs, clock, rules: config.sealing, log }, id, auditSeal(id, act, clock.now())),
  });
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
  const receiver = createReceiver(base);
  // Whoever was cut off while closing may still be in a group: database and store stay until that is written.
  stack.defer(() => receiver.idle());
  const work = stack.use(await openWork(base, receiver, signal));
  const api = config.roles.includes('api') ? createApi(base, work, receiver) : undefined;
  if (api !== undefined) stack.defer(() => api.close());
  const url = api && (await listen(api, config));
  await work.begin({ publicUrl: config.publicUrl ?? url ?? listeningUrl(config.host, config.port) });
  base.log.info(
    { url, roles: config.roles, network: config.network, publicUrl: config.publicUrl ?? url },
    'service.started',
  );
  if (api !== undefined) {
    readyFirstLoad().catch((error: unknown) => base.log.warn({ err: describeError(error) }, 'dashboard.not_ready'));
  }
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
