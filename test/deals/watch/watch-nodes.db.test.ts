import { expect, test } from 'vitest';
import { checkDifferences } from '../../../src/doctor/check-finality.ts';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { openWatch } from '../../support/watch-fixture.ts';

/** Nodes, each with a chain that the test may change. */
async function openNodes(count: 2 | 3) {
  const stack = new AsyncDisposableStack();
  const chains = [new ScriptedChain(), new ScriptedChain(), new ScriptedChain()].slice(0, count);
  const [first, second] = chains;
  if (first === undefined || second === undefined) throw new Error('there are at least two');
  const servers = await Promise.all(chains.map(async (chain) => stack.use(await chain.serve())));
  const [rpcUrl = '', ...otherUrls] = servers.map(({ url }) => url);
  const watched = stack.use(await openWatch({ rpcUrl, otherUrls }));
  return {
    ...watched,
    chains,
    first,
    second,
    hosts: servers.map(({ url }) => new URL(url).host),
    async grow(epochs: number) {
      for (const chain of chains) chain.head += epochs;
      // Longer than any node rests after a fault.
      watched.clock.advance(61_000);
      await watched.watch();
    },
    differences: () => watched.kysely.selectFrom('chain_differences').selectAll().orderBy('id').execute(),
    degraded: () => watched.deps.view.status.degraded?.reason,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function withActiveDeal(count: 2 | 3 = 2) {
  const world = await openNodes(count);
  const deal = await world.seed();
  await world.watch();
  for (const chain of world.chains) {
    const onChain = chain.publish(deal.onChain);
    Object.assign(onChain, { provedAt: chain.head + 1, sectorNumber: 5 });
  }
  await world.grow(12);
  return { ...world, id: deal.id, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

test('every change tells the node that showed it', async () => {
  await using world = await withActiveDeal();
  expect(await world.story(world.id)).toEqual(['accepted', 'published:found_on_chain', 'active:sector_active']);
  const [, ...seen] = await world.events(world.id);
  for (const { evidence } of seen) expect(evidence).toMatchObject({ node: world.hosts[0] });
});

test('while two nodes disagree nothing flips, whichever of them answers, and it is told', async () => {
  await using world = await withActiveDeal();
  const { first } = world;
  // On the first node the deal is terminated, in a chain of its own.
  first.reorg(100);
  const deal = first.deals[0];
  if (deal === undefined) throw new Error('its publish is below the reorg');
  Object.assign(deal, { provedAt: 101, sectorNumber: 5, terminatedAt: 110 });
  await world.grow(20);
  expect(world.degraded()).toBe('the nodes disagree about epoch 122');
  expect((await world.deal(world.id)).state).toBe('active');

  world.second.fault = (_, response) => {
    response.writeHead(503).end();
    return true;
  };
  await world.grow(5);
  expect(world.degraded()).toMatch(/^the nodes disagree about epoch/);
  expect((await world.deal(world.id)).state).toBe('active');
});

test('a pass whose node fails is made again with the other, and nothing looks degraded', async () => {
  await using world = await withActiveDeal();
  const { first, second } = world;
  for (const chain of world.chains) Object.assign(chain.deals[0] ?? {}, { terminatedAt: chain.head });
  first.fault = ({ method }, response) => {
    if (method !== 'Filecoin.StateMarketStorageDeal') return false;
    response.writeHead(200).end('<html>');
    return true;
  };
  await world.grow(12);
  expect(world.degraded()).toBeUndefined();
  const last = (await world.events(world.id)).at(-1);
  expect(last).toMatchObject({ to_state: 'slashed', evidence: { node: world.hosts[1] } });
  expect(second.head).toBe(first.head);
});

/** The node does not show the deal, though its chain is that of the others. */
function hide({ deals }: ScriptedChain): void {
  Object.assign(deals[0] ?? {}, { goneAt: 1 });
}

test('two nodes that differ about a deal: it stays, and deal and nodes are told where operators look', async () => {
  await using world = await withActiveDeal();
  hide(world.first);
  world.first.finalized = 120;
  world.second.finalized = 120;
  // Both tell that it was terminated, and one has it still.
  Object.assign(world.first.deals[0] ?? {}, { terminatedAt: 113 });
  await world.grow(20);
  expect((await world.deal(world.id)).state).toBe('active');
  expect(world.degraded()).toBe('the nodes disagree about a deal');
  const [told] = await world.differences();
  expect(told).toMatchObject({ deal_id: world.id, kind: 'nodes_disagree', cleared_at: null });
  for (const host of world.hosts) expect(told?.detail).toContain(host);

  expect(await checkDifferences(world.kysely)).toMatchObject([{ ok: false, text: told?.detail }]);

  // They agree again.
  Object.assign(world.second.deals[0] ?? {}, { terminatedAt: 113 });
  await world.grow(5);
  expect((await world.deal(world.id)).state).toBe('slashed');
  expect(world.degraded()).toBeUndefined();
  const last = (await world.events(world.id)).at(-1);
  expect(last).toMatchObject({ evidence: { node: world.hosts[0], witness: world.hosts[1] } });
});

test('of three nodes the one that is outvoted is passed over, and nothing looks degraded', async () => {
  await using world = await withActiveDeal(3);
  const [first, ...others] = world.chains;
  for (const chain of world.chains) Object.assign(chain, { finalized: 120 });
  hide(world.first);
  Object.assign(first?.deals[0] ?? {}, { terminatedAt: 113 });
  for (const chain of others) Object.assign(chain.deals[0] ?? {}, { provedAt: 101, sectorNumber: 5 });
  await world.grow(20);
  expect((await world.deal(world.id)).state).toBe('active');
  expect(world.degraded()).toBeUndefined();
  expect(await world.differences()).toMatchObject([{ deal_id: world.id, kind: 'nodes_disagree' }]);

  // What happens now is read from another.
  for (const chain of others) Object.assign(chain.deals[0] ?? {}, { terminatedAt: first?.head });
  await world.grow(20);
  const last = (await world.events(world.id)).at(-1);
  expect(last).toMatchObject({ to_state: 'slashed', evidence: { node: world.hosts[1], witness: world.hosts[2] } });
});

test('a witness that cannot answer says nothing, and the one node is believed', async () => {
  await using world = await withActiveDeal();
  world.second.fault = ({ method }, response) => {
    if (method !== 'Filecoin.StateMarketStorageDeal') return false;
    response.writeHead(200).end('<html>');
    return true;
  };
  for (const chain of world.chains) Object.assign(chain.deals[0] ?? {}, { terminatedAt: chain.head });
  await world.grow(12);
  expect((await world.deal(world.id)).state).toBe('slashed');
  expect(world.degraded()).toBeUndefined();
});

/** A deal that the first node hides; its events are passed by the cursor while no other node tells of any. */
async function withHiddenPublish(count: 2 | 3) {
  const world = await openNodes(count);
  const [first, ...others] = world.chains;
  const deal = await world.seed({ startEpoch: 150 });
  await world.watch();
  for (const chain of others) {
    Object.assign(chain.publish(deal.onChain), { provedAt: chain.head + 1, sectorNumber: 5 });
    chain.eventsFail = true;
  }
  await world.grow(20);
  expect((await world.deal(deal.id)).state, 'the one node that answers hides it').toBe('accepted');
  for (const chain of others) chain.eventsFail = false;
  await world.grow(20);
  expect(first?.deals, 'and the cursor went by').toEqual([]);
  for (const chain of world.chains) chain.finalized = 180;
  await world.grow(60);
  return { ...world, id: deal.id, [Symbol.asyncDispose]: () => world[Symbol.asyncDispose]() };
}

test('a deal whose publish one node hid while it was alone is not given up: the others are asked before', async () => {
  await using world = await withHiddenPublish(3);
  expect(await world.story(world.id)).toEqual(['accepted', 'published:found_on_chain', 'active:sector_active']);
  expect(world.degraded()).toBeUndefined();
  expect(await world.differences()).toMatchObject([{ deal_id: world.id, kind: 'nodes_disagree' }]);
});

test('where two nodes differ about its publish, a deal is not given up while they do', async () => {
  await using world = await withHiddenPublish(2);
  expect((await world.deal(world.id)).state).toBe('accepted');
  expect(world.degraded()).toBe('the nodes disagree about a deal');
});
