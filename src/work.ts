import { randomUUID } from 'node:crypto';
import { failStale } from './aggregate/receive/fail-stale.ts';
import { hashChunks } from './aggregate/seal/hash-chunks.ts';
import { seal } from './aggregate/seal/seal.ts';
import { stow } from './aggregate/place/stow.ts';
import type { ChainView } from './api/status-answer.ts';
import { createLibp2pTransport } from './deals/send/libp2p-transport.ts';
import { createProposeHandler } from './deals/propose/propose-handler.ts';
import { createSendHandler } from './deals/send/send.ts';
import { openWallet } from './deals/wallet.ts';
import { machineEngine } from './hashing/commp-engine.ts';
import type { Foundation } from './foundation.ts';
import { runLoop } from './run-loop.ts';
import { sweepJobs } from './sweep.ts';
import { sweepStaging } from './sweep-staging.ts';
import { createWatching, type Watching } from './watching.ts';

/** What a process does besides answering: the handlers and loops of its roles. */
export interface Work extends AsyncDisposable {
  /** How fresh our view of the chain is. */
  chainView(): ChainView;
  /** Takes up work; from here on things happen. `publicUrl` is where providers reach us. */
  begin(options: { publicUrl: string }): Promise<void>;
}

/** A job lost to a fault waits this long; the first sweep is at start. */
const SWEEP_MS = 30_000;
/** What is looked for is a day old. */
const STAGING_SWEEP_MS = 3_600_000;
const JITTER = 0.1;

async function beginAggregate(base: Foundation): Promise<void> {
  const { jobs, clock, random, log, store, database, config } = base;
  const common = { db: database.kysely, jobs, clock, log };
  log.info({ engine: machineEngine().description }, 'commp.engine');
  await jobs.work('stow', (_wakeUps, signal) => stow({ ...common, rules: config.sealing }, signal));
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
async function openDeals(base: Foundation, watching: Watching | undefined, stack: AsyncDisposableStack) {
  const { config, jobs, clock, random, log, database, chain, pieceTokens } = base;
  const wallet = config.wallet === undefined ? undefined : await openWallet(config.wallet);
  const transport = await createLibp2pTransport();
  stack.defer(() => transport.close());
  const common = { db: database.kysely, jobs, clock, random, log, transport };
  return async (publicUrl: string) => {
    const propose = createProposeHandler({ ...common, chain, wallet, newUuid: randomUUID });
    await jobs.work('propose', async (due, signal) => {
      await watching?.ensureOwnChain(signal);
      await propose(due, signal);
    });
    if (chain === undefined || wallet === undefined) return;
    const send = createSendHandler({ ...common, chain, wallet, pieceTokens, publicUrl });
    await jobs.work('send', async (due, signal) => {
      await watching?.ensureOwnChain(signal);
      await send(due, signal);
    });
  };
}

/** Opens what the roles need; nothing is done before `begin`. A chain of another network is refused here. */
export async function openWork(base: Foundation, signal: AbortSignal): Promise<Work> {
  const { config, log, database, jobs, clock } = base;
  await using stack = new AsyncDisposableStack();
  const loops: Promise<void>[] = [];
  stack.defer(async () => void (await Promise.all(loops)));
  const watching = createWatching(base);
  await watching?.tryOwnChain(signal);
  const beginDeals = config.roles.includes('deals') ? await openDeals(base, watching, stack) : undefined;
  const owned = stack.move();
  const loop = (name: string, everyMs: number, step: () => Promise<boolean>) =>
    loops.push(runLoop({ name, everyMs, jitter: JITTER, signal, log }, step));
  return {
    chainView: () => watching?.view() ?? { asOf: undefined, degraded: ['no chain is configured (CHAIN_RPC_URL)'] },
    async begin({ publicUrl }) {
      if (config.roles.includes('aggregate')) await beginAggregate(base);
      await beginDeals?.(publicUrl);
      if (watching !== undefined) loop('watch', watching.everyMs, () => watching.step(signal));
      loop('staging', STAGING_SWEEP_MS, async () => {
        await sweepStaging(base);
        return false;
      });
      loop('sweep', SWEEP_MS, async () => {
        const sent = await sweepJobs({ kysely: database.kysely, jobs, clock, rules: config.sealing });
        if (Object.values(sent).some((count) => count > 0)) log.info({ sent }, 'jobs.swept');
        await failStale({ kysely: database.kysely, clock, log, uploadTimeoutMs: config.uploadTimeoutMs });
        return false;
      });
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}
