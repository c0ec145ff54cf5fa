import { expect, test } from 'vitest';
import { createChain, createChainPool } from '../../src/chain/chain.ts';
import type { ReadMethod } from '../../src/chain/rpc-methods.ts';
import { sendError, sendJson, sendResult, type Respond } from '../support/rpc-server.ts';
import { ask, signal } from './ask.ts';
import { poolOf } from './nodes.ts';

const raw = (answer: unknown) => answer;
const head = { Cids: [{ '/': 'bafyhead' }], Blocks: [{ Timestamp: 7 }], Height: 100 };
const answers =
  (result: unknown): Respond =>
  (_, response) =>
    sendResult(response, result);
const status =
  (code: number): Respond =>
  (_, response) =>
    sendJson(response, '<html>', code);

test.each([
  ['null', 'null'],
  ['another shape', '{"Cids":[],"Blocks":[],"Height":"100"}'],
  ['nothing of it', '{}'],
  ['a height beyond exact numbers', '{"Cids":[{"/":"b"}],"Blocks":[{"Timestamp":1}],"Height":9007199254740993}'],
])('%s for a head is a fault of the node: the next is asked, and it rests', async (_name, result) => {
  const { rpc, asked } = await poolOf([
    (_, response) => sendJson(response, `{"jsonrpc":"2.0","id":1,"result":${result}}`),
    answers(head),
  ]);
  const chain = createChain(rpc);
  expect((await chain.head(signal)).height).toBe(100);
  expect((await chain.head(signal)).height).toBe(100);
  expect(asked()).toEqual([1, 2]);
  expect(rpc.health()[0]).toMatchObject({ state: 'resting', lastFault: 'RPC_BAD_RESULT' });
});

test('an answer of a wrong shape that all nodes give is named, with the node', async () => {
  const { rpc, hosts } = await poolOf([answers(null), answers([])]);
  await expect(createChain(rpc).head(signal)).rejects.toMatchObject({
    code: 'RPC_BAD_RESULT',
    details: { method: 'ChainHead', host: hosts[1] },
  });
});

test('a tipset above the height that was asked for is a fault of the node', async () => {
  const { rpc } = await poolOf([answers(head), answers({ ...head, Height: 90 })]);
  expect((await createChain(rpc).tipsetAt(90, signal)).height).toBe(90);
});

const push = { method: 'MpoolPush', params: [{}], parse: raw } as const;

test.each([
  ['HTTP 502', status(502)],
  ['what is no JSON', status(200)],
  ['no answer in time', () => undefined],
  ['a reset', (_, response) => void response.destroy()],
] satisfies [string, Respond][])('a write that gets %s is sent once, and may have arrived', async (_name, respond) => {
  const { rpc, asked } = await poolOf([respond, answers(1)], { timeoutMs: 500 });
  await expect(rpc.write(push, signal)).rejects.toMatchObject({ code: 'RPC_WRITE_UNKNOWN', retry: 'never' });
  expect(asked()).toEqual([1, 0]);
});

test('a write that the node refuses did not happen, and is not tried elsewhere', async () => {
  const { rpc, asked } = await poolOf([(_, response) => sendError(response, 1, 'actor events disabled'), answers(1)]);
  await expect(rpc.write(push, signal)).rejects.toMatchObject({ code: 'RPC_ERROR', rpcCode: 1 });
  expect(asked()).toEqual([1, 0]);
});

test.each([401, 429])('a write that is turned away with HTTP %i did not happen', async (code) => {
  const { rpc } = await poolOf([status(code)]);
  await expect(rpc.write(push, signal)).rejects.toMatchObject({ code: 'RPC_HTTP_STATUS', status: code });
});

test('a write that reaches nobody did not happen', async () => {
  const { rpc } = await poolOf([], { endpoints: [{ url: 'http://127.0.0.1:1/' }] });
  await expect(rpc.write(push, signal)).rejects.toMatchObject({ code: 'RPC_UNREACHABLE' });
});

test('a write goes to a node that is well, and of our chain', async () => {
  const { rpc, asked } = await poolOf([status(502), answers(head)], {
    admit: async (endpoint, until) => void (await createChain(endpoint).genesis(until)),
  });
  expect(await rpc.write(push, signal)).toEqual(head);
  expect(asked()).toEqual([1, 2]);
});

test('a write cannot slip in as a read', async () => {
  const { rpc, asked } = await poolOf([answers(1)]);
  await expect(ask(rpc, 'MpoolPush' as ReadMethod)).rejects.toMatchObject({ code: 'RPC_BAD_PARAMS' });
  expect(asked()).toEqual([0]);
});

/** A node whose head and whose tipset at any height are as it is told. */
function nodeAt(node: { height: number; fork?: string; sick?: boolean }): Respond {
  return ({ method, params }, response) => {
    if (node.sick === true) return sendJson(response, '', 503);
    const height = method === 'Filecoin.ChainHead' ? node.height : Number(params[0]);
    sendResult(response, { ...head, Cids: [{ '/': `bafy${node.fork ?? ''}${height}` }], Height: height });
  };
}

test('a session stays with one node, whose fault is its own; the next session takes another', async () => {
  const first = { height: 100, sick: false };
  const { rpc, hosts } = await poolOf([nodeAt(first), nodeAt({ height: 101 })]);
  const chain = createChainPool(rpc);
  const session = await chain.session(signal);
  expect(session.node).toBe(hosts[0]);
  expect((await session.head(signal)).height).toBe(100);
  first.sick = true;
  await expect(session.head(signal)).rejects.toMatchObject({ code: 'RPC_HTTP_STATUS', details: { host: hosts[0] } });
  expect((await chain.session(signal)).node).toBe(hosts[1]);
});

test('a node that lags is passed over, by sessions and by other reads, until it has caught up', async () => {
  const first = { height: 994 };
  const { rpc, hosts } = await poolOf([nodeAt(first), nodeAt({ height: 1_000 })]);
  expect((await rpc.session(signal)).host).toBe(hosts[1]);
  expect(rpc.health()).toMatchObject([
    { standing: 'behind', height: 994, lagEpochs: 6 },
    { standing: 'agrees', height: 1_000, lagEpochs: 0 },
  ]);
  expect(await ask(rpc)).toMatchObject({ Height: 1_000 });
  first.height = 995;
  expect((await rpc.session(signal)).host).toBe(hosts[0]);
});

test('a node that shows what by the clock cannot be is passed over', async () => {
  const { rpc, hosts } = await poolOf([nodeAt({ height: 5_000 }), nodeAt({ height: 1_000 })], {
    lastEpoch: () => 1_010,
  });
  expect((await rpc.session(signal)).host).toBe(hosts[1]);
  expect(rpc.health()[0]?.standing).toBe('ahead');
});

test('a node whose tipset differs from that of most others is passed over', async () => {
  const { rpc, hosts } = await poolOf([
    nodeAt({ height: 1_001, fork: 'x' }),
    nodeAt({ height: 1_000 }),
    nodeAt({ height: 999 }),
  ]);
  expect((await rpc.session(signal)).host).toBe(hosts[1]);
  expect(rpc.health().map(({ standing }) => standing)).toEqual(['differs', 'agrees', 'agrees']);
});

test('of two nodes that disagree neither is believed, nor the one that is left, until they agree', async () => {
  const [first, second]: { height: number; fork: string; sick?: boolean }[] = [
    { height: 1_000, fork: 'x' },
    { height: 1_000, fork: 'y' },
  ];
  if (first === undefined || second === undefined) throw new Error('there are two');
  const { rpc, time, hosts } = await poolOf([nodeAt(first), nodeAt(second)]);
  const disagree = { code: 'NODES_DISAGREE', message: 'the nodes disagree about epoch 990' };
  await expect(rpc.session(signal)).rejects.toMatchObject(disagree);
  expect(rpc.health().map(({ standing }) => standing)).toEqual(['disputed', 'disputed']);
  second.sick = true;
  await expect(rpc.session(signal)).rejects.toMatchObject(disagree);
  Object.assign(second, { sick: false, fork: 'x' });
  time.ms += 60_000;
  expect((await rpc.session(signal)).host).toBe(hosts[0]);
  expect(rpc.health().map(({ standing }) => standing)).toEqual(['agrees', 'agrees']);
});

test('a session prefers the node that has actor events', async () => {
  const { rpc, hosts } = await poolOf([
    (request, response) =>
      request.method === 'Filecoin.GetActorEventsRaw'
        ? sendError(response, 1, 'module disabled, enable with Events.EnableActorEventsAPI')
        : nodeAt({ height: 10 })(request, response, undefined as never),
    nodeAt({ height: 10 }),
  ]);
  const session = await rpc.session(signal);
  expect(session.host).toBe(hosts[0]);
  await expect(ask(session, 'GetActorEventsRaw')).rejects.toThrow('module disabled');
  expect((await rpc.session(signal)).host).toBe(hosts[1]);
});

/** A node of a chain whose tipsets are named by the fork that it is on. */
const nodeOn =
  (fork: string, height: number, from = 0): Respond =>
  ({ method, params }, response) => {
    const at = method === 'Filecoin.ChainHead' ? height : Number(params[0]);
    const Cids = [{ '/': `bafy${at > from ? fork : ''}${at}` }];
    sendResult(response, { Cids, Blocks: [{ Timestamp: 7 }], Height: at });
  };

test('a session names its witnesses, and goes to one of them when its node is distrusted, for an hour', async () => {
  const nodes = Array.from({ length: 3 }, () => nodeOn('', 100));
  const { rpc, hosts, time } = await poolOf(nodes);
  const pool = createChainPool(rpc);
  const nodesOf = async () => {
    const { node, witnesses } = await pool.session(signal);
    return [node, ...witnesses.map((one) => one.node)];
  };
  expect(await nodesOf()).toEqual(hosts);
  (await pool.session(signal)).distrust();
  const [liar, ...honest] = hosts;
  expect(await nodesOf()).toEqual([...honest, liar]);
  time.ms += 3_600_001;
  expect(await nodesOf()).toEqual(hosts);
});

test('a node a few epochs behind, on a fork at the height that it would be read of, is passed over', async () => {
  // Above 94 the others have another chain since; the heads are compared no deeper than reads are taken.
  const { rpc, hosts } = await poolOf([nodeOn('old', 101, 94), nodeOn('new', 104, 94), nodeOn('new', 104, 94)]);
  const pool = createChainPool(rpc);
  expect((await pool.session(signal, 5)).node).toBe(hosts[1]);
  // At 91 all of them agree still, and there the first is read as well as any.
  expect((await pool.session(signal, 10)).node).toBe(hosts[0]);
});
