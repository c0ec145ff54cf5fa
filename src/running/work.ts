import { randomUUID } from 'node:crypto';
import { createQuota } from '../aggregate/keep/quota.ts';
import { failStale } from '../aggregate/receive/fail-stale.ts';
import { hashChunks } from '../aggregate/seal/hash-chunks.ts';
import { seal } from '../aggregate/seal/seal.ts';
import { cutUpload } from '../aggregate/place/cut.ts';
import { DirectoryCounts } from '../aggregate/place/crowded-directories.ts';
import { stow } from '../aggregate/place/stow.ts';
import type { ChainView } from '../api/uploads/status-answer.ts';
import { createForecast, type Outlooks } from '../deals/status/forecast.ts';
import { createProviderTransport } from '../deals/transport/provider-transport.ts';
import { noteFunds } from '../deals/propose/note-funds.ts';
import { createProposeHandler } from '../deals/propose/propose-handler.ts';
import { createRestoreHandler } from '../deals/restore/restore.ts';
import { createStatusHandler } from '../deals/send/ask-status.ts';
import { callOffStalled } from '../deals/send/call-off.ts';
import { wakeRenewals } from '../deals/renew.ts';
import { createSendHandler } from '../deals/send/send.ts';
import { keepClientIds } from '../deals/wallet/client-id.ts';
import { createWatchView } from '../deals/watch/watch.ts';
import { openWallet } from '../deals/wallet/open-wallet.ts';
import { WebhookDelivery } from '../events/deliver-webhooks.ts';
import { releaseAll } from '../events/webhook-lease.ts';
import { machineEngine } from '../hashing/commp-engine.ts';
import type { Foundation } from './foundation.ts';
import { beginKeeping, type AddLoop } from './keeping.ts';
import { countProviderAnswers } from '../metrics/count-provider-answers.ts';
import { createFetcher } from '../outgoing/fetcher.ts';
import { beginPulling, sweepPulls } from './pulling.ts';
import type { Receiver } from './receiving.ts';
import { createPinFetching, type PinFetching } from './pin-requests.ts';
import { createPinning, type Pinning } from './pinning.ts';
import { foldCounts } from '../ops/fold-counts.ts';
import { runLoop } from '../jobs/run-loop.ts';
import { sweepJobs, type SweepCursors } from './sweep.ts';
import { sweepStaging } from './sweep-staging.ts';
import { createWatching, type Watching } from './watching.ts';

/** What a process does besides answering: the handlers and loops of its roles. */
export interface Work extends AsyncDisposable {
  /** How fresh our view of the chain is. */
  chainView(): ChainView;
  /** How long things take until they are active, by what was measured. */
  outlooks(): Outlooks;
  /** What is wrong with what is known of pins; undefined: no IPFS Cluster is configured. */
  pinView: Pinning['view'] | undefined;
  /** Where clients connect to whose blocks are to be fetched. */
  delegates: PinFetching['delegates'];
  /** Takes up work; from here on things happen. `publicUrl` is where providers reach us. */
  begin(options: { publicUrl: string }): Promise<void>;
}

/** A job lost to a fault waits this long; the first sweep is at start. */
const SWEEP_MS = 30_000;
/** What is looked for is a day old. */
const STAGING_SWEEP_MS = 3_600_000;
/** What is forecast are hours and days. */
const FORECAST_MS = 60_000;
/** One short query, most often; what is new is with its receivers in less than a second. */
const WEBHOOKS_MS = 250;
/** What money is left is a matter of days; three calls of a node cost nothing. */
const FUNDS_MS = 120_000;
/** Of hours, a minute is soon enough. */
const CALL_OFF_MS = 60_000;
/** Renewals have weeks; those due are spread over days by their slots, and looked for once an hour. */
const RENEW_MS = 3_600_000;
const JITTER = 0.1;

const NO_CHAIN: ChainView = {
  asOf: undefined,
  degraded: ['no chain is configured (CHAIN_RPC_URL)'],
  fault: { since: undefined },
};

async function beginAggregate(base: Foundation): Promise<void> {
  const { jobs, clock, random, log, store, database, config } = base;
  const common = { db: database.kysely, jobs, clock, log };
  log.info({ engine: machineEngine().description }, 'commp.engine');
  const directories = new DirectoryCounts();
  await jobs.work('stow', (_wakeUps, signal) => stow({ ...common, rules: config.sealing, directories }, signal));
  await jobs.work('cut', async (due, signal) => {
    for (const { uploadId } of due) {
      await cutUpload({ ...common, store, rules: config.sealing }, BigInt(uploadId), signal);
    }
  });
  await jobs.work('hash', async (due, signal) => {
    for (const { aggregateId } of due) {
      await hashChunks({ db: database.kysely, store, random }, BigInt(aggregateId), signal);
    }
  });
  await jobs.work('seal', async (due, signal) => {
    for (const { aggregateId } of due) await seal({ ...common, store }, BigInt(aggregateId), signal);
  });
}

/** The proposing stages; what they open is closed by `stack`. */
async function openDeals(
  base: Foundation,
  watching: Watching | undefined,
  { stack, signal: starting }: { stack: AsyncDisposableStack; signal: AbortSignal },
) {
  const { config, jobs, clock, random, log, database, store, pieceTokens } = base;
  const chain = base.chain && keepClientIds(base.chain);
  const { wallet: named, rpcEndpoints: endpoints } = config;
  const wallet = named === undefined ? undefined : stack.use(await openWallet(named, { endpoints, signal: starting }));
  const isDevnet = config.network === 'devnet';
  const allowPrivate = isDevnet || config.allowPrivateProviders;
  const couriers = await createProviderTransport({ isDevnet, allowPrivate, clock });
  stack.defer(() => couriers.close());
  const transport = countProviderAnswers(couriers, base.metrics.counters.providerAnswered);
  const common = { db: database.kysely, jobs, clock, random, log, transport };
  return async (publicUrl: string) => {
    const propose = createProposeHandler({ ...common, chain, wallet, newUuid: randomUUID });
    await jobs.work('propose', async (due, signal) => {
      await watching?.ensureOwnChain(signal);
      await propose(due, signal);
    });
    if (chain === undefined || wallet === undefined) return undefined;
    const { minFreeBytes, storeQuotaBytes: quotaBytes } = config;
    const quota = createQuota({ kysely: database.kysely, clock, quotaBytes });
    const restore = createRestoreHandler({ ...common, chain, store, allowPrivate, minFreeBytes, quota });
    await jobs.work('restore', restore);
    const send = createSendHandler({ ...common, chain, wallet, pieceTokens, publicUrl });
    await jobs.work('send', async (due, signal) => {
      await watching?.ensureOwnChain(signal);
      await send(due, signal);
    });
    const view = createWatchView();
    const ask = createStatusHandler({ ...common, chain, wallet, view, lookbackEpochs: config.lookbackEpochs });
    await jobs.work('status', async (due, signal) => {
      await watching?.ensureOwnChain(signal);
      await ask(due, signal);
    });
    return async (signal: AbortSignal) => {
      await watching?.ensureOwnChain(signal);
      await noteFunds({ db: database.kysely, chain, wallet }, signal);
      return false;
    };
  };
}

/** Those of this process, by the role that has to do with the outside. A database of our own has no other deliverer. */
async function openWebhooks(base: Foundation, stack: AsyncDisposableStack): Promise<WebhookDelivery | undefined> {
  const { config, clock, random, log, database, network } = base;
  if (!config.roles.includes('api')) return undefined;
  const fetcher = stack.adopt(createFetcher(config.webhooks), (made) => made.close());
  if (database.soleOwner) await releaseAll(database.kysely);
  return new WebhookDelivery({
    kysely: database.kysely,
    clock,
    random,
    log,
    letter: () => network.dealNetwork()?.addressLetter ?? 'f',
    secretOf: base.webhookSecret,
    fetcher,
    configuredNames: config.apiTokens.map(({ name }) => name),
    retryForMs: config.webhooks.retryForMs,
    holder: randomUUID(),
  });
}

function beginSweeps(base: Foundation, loop: AddLoop): void {
  const { config, database, jobs, clock, log } = base;
  const { kysely } = database;
  const cursors: SweepCursors = {};
  loop('staging', STAGING_SWEEP_MS, async () => {
    await sweepStaging(base);
    await sweepPulls(base);
    return false;
  });
  loop('sweep', SWEEP_MS, async () => {
    const sent = await sweepJobs({ kysely, jobs, clock, rules: config.sealing }, cursors);
    if (Object.values(sent).some((count) => count > 0)) log.info({ sent }, 'jobs.swept');
    await foldCounts(kysely);
    await failStale({ kysely, clock, log, uploadTimeoutMs: config.uploadTimeoutMs });
    return false;
  });
}

/** Opens what the roles need; nothing is done before `begin`. A chain of another network is refused here. */
export async function openWork(base: Foundation, receiver: Receiver, signal: AbortSignal): Promise<Work> {
  const { config, log, database, jobs, clock } = base;
  await using stack = new AsyncDisposableStack();
  const loops: Promise<void>[] = [];
  const webhooks = await openWebhooks(base, stack);
  stack.defer(async () => {
    await Promise.all(loops);
    await webhooks?.stop();
  });
  const pinning = createPinning(base, stack);
  const fetching = createPinFetching(base, receiver, stack);
  const watching = createWatching(base);
  const forecast = createForecast({ kysely: database.kysely, clock });
  await watching?.tryOwnChain(signal);
  const beginDeals = config.roles.includes('deals') ? await openDeals(base, watching, { stack, signal }) : undefined;
  const owned = stack.move();
  const loop = (name: string, everyMs: number, step: () => Promise<boolean>) =>
    loops.push(runLoop({ name, everyMs, jitter: JITTER, signal, log }, step));
  return {
    chainView: () => watching?.view() ?? NO_CHAIN,
    outlooks: forecast.outlooks,
    pinView: pinning?.view,
    delegates: fetching.delegates,
    async begin({ publicUrl }) {
      if (config.roles.includes('aggregate')) await beginAggregate(base);
      const readFunds = await beginDeals?.(publicUrl);
      if (readFunds !== undefined) loop('funds', FUNDS_MS, () => readFunds(signal));
      if (beginDeals !== undefined && base.chain !== undefined) {
        const { chain } = base;
        loop('renew', RENEW_MS, async () => {
          await watching?.ensureOwnChain(signal);
          const { height } = await chain.head(signal);
          await wakeRenewals({ db: database.kysely, jobs, log }, height);
          return false;
        });
      }
      if (watching !== undefined) loop('watch', watching.everyMs, () => watching.step(signal));
      if (config.roles.includes('deals')) {
        loop('call-off', CALL_OFF_MS, () =>
          callOffStalled({ db: database.kysely, jobs, clock, random: base.random, log }),
        );
      }
      if (config.roles.includes('aggregate')) {
        beginKeeping(base, loop, signal);
        await pinning?.beginActing();
        await fetching.begin();
        await beginPulling(base, receiver, signal);
      }
      for (const { name, everyMs, step } of pinning?.loops() ?? []) loop(name, everyMs, () => step(signal));
      loop('forecast', FORECAST_MS, forecast.refresh);
      if (webhooks !== undefined) {
        loop('webhooks', WEBHOOKS_MS, async () => {
          await webhooks.step(signal);
          return false;
        });
      }
      beginSweeps(base, loop);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
