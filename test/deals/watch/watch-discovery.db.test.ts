import { expect, test } from 'vitest';
import { lookIntoPublishMessage } from '../../../src/deals/watch/look-into-publish-message.ts';
import { watchNext } from '../../../src/deals/watch/watch.ts';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { activeDeal, publishedAboveFinality, watchFixture } from '../../support/watch-fixture.ts';

const signal = new AbortController().signal;

async function withoutEvents() {
  const chain = new ScriptedChain();
  chain.hasEvents = false;
  const watched = await watchFixture(chain);
  const deal = await watched.seed({ startEpoch: 40_000 });
  await watched.watch();
  return { chain, watched, deal };
}

test('without events a deal is found in the publish messages, and its proof by reading it', async () => {
  const { chain, watched: opened, deal } = await withoutEvents();
  await using watched = opened;
  const onChain = Object.assign(chain.publish(deal.onChain), { signed: deal.signedProposal });
  await watched.grow(12);
  expect(await watched.deal(deal.id)).toMatchObject({
    state: 'published',
    chain_deal_id: 1n,
    publish_message: onChain.message,
    published_epoch: 100n,
  });
  onChain.provedAt = chain.head;
  await watched.grow(12);
  expect((await watched.deal(deal.id)).state).toBe('active');
  const { status } = watched.deps.view;
  expect(status.degraded).toBeUndefined();
  expect(status.limited, 'what cannot be seen is said').toContain('inside other messages');
});

test('without events a downtime is made up for, across empty rounds, each tipset once', async () => {
  const { chain, watched: opened, deal } = await withoutEvents();
  await using watched = opened;
  chain.leaveEmpty(149, 150, 151, 209, 210, 211);
  chain.head = 148;
  const onChain = Object.assign(chain.publish(deal.onChain), { signed: deal.signedProposal });
  await watched.grow(400);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'published', published_epoch: 148n });
  const scanned = watched.requests
    .filter(({ method }) => method === 'Filecoin.ChainGetParentReceipts')
    .map(({ params }) => (params[0] as { '/': string })['/']);
  expect(new Set(scanned).size).toBe(scanned.length);
  expect(onChain.publishedAt).toBe(148);
});

test('without events a wrapped publish is not seen, and its provider may name it', async () => {
  const { chain, watched: opened, deal } = await withoutEvents();
  await using watched = opened;
  chain.wrapsPublishes = true;
  const onChain = Object.assign(chain.publish(deal.onChain), { signed: deal.signedProposal });
  await watched.grow(20);
  expect((await watched.deal(deal.id)).state).toBe('accepted');
  const named = { dealId: deal.id, message: onChain.message };
  expect(await lookIntoPublishMessage(watched.deps, named, signal)).toEqual({ kind: 'wrapped', to: 'f0999' });
});

test('a publish message that a provider names is believed as far as the state agrees', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  const onChain = Object.assign(chain.publish(deal.onChain), { signed: deal.signedProposal });
  const named = { dealId: deal.id, message: onChain.message };
  const look = () => lookIntoPublishMessage(watched.deps, named, signal);
  expect(await look(), 'not executed yet').toEqual({ kind: 'pending' });
  chain.head += 1;
  expect(await look(), 'later than our last look').toEqual({ kind: 'pending' });

  chain.eventsFail = true;
  await watched.grow(12);
  expect((await watched.deal(deal.id)).state).toBe('accepted');
  Object.assign(onChain, { exitCode: 16 });
  expect(await look()).toEqual({ kind: 'failed', exitCode: 16 });
  Object.assign(onChain, { exitCode: 0, dropped: true });
  expect(await look()).toEqual({ kind: 'dropped' });
  Object.assign(onChain, { dropped: false, proposal: { ...onChain.proposal, Label: 'another' } });
  expect(await look()).toEqual({ kind: 'differs', chainDealId: 1n, fields: ['label'] });
  expect(await watched.differences()).toMatchObject([{ deal_id: deal.id, kind: 'another_proposal' }]);
  onChain.proposal = deal.onChain;
  expect(await look()).toEqual({ kind: 'published', chainDealId: 1n });
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'published', publish_message: onChain.message });
  expect((await watched.events(deal.id)).at(-1)).toMatchObject({
    evidence: { node: new URL(watched.rpcUrl).host, message: onChain.message },
  });
  expect(await look(), 'again changes nothing').toEqual({ kind: 'published', chainDealId: 1n });
  expect(await watched.story(deal.id)).toEqual(['accepted', 'published:found_on_chain']);
  const stranger = await watched.seed({ piece: 2, provider: 'f01003' });
  const other = { dealId: stranger.id, message: onChain.message };
  expect(await lookIntoPublishMessage(watched.deps, other, signal)).toEqual({ kind: 'not_in_it' });
});

test('the daily reading tells what no event told, and goes on where it was', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const { deal, onChain } = await activeDeal(watched);
  expect(await watched.differences()).toEqual([]);
  chain.finalized = chain.head - 5;
  await watched.grow(1);
  // Terminated in a tipset whose events the node lost.
  onChain.goneAt = chain.head;
  chain.head += 2_880;
  chain.finalized = chain.head - 10;
  watched.deps.reconcilePerSecond = 0;
  watched.deps.view.credit = { deals: 0, at: undefined };
  watched.clock.advance(60_000);
  await watched.watch();
  expect((await watched.deal(deal.id)).state, 'the round has begun, and may read nothing yet').toBe('active');
  watched.deps.view.credit = { deals: 0, at: undefined };
  watched.deps.reconcilePerSecond = 100;
  chain.head += 1;
  await watched.watch();
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'slashed', reason_code: 'vanished' });
  expect(await watched.differences()).toMatchObject([
    { deal_id: deal.id, kind: 'untold', epoch: BigInt(chain.head - 10) },
  ]);
});

test('a difference that is gone is cleared', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const { onChain } = await activeDeal(watched);
  const { proposal } = onChain;
  onChain.proposal = { ...proposal, Label: 'another' };
  await watched.grow(2_880);
  expect(await watched.differences()).toMatchObject([{ kind: 'another_proposal', cleared_at: null }]);
  onChain.proposal = proposal;
  await watched.grow(2_880);
  expect((await watched.differences()).map(({ cleared_at: at }) => at)).toEqual([expect.any(Date)]);
});

test('an idle poll over many deals asks the node seven times, three of them whether there are events', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  await activeDeal(watched);
  const before = watched.requests.length;
  await watched.grow(1);
  expect(watched.requests.length - before).toBeLessThanOrEqual(7);
});

test('a node from the future is not read, and cursors that it left are taken back', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const genesis = watched.clock.now().getTime() / 1_000 - 30 * 100;
  const { deal } = await activeDeal(watched);
  // The clock of this fixture moves a second an epoch: here it is brought to where the chain is.
  const inTime = () => watched.clock.advance(30 * 1_000);
  for (let epochs = 0; epochs < 50; epochs += 1) inTime();
  const { head } = chain;
  chain.head = 500_000;
  await watched.watch();
  expect(watched.deps.view.status.degraded, 'without a clock to judge by it is believed').toBeUndefined();
  chain.head = head + 1;
  await watched.watch();
  expect(watched.deps.view.status.degraded?.reason).toContain('behind');

  watched.deps.chainTime = { genesisSeconds: genesis };
  await watched.watch();
  expect(watched.deps.view.status).toMatchObject({ epoch: head + 1 - 10 });
  expect(watched.deps.view.status.degraded).toBeUndefined();
  expect((await watched.deal(deal.id)).state).toBe('active');

  chain.head = 500_000;
  await watched.watch();
  expect(watched.deps.view.status.degraded?.reason).toContain('by the clock');
  chain.head = head + 2;
  expect(await watchNext(watched.deps, signal)).toBe(false);
  expect(watched.deps.view.status.degraded).toBeUndefined();
});

test('what a reorg takes back names the tipset that is gone, and the public reason stays with the deal', async () => {
  const { chain, watched: opened, deal } = await publishedAboveFinality();
  await using watched = opened;
  const [undone = ''] = chain.key(chain.head - 10);
  chain.reorg(95);
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'accepted', reason_code: 'reorg' });
  expect((await watched.events(deal.id)).at(-1)?.evidence).toMatchObject({
    undoneTipset: [undone],
    tipset: chain.key(chain.head - 10),
    reorgedAbove: 90,
  });
});
