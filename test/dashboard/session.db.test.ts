import { createHash, createHmac, randomBytes } from 'node:crypto';
import { expect, test } from 'vitest';
import { createSessionCookies } from '../../src/api/door/session-cookie.ts';
import { insertToken, setRevoked } from '../../src/tokens/token-store.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';

const SECRET = 'the secret of all processes of this service';
const OWN = { 'sec-fetch-site': 'same-origin' };

async function logIn({ server }: Pick<ApiFixture, 'server'>, token: string, headers: Record<string, string> = OWN) {
  const response = await server.inject({ method: 'POST', url: '/dashboard/session', headers, payload: { token } });
  const set = String(response.headers['set-cookie'] ?? '');
  return { response, set, cookie: set.split(';')[0] ?? '' };
}

async function madeToken({ kysely }: ApiFixture, name: string, role: 'ops' | 'read' | 'upload') {
  const text = `lading_${randomBytes(32).toString('base64url')}`;
  const digest = createHash('sha256').update(text).digest();
  const row = { name, role, digest, createdAt: new Date('2024-04-01'), createdBy: 'test', expiresAt: undefined };
  const { id } = await insertToken(kysely, row);
  return { id, text };
}

test('a token opens a session, and its cookie does what the token may', async () => {
  await using fixture = await apiFixture({ server: { sessionSecret: SECRET, networkName: 'mainnet' } });
  const { server } = fixture;
  const { response, set, cookie } = await logIn(fixture, tokens.ops);
  expect(response.json()).toEqual({ name: 'operator', role: 'ops', network: 'mainnet' });
  expect(response.headers['cache-control']).toBe('no-store');
  expect(set).toMatch(/^lading_session=[^;]+; Max-Age=604800; Path=\/; HttpOnly; SameSite=Strict$/);
  expect(set).not.toContain(tokens.ops);
  const headers = { cookie, ...OWN };
  const session = await server.inject({ url: '/dashboard/session', headers });
  expect(session.json()).toEqual({ name: 'operator', role: 'ops', network: 'mainnet' });
  expect((await server.inject({ url: '/audit', headers })).statusCode).toBe(200);
  const paused = await server.inject({ method: 'POST', url: '/proposing/pause', headers, payload: { reason: 'test' } });
  expect(paused.statusCode).toBe(200);
  const audit = await server.inject({ url: '/audit', headers: bearer(tokens.ops) });
  expect(audit.json().items[0]).toMatchObject({ actor: 'operator', action: 'proposing.pause', reason: 'test' });
});

test('a session of role read changes nothing', async () => {
  await using fixture = await apiFixture();
  const { cookie } = await logIn(fixture, tokens.read);
  const headers = { cookie, ...OWN };
  expect((await fixture.server.inject({ url: '/deals', headers })).statusCode).toBe(200);
  const pause = await fixture.server.inject({ method: 'POST', url: '/proposing/pause', headers });
  expect(pause.statusCode).toBe(403);
});

test('nobody is told who it could be: a wrong token, a piece token, none', async () => {
  await using fixture = await apiFixture();
  const { pieceTokens } = fixture.deps;
  for (const token of ['not-one-of-ours', pieceTokens.tokenFor('00000000-0000-4000-8000-000000000001')]) {
    const { response, set } = await logIn(fixture, token);
    expect([response.statusCode, response.json().code, set]).toEqual([401, 'UNAUTHORIZED', '']);
  }
  const session = await fixture.server.inject({ url: '/dashboard/session', headers: OWN });
  expect([session.statusCode, session.body]).toEqual([204, '']);
});

test('tokens are not tried out at the login either', async () => {
  const failed = { count: 3, windowMs: 60_000 };
  const rateLimits = { token: undefined, public: undefined, failed };
  await using fixture = await apiFixture({ server: { rateLimits, monotonicMs: () => 0 } });
  const statuses = [];
  for (let at = 0; at < 5; at += 1) statuses.push((await logIn(fixture, `guess-number-${at}`)).response.statusCode);
  expect(statuses).toEqual([401, 401, 401, 429, 429]);
});

test('the session of a token ends when it is revoked, in the stream too', async () => {
  await using fixture = await apiFixture({ server: { recheckMs: 20, monotonicMs: stepping() } });
  const { id, text } = await madeToken(fixture, 'alice', 'ops');
  const { cookie } = await logIn(fixture, text);
  const headers = { cookie, ...OWN };
  const { url } = await fixture.listen();
  const stream = await fetch(`${url}/dashboard/live`, { headers });
  expect(stream.status).toBe(200);
  await setRevoked(fixture.kysely, id, { by: 'test', at: new Date() });
  await expect(readToEnd(stream)).resolves.toBeTypeOf('string');
  expect((await fixture.server.inject({ url: '/deals', headers })).json()).toMatchObject({ code: 'UNAUTHORIZED' });
  expect((await fixture.server.inject({ url: '/dashboard/session', headers })).statusCode).toBe(204);
});

/** Every look is three seconds after the one before: what is kept of tokens is always old. */
function stepping(): () => number {
  let at = 0;
  return () => (at += 3_000);
}

async function readToEnd(response: Response): Promise<string> {
  const reader = response.body?.getReader();
  try {
    while ((await reader?.read())?.done === false);
    return 'ended';
  } catch {
    return 'cut';
  }
}

test('another token by the same name in the configuration ends the sessions of the one before', async () => {
  await using before = await apiFixture({ server: { sessionSecret: SECRET } });
  const { cookie } = await logIn(before, tokens.ops);
  const others = [{ name: 'operator', role: 'ops' as const, token: 'another-ops-token' }];
  await using after = await apiFixture({ server: { sessionSecret: SECRET, tokens: others } });
  await using same = await apiFixture({ server: { sessionSecret: SECRET } });
  const headers = { cookie, ...OWN };
  expect((await after.server.inject({ url: '/audit', headers })).statusCode).toBe(401);
  // Any process of the service believes it.
  expect((await same.server.inject({ url: '/audit', headers })).statusCode).toBe(200);
});

test('a cookie that we did not make, or that is over, is nobody', async () => {
  await using fixture = await apiFixture({ server: { sessionSecret: SECRET } });
  const { cookie } = await logIn(fixture, tokens.read);
  const [kind, subject, until, mac] = (cookie.split('=')[1] ?? '').split('.');
  const operator = Buffer.from('operator').toString('base64url');
  const later = String(Number(until) + 1);
  const digest = createHash('sha256').update(tokens.ops).digest();
  const macOf = (secret: string, text: string) =>
    createHmac('sha256', secret).update(`session:${text}:`).update(digest).digest('base64url');
  const forged = `c.${operator}.${until}`;
  const past = `c.${operator}.1`;
  const cookies = {
    'another name': `${kind}.${operator}.${until}.${mac}`,
    'a later end': `${kind}.${subject}.${later}.${mac}`,
    'another secret': `${forged}.${macOf('a guess', forged)}`,
    'long over': `${past}.${macOf(SECRET, past)}`,
    'a part more': `${forged}.${macOf(SECRET, forged)}.x`,
    nothing: '',
    'no parts': 'x',
    'a digest of no token': `d.${Buffer.alloc(32).toString('base64url')}.${until}.${mac}`,
  };
  for (const [name, value] of Object.entries(cookies)) {
    const headers = { cookie: `lading_session=${value}`, ...OWN };
    expect([name, (await fixture.server.inject({ url: '/audit', headers })).statusCode]).toEqual([name, 401]);
  }
  // The oracle knows how one is made: with the right secret it opens.
  const headers = { cookie: `theme=dark; lading_session=${forged}.${macOf(SECRET, forged)}`, ...OWN };
  expect((await fixture.server.inject({ url: '/audit', headers })).statusCode).toBe(200);
});

test('the pages of others can do nothing with the cookie', async () => {
  await using fixture = await apiFixture();
  const { cookie } = await logIn(fixture, tokens.ops);
  const host = 'lading.example.com';
  const ask = async (method: 'GET' | 'POST', headers: Record<string, string>) => {
    const url = method === 'GET' ? '/audit' : '/proposing/pause';
    return (await fixture.server.inject({ method, url, headers: { cookie, host, ...headers } })).statusCode;
  };
  const cases: [string, 'GET' | 'POST', Record<string, string>, number][] = [
    ['our page reads', 'GET', { 'sec-fetch-site': 'same-origin' }, 200],
    ['our page acts', 'POST', { 'sec-fetch-site': 'same-origin' }, 200],
    ['typed into the address bar', 'GET', { 'sec-fetch-site': 'none' }, 200],
    ['an address bar does not post', 'POST', { 'sec-fetch-site': 'none' }, 403],
    ['another site reads', 'GET', { 'sec-fetch-site': 'cross-site' }, 403],
    ['another site acts', 'POST', { 'sec-fetch-site': 'cross-site' }, 403],
    ['another port of our host acts', 'POST', { 'sec-fetch-site': 'same-site' }, 403],
    ['by http, our page acts', 'POST', { origin: `http://${host}` }, 200],
    ['by http, another site acts', 'POST', { origin: 'http://evil.example.com' }, 403],
    ['by http, another port acts', 'POST', { origin: `http://${host}:8080` }, 403],
    ['a sandboxed page acts', 'POST', { origin: 'null' }, 403],
    ['what says nothing of itself acts', 'POST', {}, 403],
    ['what says nothing of itself reads', 'GET', {}, 200],
  ];
  for (const [name, method, headers, status] of cases)
    expect([name, await ask(method, headers)]).toEqual([name, status]);
});

test('the pages of others log nobody in or out', async () => {
  await using fixture = await apiFixture();
  const foreign = { 'sec-fetch-site': 'cross-site' };
  const { response, set } = await logIn(fixture, tokens.ops, foreign);
  expect([response.statusCode, set]).toEqual([403, '']);
  const out = await fixture.server.inject({ method: 'DELETE', url: '/dashboard/session', headers: foreign });
  expect([out.statusCode, out.headers['set-cookie']]).toEqual([403, undefined]);
});

test('where the browser came by https the cookie goes nowhere else', async () => {
  await using fixture = await apiFixture();
  const headers = { host: 'lading.example.com', origin: 'https://lading.example.com' };
  const { set, cookie } = await logIn(fixture, tokens.ops, headers);
  expect(set).toMatch(/^__Host-lading=[^;]+; Max-Age=\d+; Path=\/; HttpOnly; SameSite=Strict; Secure$/);
  const session = await fixture.server.inject({ url: '/dashboard/session', headers: { cookie, ...OWN } });
  expect(session.json().name).toBe('operator');
  const out = await fixture.server.inject({ method: 'DELETE', url: '/dashboard/session', headers });
  const ended = [out.headers['set-cookie']].flat().map((one) => String(one).split(';').slice(0, 2).join(';'));
  expect(ended).toEqual(['__Host-lading=; Max-Age=0', 'lading_session=; Max-Age=0']);
});

test('a token in a header goes before the cookie, and a wrong one is not saved by it', async () => {
  await using fixture = await apiFixture();
  const { cookie } = await logIn(fixture, tokens.ops);
  const ask = async (authorization: string) =>
    (await fixture.server.inject({ url: '/audit', headers: { cookie, authorization, ...OWN } })).statusCode;
  expect(await ask(`Bearer ${tokens.read}`)).toBe(403);
  expect(await ask('Bearer not-one-of-ours')).toBe(401);
  expect(await ask('Basic b3BlcmF0b3I6eA==')).toBe(401);
});

test('a cookie is read for what it is, with others beside it', () => {
  const { make, read } = createSessionCookies(SECRET);
  const now = new Date('2024-05-01T00:00:00Z');
  const digest = createHash('sha256').update('x').digest();
  const cookie = make({ kind: 'made', digest }, { digest, now, secure: true }).split(';')[0];
  const found = read(`a=b; ${cookie}; lading_sessions=c`, now);
  expect(found?.seat).toEqual({ kind: 'made', digest });
  expect([found?.isGenuine(digest), found?.isGenuine(Buffer.alloc(32))]).toEqual([true, false]);
  expect(read(cookie, new Date('2024-05-07T23:59:59Z'))).toBeDefined();
  expect(read(cookie, new Date('2024-05-08T00:00:00Z'))).toBeUndefined();
  expect(read(undefined, now)).toBeUndefined();
});

test('what a cookie opened is kept by no cache between, and neither is its refusal', async () => {
  await using fixture = await apiFixture();
  const { cookie } = await logIn(fixture, tokens.read);
  for (const url of ['/deals', '/tokens', '/ops/overview', '/uploads', '/dashboard/session', '/events']) {
    const { headers } = await fixture.server.inject({ url, headers: { cookie, ...OWN }, payloadAsStream: true });
    expect([url, headers['cache-control']]).toEqual([url, 'no-store']);
  }
});
