import { createChain, createChainPool, type ChainPool } from '../chain/chain.ts';
import type { EndpointHealth } from '../chain/endpoint-health.ts';
import { createRpc, type RpcPool } from '../chain/rpc.ts';
import { systemClock, type Clock } from '../clock.ts';
import type { Config } from '../config.ts';
import { endLeases } from '../deals/send/attempt-lease.ts';
import { createPieceTokens, type PieceTokens } from '../deals/send/piece-token.ts';
import { webhookSecret } from '../events/webhook-signature.ts';
import { lastEpochBy } from '../filecoin/epoch.ts';
import { networks } from '../filecoin/networks.ts';
import { startJobs, type JobEngine } from '../jobs/jobs.ts';
import type { Log } from '../log/log.ts';
import { countStore } from '../metrics/count-store.ts';
import { createMetrics, type Metrics } from '../metrics/metrics.ts';
import { openNetwork, type OwnNetwork } from '../network.ts';
import { openDatabase, type OpenDatabase } from '../open-database.ts';
import { pinTimes, type PinTimes } from '../pins/decide-pin.ts';
import { openStore } from '../storage/open-store.ts';
import type { ServiceStore } from '../storage/store.ts';
import { sweepStaging } from './sweep-staging.ts';
import { ownTokenSecret } from '../token-secret.ts';

export interface ServiceOptions {
  log: Log;
  /** Aborts a start that is under way. */
  signal: AbortSignal;
  clock?: Clock;
  random?: () => number;
  /** When pins are looked at, and when an error is a failure. */
  pinTimes?: PinTimes;
}

/** What every role stands on. */
export interface Foundation {
  config: Config;
  log: Log;
  clock: Clock;
  random: () => number;
  database: OpenDatabase;
  network: OwnNetwork;
  store: ServiceStore;
  jobs: JobEngine;
  /** Undefined: no CHAIN_RPC_URL, so nothing is proposed or watched. */
  chain: ChainPool | undefined;
  /** How the endpoints of the chain fare. */
  rpcHealth: (() => EndpointHealth[]) | undefined;
  metrics: Metrics;
  pieceTokens: PieceTokens;
  pinTimes: PinTimes;
  /** Key of the dashboard's sessions. */
  sessionSecret: string;
  /** Signs the calls of this webhook. */
  webhookSecret(webhookId: string): string;
}

type RpcDeps = Pick<Foundation, 'clock' | 'log' | 'random' | 'metrics'>;

/** Nothing that an endpoint says is believed before it has shown the genesis of our network. */
function openRpc(config: Config, network: OwnNetwork, { clock, log, random, metrics }: RpcDeps): RpcPool {
  const { genesisSeconds } = networks[config.network];
  return createRpc({
    endpoints: config.rpcEndpoints,
    clock,
    random,
    onRequest: metrics.counters.rpcRequested,
    onHealth: (health) => {
      if (health.state === 'resting') log.warn({ ...health }, 'chain.endpoint_resting');
      else if (['behind', 'ahead', 'differs', 'disputed'].includes(health.standing))
        log.warn({ ...health }, 'chain.endpoint_passed_over');
      else log.info({ ...health }, 'chain.endpoint_well');
    },
    ...(genesisSeconds !== undefined && { lastEpoch: () => lastEpochBy(genesisSeconds, clock.now()) }),
    admit: (endpoint, signal) => network.meet(createChain(endpoint), signal),
  });
}

/** Opens database, store, jobs and chain in this order; `stack` closes them in the other. */
export async function openFoundation(
  config: Config,
  options: ServiceOptions,
  stack: AsyncDisposableStack,
): Promise<Foundation> {
  const { log, signal, clock = systemClock, random = Math.random } = options;
  const metrics = createMetrics();
  const database = stack.use(await openDatabase(config, { log, signal }));
  const network = await openNetwork(database.kysely, config.network);
  const store = countStore(await openStore(config.storeUrl), metrics.counters);
  stack.defer(() => store.close());
  // Only a folder next to our own database is surely ours alone; a bucket may have other users, so there age decides.
  if (database.soleOwner && config.storeUrl.startsWith('file:')) await sweepStaging({ store, log }, 0);
  const jobs = stack.use(await startJobs({ url: database.url, clock, log, onRun: metrics.counters.jobRan }));
  const requeued = database.soleOwner ? await jobs.requeueActive() : 0;
  if (database.soleOwner) await endLeases(database.kysely, clock.now());
  if (requeued > 0) log.info({ jobs: requeued }, 'jobs.requeued');
  const rpc = config.rpcEndpoints.length === 0 ? undefined : openRpc(config, network, { clock, log, random, metrics });
  if (rpc !== undefined) stack.defer(() => rpc.close());
  const secret = config.tokenSecret ?? (await ownTokenSecret(config.dataDir));
  const pieceTokens = createPieceTokens(secret);
  const secretOf = (webhookId: string) => webhookSecret(secret, webhookId);
  const chain = rpc && createChainPool(rpc);
  const rpcHealth = rpc && (() => rpc.health());
  const opened = { config, log, clock, random, database, network, store, jobs, chain, rpcHealth, metrics };
  return {
    ...opened,
    pinTimes: options.pinTimes ?? pinTimes,
    pieceTokens,
    sessionSecret: secret,
    webhookSecret: secretOf,
  };
}
