import { createHash } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { listAudit } from '../../src/deals/audit.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';

const ops = bearer(tokens.ops);

interface Made {
  id: string;
  name: string;
  token: string;
}

function create({ server }: ApiFixture, payload: object) {
  return server.inject({ method: 'POST', url: '/tokens', headers: ops, payload });
}

async function created(fixture: ApiFixture, payload: object): Promise<Made> {
  const response = await create(fixture, payload);
  expect([response.statusCode, response.body]).toEqual([201, expect.any(String)]);
  return response.json<Made>();
}

function list({ server }: ApiFixture, query = '') {
  return server.inject({ url: `/tokens${query}`, headers: ops });
}

function revoke({ server }: ApiFixture, id: string, query = '') {
  return server.inject({ method: 'DELETE', url: `/tokens/${id}${query}`, headers: ops });
}

/** 200 for who may read. */
async function readsWith({ server }: ApiFixture, token: string): Promise<number> {
  return (await server.inject({ url: '/policy', headers: bearer(token) })).statusCode;
}

test('a token is shown once, works at once, and only its hash is kept', async () => {
  await using fixture = await apiFixture();
  const response = await create(fixture, { name: 'dash', role: 'read', reason: 'the wall' });
  expect(response.statusCode).toBe(201);
  expect(response.headers['cache-control']).toBe('no-store');
  const { token, ...rest } = response.json<Made>();
  expect(token).toMatch(/^lading_[A-Za-z0-9_-]{43}$/);
  expect(rest).toEqual({
    id: '1',
    name: 'dash',
    role: 'read',
    source: 'database',
    state: 'active',
    created: expect.stringMatching(/^2024-05-01T.*\+00:00$/),
    createdBy: 'operator',
    expires: null,
    lastUsed: null,
    revoked: null,
    revokedBy: null,
  });
  expect(await readsWith(fixture, token)).toBe(200);
  const listed = await list(fixture);
  expect(listed.body).not.toContain(token);
  expect(listed.json<{ items: unknown[] }>().items).toEqual([
    expect.objectContaining({ id: null, name: 'service', role: 'upload', source: 'configuration', state: 'active' }),
    expect.objectContaining({ name: 'other' }),
    expect.objectContaining({ name: 'operator' }),
    expect.objectContaining({ name: 'viewer' }),
    rest,
  ]);
  const { rows } = await fixture.database.pool.query<{ digest: Buffer; all: string }>(
    'select digest, to_jsonb(tokens)::text as all from tokens',
  );
  expect(rows[0]?.digest).toEqual(createHash('sha256').update(token).digest());
  const audit = await listAudit(fixture.kysely, { limit: 10 });
  expect(audit).toEqual([
    expect.objectContaining({
      actor: 'operator',
      action: 'token.create',
      subject: 'token dash',
      reason: 'the wall',
      detail: { id: '1', role: 'read', expires: null },
    }),
  ]);
  const everything = JSON.stringify([rows, audit], (_key, value: unknown) =>
    typeof value === 'bigint' ? value.toString() : value,
  );
  expect(everything).not.toContain(token);
});

test('two tokens never have one name, be it of the configuration or of the database', async () => {
  await using fixture = await apiFixture();
  const { id, token } = await created(fixture, { name: 'mover', role: 'upload' });
  for (const name of ['mover', 'service']) {
    const response = await create(fixture, { name, role: 'read' });
    expect([response.statusCode, response.json<{ code: string }>().code]).toEqual([409, 'TOKEN_NAME_TAKEN']);
  }
  expect((await revoke(fixture, id)).statusCode).toBe(200);
  const next = await created(fixture, { name: 'mover', role: 'read' });
  expect(next.token).not.toBe(token);
  expect(await readsWith(fixture, next.token)).toBe(200);
  expect(await readsWith(fixture, token)).toBe(401);
});

test('names made at the same time: one gets it', async () => {
  await using fixture = await apiFixture();
  const responses = await Promise.all(
    Array.from({ length: 8 }, () => create(fixture, { name: 'racer', role: 'read' })),
  );
  expect(responses.map(({ statusCode }) => statusCode).toSorted((a, b) => a - b)).toEqual([201, ...Array(7).fill(409)]);
  expect(await listAudit(fixture.kysely, { limit: 10 })).toHaveLength(1);
});

const refusals: [object, string][] = [
  [{ name: 'cli:root', role: 'ops' }, 'TOKEN_INVALID'],
  [{ name: 'a b', role: 'ops' }, 'TOKEN_INVALID'],
  [{ name: 'a\u0000', role: 'ops' }, 'TOKEN_INVALID'],
  [{ name: '-a', role: 'ops' }, 'TOKEN_INVALID'],
  [{ name: '', role: 'ops' }, 'INVALID_REQUEST'],
  [{ name: 'a'.repeat(65), role: 'ops' }, 'INVALID_REQUEST'],
  [{ name: 'a', role: 'root' }, 'INVALID_REQUEST'],
  [{ name: 'a' }, 'INVALID_REQUEST'],
  [{ name: 'a', role: 'ops', token: 'mine' }, 'INVALID_REQUEST'],
  [{ name: 'a', role: 'ops', expires: '2020-01-01T00:00:00Z' }, 'TOKEN_INVALID'],
  [{ name: 'a', role: 'ops', expires: 'tomorrow' }, 'TOKEN_INVALID'],
  [{ name: 'a', role: 'ops', expires: '2030-13-01T00:00:00Z' }, 'TOKEN_INVALID'],
  [{ name: 'a', role: 'ops', expires: '2030-01-01' }, 'TOKEN_INVALID'],
];

test('what cannot be a token is refused, and nothing is made', async () => {
  await using fixture = await apiFixture();
  for (const [payload, code] of refusals) {
    const response = await create(fixture, payload);
    const { code: told } = response.json<{ code: string }>();
    expect([payload, response.statusCode, told]).toEqual([payload, 400, code]);
  }
  expect((await list(fixture)).json<{ items: Made[] }>().items).toHaveLength(4);
});

test('a revoked token opens nothing any more, and revoking again changes nothing', async () => {
  await using fixture = await apiFixture();
  const { id, token } = await created(fixture, { name: 'gone', role: 'read' });
  expect(await readsWith(fixture, token)).toBe(200);
  const first = await revoke(fixture, id, '?reason=leaked');
  expect(first.json()).toMatchObject({ id, state: 'revoked', revokedBy: 'operator', revoked: expect.any(String) });
  expect(await readsWith(fixture, token)).toBe(401);
  const again = await revoke(fixture, id);
  expect([again.statusCode, again.json()]).toEqual([200, first.json()]);
  const acts = (await listAudit(fixture.kysely, { limit: 10 })).map(({ action, reason }) => [action, reason]);
  expect(acts).toEqual([
    ['token.revoke', 'leaked'],
    ['token.create', null],
  ]);
  expect((await revoke(fixture, '99')).statusCode).toBe(404);
  expect((await revoke(fixture, 'service')).statusCode).toBe(400);
});

test('a token ends at its time', async () => {
  // The fixture's clock goes a second forward at each look, from 2024-05-01T00:00:00Z on.
  await using fixture = await apiFixture();
  const { token } = await created(fixture, { name: 'brief', role: 'read', expires: '2024-05-01T02:00:10+02:00' });
  expect(await readsWith(fixture, token)).toBe(200);
  for (let look = 0; look < 10; look += 1) fixture.deps.clock.now();
  expect(await readsWith(fixture, token)).toBe(401);
  expect((await list(fixture)).json<{ items: object[] }>().items.at(-1)).toMatchObject({
    name: 'brief',
    state: 'expired',
    expires: '2024-05-01T00:00:10.000000+00:00',
  });
});

test('a stream of events ends with the token that opened it', async () => {
  await using fixture = await apiFixture({ server: { recheckMs: 50 } });
  const { url } = await fixture.listen();
  const open = async (token: string) => {
    const { status, body } = await fetch(`${url}/events`, { headers: bearer(token) });
    expect(status).toBe(200);
    const state = { ended: false };
    body?.pipeTo(new WritableStream()).then(
      () => (state.ended = true),
      () => (state.ended = true),
    );
    return state;
  };
  const { id, token } = await created(fixture, { name: 'watcher', role: 'read' });
  const [theirs, ours] = [await open(token), await open(tokens.read)];
  await sleep(200);
  expect(theirs.ended).toBe(false);
  await revoke(fixture, id);
  await vi.waitFor(() => expect(theirs.ended).toBe(true), 3_000);
  expect(ours.ended).toBe(false);
});

test('the list goes page by page, the configuration’s first', async () => {
  await using fixture = await apiFixture();
  for (const name of ['a', 'b', 'c', 'd', 'e']) await created(fixture, { name, role: 'read' });
  const names: string[][] = [];
  for (let cursor: string | null = ''; cursor !== null; ) {
    const page: { items: Made[]; next: string | null } = (
      await list(fixture, `?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`)
    ).json();
    names.push(page.items.map(({ name }) => name));
    cursor = page.next;
  }
  expect(names).toEqual([['service', 'other', 'operator', 'viewer', 'e', 'd'], ['c', 'b'], ['a']]);
  expect((await list(fixture, '?cursor=nonsense')).json()).toMatchObject({ code: 'INVALID_CURSOR' });
});

test('a token of the database does what one of the configuration does, under its own name', async () => {
  await using fixture = await apiFixture();
  const { token } = await created(fixture, { name: 'second-ops', role: 'ops' });
  const headers = bearer(token);
  const payload = { name: 'third', role: 'read' };
  const response = await fixture.server.inject({ method: 'POST', url: '/tokens', headers, payload });
  expect(response.json()).toMatchObject({ createdBy: 'second-ops' });
  expect((await listAudit(fixture.kysely, { limit: 1 }))[0]).toMatchObject({ actor: 'second-ops' });
});

test('a time that comes to be past while the token is made is told as one that was', async () => {
  await using fixture = await apiFixture();
  const codes = [];
  for (let second = 1; second < 30; second += 1) {
    const expires = new Date(Date.parse('2024-05-01T00:00:00Z') + (second + 1) * 1_000).toISOString();
    codes.push((await create(fixture, { name: `of-${second}`, role: 'read', expires })).statusCode);
  }
  expect([...new Set(codes)].filter((code) => code !== 201)).toEqual([400]);
});

test('a day that no calendar has is refused, and years of four digits are enough', async () => {
  await using fixture = await apiFixture();
  const times = ['2030-02-31T00:00:00Z', '2030-02-29T00:00:00+01:00', '2030-04-31T23:59:59Z', '2030-01-01T24:00:01Z'];
  for (const expires of [...times, '9999-12-31T23:59:59-23:00', '2030-01-01T00:00:60Z', '2030-13-01T00:00:00Z']) {
    const response = await create(fixture, { name: 'odd', role: 'read', expires });
    expect([expires, response.statusCode, response.json<{ code: string }>().code]).toEqual([
      expires,
      400,
      'TOKEN_INVALID',
    ]);
  }
  expect((await create(fixture, { name: 'leap', role: 'read', expires: '2028-02-29T23:30:00+01:00' })).statusCode).toBe(
    201,
  );
});
