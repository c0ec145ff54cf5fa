import { receiveCar } from './aggregate/receive/receive.ts';
import { receiveLimits } from './aggregate/receive/receive-limits.ts';
import { sealNow } from './aggregate/place/stow.ts';
import { sweepOrphans } from './aggregate/keep/sweep-orphans.ts';
import { createServer } from './api/server.ts';
import { systemClock } from './clock.ts';
import { listeningUrl, type Config } from './config.ts';
import { addProvider } from './deals/providers/providers.ts';
import { describeError, LadingError } from './errors.ts';
import { openFoundation, type Foundation, type ServiceOptions } from './foundation.ts';
import { wakeProposals } from './wake-proposals.ts';
import { openWork, type Work } from './work.ts';

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
      const [fault] = work.chainView().degraded;
      if (fault !== undefined) throw new Error(fault);
    },
  };
}

function createApi(base: Foundation, work: Work) {
  const { config, log, clock, database, network, store, jobs, chain, pieceTokens } = base;
  const { kysely } = database;
  const limits = receiveLimits({ ...config, pieceBytes: config.sealing.pieceBytes });
  return createServer({
    kysely,
    store,
    clock,
    log,
    tokens: config.apiTokens,
    publicCheck: config.publicCheck,
    sealRules: config.sealing,
    dealNetwork: () => network.dealNetwork(),
    chainView: work.chainView,
    readiness: readiness(base, work),
    verifyPieceToken: (token) => pieceTokens.verify(token),
    addProvider: (given) => addProvider({ db: kysely, chain, clock }, given),
    providersChanged: () => wakeProposals(kysely, jobs),
    receiveCar: (input) => receiveCar({ kysely, store, jobs, clock, limits, log }, input),
    sealAggregate: (id) => sealNow({ db: kysely, jobs, clock, rules: config.sealing, log }, id),
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

/** What a crash between an object and its row left; nobody waits for it. Alone, whatever is older than this start is ours; ages are of files, so the clock is the system's. */
function sweepObjects({ config, database, store, log }: Foundation, signal: AbortSignal): void {
  const graceMs = database.soleOwner && config.storeUrl.startsWith('file:') ? 0 : undefined;
  sweepOrphans({ kysely: database.kysely, store, clock: systemClock }, graceMs, signal).then(
    (removed) => removed > 0 && log.info({ removed }, 'store.orphans_removed'),
    (error: unknown) => signal.aborted || log.warn({ err: describeError(error) }, 'store.orphan_sweep_failed'),
  );
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
  sweepObjects(base, stopping.signal);
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
