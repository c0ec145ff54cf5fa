import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { rawBlock } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';

const rootOf = (name: string) => rawBlock(name).cid.toString();
const day = (date: number) => new Date(Date.UTC(2024, 0, date));

async function get(fixture: ApiFixture, url: string, token: string = tokens.read) {
  const response = await fixture.server.inject({ url, headers: bearer(token) });
  return { status: response.statusCode, body: response.json() };
}

async function owner({ kysely }: ApiFixture, name: string): Promise<bigint> {
  const row = await kysely.insertInto('owners').values({ name }).returning('id').executeTakeFirstOrThrow();
  return row.id;
}

interface Seed {
  at: Date;
  state?: 'waiting' | 'failed';
  owners?: bigint[];
}

async function seed({ kysely }: ApiFixture, name: string, { at, state = 'waiting', owners = [] }: Seed) {
  const waiting = { run_bytes: 100n, dag_bytes: 90n, block_count: 1n };
  const more = state === 'waiting' ? waiting : { failure: 'no more parts came' };
  const row = { root: rootOf(name), state, created_at: at, changed_at: at, ...more };
  const { id } = await kysely.insertInto('uploads').values(row).returning('id').executeTakeFirstOrThrow();
  for (const owner_id of owners) {
    await kysely.insertInto('upload_owners').values({ upload_id: id, owner_id, since: at }).execute();
  }
}

interface Listed {
  items: Record<string, unknown>[];
  next: string | null;
  count?: { value: number; exact: boolean };
}

/** Every page of a list, one after the other. */
async function walk(fixture: ApiFixture, path: string, between: () => Promise<void> = async () => undefined) {
  const items: Listed['items'] = [];
  for (let cursor = ''; ; ) {
    const page: Listed = (await get(fixture, `${path}${path.includes('?') ? '&' : '?'}${cursor}`)).body;
    items.push(...page.items);
    if (page.next === null) return items;
    cursor = `cursor=${page.next}`;
    await between();
  }
}

test('uploads newest first, by state, owner and time, with a count', async () => {
  await using fixture = await apiFixture();
  const [ours, theirs] = [await owner(fixture, 'ours'), await owner(fixture, 'theirs')];
  await seed(fixture, 'a', { at: day(1), owners: [ours] });
  await seed(fixture, 'b', { at: day(2), state: 'failed', owners: [ours, theirs] });
  await seed(fixture, 'c', { at: day(3), owners: [theirs] });
  await seed(fixture, 'd', { at: day(4) });
  await fixture.kysely
    .updateTable('upload_owners')
    .set({ ended_at: day(9) })
    .where('since', '=', day(3))
    .execute();
  const cids = async (query: string) => {
    const { body } = await get(fixture, `/uploads?count=true&${query}`);
    expect(body.count).toEqual({ value: body.items.length, exact: true });
    return body.items
      .map(({ cid }: { cid: string }) => ['a', 'b', 'c', 'd'].find((name) => rootOf(name) === cid))
      .join('');
  };
  expect(await cids('')).toBe('dcba');
  expect(await cids('state=failed')).toBe('b');
  expect(await cids('state=stowed')).toBe('');
  expect(await cids('owner=ours')).toBe('ba');
  expect(await cids('owner=theirs')).toBe('b');
  expect(await cids('owner=nobody')).toBe('');
  expect(await cids('since=2024-01-02T00:00:00Z&before=2024-01-04T00:00:00Z')).toBe('cb');
  expect(await cids(`since=${encodeURIComponent('2024-01-02T01:00:00+01:00')}&owner=ours&state=failed`)).toBe('b');
  expect((await get(fixture, '/uploads')).body).not.toHaveProperty('count');
  const { body } = await get(fixture, `/uploads/${rootOf('b')}`);
  expect(body).toMatchObject({ state: 'failed', owners: ['ours', 'theirs'], queueing: { reason: 'failed' } });
});

test('a cursor names its place to the microsecond, and what comes meanwhile moves nothing', async () => {
  await using fixture = await apiFixture();
  const at = day(1);
  for (let n = 0; n < 12; n += 1) await seed(fixture, `old ${n}`, { at });
  // As a clock of microseconds would have it: all within one millisecond, some at the same time.
  await sql`update uploads set created_at = created_at + (id % 4) * interval '1 microsecond'`.execute(fixture.kysely);
  let added = 0;
  const found = await walk(fixture, '/uploads?limit=5', () => seed(fixture, `new ${(added += 1)}`, { at: day(2) }));
  expect(added).toBe(2);
  expect(new Set(found.map(({ cid }) => cid))).toEqual(
    new Set(Array.from({ length: 12 }, (_, n) => rootOf(`old ${n}`))),
  );
  expect(found).toHaveLength(12);
  // The last page is full, and says that it is the last.
  expect((await get(fixture, '/uploads?limit=14')).body).toMatchObject({ next: null });
});

test('what cannot be asked is refused', async () => {
  await using fixture = await apiFixture();
  const wrong = [
    '/uploads?state=lost',
    '/uploads?since=yesterday',
    '/uploads?since=2024-13-01T00:00:00Z',
    '/uploads?limit=0',
    '/uploads?limit=1001',
    '/uploads?colour=red',
    '/uploads?count=perhaps',
    '/uploads?owner=%00',
    '/aggregates?released=2',
    '/deals?aggregate=x',
    '/providers?state=odd',
    '/providers?org=%00',
    '/uploads/nonsense',
  ];
  for (const url of wrong) expect([url, (await get(fixture, url)).status]).toEqual([url, 400]);
  const foreign = Buffer.from('["1","2","3"]').toString('base64url');
  for (const list of ['uploads', 'aggregates', 'deals', 'providers']) {
    for (const cursor of ['x', foreign]) {
      const { status, body } = await get(fixture, `/${list}?cursor=${cursor}`);
      expect([list, status, body.code]).toEqual([list, 400, 'INVALID_CURSOR']);
    }
    const { status } = await get(fixture, `/${list}`, tokens.upload);
    expect([list, status]).toEqual([list, list === 'uploads' ? 200 : 403]);
  }
  expect((await get(fixture, `/uploads/${rootOf('unknown')}`)).body.code).toBe('NOT_FOUND');
});

test('aggregates tell of filler and released bytes, and are found by both', async () => {
  await using fixture = await apiFixture();
  const pieces = ['baga6ea4seaqcfs2mrjyaqnwgdheb4ny76i6yaeeklcylqijaha3kpcwmutnb6ma', 'baga6ea4seaq'];
  for (const [at, pieceCid] of pieces.entries()) {
    await seed(fixture, `run ${at}`, { at: day(1) });
    await seedAggregate(fixture.kysely, fixture.store, { roots: [rootOf(`run ${at}`)], pieceCid });
  }
  await sql`update aggregates set filler_bytes = 200, car_bytes = car_bytes + 200, piece_bytes = 512,
    released_at = '2024-06-01', proofs_key = 'proofs/x' where piece_cid = ${pieces[0]}`.execute(fixture.kysely);
  const listed = async (query: string) => (await get(fixture, `/aggregates?count=true${query}`)).body;
  expect(await listed('')).toMatchObject({
    items: [
      { pieceCid: pieces[1], filler: 0, released: null },
      { pieceCid: pieces[0], filler: 200, released: '2024-06-01T00:00:00.000000+00:00' },
    ],
    count: { value: 2, exact: true },
  });
  expect((await listed('&released=true')).items).toMatchObject([{ pieceCid: pieces[0] }]);
  expect((await listed('&released=false')).items).toMatchObject([{ pieceCid: pieces[1] }]);
  expect((await listed('&state=open')).items).toEqual([]);
});

test('deals and providers by page and by filter', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  await seed(fixture, 'run', { at: day(1) });
  const { id: aggregateId } = await seedAggregate(kysely, fixture.store, { roots: [rootOf('run')] });
  const ids: string[] = [];
  for (let slot = 0; slot < 5; slot += 1) {
    const state = slot % 2 === 0 ? 'active' : 'rejected';
    ids.unshift(
      await seedDeal(kysely, { aggregateId, slot, provider: `f0${100 + slot}`, state, changedAt: day(1 + slot) }),
    );
  }
  expect((await walk(fixture, '/deals?limit=2')).map(({ id }) => id)).toEqual(ids);
  expect(await walk(fixture, `/deals?aggregate=${aggregateId}&state=active`)).toHaveLength(3);
  expect(await walk(fixture, `/deals?aggregate=${aggregateId + 1n}`)).toHaveLength(0);
  expect((await get(fixture, '/deals?provider=f0101&count=true')).body.count).toEqual({ value: 1, exact: true });
  await kysely.updateTable('providers').set({ state: 'paused', org: 'one' }).where('id', '=', 'f0103').execute();
  await kysely.updateTable('providers').set({ state: 'removed' }).where('id', '=', 'f0104').execute();
  const providers = async (query: string) => (await walk(fixture, `/providers?limit=1${query}`)).map(({ id }) => id);
  expect(await providers('')).toEqual(['f0100', 'f0101', 'f0102', 'f0103']);
  expect(await providers('&state=paused')).toEqual(['f0103']);
  expect(await providers('&state=removed')).toEqual(['f0104']);
  expect(await providers('&org=one')).toEqual(['f0103']);
  expect(await providers('&region=nowhere')).toEqual([]);
});

test('more than ten thousand are estimated, and say so', async () => {
  await using fixture = await apiFixture();
  const insert = (from: number, to: number) =>
    sql`insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
      select 'bafk' || translate(n::text, '0189', 'ghij'), 'waiting', 1, 1, 1, '2024-01-01', '2024-01-01'
      from generate_series(${from}::int, ${to}::int) as n`.execute(fixture.kysely);
  const count = async (query: string) => (await get(fixture, `/uploads?limit=1&count=true${query}`)).body.count;
  await insert(1, 10_000);
  expect(await count('')).toEqual({ value: 10_000, exact: true });
  await insert(10_001, 12_000);
  const unknown = await count('');
  expect(unknown.exact).toBe(false);
  // Statistics that lag never say less than was counted.
  expect(unknown.value).toBeGreaterThan(10_000);
  await sql`analyze uploads`.execute(fixture.kysely);
  expect(await count('')).toEqual({ value: 12_000, exact: false });
  expect(await count('&state=failed')).toEqual({ value: 0, exact: true });
});
