import { randomBytes } from 'node:crypto';
import { Kysely, PostgresDialect } from 'kysely';
import { expect, test } from 'vitest';
import { connect } from '../../src/db/connect.ts';
import type { DB } from '../../src/db/tables.ts';
import { silentLog } from '../../src/log/log.ts';
import { createDatabaseTokens } from '../../src/tokens/database-tokens.ts';
import { createToken, revokeToken } from '../../src/tokens/manage-tokens.ts';
import { findToken } from '../../src/tokens/token-store.ts';
import { digestOf } from '../../src/tokens/token-text.ts';
import { apiFixture, bearer, tokens as configured } from '../support/api-fixture.ts';
import { testDatabase } from '../support/database.ts';

const START = Date.parse('2026-03-01T00:00:00Z');

/** Two processes on one database, each with what it keeps, on one clock that only `pass` moves. */
async function twoProcesses() {
  const database = await testDatabase();
  let passedMs = 0;
  const clock = { now: () => new Date(START + passedMs) };
  let queries = 0;
  const counted = new Kysely<DB>({
    dialect: new PostgresDialect({ pool: database.pool }),
    log: () => {
      queries += 1;
    },
  });
  const open = () =>
    createDatabaseTokens({
      kysely: counted,
      clock,
      log: silentLog,
      configuredNames: ['service'],
      monotonicMs: () => passedMs,
    });
  const deps = { db: database.kysely, clock, randomBytes, configuredNames: [] };
  return {
    database,
    deps,
    here: open(),
    there: open(),
    pass: (ms: number) => (passedMs += ms),
    queries: () => queries,
    make: (name: string, expiresAt?: Date) => createToken(deps, { name, role: 'read', by: 'test', expiresAt }),
    [Symbol.asyncDispose]: () => database[Symbol.asyncDispose](),
  };
}

test('a token that is revoked elsewhere opens nothing after two seconds', async () => {
  await using world = await twoProcesses();
  const { token, text } = await world.make('a');
  const digest = digestOf(text);
  expect(await world.there.find(text, digest)).toMatchObject({ name: 'a', role: 'read' });
  await revokeToken(world.deps, token.id, { by: 'test' });
  world.here.forget();
  expect(await world.here.find(text, digest)).toBeUndefined();
  world.pass(1_999);
  expect(await world.there.find(text, digest)).toBeDefined();
  world.pass(1);
  expect(await world.there.find(text, digest)).toBeUndefined();
});

test('a token that is made elsewhere is good at once, even after it was unknown', async () => {
  await using world = await twoProcesses();
  const bytes = Buffer.alloc(32, 7);
  const text = `lading_${bytes.toString('base64url')}`;
  expect(await world.there.find(text, digestOf(text))).toBeUndefined();
  const deps = { ...world.deps, randomBytes: () => bytes };
  const made = await createToken(deps, { name: 'a', role: 'read', by: 'test' });
  expect(made.text).toBe(text);
  expect(await world.there.find(text, digestOf(text))).toMatchObject({ name: 'a' });
});

test('requests that come together ask once, and those of the next two seconds not at all', async () => {
  await using world = await twoProcesses();
  const { text } = await world.make('a');
  const all = () => Promise.all(Array.from({ length: 16 }, () => world.here.find(text, digestOf(text))));
  expect((await all()).every((found) => found?.name === 'a')).toBe(true);
  world.pass(1_000);
  await all();
  expect(world.queries()).toBe(1);
  world.pass(1_000);
  await all();
  expect(world.queries()).toBe(2);
});

test('what does not look like a token of ours is not asked for', async () => {
  await using world = await twoProcesses();
  for (const text of ['', 'secret', 'lading_short', `lading_${'a'.repeat(44)}`, `lading_${'é'.repeat(43)}`]) {
    expect(await world.here.find(text, digestOf(text))).toBeUndefined();
  }
  expect(world.queries()).toBe(0);
});

test('a token ends at its time although it is kept', async () => {
  await using world = await twoProcesses();
  const { text } = await world.make('a', new Date(START + 1_500));
  expect(await world.here.find(text, digestOf(text))).toBeDefined();
  world.pass(1_500);
  expect(await world.here.find(text, digestOf(text))).toBeUndefined();
  expect(world.queries()).toBe(1);
});

test('a name of the configuration is its own: another token of that name opens nothing', async () => {
  await using world = await twoProcesses();
  const { text } = await world.make('service');
  expect(await world.here.find(text, digestOf(text))).toBeUndefined();
});

test('when a token was last used is written now and then, never by a request, and never goes back', async () => {
  await using world = await twoProcesses();
  const { token, text } = await world.make('a');
  const lastUsed = async () => (await findToken(world.database.kysely, token.id))?.lastUsedAt?.getTime();
  await world.here.find(text, digestOf(text));
  world.pass(1_000);
  await world.there.find(text, digestOf(text));
  expect(await lastUsed()).toBeUndefined();
  await world.there.saveLastUsed();
  expect(await lastUsed()).toBe(START + 1_000);
  await world.here.saveLastUsed();
  expect(await lastUsed()).toBe(START + 1_000);
  const before = world.queries();
  await world.here.saveLastUsed();
  expect(world.queries()).toBe(before);
});

test('with the database away its tokens open nothing, and those of the configuration go on', async () => {
  await using away = connect('postgres://nobody@127.0.0.1:1/nowhere');
  const clock = { now: () => new Date(START) };
  const databaseTokens = createDatabaseTokens({ kysely: away.kysely, clock, log: silentLog, configuredNames: [] });
  await using fixture = await apiFixture({ server: { databaseTokens, strict: false } });
  const { text } = await createToken(
    { db: fixture.kysely, clock, randomBytes, configuredNames: [] },
    { name: 'a', role: 'upload', by: 'test' },
  );
  const answerTo = (token: string) => fixture.server.inject({ method: 'DELETE', url: '/x', headers: bearer(token) });
  const refused = await answerTo(text);
  expect([refused.statusCode, refused.headers['retry-after']]).toEqual([503, expect.any(String)]);
  expect(refused.json()).toMatchObject({ error: { code: 'UNAVAILABLE' } });
  // Let in, and told that x is no CID.
  expect((await answerTo(configured.upload)).statusCode).toBe(400);
  expect((await answerTo('wrong-token')).statusCode).toBe(401);
  const open = await fixture.server.inject({ url: '/livez', headers: bearer(text) });
  expect(open.statusCode).toBe(200);
});
