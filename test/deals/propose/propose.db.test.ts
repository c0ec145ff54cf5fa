import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { changePolicy, type PolicyTerms } from '../../../src/deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../../../src/deals/propose/policy-store.ts';
import { proposeAggregate, type ProposeDeps } from '../../../src/deals/propose/propose.ts';
import { createProposeHandler } from '../../../src/deals/propose/propose-handler.ts';
import { moveDeal, settleFailed } from '../../../src/deals/move-deal.ts';
import { findProvider, setProviderState } from '../../../src/deals/providers/provider-store.ts';
import { addProvider } from '../../../src/deals/providers/providers.ts';
import { listDealsToSend } from '../../../src/deals/send/send-store.ts';
import { listAggregatesShortOfDeals, sumReserved } from '../../../src/deals/propose/proposal-store.ts';
import { formatAddress, parseAddress } from '../../../src/filecoin/address.ts';
import { decodeSignedProposal, proposalCid } from '../../../src/filecoin/proposal.ts';
import { verifySignature } from '../../../src/filecoin/signature.ts';
import { silentLog } from '../../../src/log/log.ts';
import { testDatabase } from '../../support/database.ts';
import {
  clientAddress,
  freeAsk,
  newUuid,
  scriptedChain,
  scriptedTransport,
  settableClock,
  testWallet,
} from '../scripted-world.ts';
import { createJobLog, insertSealedAggregate, PIECE_BYTES } from '../sealed-aggregate.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;

let database: Awaited<ReturnType<typeof testDatabase>>;
let jobLog: Awaited<ReturnType<typeof createJobLog>>;
let world: ReturnType<typeof scriptedTransport>;
let chain: ReturnType<typeof scriptedChain>;
let clock: ReturnType<typeof settableClock>;
let deps: ProposeDeps;
let aggregateId: bigint;
let seed = 0;

beforeAll(async () => {
  database = await testDatabase();
  jobLog = await createJobLog(database.kysely);
});
afterAll(() => database[Symbol.asyncDispose]());

const setPolicy = async (...pairs: string[]): Promise<PolicyTerms> => {
  const terms = changePolicy(await findPolicy(database.kysely), pairs);
  return await insertPolicy(database.kysely, terms, { at: start, by: 'test' });
};

/** Each test has an aggregate of its own, five fresh providers, and a client that owes nothing. */
beforeEach(async () => {
  seed += 1;
  const db = database.kysely;
  await db.deleteFrom('events').where('deal_id', 'is not', null).execute();
  await db.deleteFrom('deals').execute();
  world = scriptedTransport();
  chain = scriptedChain();
  clock = settableClock(start);
  deps = {
    db,
    jobs: jobLog.jobs,
    chain: chain.chain,
    wallet: testWallet,
    transport: world.transport,
    clock: clock.clock,
    random: Math.random,
    newUuid,
    log: silentLog,
  };
  for (const id of ['f01000', 'f01001', 'f01002', 'f01003', 'f01004']) await addProvider(deps, { id });
  await setPolicy('replicas=3', 'verified=true');
  aggregateId = await insertSealedAggregate(db, seed, start);
  await jobLog.take();
});

const dealsOf = (id: bigint) =>
  database.kysely.selectFrom('deals').selectAll().where('aggregate_id', '=', id).orderBy('slot').execute();

describe('proposing a sealed aggregate', () => {
  it('signs one proposal a slot, at distinct providers, with its event and its job', async () => {
    const outcome = await proposeAggregate(deps, aggregateId, signal);
    const deals = await dealsOf(aggregateId);
    expect(outcome).toEqual({ kind: 'signed', dealIds: expect.any(Array), waiting: undefined });
    expect(deals.map(({ slot, state, attempts, generation }) => ({ slot, state, attempts, generation }))).toEqual(
      [0, 1, 2].map((slot) => ({ slot, state: 'signed', attempts: 0, generation: 0 })),
    );
    expect(new Set(deals.map(({ provider_id: provider }) => provider)).size).toBe(3);
    const events = await database.kysely.selectFrom('events').selectAll().where('deal_id', 'is not', null).execute();
    expect(events.map(({ to_state: to, from_state: from }) => [from, to])).toEqual(deals.map(() => [null, 'signed']));
    const jobs = await jobLog.take();
    expect(jobs).toEqual(deals.map(() => ({ queue: 'send', data: expect.anything(), startAfter: undefined })));
    expect(new Set(jobs.map(({ data }) => JSON.stringify(data)))).toEqual(
      new Set(deals.map(({ id }) => JSON.stringify({ dealId: id }))),
    );
    expect(await listDealsToSend(database.kysely, start, { limit: 10 })).toHaveLength(3);
  });

  it('signs exactly what SPs and the market actor check', async () => {
    chain.state.minCollateral = 1_001n;
    await proposeAggregate(deps, aggregateId, signal);
    for (const deal of await dealsOf(aggregateId)) {
      const { proposal, proposalBytes, signature } = decodeSignedProposal(deal.signed_proposal);
      expect(verifySignature(signature, proposalBytes, parseAddress(clientAddress))).toBe(true);
      expect(deal.proposal_cid).toBe(proposalCid(proposalBytes).toString());
      expect(formatAddress(proposal.provider)).toBe(deal.provider_id);
      expect(formatAddress(proposal.client)).toBe(clientAddress);
      expect(proposal).toMatchObject({
        pieceBytes: PIECE_BYTES,
        verified: true,
        label: 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi',
        startEpoch: 111_520,
        endEpoch: 111_520 + 1_468_800,
        pricePerEpoch: 0n,
        providerCollateral: 1_202n,
        clientCollateral: 0n,
      });
      expect([deal.start_epoch, deal.end_epoch]).toEqual([111_520n, 1_580_320n]);
    }
  });

  it('does nothing when all slots are filled, or the aggregate is not there', async () => {
    await proposeAggregate(deps, aggregateId, signal);
    await jobLog.take();
    expect(await proposeAggregate(deps, aggregateId, signal)).toEqual({ kind: 'nothing-to-do' });
    expect(await proposeAggregate(deps, 999_999n, signal)).toEqual({ kind: 'nothing-to-do' });
    expect(await jobLog.take()).toEqual([]);
  });

  it('makes no double when several processes propose at once', async () => {
    const outcomes = await Promise.all([1, 2, 3, 4].map(() => proposeAggregate(deps, aggregateId, signal)));
    const deals = await dealsOf(aggregateId);
    expect(deals).toHaveLength(3);
    expect(new Set(deals.map(({ provider_id: provider }) => provider)).size).toBe(3);
    expect(outcomes.flatMap((outcome) => (outcome.kind === 'signed' ? outcome.dealIds : []))).toHaveLength(3);
  });

  it('leaves nothing behind when it is cut off inside its transaction, and does all of it the next time', async () => {
    const failing = {
      ...deps,
      jobs: {
        ...deps.jobs,
        sendAll: async (...[trx, queue, data]: Parameters<typeof deps.jobs.sendAll>) => {
          await deps.jobs.sendAll(trx, queue, data.slice(0, 1));
          throw new Error('the process is gone');
        },
      },
    };
    await expect(proposeAggregate(failing, aggregateId, signal)).rejects.toThrow('the process is gone');
    expect(await dealsOf(aggregateId)).toEqual([]);
    expect(await jobLog.take()).toEqual([]);
    await proposeAggregate(deps, aggregateId, signal);
    expect(await dealsOf(aggregateId)).toHaveLength(3);
  });

  it('fills what it can with too few providers, says why, and comes again', async () => {
    await setProviderState(database.kysely, 'f01003', 'paused');
    await setProviderState(database.kysely, 'f01004', 'paused');
    world.answers.ask.set('f01000', { kind: 'answered', ask: freeAsk('f01000', { verifiedPrice: 5_000_001n }) });
    const outcome = await proposeAggregate(deps, aggregateId, signal);
    expect(outcome).toMatchObject({
      kind: 'signed',
      waiting: expect.stringMatching(/f01000: it asks 5000001 attoFIL/),
    });
    expect((await dealsOf(aggregateId)).map(({ provider_id: provider }) => provider).sort()).toEqual([
      'f01001',
      'f01002',
    ]);
    const later = (await jobLog.take()).filter(({ queue }) => queue === 'propose');
    expect(later).toHaveLength(1);
    expect(later[0]?.data).toEqual({ aggregateId: aggregateId.toString() });
    expect(later[0]?.startAfter?.getTime()).toBeGreaterThan(start.getTime());
    expect(await listAggregatesShortOfDeals(database.kysely, 1_000)).toContain(aggregateId);
  });

  it('passes over a provider that does not answer, and lets it rest', async () => {
    world.answers.ask.set('f01000', { kind: 'unknown', why: 'no reply' });
    world.answers.ask.set('f01001', { kind: 'not-connected', why: 'ECONNREFUSED' });
    await setPolicy('replicas=5');
    await proposeAggregate(deps, aggregateId, signal);
    expect((await dealsOf(aggregateId)).map(({ provider_id: provider }) => provider).sort()).toEqual([
      'f01002',
      'f01003',
      'f01004',
    ]);
    const [silent, unreached] = await Promise.all(['f01000', 'f01001'].map((id) => findProvider(database.kysely, id)));
    expect(silent).toMatchObject({ failures: 1, resolvedAt: start });
    expect(unreached).toMatchObject({ failures: 1, resolvedAt: undefined });
    expect(unreached?.retryAt?.getTime()).toBeGreaterThan(start.getTime());
    expect(world.asked.filter((id) => id === 'f01001')).toHaveLength(1);
  });

  it('pays what is asked, up to the policy', async () => {
    await setPolicy('verified=false', 'max_price=1024', 'replicas=1');
    for (const id of ['f01000', 'f01001', 'f01002', 'f01003', 'f01004']) {
      world.answers.ask.set(id, { kind: 'answered', ask: freeAsk(id, { price: 1_023n }) });
    }
    await proposeAggregate(deps, aggregateId, signal);
    const [deal] = await dealsOf(aggregateId);
    // 1 MiB of 1023 attoFIL a GiB, rounded up.
    expect(deal).toMatchObject({ price_per_epoch: '1', verified: false });
  });
});

describe('money', () => {
  const owes = () => sumReserved(database.kysely, clientAddress, chain.state.height);

  it('signs only what the escrow covers, and no more while that is reserved', async () => {
    await setPolicy('verified=false', 'max_price=1024');
    for (const id of ['f01000', 'f01001', 'f01002', 'f01003', 'f01004']) {
      world.answers.ask.set(id, { kind: 'answered', ask: freeAsk(id, { price: 1_024n }) });
    }
    chain.state.escrow = 2n * 1_468_800n + 100n;
    chain.state.locked = 100n;
    const outcome = await proposeAggregate(deps, aggregateId, signal);
    expect(outcome).toMatchObject({
      kind: 'signed',
      waiting: expect.stringMatching(/market balance is short: 0 attoFIL are free/),
    });
    expect(await dealsOf(aggregateId)).toHaveLength(2);
    expect(await owes()).toEqual({ escrow: 2n * 1_468_800n, datacapBytes: 0n });
    seed += 1;
    const next = await insertSealedAggregate(database.kysely, seed, start);
    expect(await proposeAggregate(deps, next, signal)).toMatchObject({
      kind: 'waiting',
      reason: expect.stringMatching(/market balance/),
    });
    expect(await dealsOf(next)).toEqual([]);
  });

  it('signs nothing for a provider that was paused, or under a policy that was replaced, while terms were asked', async () => {
    const meanwhile = (change: () => Promise<unknown>) => {
      let done: Promise<unknown> | undefined;
      const providerCollateralBounds: typeof chain.chain.providerCollateralBounds = async (...given) => {
        done ??= change();
        await done;
        return chain.chain.providerCollateralBounds(...given);
      };
      return proposeAggregate({ ...deps, chain: { ...chain.chain, providerCollateralBounds } }, aggregateId, signal);
    };
    for (const id of ['f01003', 'f01004']) await setProviderState(deps.db, id, 'paused');
    const paused = await meanwhile(() => setProviderState(deps.db, 'f01001', 'paused'));
    expect(paused).toMatchObject({
      kind: 'signed',
      waiting: expect.stringContaining('f01001: it is paused') as string,
    });
    expect((await dealsOf(aggregateId)).map((deal) => deal.provider_id).sort()).toEqual(['f01000', 'f01002']);

    const other = await insertSealedAggregate(deps.db, (seed += 1), start);
    aggregateId = other;
    expect(await meanwhile(() => setPolicy('replicas=1'))).toMatchObject({ kind: 'signed', waiting: undefined });
    expect(await dealsOf(other)).toHaveLength(1);
  });

  it('never promises the same DataCap twice, however many propose at once', async () => {
    chain.state.datacap = 4n * PIECE_BYTES;
    const ids = [aggregateId];
    for (let more = 0; more < 3; more += 1) {
      seed += 1;
      ids.push(await insertSealedAggregate(database.kysely, seed, start));
    }
    await Promise.all(ids.map((id) => proposeAggregate(deps, id, signal)));
    expect(await owes()).toEqual({ escrow: 0n, datacapBytes: 4n * PIECE_BYTES });
  });

  it('counts a deal that was published too late for the balance to show it, and no earlier one', async () => {
    await setPolicy('replicas=1');
    await proposeAggregate(deps, aggregateId, signal);
    const publish = (epoch: bigint) =>
      database.kysely.transaction().execute(async (trx) => {
        await trx.updateTable('deals').set({ state: 'published', chain_deal_id: 1n, published_epoch: epoch }).execute();
        const [deal] = await dealsOf(aggregateId);
        await trx
          .insertInto('events')
          .values({ at: start, deal_id: deal?.id ?? null, to_state: 'published' })
          .execute();
      });
    await publish(100_000n);
    expect((await owes()).datacapBytes).toBe(PIECE_BYTES);
    await publish(99_999n);
    expect((await owes()).datacapBytes).toBe(0n);
  });

  it('keeps what a deal that was called off has reserved, until its start is final', async () => {
    await setPolicy('replicas=1');
    await proposeAggregate(deps, aggregateId, signal);
    const [deal] = await dealsOf(aggregateId);
    await deps.db.transaction().execute(async (trx) => {
      const move = { id: deal?.id ?? '', at: start, reason: { code: 'called_off', text: 'x' } };
      await moveDeal(trx, { ...move, from: 'signed', to: 'sent', columns: { attempts: 1 } });
      await moveDeal(trx, { ...move, from: 'sent', to: 'accepted' });
      await moveDeal(trx, { ...move, from: 'accepted', to: 'abandoned', columns: { called_off_at: start } });
    });
    expect((await owes()).datacapBytes).toBe(PIECE_BYTES);
    // Its provider has it still, as far as anybody knows, and gets no other.
    await setPolicy('replicas=5');
    expect(await proposeAggregate(deps, aggregateId, signal)).toMatchObject({
      waiting: expect.stringContaining(
        `${deal?.provider_id}: it has a deal for this aggregate that may live`,
      ) as string,
    });
    await settleFailed(deps.db, deal?.id ?? '', start);
    expect((await owes()).datacapBytes).toBe(4n * PIECE_BYTES);
  });

  it('reserves escrow and DataCap for a verified deal with a price', async () => {
    await setPolicy('replicas=1', 'verified=true', 'max_verified_price=2048');
    for (const id of ['f01000', 'f01001', 'f01002', 'f01003', 'f01004'])
      world.answers.ask.set(id, { kind: 'answered', ask: freeAsk(id, { verifiedPrice: 2_048n }) });
    await proposeAggregate(deps, aggregateId, signal);
    expect(await owes()).toEqual({ escrow: 2n * 1_468_800n, datacapBytes: PIECE_BYTES });
  });

  it('asks a provider for its terms no oftener than once an hour, and keeps them', async () => {
    await setPolicy('replicas=5');
    await proposeAggregate(deps, aggregateId, signal);
    expect(world.asked).toHaveLength(5);
    const again = async () => {
      const id = await insertSealedAggregate(deps.db, (seed += 1), start);
      await proposeAggregate(deps, id, signal);
      return world.asked.length;
    };
    expect(await again()).toBe(5);
    expect((await findProvider(deps.db, 'f01000'))?.ask).toEqual({
      price: 0n,
      verifiedPrice: 0n,
      minPieceBytes: 128n,
      maxPieceBytes: 32n * 2n ** 30n,
      at: start,
    });
    clock.advance(3_600_001);
    expect(await again()).toBe(10);
  });

  it.each<[string, () => void, RegExp]>([
    ['unknown to the chain', () => (chain.state.known = false), /does not know the client f1/],
    ['not verified', () => (chain.state.datacap = undefined), /has no DataCap/],
    ['out of DataCap', () => (chain.state.datacap = 1n), /DataCap is short/],
  ])('signs nothing for a client that is %s, says so, and comes again', async (_name, change, reason) => {
    change();
    expect(await proposeAggregate(deps, aggregateId, signal)).toEqual({
      kind: 'waiting',
      reason: expect.stringMatching(reason),
    });
    expect(await dealsOf(aggregateId)).toEqual([]);
    expect((await jobLog.take()).map(({ queue }) => queue)).toEqual(['propose']);
  });
});

it('signs no verified deal on a piece that the verified registry would not take, and says what to do', async () => {
  const small = await insertSealedAggregate(database.kysely, 250, start, 2n ** 19n);
  expect(await proposeAggregate(deps, small, signal)).toEqual({
    kind: 'waiting',
    reason: expect.stringMatching(/524288 bytes is too small for a verified deal.*set verified=false/),
  });
  expect(await dealsOf(small)).toEqual([]);
});

describe('the handler', () => {
  it('says once that nothing is proposed without a chain or a wallet', async () => {
    const said: unknown[] = [];
    const log = { ...silentLog, error: (fields: unknown, event?: unknown) => said.push([fields, event]) };
    const handle = createProposeHandler({ ...deps, wallet: undefined, log: log as typeof silentLog });
    await handle([{ aggregateId: aggregateId.toString() }], signal);
    await handle([{ aggregateId: aggregateId.toString() }], signal);
    expect(said).toEqual([[expect.objectContaining({ missing: 'WALLET' }), 'propose.off']]);
    expect(await dealsOf(aggregateId)).toEqual([]);
  });

  it('goes on with the other aggregates when one fails, and fails in the end', async () => {
    seed += 1;
    const next = await insertSealedAggregate(database.kysely, seed, start);
    let calls = 0;
    const providerCollateralBounds: typeof chain.chain.providerCollateralBounds = (...given) => {
      calls += 1;
      return calls === 1 ? Promise.reject(new Error('node down')) : chain.chain.providerCollateralBounds(...given);
    };
    const handle = createProposeHandler({ ...deps, chain: { ...chain.chain, providerCollateralBounds } });
    const jobs = [aggregateId, next, next].map((id) => ({ aggregateId: id.toString() }));
    await expect(handle(jobs, signal)).rejects.toThrow('node down');
    expect(await dealsOf(aggregateId)).toEqual([]);
    expect(await dealsOf(next)).toHaveLength(3);
  });
});
