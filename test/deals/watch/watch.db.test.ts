import { expect, test } from 'vitest';
import { watchNext } from '../../../src/deals/watch/watch.ts';
import { sendError } from '../../support/rpc-server.ts';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { activeDeal, watchFixture } from '../../support/watch-fixture.ts';

test('a published deal is found by its event, compared, and becomes active with its sector', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  expect((await watched.deal(deal.id)).state).toBe('accepted');

  const onChain = chain.publish(deal.onChain);
  await watched.grow(10);
  expect((await watched.deal(deal.id)).state, 'as of the tipset of the message the state has no deal').toBe('accepted');
  await watched.grow(1);
  const published = await watched.deal(deal.id);
  expect(published).toMatchObject({
    state: 'published',
    chain_deal_id: BigInt(onChain.id),
    publish_message: onChain.message,
    published_epoch: 100n,
    sector_start_epoch: null,
    settled_at: null,
  });

  Object.assign(onChain, { provedAt: chain.head, sectorNumber: 42 });
  await watched.grow(11);
  const active = await watched.deal(deal.id);
  expect(active).toMatchObject({ state: 'active', sector_number: 42n, sector_start_epoch: 111n });
  expect(active.changed_at.getTime()).toBeGreaterThan(published.changed_at.getTime());

  await watched.grow(50);
  expect((await watched.deal(deal.id)).changed_at, 'polling does not touch it').toEqual(active.changed_at);
  expect(await watched.story(deal.id)).toEqual(['accepted', 'published:found_on_chain', 'active:sector_active']);
  const [, first, second] = await watched.events(deal.id);
  expect(first).toMatchObject({
    epoch: 101n,
    evidence: { epoch: 101, tipset: chain.key(101), chainDealId: 1, message: onChain.message, messageEpoch: 100 },
  });
  expect(second).toMatchObject({ evidence: { sectorNumber: 42, sectorStartEpoch: 111, message: 'bafyprove1' } });
  expect(watched.jobs.sent).toEqual([]);
});

test('a terminated sector ends its deal, with the message, and wakes proposing', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { deal, onChain } = await activeDeal(watched);
  onChain.terminatedAt = watched.chain.head;
  await watched.grow(11);
  expect(await watched.deal(deal.id)).toMatchObject({
    state: 'slashed',
    reason_code: 'sector_terminated',
    reason_text: `its sector was terminated at epoch ${onChain.terminatedAt}, before its end`,
  });
  expect((await watched.deal(deal.id)).settled_at).not.toBeNull();
  expect((await watched.events(deal.id)).at(-1)?.evidence).toMatchObject({ message: 'bafyterminate1' });
  expect(watched.jobs.sent).toEqual([{ queue: 'propose', aggregateId: deal.aggregateId.toString() }]);
});

test('an active deal that vanishes without an event is slashed only when it is absent at a finalized tipset', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { chain } = watched;
  const { deal, onChain } = await activeDeal(watched);
  onChain.goneAt = chain.head;
  await watched.grow(2_880);
  expect((await watched.deal(deal.id)).state).toBe('active');
  expect(await watched.differences(), 'the daily reading finds it').toMatchObject([
    { deal_id: deal.id, kind: 'absent', cleared_at: null },
  ]);
  chain.finalized = onChain.goneAt;
  await watched.grow(1);
  expect((await watched.deal(deal.id)).state, 'the finalized state still holds it').toBe('active');
  chain.finalized = onChain.goneAt + 1;
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'slashed', reason_code: 'vanished' });
});

test('a deal past its end epoch is expired, though the actor still holds it', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { deal } = await activeDeal(watched, { endEpoch: 5_000 });
  await watched.grow(5_000 + 9 - watched.chain.head);
  expect((await watched.deal(deal.id)).state).toBe('active');
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({
    state: 'expired',
    reason_text: 'its term ended at epoch 5000',
  });
});

test('published and never proven is missed once its start is final', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { chain } = watched;
  const deal = await watched.seed({ startEpoch: 150 });
  await watched.watch();
  chain.publish(deal.onChain);
  await watched.grow(100);
  expect((await watched.deal(deal.id)).state, 'the start is past, but not final').toBe('published');
  chain.finalized = 150;
  await watched.grow(1);
  expect((await watched.deal(deal.id)).state).toBe('published');
  chain.finalized = 151;
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'missed', reason_code: 'not_proven' });
  expect(watched.jobs.sent).toHaveLength(1);
});

test('never published is abandoned once its start is final, and not while events are not read up to there', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { chain } = watched;
  const deal = await watched.seed({ startEpoch: 150, state: 'sent' });
  await watched.watch();
  chain.eventsFail = true;
  chain.finalized = 180;
  await watched.grow(100);
  expect((await watched.deal(deal.id)).state).toBe('sent');
  expect(watched.deps.view.status.degraded?.reason).toContain('event index is busy');
  chain.eventsFail = false;
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'abandoned', reason_code: 'not_published' });
  expect(watched.jobs.sent).toHaveLength(1);
  expect(watched.deps.view.status.degraded).toBeUndefined();
});

test('a gateway that refuses old heights keeps no proposal from its end, and is asked about them once', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { chain } = watched;
  const deal = await watched.seed({ startEpoch: 150 });
  await watched.watch();
  let refused = 0;
  chain.fault = ({ method, params }, response) => {
    if (method !== 'Filecoin.GetActorEventsRaw' || (params[0] as { fromHeight: number }).fromHeight > 0) return false;
    refused += 1;
    sendError(response, 1, 'bad tipset height: lookbacks of more than 24h0m0s are disallowed');
    return true;
  };
  chain.finalized = 180;
  await watched.grow(100);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'abandoned', reason_code: 'not_published' });
  expect(watched.deps.view.status.degraded).toBeUndefined();
  expect(refused).toBe(1);
});

test.each(['rejected', 'failed', 'abandoned', 'signed'] as const)('the chain wins over %s', async (state) => {
  await using watched = await watchFixture(new ScriptedChain());
  const deal = await watched.seed({ state });
  await watched.watch();
  watched.chain.publish(deal.onChain);
  await watched.grow(11);
  expect(await watched.deal(deal.id)).toMatchObject({
    state: 'published',
    settled_at: null,
    reason_code: null,
    generation: 0,
  });
});

test.each(['rejected', 'failed'] as const)(
  'a %s deal that shows up beside its replacement lives beside it',
  async (state) => {
    await using watched = await watchFixture(new ScriptedChain());
    const deal = await watched.seed({ state });
    const replacement = await watched.seed({ aggregateId: deal.aggregateId, provider: 'f01003' });
    await watched.watch();
    watched.chain.publish(deal.onChain);
    watched.chain.publish(replacement.onChain);
    await watched.grow(11);
    expect(await watched.deal(deal.id)).toMatchObject({ state: 'published', slot: 0, generation: 1 });
    expect(await watched.deal(replacement.id)).toMatchObject({ state: 'published', slot: 0, generation: 0 });
  },
);

test.each([
  ['in its slot', { provider: 'f01003', slot: 0 }],
  ['at its provider', { provider: 'f01002', slot: 1, endEpoch: 600_001 }],
])('a deal that shows up calls off the replacement %s that nobody was sent', async (_where, place) => {
  await using watched = await watchFixture(new ScriptedChain());
  const deal = await watched.seed({ state: 'rejected' });
  const replacement = await watched.seed({ aggregateId: deal.aggregateId, state: 'signed', ...place });
  await watched.watch();
  watched.jobs.sent.length = 0;
  watched.chain.publish(deal.onChain);
  await watched.grow(11);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'published', slot: 0, generation: 0 });
  expect(await watched.deal(replacement.id)).toMatchObject({ state: 'abandoned', attempts: 0 });
  expect(await watched.story(replacement.id)).toEqual(['signed', 'abandoned:called_off']);
  expect(watched.jobs.sent).toEqual([{ queue: 'propose', aggregateId: String(deal.aggregateId) }]);
});

test('a replacement that was only signed is taken for real once the chain shows it as well', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const deal = await watched.seed({ state: 'rejected' });
  const replacement = await watched.seed({ aggregateId: deal.aggregateId, state: 'signed', provider: 'f01003' });
  await watched.watch();
  watched.chain.publish(deal.onChain);
  watched.chain.publish(replacement.onChain);
  await watched.grow(11);
  const both = await Promise.all([deal, replacement].map(({ id }) => watched.deal(id)));
  expect(both.map(({ state }) => state)).toEqual(['published', 'published']);
  expect(both.map(({ generation }) => generation).toSorted((one, other) => one - other)).toEqual([0, 1]);
});

test('a deal of our client that is not ours in all fields is left alone', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const deal = await watched.seed();
  await watched.watch();
  watched.chain.publish({ ...deal.onChain, StartEpoch: 501 });
  watched.chain.publish({
    ...deal.onChain,
    PieceCID: { '/': 'baga6ea4seaqk2u3pntxj2duujpuhqrn6ifbhpp7hlyvt6e6kcs3uymacxtsiebq' },
  });
  await watched.grow(20);
  expect(await watched.story(deal.id)).toEqual(['accepted']);
  watched.chain.publish(deal.onChain);
  await watched.grow(11);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'published', chain_deal_id: 3n });
});

test('published, proven and terminated between two looks is told in order', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  const onChain = chain.publish(deal.onChain);
  Object.assign(onChain, { provedAt: 110, terminatedAt: 120, sectorNumber: 6 });
  await watched.grow(100);
  expect(await watched.story(deal.id)).toEqual([
    'accepted',
    'published:found_on_chain',
    'active:sector_active',
    'slashed:sector_terminated',
  ]);
  expect(await watched.deal(deal.id)).toMatchObject({ sector_start_epoch: 110n, chain_deal_id: 1n });
});

test('a termination that follows a publish we knew is told with its sector', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  const onChain = chain.publish(deal.onChain);
  await watched.grow(11);
  Object.assign(onChain, { provedAt: 112, terminatedAt: 114, sectorNumber: 6 });
  await watched.grow(50);
  expect((await watched.story(deal.id)).slice(2)).toEqual(['active:sector_active', 'slashed:sector_terminated']);
});

test('empty rounds are no trouble', async () => {
  const chain = new ScriptedChain();
  chain.leaveEmpty(101, 102, 103, 111);
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  chain.publish(deal.onChain);
  for (let epochs = 0; epochs < 13; epochs += 1) await watched.grow(1);
  expect((await watched.deal(deal.id)).state, 'as of 100, the tipset before the empty rounds').toBe('accepted');
  await watched.grow(1);
  expect((await watched.deal(deal.id)).state).toBe('published');
});

test('after a long silence events are read in bounded ranges, and the pass asks to go on', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const deal = await watched.seed({ startEpoch: 40_000 });
  await watched.watch();
  chain.head = 20_000;
  chain.publish(deal.onChain);
  chain.head = 30_000;
  const signal = new AbortController().signal;
  expect(await watchNext(watched.deps, signal)).toBe(true);
  expect((await watched.deal(deal.id)).state).toBe('accepted');
  await watched.watch();
  expect((await watched.deal(deal.id)).state).toBe('published');
  const ranges = watched.requests
    .filter(({ method }) => method === 'Filecoin.GetActorEventsRaw')
    .map(({ params }) => params[0] as { fromHeight: number; toHeight: number })
    // Silence is heard more than once.
    .filter(({ fromHeight }, at, all) => fromHeight !== all[at - 1]?.fromHeight);
  expect(Math.max(...ranges.map(({ fromHeight, toHeight }) => toHeight - fromHeight))).toBeLessThan(2_880);
  for (const [at, range] of ranges.entries()) {
    if (at > 0) expect(range.fromHeight).toBe((ranges[at - 1]?.toHeight ?? 0) + 1);
  }
});

test('what was seen before it was final is read once more when it is', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const { deal } = await activeDeal(watched);
  const readsOf = async (epochs: number) => {
    const before = watched.requests.length;
    await watched.grow(epochs);
    return watched.requests.slice(before).filter(({ method }) => method === 'Filecoin.StateMarketStorageDeal').length;
  };
  expect(await readsOf(1), 'nothing of ours changed').toBe(0);
  chain.finalized = 102;
  expect(await readsOf(1), 'the confirmation').toBe(1);
  expect(await readsOf(1)).toBe(0);
  expect((await watched.events(deal.id)).at(-1)?.epoch).toBe(102n);
});

test('two hundred published deals and more are read in turn', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const first = await watched.seed({ provider: 'f02000', startEpoch: 3_000 });
  const deals = [first];
  for (let provider = 2_001; provider < 2_250; provider += 1) {
    deals.push(
      await watched.seed({
        provider: `f0${provider}`,
        aggregateId: first.aggregateId,
        slot: provider - 2_000,
        startEpoch: 3_000,
      }),
    );
  }
  await watched.watch();
  const published = deals.map((deal) => chain.publish(deal.onChain));
  await watched.grow(11);
  const count = async (state: 'published' | 'active') =>
    (await watched.kysely.selectFrom('deals').select('id').where('state', '=', state).execute()).length;
  expect(await count('published')).toBe(250);
  // Proven, and the node tells no event of it.
  for (const deal of published) deal.provedAt = chain.head;
  chain.hasEvents = false;
  // The other reading, of all live deals, stands still here.
  watched.deps.reconcilePerSecond = 0;
  watched.deps.view.credit.deals = 0;
  await watched.grow(11);
  expect(await count('active'), 'two hundred at each pass').toBe(200);
  await watched.grow(1);
  expect(await count('active')).toBe(250);
});
