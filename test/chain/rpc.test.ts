import { inspect } from 'node:util';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { createRpc, type RpcOptions } from '../../src/chain/rpc.ts';
import { jsonInteger } from '../../src/chain/rpc-call.ts';
import { RpcError } from '../../src/chain/rpc-error.ts';
import { ask } from './ask.ts';
import { sendError, sendJson, sendResult, serveRpc, type Respond } from '../support/rpc-server.ts';

const TOKEN = 'eyJhbGciOiJIUzI1NiJ9.very-secret-token';

async function nodeThat(respond: Respond, options: Partial<RpcOptions> = {}) {
  const server = await serveRpc(respond);
  const rpc = createRpc({ endpoints: [{ url: server.url, token: TOKEN }], ...options });
  onTestFinished(async () => {
    rpc.close();
    await server[Symbol.asyncDispose]();
  });
  return { rpc, server };
}

async function faultOf(answer: Promise<unknown>): Promise<RpcError> {
  const error = await answer.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (!(error instanceof RpcError)) throw new Error(`no RpcError but ${inspect(error)}`);
  expect(inspect(error, { depth: 10 }), 'the token must be in no error').not.toContain(TOKEN);
  expect(JSON.stringify(error)).not.toContain(TOKEN);
  return error;
}

async function faultWhen(respond: Respond, options?: Partial<RpcOptions>): Promise<RpcError> {
  const { rpc } = await nodeThat(respond, options);
  return faultOf(ask(rpc));
}

test('calls a method of namespace Filecoin with its token, and answers the result', async () => {
  const { rpc, server } = await nodeThat((_, response) => sendResult(response, { Height: 935 }));
  expect(await ask(rpc, 'StateLookupID', ['f0103', null])).toEqual({ Height: 935 });
  expect(server.requests).toEqual([
    {
      jsonrpc: '2.0',
      id: 1,
      method: 'Filecoin.StateLookupID',
      params: ['f0103', null],
      authorization: `Bearer ${TOKEN}`,
    },
  ]);
});

test('null is a result', async () => {
  const { rpc } = await nodeThat((_, response) => sendResult(response, null));
  expect(await ask(rpc, 'StateVerifiedClientStatus', [])).toBeNull();
});

test('integers above 2^53 arrive exactly, in any depth, and text of digits stays text', async () => {
  const body =
    '{"jsonrpc":"2.0","id":1,"result":{"a":[9007199254740993,-9007199254740993],"b":9007199254740991,"c":"9007199254740993","d":1e300}}';
  const { rpc } = await nodeThat((_, response) => sendJson(response, body));
  expect(await ask(rpc)).toEqual({
    a: [9007199254740993n, -9007199254740993n],
    b: 9007199254740991,
    c: '9007199254740993',
    d: 1e300,
  });
});

test('an error keeps its code and data', async () => {
  const error = await faultWhen((_, response) =>
    sendJson(response, { jsonrpc: '2.0', id: 1, error: { code: 11, message: 'actor not found', data: { at: 7 } } }),
  );
  expect(error).toMatchObject({ code: 'RPC_ERROR', rpcCode: 11, rpcData: { at: 7 } });
  expect(error.message).toContain('actor not found');
});

test('an error that comes with HTTP 500 is read like any other', async () => {
  const error = await faultWhen((_, response) =>
    sendJson(
      response,
      { jsonrpc: '2.0', id: 1, error: { code: -32601, message: "method 'Filecoin.X' not found" } },
      500,
    ),
  );
  expect(error).toMatchObject({ code: 'RPC_METHOD_NOT_FOUND', rpcCode: -32601, retry: 'never' });
});

test.each([
  [401, 'never'],
  [404, 'never'],
  [429, 'later'],
  [503, 'later'],
  [302, 'never'],
] as const)('HTTP %i without a JSON-RPC body is named, to be tried again: %s', async (status, retry) => {
  const error = await faultWhen((_, response) => {
    response.writeHead(status, { location: 'http://127.0.0.1:1/' });
    response.end('<html>no</html>');
  });
  expect(error).toMatchObject({ code: 'RPC_HTTP_STATUS', status, retry });
});

test('a redirect is not followed', async () => {
  const { rpc, server } = await nodeThat((_, response) => {
    response.writeHead(307, { location: '/elsewhere' });
    response.end();
  });
  expect((await faultOf(ask(rpc))).status).toBe(307);
  expect(server.requests).toHaveLength(1);
});

test('a proxy of the environment is not used', async () => {
  process.env['http_proxy'] = 'http://127.0.0.1:1';
  onTestFinished(() => {
    delete process.env['http_proxy'];
  });
  const { rpc } = await nodeThat((_, response) => sendResult(response, 1));
  expect(await ask(rpc)).toBe(1);
});

const NOT_ANSWERS: [name: string, body: string, code: string][] = [
  ['a page of HTML', '<!doctype html><title>Welcome</title>', 'RPC_NOT_JSON'],
  ['nothing', '', 'RPC_NOT_JSON'],
  ['cut JSON', '{"jsonrpc":"2.0","id":1,"result":{"Height":', 'RPC_NOT_JSON'],
  ['another id', '{"jsonrpc":"2.0","id":2,"result":1}', 'RPC_BAD_ENVELOPE'],
  ['an id as text', '{"jsonrpc":"2.0","id":"1","result":1}', 'RPC_BAD_ENVELOPE'],
  ['no id', '{"jsonrpc":"2.0","result":1}', 'RPC_BAD_ENVELOPE'],
  ['a result for id null', '{"jsonrpc":"2.0","id":null,"result":1}', 'RPC_BAD_ENVELOPE'],
  ['another version', '{"jsonrpc":"1.0","id":1,"result":1}', 'RPC_BAD_ENVELOPE'],
  ['neither result nor error', '{"jsonrpc":"2.0","id":1}', 'RPC_BAD_ENVELOPE'],
  ['result and error', '{"jsonrpc":"2.0","id":1,"result":1,"error":null}', 'RPC_BAD_ENVELOPE'],
  ['an error of another shape', '{"jsonrpc":"2.0","id":1,"error":"no"}', 'RPC_BAD_ENVELOPE'],
  ['an array', '[]', 'RPC_BAD_ENVELOPE'],
  ['null', 'null', 'RPC_BAD_ENVELOPE'],
];

test.each(NOT_ANSWERS)('%s with HTTP 200 is an error, not undefined', async (_name, body, code) => {
  expect((await faultWhen((_, response) => sendJson(response, body))).code).toBe(code);
});

test('an answer that breaks off is named', async () => {
  const error = await faultWhen((_, response) => {
    response.writeHead(200, { 'content-length': '100' });
    response.write('{"jsonrpc"', () => response.destroy());
  });
  expect(error.code).toBe('RPC_UNREACHABLE');
});

test('an answer larger than the bound is not read to its end', async () => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, result: 'x'.repeat(5_000) });
  const error = await faultWhen((_, response) => sendJson(response, body), { maxAnswerBytes: 1_000 });
  expect(error.code).toBe('RPC_TOO_LARGE');
});

test('a node that never answers is given up', async () => {
  const error = await faultWhen(() => undefined, { timeoutMs: 60 });
  expect(error).toMatchObject({ code: 'RPC_TIMEOUT', retry: 'later' });
});

test('a node that drips is given up too', async () => {
  const error = await faultWhen(
    (_, response) => {
      response.writeHead(200);
      const drip = setInterval(() => response.write(' '), 10);
      response.on('close', () => clearInterval(drip));
    },
    { timeoutMs: 80 },
  );
  expect(error.code).toBe('RPC_TIMEOUT');
});

test('a caller that aborts gets its own reason', async () => {
  const { rpc } = await nodeThat(() => undefined);
  const abort = new AbortController();
  const answer = ask(rpc, 'ChainHead', [], abort.signal);
  setTimeout(() => abort.abort(new Error('stopping')), 20);
  await expect(answer).rejects.toThrow('stopping');
});

test('a node that echoes the token does not get it into an error', async () => {
  const error = await faultWhen((request, response) =>
    sendJson(response, {
      jsonrpc: '2.0',
      id: 1,
      error: { code: 1, message: `bad header ${request.authorization}`, data: { headers: [request.authorization] } },
    }),
  );
  expect(error.message).toContain('bad header Bearer [secret]');
});

test('a URL with a key in its path or user info is not in an error', async () => {
  const rpc = createRpc({ endpoints: [{ url: 'http://user:hunter2@127.0.0.1:1/key-123/rpc/v1?apikey=456' }] });
  const shown = inspect(await faultOf(ask(rpc)), { depth: 10 });
  for (const secret of ['hunter2', 'key-123', '456']) expect(shown).not.toContain(secret);
  expect(shown).toContain('127.0.0.1:1');
});

async function closedPort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

test('a call falls to the next endpoint on a transport fault, each token going to its own endpoint', async () => {
  await using sick = await serveRpc((_, response) => sendJson(response, '<html>', 502));
  await using well = await serveRpc((_, response) => sendResult(response, 7));
  const rpc = createRpc({
    endpoints: [
      { url: `http://127.0.0.1:${await closedPort()}/` },
      { url: sick.url, token: 'first' },
      { url: well.url, token: 'second' },
    ],
  });
  expect(await ask(rpc)).toBe(7);
  expect(sick.requests.map(({ authorization }) => authorization)).toEqual(['Bearer first']);
  expect(well.requests.map(({ authorization }) => authorization)).toEqual(['Bearer second']);
  rpc.close();
});

test('what the chain refuses is not asked of another node', async () => {
  await using first = await serveRpc((_, response) => sendError(response, 11, 'actor not found'));
  await using second = await serveRpc((_, response) => sendResult(response, 7));
  const rpc = createRpc({ endpoints: [{ url: first.url }, { url: second.url }] });
  expect((await faultOf(ask(rpc))).rpcCode).toBe(11);
  expect(second.requests).toHaveLength(0);
  rpc.close();
});

test('without an endpoint every call says what to set', async () => {
  expect((await faultOf(ask(createRpc({ endpoints: [] })))).message).toContain('CHAIN_RPC_URL');
});

test('no more calls are in flight than allowed, and all get their turn', async () => {
  let inFlight = 0;
  let most = 0;
  const { rpc } = await nodeThat(
    async (request, response) => {
      most = Math.max(most, (inFlight += 1));
      await new Promise((resolve) => setTimeout(resolve, 5));
      inFlight -= 1;
      if (request.params[0] === 3) response.destroy();
      else sendResult(response, request.params[0]);
    },
    { maxConcurrent: 2 },
  );
  const calls = Array.from({ length: 9 }, (_, at) => ask(rpc, 'ChainHead', [at]).catch(() => 'failed'));
  expect(await Promise.all(calls)).toEqual([0, 1, 2, 'failed', 4, 5, 6, 7, 8]);
  expect(most).toBe(2);
});

test('a bigint that JSON cannot hold is refused before it is sent', () => {
  expect(jsonInteger('X', 34_359_738_368n)).toBe(34_359_738_368);
  expect(() => jsonInteger('X', 2n ** 53n)).toThrow(/beyond/);
});
