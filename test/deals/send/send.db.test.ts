import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { createPieceTokens } from '../../../src/deals/send/piece-token.ts';
import { changePolicy } from '../../../src/deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../../../src/deals/propose/policy-store.ts';
import { proposeAggregate, type ProposeDeps } from '../../../src/deals/propose/propose.ts';
import { findProvider, setProviderState } from '../../../src/deals/providers/provider-store.ts';
import { addProvider } from '../../../src/deals/providers/providers.ts';
import { moveDeal } from '../../../src/deals/move-deal.ts';
import { createSendHandler, sendDeal, type SendDeps } from '../../../src/deals/send/send.ts';
import { listDealsToSend } from '../../../src/deals/send/send-store.ts';
import { decodeDealParams, parseHttpTransferParams } from '../../../src/filecoin/mk12-propose.ts';
import { silentLog } from '../../../src/log/log.ts';
import { testDatabase } from '../../support/database.ts';
import { newUuid, scriptedChain, scriptedTransport, settableClock, testWallet } from '../scripted-world.ts';
import { createJobLog, insertSealedAggregate } from '../sealed-aggregate.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;
const pieceTokens = createPieceTokens('a secret of at least 32 characters');

let database: Awaited<ReturnType<typeof testDatabase>>;
let jobLog: Awaited<ReturnType<typeof createJobLog>>;
let world: ReturnType<typeof scriptedTransport>;
let chain: ReturnType<typeof scriptedChain>;
let clock: ReturnType<typeof settableClock>;
let deps: SendDeps & ProposeDeps;
let aggregateId: bigint;
let dealId: string;
let provider: string;
let seed = 100;

beforeAll(async () => {
  database = await testDatabase();
  jobLog = await createJobLog(database.kysely);
  const terms = changePolicy(await findPolicy(database.kysely), ['replicas=1']);
  await insertPolicy(database.kysely, terms, { at: start, by: 'test' });
});
afterAll(() => database[Symbol.asyncDispose]());

/** Each test has one signed deal of a fresh aggregate, and one more provider that could take it. */
beforeEach(async () => {
  seed += 1;
  world = scriptedTransport();
  chain = scriptedChain();
  clock = settableClock(start);
  deps = {
    db: database.kysely,
    jobs: jobLog.jobs,
    chain: chain.chain,
    wallet: testWallet,
    transport: world.transport,
    pieceTokens,
    publicUrl: 'https://lading.example.com',
    clock: clock.clock,
    random: () => 0,
    newUuid,
    log: silentLog,
  };
  for (const id of ['f01000', 'f01001']) await addProvider(deps, { id });
  aggregateId = await insertSealedAggregate(database.kysely, seed, start);
  await proposeAggregate(deps, aggregateId, signal);
  const [deal] = await dealsOf();
  if (deal === undefined) throw new Error('no deal was signed');
  dealId = deal.id;
  provider = deal.provider_id;
  await jobLog.take();
});

const dealsOf = () =>
  database.kysely
    .selectFrom('deals')
    .selectAll()
    .where('aggregate_id', '=', aggregateId)
    .orderBy('created_at')
    // A replacement is signed at the time at which the one before it ended.
    .orderBy('state', 'desc')
    .execute();
const dealNow = async () => (await dealsOf()).find(({ id }) => id === dealId);
const eventsNow = () =>
  database.kysely.selectFrom('events').selectAll().where('deal_id', '=', dealId).orderBy('position').execute();
const refuse = (message: string) => world.answers.propose.set(provider, { kind: 'answered', accepted: false, message });
/** Sends once more, when the longest wait is over. */
const sendLater = () => {
  clock.advance(600_000);
  return sendDeal(deps, dealId, signal);
};
const sentProposals = () =>
  world.sent.map(({ dealParams }) => Buffer.from(decodeDealParams(dealParams).signedProposal).toString('hex'));

describe('sending a proposal', () => {
  it('is accepted: signed, sent, accepted, each with its event', async () => {
    world.answers.propose.set(provider, { kind: 'answered', accepted: true, message: 'welcome' });
    expect(await sendDeal(deps, dealId, signal)).toBe('accepted');
    expect(await dealNow()).toMatchObject({ state: 'accepted', attempts: 1, next_attempt_at: null, settled_at: null });
    expect((await eventsNow()).map((event) => [event.from_state, event.to_state, event.detail])).toEqual([
      [null, 'signed', null],
      ['signed', 'sent', null],
      ['sent', 'accepted', 'welcome'],
    ]);
    expect(await jobLog.take()).toEqual([]);
    expect(await sendDeal(deps, dealId, signal)).toBe('nothing-to-do');
    expect(world.sent).toHaveLength(1);
  });

  it('sends the committed bytes and a transfer with the token of the deal', async () => {
    await sendDeal(deps, dealId, signal);
    const params = decodeDealParams(world.sent[0]?.dealParams ?? new Uint8Array());
    const deal = await dealNow();
    expect(params).toMatchObject({
      dealUuid: dealId,
      isOffline: false,
      skipIpniAnnounce: false,
      removeUnsealedCopy: false,
    });
    expect(Buffer.from(params.signedProposal).equals(deal?.signed_proposal ?? Buffer.alloc(0))).toBe(true);
    expect(params.dealDataRoot.toString()).toBe('bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi');
    expect(params.transfer).toMatchObject({ type: 'http', clientId: '', sizeBytes: 901_000 });
    const { url, headers } = parseHttpTransferParams(params.transfer.params);
    expect(url).toMatch(/^https:\/\/lading\.example\.com\/piece\/baga6ea4sea/);
    expect(pieceTokens.verify((headers['Authorization'] ?? '').replace('Bearer ', ''))).toBe(dealId);
  });

  it('resends the same bytes after a timeout, and takes "duplicate" as a yes', async () => {
    const duplicate = `deal proposal is identical to deal ${dealId} (proposed at 2026-03-01)`;
    world.answers.propose.set(provider, (call) =>
      call === 1
        ? { kind: 'unknown', why: 'no reply within 60000 ms' }
        : { kind: 'answered', accepted: false, message: duplicate },
    );
    expect(await sendDeal(deps, dealId, signal)).toBe('later');
    const nextAttemptAt = new Date(start.getTime() + 2_000);
    expect(await dealNow()).toMatchObject({
      state: 'sent',
      attempts: 1,
      maybe_received: true,
      next_attempt_at: nextAttemptAt,
    });
    expect(await jobLog.take()).toEqual([{ queue: 'send', data: { dealId }, startAfter: nextAttemptAt }]);
    expect(await listDealsToSend(database.kysely, start, { limit: 100 })).not.toContain(dealId);
    expect(await listDealsToSend(database.kysely, nextAttemptAt, { limit: 100 })).toContain(dealId);
    expect(await sendDeal(deps, dealId, signal), 'not before it is due').toBe('held');
    expect(await jobLog.take()).toEqual([{ queue: 'send', data: { dealId }, startAfter: nextAttemptAt }]);
    clock.advance(2_000);
    expect(await sendDeal(deps, dealId, signal)).toBe('accepted');
    expect(await dealNow()).toMatchObject({ state: 'accepted', attempts: 2 });
    expect(new Set(sentProposals()).size).toBe(1);
    expect(new Set(world.sent.map(({ dealParams }) => decodeDealParams(dealParams).dealUuid))).toEqual(
      new Set([dealId]),
    );
  });

  it('goes on with the same bytes after the process died while the proposal was out', async () => {
    world.answers.propose.set(provider, (call) => {
      if (call === 1) throw new Error('the process is gone');
      return { kind: 'answered', accepted: true, message: '' };
    });
    await expect(sendDeal(deps, dealId, signal)).rejects.toThrow('the process is gone');
    expect(await dealNow()).toMatchObject({ state: 'sent', attempts: 1, maybe_received: true });
    expect(await sendDeal(deps, dealId, signal), 'its lease lives').toBe('held');
    clock.advance(30_000);
    expect(await sendDeal(deps, dealId, signal)).toBe('accepted');
    expect(sentProposals()).toHaveLength(2);
    expect(new Set(sentProposals()).size).toBe(1);
  });

  it('goes on after the answer could not be written down', async () => {
    refuse('no');
    const lost = { ...deps, jobs: { send: () => Promise.reject(new Error('the database is gone')) } };
    await expect(sendDeal(lost, dealId, signal)).rejects.toThrow('the database is gone');
    expect(await dealNow()).toMatchObject({ state: 'sent', reason_code: null });
    expect((await findProvider(database.kysely, provider))?.failures).toBe(0);
    world.answers.status.set(provider, { kind: 'none', error: `no storage deal found with deal UUID ${dealId}` });
    clock.advance(30_000);
    expect(await sendDeal(deps, dealId, signal)).toBe('rejected');
    expect(new Set(sentProposals()).size).toBe(1);
  });

  it('lets one of two handlers send, not both', async () => {
    const both = Promise.withResolvers<void>();
    let reading = 0;
    const head: typeof chain.chain.head = async (until) => {
      reading += 1;
      if (reading === 2) both.resolve();
      await both.promise;
      return chain.chain.head(until);
    };
    const meeting = { ...deps, chain: { ...chain.chain, head } };
    const outcomes = await Promise.all([sendDeal(meeting, dealId, signal), sendDeal(meeting, dealId, signal)]);
    expect(outcomes.sort()).toEqual(['accepted', 'overtaken']);
    expect(world.sent).toHaveLength(1);
  });

  it('is not ended by the refusal of an earlier attempt while a later one is out', async () => {
    const secondIsOut = Promise.withResolvers<void>();
    const firstIsSettled = Promise.withResolvers<void>();
    world.answers.propose.set(provider, async (call) => {
      if (call === 1) {
        await secondIsOut.promise;
        return { kind: 'answered', accepted: false, message: 'deal rejected due to backpressure' };
      }
      secondIsOut.resolve();
      await firstIsSettled.promise;
      return { kind: 'answered', accepted: true, message: '' };
    });
    const first = sendDeal(deps, dealId, signal);
    await expect.poll(() => world.sent.length).toBe(1);
    // A worker that looked dead: its job was taken over by another when its lease had ended.
    clock.advance(30_000);
    const second = sendDeal(deps, dealId, signal);
    expect(await first).toBe('overtaken');
    expect(await jobLog.take()).toEqual([]);
    firstIsSettled.resolve();
    expect(await second).toBe('accepted');
    expect(await dealNow()).toMatchObject({ state: 'accepted', attempts: 2, reason_code: null });
  });

  it('leaves a deal alone that the chain has shown meanwhile', async () => {
    world.answers.propose.set(provider, async () => {
      const columns = { chain_deal_id: BigInt(seed) };
      const shown = { id: dealId, from: 'sent' as const, to: 'published' as const, at: start, columns };
      await database.kysely.transaction().execute((trx) => moveDeal(trx, shown));
      return { kind: 'answered', accepted: false, message: 'no' };
    });
    expect(await sendDeal(deps, dealId, signal)).toBe('overtaken');
    expect(await dealNow()).toMatchObject({ state: 'published', reason_code: null });
    expect(await jobLog.take()).toEqual([]);
  });

  it.each(['paused', 'removed'] as const)('does not go out to a provider that was %s before', async (state) => {
    await setProviderState(database.kysely, provider, state);
    expect(await sendDeal(deps, dealId, signal)).toBe('called-off');
    expect(world.sent).toEqual([]);
    expect(await dealNow()).toMatchObject({ state: 'abandoned', reason_code: 'called_off', settled_at: start });
    expect((await eventsNow()).at(-1)).toMatchObject({ from_state: 'signed', to_state: 'abandoned' });
    expect(await jobLog.take()).toEqual([{ queue: 'propose', data: { aggregateId: aggregateId.toString() } }]);
  });

  it('goes on when its provider is paused after bytes may have left', async () => {
    world.answers.propose.set(provider, (call) =>
      call === 1 ? { kind: 'unknown', why: 'reset' } : { kind: 'answered', accepted: true, message: '' },
    );
    expect(await sendDeal(deps, dealId, signal)).toBe('later');
    await setProviderState(database.kysely, provider, 'removed');
    clock.advance(2_000);
    expect(await sendDeal(deps, dealId, signal)).toBe('accepted');
  });

  it('does not send from its start epoch on', async () => {
    chain.state.height = Number((await dealNow())?.start_epoch);
    expect(await sendDeal(deps, dealId, signal)).toBe('past-start');
    expect(
      await listDealsToSend(database.kysely, start, { limit: 1_000 }),
      'nor does a sweep find it soon',
    ).not.toContain(dealId);
    chain.state.height -= 1;
    clock.advance(30 * 60_000);
    expect(await sendDeal(deps, dealId, signal)).toBe('accepted');
  });

  it('comes back at once when the service is stopping', async () => {
    const stop = new AbortController();
    world.answers.propose.set(provider, () => {
      stop.abort();
      return { kind: 'not-connected', why: 'aborted' };
    });
    expect(await sendDeal(deps, dealId, stop.signal)).toBe('later');
    expect(await dealNow()).toMatchObject({ state: 'sent', maybe_received: false, next_attempt_at: start });
    expect(await jobLog.take()).toEqual([{ queue: 'send', data: { dealId }, startAfter: start }]);
  });
});

describe('a refusal', () => {
  it("is kept in the provider's own words, and another provider gets the slot", async () => {
    const words = 'Deal filter says:\u0000 no\u{1F6A2}';
    refuse(words);
    expect(await sendDeal(deps, dealId, signal)).toBe('rejected');
    const text = 'Deal filter says:  no\u{1F6A2}';
    expect(await dealNow()).toMatchObject({
      state: 'rejected',
      reason_code: 'refused_by_filter',
      reason_text: text,
      settled_at: start,
    });
    expect((await eventsNow()).at(-1)).toMatchObject({
      from_state: 'sent',
      to_state: 'rejected',
      reason_code: 'refused_by_filter',
      detail: text,
    });
    expect(await jobLog.take()).toEqual([
      { queue: 'propose', data: { aggregateId: aggregateId.toString() }, startAfter: undefined },
    ]);
    expect(await findProvider(database.kysely, provider)).toMatchObject({
      failures: 1,
      retryAt: new Date(start.getTime() + 15_000),
    });

    await proposeAggregate(deps, aggregateId, signal);
    const [, replacement] = await dealsOf();
    expect(replacement).toMatchObject({ slot: 0, generation: 0, state: 'signed' });
    expect(replacement?.provider_id).not.toBe(provider);
  });

  it('that concerns this deal alone does not make the provider rest', async () => {
    refuse('cannot seal a sector before 5');
    await sendDeal(deps, dealId, signal);
    expect(await findProvider(database.kysely, provider)).toMatchObject({ failures: 0, retryAt: undefined });
  });

  it('for everything we offer makes the provider rest a day', async () => {
    refuse('client not allowed by provider');
    await sendDeal(deps, dealId, signal);
    const retryAt = new Date(start.getTime() + 24 * 3_600_000);
    expect(await findProvider(database.kysely, provider)).toMatchObject({ retryAt });
  });

  it('is signed again at the same provider with another start, never with the same bytes', async () => {
    refuse('cannot seal a sector before 5');
    await sendDeal(deps, dealId, signal);
    const other = provider === 'f01000' ? 'f01001' : 'f01000';
    await database.kysely.updateTable('providers').set({ state: 'paused' }).where('id', '=', other).execute();
    expect(await proposeAggregate(deps, aggregateId, signal)).toMatchObject({ kind: 'signed' });
    const [first, second] = await dealsOf();
    expect(second).toMatchObject({ provider_id: provider, start_epoch: (first?.start_epoch ?? 0n) + 1n });
  });

  it.each([
    [{ kind: 'none' as const, error: 'no storage deal found with deal UUID 1' }, 'rejected'],
    [{ kind: 'known' as const, status: 'Accepted', error: '' }, 'accepted'],
    [{ kind: 'none' as const, error: 'failed to get sealed deal status' }, 'later'],
    [{ kind: 'unknown' as const, why: 'reset' }, 'later'],
  ])('after an attempt without an answer holds only if the provider has no copy: %o → %s', async (status, outcome) => {
    world.answers.propose.set(provider, (call) =>
      call === 1 ? { kind: 'unknown', why: 'reset' } : { kind: 'answered', accepted: false, message: 'full for now' },
    );
    world.answers.status.set(provider, status);
    await sendDeal(deps, dealId, signal);
    expect(await sendLater()).toBe(outcome);
    expect(world.statusAsked).toEqual([provider]);
    expect((await dealNow())?.state).toBe(outcome === 'later' ? 'sent' : outcome);
  });
});

describe('a provider that cannot be reached', () => {
  it('loses the proposal after three tries when nothing of it ever left', async () => {
    world.answers.propose.set(provider, { kind: 'not-connected', why: 'ECONNREFUSED' });
    expect(await sendDeal(deps, dealId, signal)).toBe('later');
    expect(await dealNow()).toMatchObject({ state: 'sent', maybe_received: false });
    expect((await findProvider(database.kysely, provider))?.resolvedAt).toBeUndefined();
    expect(await sendLater()).toBe('later');
    expect(await sendLater()).toBe('rejected');
    expect(await dealNow()).toMatchObject({
      state: 'rejected',
      reason_code: 'unreachable',
      reason_text: 'ECONNREFUSED',
    });
    expect((await jobLog.take()).at(-1)).toMatchObject({ queue: 'propose' });
  });

  it('keeps the proposal when bytes may have left before', async () => {
    world.answers.propose.set(provider, (call) =>
      call === 1 ? { kind: 'unknown', why: 'reset' } : { kind: 'not-connected', why: 'ECONNREFUSED' },
    );
    for (let times = 0; times < 6; times += 1) expect(await sendLater()).toBe('later');
    expect(await dealNow()).toMatchObject({ state: 'sent', attempts: 6, maybe_received: true });
    expect(new Set(sentProposals()).size).toBe(1);
  });
});

describe('the handler', () => {
  it('sends a batch at once, each deal once', async () => {
    await createSendHandler(deps)([{ dealId }, { dealId }, { dealId: newUuid() }], signal);
    expect(world.sent).toHaveLength(1);
    expect(await dealNow()).toMatchObject({ state: 'accepted', attempts: 1 });
  });

  it('fails when one deal fails, after the others are done', async () => {
    seed += 1;
    const other = await insertSealedAggregate(database.kysely, seed, start);
    const outcome = await proposeAggregate(deps, other, signal);
    const otherId = outcome.kind === 'signed' ? (outcome.dealIds[0] ?? '') : '';
    let calls = 0;
    const head: typeof chain.chain.head = (until) => {
      calls += 1;
      return calls === 1 ? Promise.reject(new Error('node down')) : chain.chain.head(until);
    };
    const handle = createSendHandler({ ...deps, chain: { ...chain.chain, head } });
    await expect(handle([{ dealId }, { dealId: otherId }], signal)).rejects.toThrow('node down');
    const states = await database.kysely
      .selectFrom('deals')
      .select('state')
      .where('id', 'in', [dealId, otherId])
      .execute();
    expect(states.map(({ state }) => state).sort()).toEqual(['accepted', 'signed']);
  });
});
