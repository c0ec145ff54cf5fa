import type { ServerResponse } from 'node:http';
import { expect, test } from 'vitest';
import { findWatchStatus, watchNext } from '../../../src/deals/watch/watch.ts';
import { ScriptedChain } from '../../support/scripted-chain.ts';
import { activeDeal, publishedAboveFinality, watchFixture } from '../../support/watch-fixture.ts';

test('a restart goes on from the cursors', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  chain.publish(deal.onChain);
  watched.deps.view.clientIds.clear();
  watched.deps.view.doneWith = undefined;
  await watched.grow(300);
  expect((await watched.deal(deal.id)).state).toBe('published');
});

/** Answers instead of the chain. */
const FAULTS: [name: string, answer: (response: ServerResponse) => void][] = [
  ['HTML', (response) => response.end('<html>')],
  ['429', (response) => response.writeHead(429).end()],
  ['a reset', (response) => response.destroy()],
  ['a bare error', (response) => response.writeHead(500).end('{"error":1}')],
];

test.each(FAULTS)('a node that answers %s changes nothing but the status', async (_name, answer) => {
  await using watched = await watchFixture(new ScriptedChain());
  const { chain, deps } = watched;
  const { deal } = await activeDeal(watched);
  const before = await watched.deal(deal.id);
  const { fault: well } = chain;
  const faulty: typeof well = (_, response) => {
    answer(response);
    return true;
  };
  chain.fault = (request, response) => request.method.includes('StateMarket') && faulty(request, response);
  await watched.grow(5);
  const { asOf, epoch } = deps.view.status;
  chain.fault = faulty;
  await watched.grow(5);
  expect(await watched.deal(deal.id)).toEqual(before);
  expect(deps.view.status).toMatchObject({ asOf, epoch });
  expect(deps.view.status.degraded?.since).toBeInstanceOf(Date);
  chain.fault = well;
  await watched.grow(1);
  expect(deps.view.status.degraded).toBeUndefined();
});

test('that nothing happened is not believed of a node that fails in the same pass', async () => {
  const { chain, watched: opened } = await publishedAboveFinality();
  await using watched = opened;
  const second = await watched.seed({ startEpoch: 40_000, piece: 2 });
  chain.publish(second.onChain);
  // What became final is read again, which fails; events are answered, with those of the second deal left out.
  chain.finalized = chain.head - 5;
  chain.fault = ({ id, method }, response) => {
    if (method.endsWith('GetActorEventsRaw')) response.end(JSON.stringify({ jsonrpc: '2.0', id, result: null }));
    else if (method.endsWith('StateMarketStorageDeal')) response.writeHead(500).end();
    else return false;
    return true;
  };
  await watched.grow(12);
  expect(watched.deps.view.status.degraded).toBeDefined();
  expect((await watched.deal(second.id)).state).toBe('accepted');
  chain.fault = () => false;
  await watched.grow(1);
  expect((await watched.deal(second.id)).state).toBe('published');
});

test('a node that shows less than was seen is not read', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { chain, deps } = watched;
  const { deal } = await activeDeal(watched);
  await watched.grow(50);
  const seen = chain.head;
  chain.head = 101;
  await watched.watch();
  expect((await watched.deal(deal.id)).state).toBe('active');
  expect(deps.view.status.degraded?.reason).toContain('behind');
  chain.head = seen + 1;
  await watched.watch();
  expect(deps.view.status.degraded).toBeUndefined();
});

test('a node that shows another deal under our id is not believed without a reorg', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { deal, onChain } = await activeDeal(watched);
  onChain.proposal = { ...onChain.proposal, Label: 'another' };
  await watched.grow(20);
  expect((await watched.deal(deal.id)).state).toBe('active');
});

test('a chain that stands still is told', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  await watched.watch();
  watched.clock.advance(11 * 60_000);
  await watched.watch();
  expect(watched.deps.view.status.degraded?.reason).toContain('no new tipset');
});

test('while the chain shows nothing new, nothing is read but where it stands', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  await activeDeal(watched);
  const before = watched.requests.length;
  await watched.watch();
  expect(watched.requests.slice(before).map(({ method }) => method)).toEqual([
    'Filecoin.ChainHead',
    'Filecoin.ChainGetFinalizedTipSet',
    'Filecoin.ChainGetTipSetByHeight',
  ]);
});

test('the next tipset says itself that it follows the one before', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  await activeDeal(watched);
  const before = watched.requests.length;
  const asked = () => watched.requests.slice(before).filter(({ method }) => method.endsWith('ChainGetTipSetByHeight'));
  await watched.grow(1);
  expect(asked()).toHaveLength(1);
  await watched.grow(2);
  expect(asked(), 'and of one further on the last is asked for').toHaveLength(3);
});

test('one process watches at a time', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const deal = await watched.seed();
  await watched.watch();
  watched.chain.publish(deal.onChain);
  watched.chain.head += 11;
  const signal = new AbortController().signal;
  const passes = await Promise.all([1, 2, 3].map(() => watchNext(watched.deps, signal)));
  expect(passes.filter(Boolean)).toHaveLength(1);
  expect(await watched.story(deal.id)).toEqual(['accepted', 'published:found_on_chain']);
});

test('a process that does not watch reads the status from the database', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { kysely, clock } = watched;
  expect(await findWatchStatus(kysely, clock)).toEqual({ asOf: undefined, epoch: undefined });
  await watched.watch();
  expect(await findWatchStatus(kysely, clock)).toEqual({ asOf: clock.now(), epoch: 90 });
  clock.advance(6 * 60_000);
  expect((await findWatchStatus(kysely, clock)).degraded?.reason).toContain('no process');
});

test('passes that read only a part of the chain look fresh to nobody', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const { kysely, clock, chain } = watched;
  await watched.seed();
  await watched.watch();
  const asOf = clock.now();
  chain.eventsFail = true;
  clock.advance(6 * 60_000);
  await watched.grow(12);
  expect(watched.deps.view.status).toMatchObject({ asOf, degraded: {} });
  expect(await findWatchStatus(kysely, clock)).toMatchObject({ asOf, epoch: 90, degraded: {} });
});

test('an abort ends the pass with its reason and changes nothing', async () => {
  await using watched = await watchFixture(new ScriptedChain());
  const abort = new AbortController();
  abort.abort(new Error('stopping'));
  await expect(watchNext(watched.deps, abort.signal)).rejects.toThrow('stopping');
  expect(watched.deps.view.status.degraded).toBeUndefined();
});

test('what was seen is dropped when another process has looked at the chain since', async () => {
  const chain = new ScriptedChain();
  await using watched = await watchFixture(chain);
  const deal = await watched.seed();
  await watched.watch();
  chain.publish(deal.onChain);
  const { chain: reads } = watched.deps;
  watched.deps.chain = {
    ...reads,
    async session(until) {
      const session = await reads.session(until);
      return {
        ...session,
        async marketDeals(ids, options) {
          const newer = { height: 200n, tipset: ['bafynewer'] };
          await watched.kysely.updateTable('chain_cursors').set(newer).where('name', '=', 'watch.reads').execute();
          return session.marketDeals(ids, options);
        },
      };
    },
  };
  await watched.grow(11);
  expect(await watched.story(deal.id)).toEqual(['accepted']);
  expect(watched.deps.view.status.degraded).toBeUndefined();
});
