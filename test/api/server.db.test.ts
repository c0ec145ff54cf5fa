import { expect, test } from 'vitest';
import { createSessionCookies } from '../../src/api/door/session-cookie.ts';
import { NotReady } from '../../src/api/health.ts';
import { systemClock } from '../../src/clock.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';

test('alive is alive, ready is ready when all is', async () => {
  let broken = false;
  const readiness = {
    database: async () => undefined,
    store: async () => {
      if (broken) throw new Error('disk /dev/secret is gone');
    },
  };
  await using fixture = await apiFixture({ server: { readiness } });
  const { server } = fixture;
  expect((await server.inject('/livez')).json()).toEqual({ status: 'ok' });
  expect((await server.inject('/readyz')).json()).toEqual({ status: 'ok', checks: { database: 'ok', store: 'ok' } });
  broken = true;
  const response = await server.inject('/readyz');
  expect(response.statusCode).toBe(503);
  expect(response.json()).toEqual({ status: 'not ready', checks: { database: 'ok', store: 'failed' } });
  expect(response.body).not.toContain('secret');
  expect((await server.inject('/livez')).statusCode).toBe(200);
});

test('what is not ready says since when, where that is known', async () => {
  const since = new Date('2026-03-01T00:00:00Z');
  const readiness = {
    chain: async () => {
      throw new NotReady('StateMarketStorageDeal at node.example: no answer', since);
    },
  };
  await using fixture = await apiFixture({ server: { readiness } });
  const response = await fixture.server.inject('/readyz');
  expect(response.json()).toEqual({ status: 'not ready', checks: { chain: 'failed since 2026-03-01T00:00:00.000Z' } });
});

test('what an operator paused is told beside the checks, and makes nobody less ready; nor does a notice that cannot be read', async () => {
  const told = { proposing: 'paused since 2026-03-01T00:00:00.000Z' };
  let notices = async () => told;
  const readiness = { database: async () => undefined };
  await using fixture = await apiFixture({ server: { readiness, notices: () => notices() } });
  const ready = await fixture.server.inject('/readyz');
  expect([ready.statusCode, ready.json()]).toEqual([200, { status: 'ok', checks: { database: 'ok' }, notices: told }]);
  notices = () => Promise.reject(new Error('gone'));
  const unread = await fixture.server.inject('/readyz');
  expect([unread.statusCode, unread.json()]).toEqual([200, { status: 'ok', checks: { database: 'ok' } }]);
});

test('every request has an id: the caller’s when it is plain, else a new one', async () => {
  await using fixture = await apiFixture();
  const idFor = async (given?: string) =>
    (await fixture.server.inject({ url: '/livez', headers: given === undefined ? {} : { 'x-request-id': given } }))
      .headers['x-request-id'];
  expect(await idFor('abc-123')).toBe('abc-123');
  expect(await idFor()).toMatch(/^[0-9a-f-]{36}$/);
  expect(await idFor('a b"c')).toMatch(/^[0-9a-f-]{36}$/);
  expect(await idFor('x'.repeat(65))).toMatch(/^[0-9a-f-]{36}$/);
});

test('what is not there is 404 as problem details, whoever asks', async () => {
  await using fixture = await apiFixture();
  for (const headers of [{}, bearer(tokens.ops)]) {
    const response = await fixture.server.inject({
      method: 'POST',
      url: '/nowhere/at/all?secret=1',
      headers,
      payload: 'x',
    });
    expect(response.statusCode).toBe(404);
    expect(response.headers['content-type']).toContain('application/problem+json');
    expect(response.body).not.toContain('secret');
  }
});

test('a route that does not say who may call it cannot be declared', async () => {
  await using fixture = await apiFixture();
  await fixture.server.close();
  const { fastify } = await import('fastify');
  const { guardRoutes } = await import('../../src/api/door/auth.ts');
  const server = fastify();
  guardRoutes(server, {
    tokens: [],
    verifyPieceToken: () => undefined,
    databaseTokens: { find: async () => undefined, findByDigest: async () => undefined },
    sessions: createSessionCookies('a secret'),
    clock: systemClock,
  });
  expect(() => server.get('/open', async () => 'x')).toThrow('who may call');
});
