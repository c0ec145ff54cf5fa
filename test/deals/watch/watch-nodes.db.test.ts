import { expect, test } from 'vitest';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { openWatch } from '../../support/watch-fixture.ts';

/** Two nodes, each with a chain that the test may change. */
async function twoNodes() {
  const stack = new AsyncDisposableStack();
  const chains = [new ScriptedChain(), new ScriptedChain()] as const;
  const servers = [stack.use(await chains[0].serve()), stack.use(await chains[1].serve())] as const;
  const watched = stack.use(await openWatch({ rpcUrl: servers[0].url, otherUrls: [servers[1].url] }));
  return {
    ...watched,
    chains,
    hosts: servers.map(({ url }) => new URL(url).host),
    async grow(epochs: number) {
      for (const chain of chains) chain.head += epochs;
      // Longer than any node rests after a fault.
      watched.clock.advance(61_000);
      await watched.watch();
    },
    degraded: () => watched.deps.view.status.degraded?.reason,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}

async function withActiveDeal() {
  const world = await twoNodes();
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
  const [first] = world.chains;
  // On the first node the deal is terminated, in a chain of its own.
  first.reorg(100);
  const deal = first.deals[0];
  if (deal === undefined) throw new Error('its publish is below the reorg');
  Object.assign(deal, { provedAt: 101, sectorNumber: 5, terminatedAt: 110 });
  await world.grow(20);
  expect(world.degraded()).toBe('the nodes disagree about epoch 122');
  expect((await world.deal(world.id)).state).toBe('active');

  world.chains[1].fault = (_, response) => {
    response.writeHead(503).end();
    return true;
  };
  await world.grow(5);
  expect(world.degraded()).toMatch(/^the nodes disagree about epoch/);
  expect((await world.deal(world.id)).state).toBe('active');
});

test('a pass whose node fails is made again with the other, and nothing looks degraded', async () => {
  await using world = await withActiveDeal();
  const [first, second] = world.chains;
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
