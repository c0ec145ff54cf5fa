import { expect, test } from 'vitest';
import { RpcError } from '../../../src/chain/rpc-error.ts';
import type { DealEvent } from '../../../src/chain/actor-events.ts';
import { hearEvents } from '../../../src/deals/watch/hear-events.ts';
import type { WatchChain } from '../../../src/deals/watch/watch-sight.ts';

const event = (dealId: bigint, height: number): DealEvent => ({
  type: 'deal-terminated',
  dealId,
  client: 'f0103',
  provider: 'f01000',
  height,
  tipset: [`tipset${height}`],
  message: `message${dealId}`,
});
const failing = () => Promise.reject(new Error('the node is ill'));

function chainOf(own: () => Promise<DealEvent[]>, ...others: (() => Promise<DealEvent[]>)[]): WatchChain {
  const unasked = () => Promise.reject(new Error('this is not asked'));
  const witnesses = others.map((dealEvents, at) => ({
    node: `witness ${at}`,
    dealEvents,
    marketDeals: unasked,
    distrust: () => undefined,
  }));
  const reads = ['head', 'finalized', 'tipsetAt', 'lookupId', 'marketDeal', 'marketDeals'] as const;
  const messages = ['parentMessages', 'searchMessage', 'getMessage'] as const;
  const reading = Object.fromEntries([...reads, ...messages].map((name) => [name, unasked]));
  return { ...(reading as unknown as WatchChain), dealEvents: own, witnesses };
}

function ask(chain: WatchChain, signal = new AbortController().signal) {
  return hearEvents(chain, { fromHeight: 1, toHeight: 9, types: ['deal-terminated'], clients: ['f0103'], signal });
}

test('an event that one node of several tells is heard, once, in the order of heights', async () => {
  const chain = chainOf(
    () => Promise.resolve([event(2n, 5)]),
    () => Promise.resolve([event(1n, 3), event(2n, 5)]),
    () => Promise.resolve([]),
  );
  expect((await ask(chain)).map(({ dealId, height }) => [dealId, height])).toEqual([
    [1n, 3],
    [2n, 5],
  ]);
});

test('the same deal in two tipsets is two events: one of them may be undone', async () => {
  const chain = chainOf(
    () => Promise.resolve([event(1n, 5)]),
    () => Promise.resolve([event(1n, 6)]),
  );
  expect(await ask(chain)).toHaveLength(2);
});

test('a witness that cannot answer is passed over; the node that is read must answer', async () => {
  expect(await ask(chainOf(() => Promise.resolve([event(1n, 5)]), failing))).toHaveLength(1);
  await expect(ask(chainOf(failing, () => Promise.resolve([event(1n, 5)])))).rejects.toThrow('the node is ill');
});

test('an end of waiting is an end, and no silence of a witness', async () => {
  const stop = new AbortController();
  const chain = chainOf(
    () => Promise.resolve([]),
    () => {
      stop.abort(new Error('stopped'));
      return failing();
    },
  );
  await expect(ask(chain, stop.signal)).rejects.toThrow('stopped');
});

test('where the node keeps no events, those of a witness do; where none has any, that is said', async () => {
  const keepsNone = () =>
    Promise.reject(new RpcError('RPC_METHOD_NOT_FOUND', 'method not found', { method: 'GetActorEventsRaw' }));
  expect(await ask(chainOf(keepsNone, keepsNone, () => Promise.resolve([event(1n, 5)])))).toHaveLength(1);
  await expect(ask(chainOf(keepsNone, keepsNone, failing))).rejects.toThrow('method not found');
});

test('silence is heard three times from all before it is believed; an answer that was lost comes with the next', async () => {
  let asked = 0;
  const chain = chainOf(
    () => {
      asked += 1;
      return Promise.resolve(asked < 3 ? [] : [event(1n, 5)]);
    },
    () => Promise.resolve([]),
  );
  expect(await ask(chain)).toHaveLength(1);
  expect(asked).toBe(3);
  let silent = 0;
  const nothing = () => {
    silent += 1;
    return Promise.resolve([]);
  };
  expect(await ask(chainOf(nothing, nothing))).toEqual([]);
  expect(silent).toBe(6);
});
