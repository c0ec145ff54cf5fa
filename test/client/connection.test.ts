import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, test } from 'vitest';
import { check, ClientError, createClient, type Connection } from '../../src/client/client.ts';

type Answer = (response: ServerResponse, request: IncomingMessage) => void;

/** A service that gives these answers in turn, the last of them for ever. */
async function scripted(...answers: Answer[]) {
  const seen: { url: string | undefined; authorization: string | undefined }[] = [];
  const server = createServer((request, response) => {
    const answer = answers[Math.min(seen.length, answers.length - 1)];
    seen.push({ url: request.url, authorization: request.headers.authorization });
    answer?.(response, request);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const waits: number[] = [];
  const connection: Connection = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    token: 'secret',
    wait: async (waitMs) => void waits.push(waitMs),
  };
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { connection, seen, waits, [Symbol.asyncDispose]: close };
}

function json(status: number, body: unknown, headers: Record<string, string> = {}): Answer {
  return (response) => response.writeHead(status, headers).end(JSON.stringify(body));
}

const status = { cid: 'bafyx', pin: { cid: 'bafyx', created: '', size: 1, status: 'pinned' }, deals: [] };
const good = json(200, { ok: true, value: status });

async function faultOf(act: Promise<unknown>): Promise<ClientError> {
  const error = await act.then(
    () => undefined,
    (fault: unknown) => fault,
  );
  if (error instanceof ClientError) return error;
  throw new Error(`no ClientError but ${String(error)}`);
}

describe('a request', () => {
  test('names the token, and needs no slash or none', async () => {
    await using service = await scripted(good);
    expect(await createClient(service.connection).check('bafyx')).toEqual(status);
    expect(service.seen).toEqual([{ url: '/check/bafyx', authorization: 'Bearer secret' }]);
  });

  test('is sent again after a break and while the service is busy, waiting longer each time or as it is told', async () => {
    const cut: Answer = (response) => response.destroy();
    const half: Answer = (response) => {
      response.writeHead(200, { 'content-length': '500' }).write('{"ok":');
      setTimeout(() => response.destroy(), 20);
    };
    const busy = json(503, { ok: false, error: { code: 'UNAVAILABLE', message: 'later' } }, { 'retry-after': '7' });
    await using service = await scripted(cut, half, busy, json(429, {}, { 'retry-after': '86400' }), good);
    const told: string[] = [];
    const onRetry = ({ code }: ClientError) => void told.push(code);
    expect(await check({ ...service.connection, onRetry }, 'bafyx')).toEqual(status);
    expect(service.waits).toEqual([1_000, 2_000, 7_000, 60_000]);
    expect(told).toEqual(['SERVICE_UNREACHABLE', 'SERVICE_UNREACHABLE', 'UNAVAILABLE', 'HTTP_429']);
  });

  test('is given up after so many attempts', async () => {
    await using service = await scripted((response) => response.destroy());
    const fault = await faultOf(check({ ...service.connection, retries: 2 }, 'bafyx'));
    expect(fault).toMatchObject({ name: 'ClientError', code: 'SERVICE_UNREACHABLE', status: undefined });
    expect(service.seen).toHaveLength(3);
  });

  test('that is refused is not sent again, and the error says what the service says', async () => {
    const compatible = json(400, { ok: false, error: { code: 'ERROR_INVALID_CID', message: 'no CID' } });
    await using service = await scripted(compatible);
    const first = await faultOf(check(service.connection, 'x'));
    expect(first).toMatchObject({ code: 'ERROR_INVALID_CID', status: 400, message: 'no CID' });
    expect(service.seen).toHaveLength(1);
    const problem = { type: 'about:blank', title: 'Conflict', status: 409, detail: 'not yet', code: 'NOT_SEALED' };
    await using other = await scripted(json(409, { ...problem, details: { limit: 3 } }));
    const second = await faultOf(check(other.connection, 'x'));
    expect(second).toMatchObject({ code: 'NOT_SEALED', status: 409, message: 'not yet', details: { limit: 3 } });
    await using proxy = await scripted((response) => response.writeHead(418).end('<html>'));
    const third = await faultOf(check(proxy.connection, 'x'));
    expect(third).toMatchObject({ code: 'HTTP_418', status: 418 });
    expect(third.message).toContain('418');
  });

  test('of an unknown upload answers undefined, and what is no service of ours is told', async () => {
    await using unknown = await scripted(
      json(404, { ok: false, error: { code: 'HTTP_ERROR', message: 'NFT not found' } }),
    );
    expect(await check(unknown.connection, 'bafyx')).toBeUndefined();
    await using another = await scripted(json(200, { hello: 'world' }));
    expect(await faultOf(check(another.connection, 'bafyx'))).toMatchObject({ code: 'ANSWER_UNKNOWN' });
    for (const body of [
      '<h1>404</h1>',
      JSON.stringify({ code: 'NOT_FOUND', detail: 'there is nothing at /api/check' }),
    ]) {
      await using elsewhere = await scripted((response) => response.writeHead(404).end(body));
      expect((await faultOf(check(elsewhere.connection, 'bafyx'))).status).toBe(404);
    }
    await using text = await scripted((response) => response.end('hello'));
    expect((await faultOf(check({ ...text.connection, retries: 0 }, 'bafyx'))).code).toBe('ANSWER_UNKNOWN');
  });

  test('that is aborted ends with the reason, while it is sent and while it waits', async () => {
    const reason = new Error('enough');
    const sending = new AbortController();
    await using service = await scripted(() => sending.abort(reason));
    await expect(check(service.connection, 'x', { signal: sending.signal })).rejects.toBe(reason);
    await using broken = await scripted((response) => response.destroy());
    const waiting = new AbortController();
    const { url } = broken.connection;
    const onRetry = () => void setTimeout(() => waiting.abort(reason), 10);
    await expect(check({ url, onRetry }, 'x', { signal: waiting.signal })).rejects.toBe(reason);
    expect(broken.seen).toHaveLength(1);
  });

  test('of a URL or token that cannot be is not sent', async () => {
    expect((await faultOf(check({ url: 'lading.example' }, 'x'))).code).toBe('INVALID_URL');
    expect((await faultOf(check({ url: 'http://127.0.0.1:9', token: 'a\nb' }, 'x'))).code).toBe('INVALID_TOKEN');
  });
});
