import { expect, onTestFinished, test } from 'vitest';
import { createHealth } from '../../src/chain/endpoint-health.ts';
import { createRpc } from '../../src/chain/rpc.ts';
import { RpcError } from '../../src/chain/rpc-error.ts';
import { ask } from './ask.ts';
import { sendError, sendJson, sendResult, serveRpc, type Respond } from '../support/rpc-server.ts';

async function pairOf(first: Respond, second: Respond) {
  const servers = [await serveRpc(first), await serveRpc(second)] as const;
  const time = { ms: 1_000_000 };
  const changes: string[] = [];
  const hosts = servers.map(({ url }) => new URL(url).host);
  const rpc = createRpc({
    endpoints: servers.map(({ url }) => ({ url })),
    clock: { now: () => new Date(time.ms) },
    random: () => 0,
    onHealth: ({ host, state }) => changes.push(`${hosts.indexOf(host)} ${state}`),
  });
  onTestFinished(async () => {
    rpc.close();
    for (const server of servers) await server[Symbol.asyncDispose]();
  });
  return { rpc, time, changes, asked: () => servers.map(({ requests }) => requests.length) };
}

const answers =
  (result: unknown): Respond =>
  (_, response) =>
    sendResult(response, result);

test('an endpoint that failed rests, is tried again, and is preferred once it is well', async () => {
  const sick = { status: 502 };
  const { rpc, time, changes, asked } = await pairOf(
    (_, response) => (sick.status === 200 ? sendResult(response, 1) : sendJson(response, '<html>', sick.status)),
    answers(2),
  );
  expect([await ask(rpc), await ask(rpc)]).toEqual([2, 2]);
  expect(asked()).toEqual([1, 2]);
  expect(rpc.health().map(({ state, lastFault }) => [state, lastFault])).toEqual([
    ['resting', 'RPC_HTTP_STATUS'],
    ['well', undefined],
  ]);
  expect(rpc.health()[0]?.since).toEqual(new Date(1_000_000));
  sick.status = 200;
  time.ms += 500;
  expect(await ask(rpc)).toBe(1);
  expect(rpc.health()[0]?.state).toBe('well');
  expect(changes).toEqual(['0 resting', '1 well', '0 well']);
});

test('a node is left alone for as long as it asks with HTTP 429', async () => {
  const { rpc, time, asked } = await pairOf((_, response) => {
    response.writeHead(429, { 'retry-after': '30' });
    response.end();
  }, answers(2));
  await ask(rpc);
  time.ms += 29_999;
  await ask(rpc);
  expect(asked()[0]).toBe(1);
  time.ms += 1;
  await ask(rpc);
  expect(asked()[0]).toBe(2);
});

test('a resting endpoint is asked all the same when no other answers', async () => {
  const down = { first: true, second: false };
  const { rpc } = await pairOf(
    (_, response) => (down.first ? sendJson(response, '', 503) : sendResult(response, 1)),
    (_, response) => (down.second ? sendJson(response, '', 503) : sendResult(response, 2)),
  );
  expect(await ask(rpc)).toBe(2);
  Object.assign(down, { first: false, second: true });
  expect(await ask(rpc)).toBe(1);
});

test('a missing method is remembered of that method alone, and leaves the endpoint well', async () => {
  const { rpc, asked } = await pairOf(
    ({ method }, response) =>
      method === 'Filecoin.StateNetworkName'
        ? sendError(response, -32_601, 'method not found')
        : sendResult(response, 1),
    answers(2),
  );
  expect([await ask(rpc, 'StateNetworkName', []), await ask(rpc, 'StateNetworkName', []), await ask(rpc)]).toEqual([
    2, 2, 1,
  ]);
  expect(asked()).toEqual([2, 2]);
});

test.each([
  'bad tipset height: lookbacks of more than 24h0m0s are disallowed',
  'message lookback limit is 20 epochs',
  'failed to load state tree: ipld: could not find bafy2bzace',
])('what one node only lacks is asked of the next: %s', async (message) => {
  const { rpc } = await pairOf((_, response) => sendError(response, 1, message), answers(2));
  expect(await ask(rpc)).toBe(2);
  expect(rpc.health()[0]?.state).toBe('well');
});

test.each([
  [-32_601, 'RPC_METHOD_NOT_FOUND', 'method not found'],
  [1, 'RPC_ERROR', 'actor events are disabled'],
] as const)('what a node says outweighs that another is down: %i', async (rpcCode, code, message) => {
  const { rpc } = await pairOf(
    (_, response) => sendError(response, rpcCode, message),
    (_, response) => sendJson(response, '', 503),
  );
  await expect(ask(rpc)).rejects.toMatchObject({ code });
});

test.each(['deal 7 not found - deal may not have completed sealing', 'actor not found'])(
  'what the chain refuses is final: %s',
  async (message) => {
    const { rpc, asked } = await pairOf((_, response) => sendError(response, 1, message), answers(2));
    await expect(ask(rpc)).rejects.toThrow(message);
    expect(asked()).toEqual([1, 0]);
  },
);

test('each rest is twice as long as the one before, up to a minute', () => {
  const health = createHealth('node', { random: () => 0 });
  const fault = new RpcError('RPC_TIMEOUT', 'late', { method: 'X' });
  const rests: number[] = [];
  for (let faults = 0; faults < 9; faults += 1) {
    health.failed(new Date(0), fault);
    let ms = 0;
    while (health.isResting(new Date(ms))) ms += 500;
    rests.push(ms);
  }
  expect(rests).toEqual([500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000, 30_000]);
});
