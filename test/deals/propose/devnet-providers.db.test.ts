import { afterEach, expect, it } from 'vitest';
import { createProviderTransport } from '../../../src/deals/transport/provider-transport.ts';
import { createPieceTokens } from '../../../src/deals/send/piece-token.ts';
import { changePolicy } from '../../../src/deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../../../src/deals/propose/policy-store.ts';
import { proposeAggregate, type ProposeDeps } from '../../../src/deals/propose/propose.ts';
import { addProvider } from '../../../src/deals/providers/providers.ts';
import { createSendHandler, type SendDeps } from '../../../src/deals/send/send.ts';
import type { LedgerPort } from '../../../src/devnet/ledger/ledger-port.ts';
import type { PersonaName, PersonaPatch } from '../../../src/devnet/provider/provider-persona.ts';
import { startProviders, type Providers } from '../../../src/devnet/provider/providers.ts';
import { idAddress, parseAddress } from '../../../src/filecoin/address.ts';
import { silentLog } from '../../../src/log/log.ts';
import { testDatabase } from '../../support/database.ts';
import { clientAddress, newUuid, scriptedChain, settableClock, testWallet } from '../scripted-world.ts';
import { createJobLog, insertSealedAggregate } from '../sealed-aggregate.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** As much of a chain as a provider looks at before it accepts. */
function smallLedger(height: number, escrow: bigint): LedgerPort {
  const client = parseAddress(clientAddress);
  return {
    head: () => ({ height }),
    genesisSeconds: () => 0,
    registerMiner: ({ id = 'f01000', peerId, multiaddrs = [] }) => {
      return { id, owner: client, worker: client, peerId, multiaddrs, sectorBytes: 2n ** 35n };
    },
    miner: () => undefined,
    minerIds: () => [],
    accountKey: () => client,
    lookupId: () => idAddress(777n),
    marketBalance: () => ({ escrow, locked: 0n }),
    dataCap: () => 2n ** 50n,
    collateralBounds: () => ({ min: 1_000n, max: 10n ** 20n }),
    signAsWorker: () => ({ type: 1, data: new Uint8Array(65) }),
    publish: () => ({ kind: 'refused', reason: 'this ledger publishes nothing', dropped: [] }),
    findPublish: () => undefined,
    publishResult: () => undefined,
    deal: () => undefined,
    proveSector: () => ({ kind: 'refused', reason: 'this ledger proves nothing' }),
    isFinal: () => false,
    onEpoch: () => () => undefined,
  };
}

async function setUp(replicas: number, personas: (PersonaName | PersonaPatch)[]) {
  const database = await testDatabase();
  const { state, chain } = scriptedChain();
  const providers: Providers = await startProviders({
    ledger: smallLedger(state.height, state.escrow),
    personas,
    seed: 'deals',
  });
  const transport = await createProviderTransport({
    isDevnet: true,
    limits: { readMs: { propose: 700, status: 700, ask: 700, transports: 700 } },
  });
  cleanups.push(
    async () => database[Symbol.asyncDispose](),
    () => providers.close(),
    () => transport.close(),
  );
  const db = database.kysely;
  const jobLog = await createJobLog(db);
  const clock = settableClock(start);
  const deps: SendDeps & ProposeDeps = {
    db,
    jobs: jobLog.jobs,
    chain: {
      ...chain,
      minerInfo: async (id, options) => {
        const running = providers.providers.find((provider) => provider.id === id);
        const { peerId, multiaddrs = [] } = running ?? {};
        return { ...(await chain.minerInfo(id, options)), peerId, multiaddrs: [...multiaddrs] };
      },
    },
    wallet: testWallet,
    transport,
    pieceTokens: createPieceTokens('a secret of at least 32 characters'),
    publicUrl: 'http://127.0.0.1:9',
    clock: clock.clock,
    random: Math.random,
    newUuid,
    log: silentLog,
  };
  for (const { id } of providers.providers) await addProvider(deps, { id });
  await insertPolicy(db, changePolicy(await findPolicy(db), [`replicas=${replicas}`]), { at: start, by: 'test' });
  const aggregateId = await insertSealedAggregate(db, 1, start);
  await proposeAggregate(deps, aggregateId, signal);

  const send = createSendHandler(deps);
  /** Works off the jobs there are, at the time when the last of them is due; false when there are none. */
  const runJobs = async (): Promise<boolean> => {
    const jobs = await jobLog.take();
    const now = clock.clock.now().getTime();
    clock.advance(Math.max(0, ...jobs.map(({ startAfter }) => (startAfter?.getTime() ?? now) - now)));
    await send(
      jobs.flatMap(({ queue, data }) => (queue === 'send' ? [data as { dealId: string }] : [])),
      signal,
    );
    if (jobs.some(({ queue }) => queue === 'propose')) await proposeAggregate(deps, aggregateId, signal);
    return jobs.length > 0;
  };
  const settle = async () => {
    for (let pass = 0; pass < 30; pass += 1) {
      if (!(await runJobs())) return;
    }
    throw new Error('the jobs do not come to an end');
  };
  return { db, providers, runJobs, settle };
}

const held = (providers: Providers) =>
  providers.providers.flatMap((provider) => provider.deals().map(({ uuid }) => uuid));

it('gets three replicas accepted by distinct providers over the wire, past one that refuses', async () => {
  const { db, providers, settle } = await setUp(3, ['refuse', 'normal', 'normal', 'normal']);
  await settle();
  const deals = await db.selectFrom('deals').selectAll().execute();
  const accepted = deals.filter(({ state }) => state === 'accepted');
  expect(accepted.map(({ provider_id: provider }) => provider).sort()).toEqual(['f01001', 'f01002', 'f01003']);
  expect(accepted.map(({ slot }) => slot).sort((a, b) => a - b)).toEqual([0, 1, 2]);
  expect(held(providers).sort()).toEqual(accepted.map(({ id }) => id).sort());
  for (const deal of deals.filter(({ state }) => state !== 'accepted')) {
    expect(deal).toMatchObject({
      state: 'rejected',
      provider_id: 'f01000',
      reason_text: 'miner is not considering online storage deals',
    });
  }
});

it('knows its own proposal again at a provider whose answer was lost', async () => {
  const { db, providers, runJobs, settle } = await setUp(1, ['normal']);
  const dealNow = () => db.selectFrom('deals').select(['id', 'state', 'attempts', 'maybe_received']).execute();
  providers.setFaults({ f01000: { loseAnswers: true } });
  await runJobs();
  expect(await dealNow()).toMatchObject([{ state: 'sent', attempts: 1, maybe_received: true }]);
  expect(held(providers)).toHaveLength(1);
  providers.setFaults({ f01000: null });
  await settle();
  const deals = await dealNow();
  expect(deals).toMatchObject([{ state: 'accepted', attempts: 2 }]);
  expect(held(providers)).toEqual(deals.map(({ id }) => id));
});

it('asks for the status before it believes a refusal that follows a lost answer', async () => {
  const { db, providers, runJobs } = await setUp(1, ['normal']);
  providers.setFaults({ f01000: { hang: true } });
  await runJobs();
  providers.setFaults({ f01000: { hang: false, refuse: 'no deals today' } });
  await runJobs();
  const deals = await db.selectFrom('deals').select(['state', 'attempts', 'reason_text']).execute();
  expect(deals[0]).toEqual({ state: 'rejected', attempts: 2, reason_text: 'no deals today' });
  expect(held(providers)).toEqual([]);
});
