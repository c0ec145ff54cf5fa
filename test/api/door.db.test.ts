import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { expect, test } from 'vitest';
import type { RateSettings } from '../../src/api/door/rate-limits.ts';
import { apiFixture, bearer, pieceTokens, tokens, type ApiFixture } from '../support/api-fixture.ts';

const none: RateSettings = { token: undefined, public: undefined, failed: undefined };
const perMinute = (count: number) => ({ count, windowMs: 60_000 });
const PIECE_TOKEN = pieceTokens.tokenFor('00000000-0000-4000-8000-000000000001');

/** A server on a clock that only `pass` moves. */
async function limited(rates: Partial<RateSettings>, options: { trustProxy?: string[] } = {}) {
  let nowMs = 0;
  const rateLimits = { ...none, ...rates };
  const fixture = await apiFixture({ server: { rateLimits, monotonicMs: () => nowMs, strict: false, ...options } });
  const get = (url: string, token?: string, headers: Record<string, string> = {}) =>
    fixture.server.inject({ url, headers: { ...(token !== undefined && bearer(token)), ...headers } });
  return { ...fixture, get, pass: (ms: number) => (nowMs += ms) };
}

async function statuses(count: number, act: () => Promise<{ statusCode: number }>): Promise<number[]> {
  const all: number[] = [];
  for (let at = 0; at < count; at += 1) all.push((await act()).statusCode);
  return all;
}

test('a token may do so much, and is told when it may go on', async () => {
  await using world = await limited({ token: perMinute(3) });
  const read = () => world.get('/policy', tokens.read);
  expect(await statuses(4, read)).toEqual([200, 200, 200, 429]);
  const refused = await read();
  expect(refused.headers['retry-after']).toBe('20');
  expect(refused.headers['content-type']).toContain('application/problem+json');
  expect(refused.json()).toMatchObject({ status: 429, code: 'RATE_LIMITED', details: { retryAfter: 20 } });
  // Everybody else goes on, and so does who waits.
  expect((await world.get('/policy', tokens.ops)).statusCode).toBe(200);
  world.pass(20_000);
  expect((await read()).statusCode).toBe(200);
  expect((await read()).statusCode).toBe(429);
});

test('existing clients are told in the shape they know', async () => {
  await using world = await limited({ token: perMinute(1) });
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const send = () => world.server.inject({ method: 'POST', url: '/upload', headers, payload: 'no CAR' });
  expect((await send()).statusCode).toBe(400);
  const refused = await send();
  expect(refused.statusCode).toBe(429);
  expect(refused.headers['retry-after']).toBe('60');
  expect(refused.json()).toEqual({ ok: false, error: { code: 'RATE_LIMITED', message: expect.any(String) } });
});

test('pieces are served without any of these limits', async () => {
  await using world = await limited({ token: perMinute(1), public: perMinute(1), failed: perMinute(2) });
  // Let in, and told that x is no piece CID.
  for (const token of [PIECE_TOKEN, tokens.ops]) {
    const seen = await statuses(10, () => world.get('/piece/x', token));
    expect(new Set(seen)).toEqual(new Set([400]));
  }
  // Not even where the address is known for wrong tokens.
  expect(await statuses(3, () => world.get('/piece/x', 'wrong'))).toEqual([401, 429, 429]);
  expect((await world.get('/piece/x', PIECE_TOKEN)).statusCode).toBe(400);
});

test('public routes count by address, and whoever shows a token by its name', async () => {
  await using world = await limited({ public: perMinute(2), token: perMinute(5) });
  expect(await statuses(3, () => world.get('/check/x'))).toEqual([400, 400, 429]);
  expect((await world.get('/livez')).statusCode).toBe(429);
  expect((await world.get('/nowhere')).statusCode).toBe(429);
  expect(await statuses(6, () => world.get('/check/x', tokens.upload))).toEqual([400, 400, 400, 400, 400, 429]);
  // A wrong token is no token.
  expect((await world.get('/check/x', 'wrong')).statusCode).toBe(429);
});

test('an address that tries tokens out is not listened to, but for whom it is known for', async () => {
  await using world = await limited({ failed: perMinute(4) });
  const guess = (at: number) => world.get('/policy', `guess-${at}`);
  expect((await world.get('/policy', tokens.read)).statusCode).toBe(200);
  let at = 0;
  expect(await statuses(4, () => guess((at += 1)))).toEqual([401, 401, 401, 429]);
  expect((await guess(9)).headers['retry-after']).toBe('15');
  // A guess that is right is not told from one that is wrong.
  expect((await world.get('/policy', tokens.ops)).statusCode).toBe(429);
  expect((await world.get('/policy', tokens.read)).statusCode).toBe(200);
  world.pass(15_000);
  expect((await world.get('/policy', tokens.ops)).statusCode).toBe(200);
});

test('as many guesses at once get no further, and public pages are no place to try tokens out', async () => {
  await using world = await limited({ failed: perMinute(5), token: perMinute(1), public: perMinute(60) });
  const seen = await Promise.all(Array.from({ length: 50 }, (_, at) => world.get('/policy', `guess-${at}`)));
  expect(seen.filter(({ statusCode }) => statusCode === 401)).toHaveLength(5);
  // A right token counts by its name, until too many others came: then it is one of the address.
  for (let at = 0; at < 5; at += 1) expect((await world.get('/check/x', `guess-${at}`)).statusCode).toBe(400);
  expect(await statuses(2, () => world.get('/check/x', tokens.read))).toEqual([400, 400]);
});

test('an address in a header is believed of a proxy that is named, and of nobody else', async () => {
  const from = (address: string) => ({ 'x-forwarded-for': address });
  {
    await using direct = await limited({ public: perMinute(1) });
    let at = 0;
    const seen = await statuses(3, () => direct.get('/check/x', undefined, from(`192.0.2.${(at += 1)}`)));
    expect(seen).toEqual([400, 429, 429]);
  }
  await using behind = await limited({ public: perMinute(1) }, { trustProxy: ['loopback'] });
  const ask = (address: string) => behind.get('/check/x', undefined, from(address));
  expect((await ask('192.0.2.1')).statusCode).toBe(400);
  expect((await ask('192.0.2.2')).statusCode).toBe(400);
  expect((await ask('192.0.2.2')).statusCode).toBe(429);
  // What stands before the address that our proxy saw is the caller's own word.
  expect((await ask('198.51.100.7, 192.0.2.2')).statusCode).toBe(429);
  // A whole IPv6 network is one caller.
  expect((await ask('2001:db8:1:2::1')).statusCode).toBe(400);
  expect((await ask('2001:db8:1:2:ffff::9')).statusCode).toBe(429);
  expect((await ask('2001:db8:1:3::1')).statusCode).toBe(400);
});

function preflight({ server }: ApiFixture, url: string, origin: string, method = 'GET') {
  const headers = {
    origin,
    'access-control-request-method': method,
    'access-control-request-headers': 'authorization',
  };
  return server.inject({ method: 'OPTIONS', url, headers });
}

const ALLOW = 'access-control-allow-origin';

test('any page may check; the rest is for pages of origins that are named', async () => {
  await using fixture = await apiFixture({ server: { corsOrigins: ['https://app.example.com'] } });
  const { server } = fixture;
  const get = (url: string, origin: string) => server.inject({ url, headers: { origin, ...bearer(tokens.read) } });
  const check = await get('/check/x', 'https://anybody.example');
  expect(check.headers[ALLOW]).toBe('*');
  expect(check.headers['access-control-expose-headers']).toContain('Retry-After');
  const ours = await get('/policy', 'https://app.example.com');
  expect([ours.headers[ALLOW], ours.headers['vary']]).toEqual(['https://app.example.com', 'Origin']);
  for (const origin of [
    'https://evil.example',
    'https://app.example.com.evil.example',
    'http://app.example.com',
    'null',
  ]) {
    const theirs = await get('/policy', origin);
    expect([theirs.statusCode, theirs.headers[ALLOW], theirs.headers['vary']]).toEqual([200, undefined, 'Origin']);
    expect((await preflight(fixture, '/policy', origin, 'PUT')).headers[ALLOW]).toBeUndefined();
  }
  // A refusal can be read by the page that gets it.
  const refused = await server.inject({ url: '/policy', headers: { origin: 'https://app.example.com' } });
  expect([refused.statusCode, refused.headers[ALLOW]]).toEqual([401, 'https://app.example.com']);
});

test('a browser’s question before a call is answered without a token, and never allows credentials', async () => {
  await using fixture = await apiFixture({ server: { corsOrigins: ['https://app.example.com'] } });
  const asked = await preflight(fixture, '/upload', 'https://app.example.com', 'POST');
  expect([asked.statusCode, asked.body]).toEqual([204, '']);
  expect(asked.headers).toMatchObject({
    [ALLOW]: 'https://app.example.com',
    'access-control-allow-methods': expect.stringContaining('DELETE'),
    'access-control-allow-headers': expect.stringContaining('Authorization'),
  });
  const open = await preflight(fixture, '/check/bafy', 'https://anybody.example');
  expect(open.headers[ALLOW]).toBe('*');
  const shut = await preflight(fixture, '/check/bafy/more', 'https://anybody.example');
  expect(shut.headers[ALLOW]).toBeUndefined();
  for (const { headers } of [asked, open]) expect(headers['access-control-allow-credentials']).toBeUndefined();
  const noQuestion = await fixture.server.inject({ method: 'OPTIONS', url: '/check/x' });
  expect(noQuestion.statusCode).toBe(405);
});

test('nobody is named by default, and a star is anybody', async () => {
  await using closed = await apiFixture();
  expect((await preflight(closed, '/upload', 'https://app.example.com', 'POST')).headers[ALLOW]).toBeUndefined();
  await using open = await apiFixture({ server: { corsOrigins: ['*'] } });
  expect((await preflight(open, '/upload', 'https://app.example.com', 'POST')).headers[ALLOW]).toBe('*');
});

test('every answer tells browsers to be careful, and has its id', async () => {
  await using fixture = await apiFixture();
  for (const url of ['/livez', '/policy', '/nowhere', '/check/x', '/docs/json']) {
    const { headers } = await fixture.server.inject(url);
    expect([url, headers]).toEqual([
      url,
      expect.objectContaining({
        'x-content-type-options': 'nosniff',
        'content-security-policy': "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        'referrer-policy': 'no-referrer',
        'x-frame-options': 'DENY',
        'strict-transport-security': 'max-age=31536000',
        'x-request-id': expect.stringMatching(/^[0-9a-f-]{36}$/),
      }),
    ]);
  }
  await using plain = await apiFixture({ server: { publicUrl: 'http://127.0.0.1:3000' } });
  expect((await plain.server.inject('/livez')).headers['strict-transport-security']).toBeUndefined();
});

/** Sends `begin`, then `more` every 50 ms until the server closes; what it said. */
async function trickle(port: number, begin: string, more: string): Promise<{ said: string; afterMs: number }> {
  const socket: Socket = connect(port, '127.0.0.1');
  let said = '';
  socket.on('data', (chunk) => (said += chunk.toString()));
  socket.on('error', () => undefined);
  const startMs = performance.now();
  socket.write(begin);
  const timer = setInterval(() => socket.write(more), 50);
  await once(socket, 'close');
  clearInterval(timer);
  return { said, afterMs: performance.now() - startMs };
}

function problemIn(said: string): unknown {
  const [head = '', body = ''] = said.split('\r\n\r\n');
  expect(head).toContain('content-type: application/problem+json');
  expect(head).toMatch(/^HTTP\/1\.1 4\d\d \w/);
  return JSON.parse(body);
}

test('headers that never end are cut off, however busily they come', async () => {
  await using fixture = await apiFixture({ server: { timeouts: { headersMs: 600 } } });
  const { port } = await fixture.listen();
  const { said, afterMs } = await trickle(port, 'GET /livez HTTP/1.1\r\nhost: x\r\n', 'x-a: b\r\n');
  expect(problemIn(said)).toMatchObject({ status: 408, code: 'REQUEST_TIMEOUT', instance: expect.any(String) });
  expect(afterMs).toBeLessThan(5_000);
});

test('headers that are too large are answered with 431, a JSON body that is too large with 413', async () => {
  await using fixture = await apiFixture();
  const { port, url } = await fixture.listen();
  const huge = `GET /livez HTTP/1.1\r\nhost: x\r\nx-a: ${'a'.repeat(17_000)}\r\n\r\n`;
  expect(problemIn((await trickle(port, huge, '')).said)).toMatchObject({ status: 431, code: 'HEADERS_TOO_LARGE' });
  const odd = await trickle(port, 'hello there\r\n\r\n', '');
  expect(problemIn(odd.said)).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
  const response = await fetch(`${url}/providers`, {
    method: 'POST',
    headers: { ...bearer(tokens.ops), 'content-type': 'application/json' },
    body: JSON.stringify({ id: 'f01', reason: 'x'.repeat(70_000) }),
  });
  expect([response.status, await response.json()]).toEqual([413, expect.objectContaining({ code: 'BODY_TOO_LARGE' })]);
});

test('a JSON body that comes byte by byte is not waited for', async () => {
  await using fixture = await apiFixture({ server: { timeouts: { bodyMs: 400 } } });
  const { port } = await fixture.listen();
  const head = `POST /tokens HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.ops}\r\n`;
  const { afterMs } = await trickle(
    port,
    `${head}content-type: application/json\r\ncontent-length: 1000\r\n\r\n{`,
    ' ',
  );
  expect(afterMs).toBeLessThan(5_000);
});

test('whoever has no token is answered before the body, and cannot hold the connection', async () => {
  await using fixture = await apiFixture();
  const { port } = await fixture.listen();
  const head = 'POST /tokens HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 1000\r\n\r\n{';
  const { said, afterMs } = await trickle(port, head, ' ');
  expect(said).toMatch(/^HTTP\/1\.1 401 /);
  expect(afterMs).toBeLessThan(10_000);
});

test('a URL that cannot be read is answered with the headers of every answer', async () => {
  await using fixture = await apiFixture();
  const { statusCode, headers } = await fixture.server.inject({ url: '/check/%zz' });
  expect(statusCode).toBe(400);
  expect(headers).toMatchObject({
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'x-request-id': expect.stringMatching(/^[\w-]{36}$/),
    'strict-transport-security': expect.any(String),
  });
});
