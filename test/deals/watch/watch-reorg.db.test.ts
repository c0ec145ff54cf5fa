import { expect, test } from 'vitest';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { activeDeal, publishedAboveFinality, watchFixture } from '../../support/watch-fixture.ts';

test('a reorg that drops a publish undoes it, and it is found again under another id', async () => {
  const { chain, watched: opened, deal } = await publishedAboveFinality();
  await using watched = opened;
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'published', chain_deal_id: 1n });

  chain.reorg(95);
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'accepted', chain_deal_id: null, publish_message: null });
  const again = chain.publish(deal.onChain, 8);
  await watched.grow(11);
  expect(await watched.deal(deal.id)).toMatchObject({
    state: 'published',
    chain_deal_id: 8n,
    publish_message: again.message,
  });
  expect(await watched.story(deal.id)).toEqual([
    'accepted',
    'published:found_on_chain',
    'accepted:reorg',
    'published:found_on_chain',
  ]);
});

test('a message that lands again in the reorged part below the tipset of the last look is found too', async () => {
  const { chain, watched: opened, deal } = await publishedAboveFinality(20);
  await using watched = opened;
  chain.reorg(95);
  const again = chain.publish(deal.onChain, 8);
  again.publishedAt = 97;
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'published', chain_deal_id: 8n, published_epoch: 97n });
});

test('two deals that change ids in a reorg change ids', async () => {
  const chain = new ScriptedChain();
  chain.finalized = 90;
  await using watched = await watchFixture(chain);
  const one = await watched.seed({ piece: 1 });
  const two = await watched.seed({ piece: 2, provider: 'f01003' });
  await watched.watch();
  chain.publish(one.onChain, 7);
  chain.publish(two.onChain, 8);
  await watched.grow(20);
  chain.reorg(95);
  chain.publish(one.onChain, 8).publishedAt = 98;
  chain.publish(two.onChain, 7).publishedAt = 98;
  await watched.grow(1);
  expect(await watched.deal(one.id)).toMatchObject({ state: 'published', chain_deal_id: 8n });
  expect(await watched.deal(two.id)).toMatchObject({ state: 'published', chain_deal_id: 7n });
});

test('a reorg that undoes a termination brings the deal back', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const { deal, onChain } = await activeDeal(watched);
  chain.finalized = chain.head - 10;
  await watched.grow(1);
  onChain.terminatedAt = chain.head;
  await watched.grow(11);
  expect((await watched.deal(deal.id)).state).toBe('slashed');
  chain.reorg(onChain.terminatedAt - 1);
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({ state: 'active', settled_at: null, reason_code: null });
});

test('a reorg that undoes a proof goes back to published', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const { deal, onChain } = await activeDeal(watched);
  chain.reorg((onChain.provedAt ?? 0) - 1);
  await watched.grow(1);
  expect(await watched.deal(deal.id)).toMatchObject({
    state: 'published',
    sector_start_epoch: null,
    sector_number: null,
  });
});

test('only what was read above the fork is read again, not all that is not final', async () => {
  const chain = new ScriptedChain();
  chain.finalized = 50;
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  const onChain = chain.publish(deal.onChain);
  await watched.grow(12);
  Object.assign(onChain, { provedAt: 106, sectorNumber: 5 });
  await watched.grow(10);
  expect((await watched.deal(deal.id)).state).toBe('active');
  chain.reorg(105);
  await watched.grow(1);
  const last = (await watched.events(deal.id)).at(-1);
  expect(last).toMatchObject({ to_state: 'published', evidence: { reorgedAbove: 102, undoneTipset: ['bafyt0x112'] } });
});

test('a node that knows of less finality takes nothing back of what was final', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  await watched.watch();
  chain.finalized = 40;
  await watched.grow(5);
  const finalized = await watched.kysely
    .selectFrom('chain_cursors')
    .selectAll()
    .where('name', '=', 'watch.finalized')
    .executeTakeFirstOrThrow();
  expect(finalized).toMatchObject({ height: 80n, tipset: ['bafyt0x80'] });
});

test('a chain without what was final is not believed', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const { deal } = await activeDeal(watched);
  chain.reorg(70);
  await watched.grow(5);
  expect(watched.deps.view.status.degraded?.reason).toBe('the node shows another tipset at epoch 80, which was final');
  expect((await watched.deal(deal.id)).state).toBe('active');
});
