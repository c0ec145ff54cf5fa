import { expect, test } from 'vitest';
import { createChain } from '../../src/chain/chain.ts';
import {
  sendError,
  sendJson,
  sendResult,
  type Respond,
  type RespondToList,
  type RpcRequest,
} from '../support/rpc-server.ts';
import { given } from './ask.ts';
import { poolOf } from './nodes.ts';

function rawDeal(id: number) {
  return {
    Proposal: {
      PieceCID: { '/': 'baga' },
      PieceSize: 128,
      VerifiedDeal: false,
      Client: 'f0103',
      Provider: 'f01002',
      Label: `deal ${id}`,
      StartEpoch: 1,
      EndEpoch: 2,
      StoragePricePerEpoch: '0',
      ProviderCollateral: '0',
      ClientCollateral: '0',
    },
    State: { SectorNumber: id, SectorStartEpoch: -1, SlashEpoch: -1 },
  };
}

/** Deals of odd ids are there. */
function entryOf({ id, params: [dealId] }: RpcRequest): unknown {
  if (Number(dealId) % 2 === 1) return { jsonrpc: '2.0', id, result: rawDeal(Number(dealId)) };
  return { jsonrpc: '2.0', id, error: { code: 1, message: `deal ${String(dealId)} not found - deal may …` } };
}

const single: Respond = ({ params: [dealId] }, response) =>
  Number(dealId) % 2 === 1
    ? sendResult(response, rawDeal(Number(dealId)))
    : sendError(response, 1, `deal ${String(dealId)} not found - deal may …`);

/** Takes lists, and notes how long they were. */
function nodeWithLists(change: (entries: unknown[]) => unknown = (entries) => entries) {
  const lengths: number[] = [];
  const respondToList: RespondToList = (requests, response) => {
    lengths.push(requests.length);
    sendJson(response, change(requests.map(entryOf).toReversed()));
  };
  return { lengths, node: { respond: single, respondToList } };
}

const idsTo = (count: number) => Array.from({ length: count }, (_, at) => BigInt(at + 1));

/** `there`, `gone` or the code of the error, of each deal. */
async function told(rpc: Parameters<typeof createChain>[0], count: number): Promise<string[]> {
  const outcomes = await createChain(rpc).marketDeals(idsTo(count), given);
  return [...outcomes].map(([id, outcome]) => {
    if ('error' in outcome) return outcome.error.code;
    if (outcome.value === undefined) return 'gone';
    return outcome.value.proposal.label === `deal ${id}` ? 'there' : 'another';
  });
}
const asItIs = (count: number) => Array.from({ length: count }, (_, at) => (at % 2 === 0 ? 'there' : 'gone'));

test('many deals are read in a few requests, each answer finding its own by id', async () => {
  const { lengths, node } = nodeWithLists();
  const { rpc, asked } = await poolOf([node]);
  expect(await told(rpc, 120)).toEqual(asItIs(120));
  expect(lengths.toSorted((a, b) => b - a)).toEqual([50, 50, 20]);
  expect(asked()).toEqual([0]);
});

test('a node that takes no lists is asked one by one, and for a while no more with a list', async () => {
  const lists = { sent: 0 };
  const refusing: RespondToList = (_, response) => {
    lists.sent += 1;
    sendError(response, -32_600, 'Invalid request');
  };
  const { rpc, time, asked } = await poolOf([{ respond: single, respondToList: refusing }]);
  expect(await told(rpc, 6)).toEqual(asItIs(6));
  expect(await told(rpc, 6)).toEqual(asItIs(6));
  expect([lists.sent, ...asked()]).toEqual([1, 12]);
  time.ms += 10 * 60_000;
  await told(rpc, 6);
  expect(lists.sent).toBe(2);
});

test.each([400, 405, 413])('HTTP %i for a list means that it takes none', async (status) => {
  const respondToList: RespondToList = (_, response) => sendJson(response, '<html>', status);
  const { rpc } = await poolOf([{ respond: single, respondToList }]);
  expect(await told(rpc, 5)).toEqual(asItIs(5));
  expect(rpc.health()[0]?.state).toBe('well');
});

test('a node that refuses a list for the moment is not asked one by one', async () => {
  const respondToList: RespondToList = (_, response) => sendJson(response, '', 429);
  const { rpc, asked } = await poolOf([{ respond: single, respondToList }]);
  expect(new Set(await told(rpc, 5))).toEqual(new Set(['RPC_HTTP_STATUS']));
  expect(asked()).toEqual([0]);
});

test.each([
  ['misses in the list', (entries: unknown[]) => entries.slice(1), 'RPC_BAD_ENVELOPE'],
  [
    'is of another shape',
    (entries: unknown[]) => [{ jsonrpc: '2.0', id: 5, result: null }, ...entries.slice(1)],
    'RPC_BAD_RESULT',
  ],
  [
    'is refused for a reason of the node',
    (entries: unknown[]) => [{ jsonrpc: '2.0', id: 5, error: { code: 1, message: 'busy' } }, ...entries.slice(1)],
    'RPC_ERROR',
  ],
] as const)('one answer that %s fails none of its neighbours', async (_name, change, code) => {
  const { node } = nodeWithLists(change);
  const { rpc } = await poolOf([node]);
  expect(await told(rpc, 5)).toEqual(['there', 'gone', 'there', 'gone', code]);
});

test('what one node cannot answer of a list is asked of the next, and only that', async () => {
  const first = nodeWithLists((entries) => entries.slice(2));
  const second = nodeWithLists();
  const { rpc } = await poolOf([first.node, second.node]);
  expect(await told(rpc, 5)).toEqual(asItIs(5));
  expect([first.lengths, second.lengths]).toEqual([[5], [2]]);
});
