import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { expect, test } from 'vitest';
import type { Database } from '../../../src/db/connect.ts';
import { createForecast, etaActive } from '../../../src/deals/status/forecast.ts';
import { foldHistory } from '../../../src/deals/status/history-fold.ts';
import { readHistory } from '../../../src/deals/status/history-of-stages.ts';
import { insert, sealed } from '../../db/valid-rows.ts';
import { testDatabase } from '../../support/database.ts';

const START = Date.parse('2026-03-01T00:00:00Z');
const HOUR = 3_600_000;
const hour = (hours: number) => new Date(START + hours * HOUR);
const until = (hours: number) => ({ now: () => hour(hours) });

/** The hours at which an aggregate came to its steps; one that is not named was never seen. */
interface Way {
  accepted: number;
  opened: number;
  closed?: number;
  sealed?: number;
  signed?: number;
  taken?: number;
  published?: number;
  active?: number;
}

async function inTransaction<T>(db: Database, act: (client: pg.PoolClient) => Promise<T>): Promise<T> {
  const client = await db.pool.connect();
  try {
    await client.query('begin');
    const result = await act(client);
    await client.query('commit');
    return result;
  } finally {
    client.release();
  }
}

/** An aggregate with one deal and all its events, as the stages would leave them. */
async function lived(client: pg.ClientBase, id: number, way: Way): Promise<void> {
  const { accepted, opened, closed, sealed: sealedAt } = way;
  const state = sealedAt !== undefined ? 'sealed' : closed !== undefined ? 'sealing' : 'open';
  const whole = { ...sealed, piece_cid: `baga${id}`, tree_key: `trees/${id}`, sealed_at: hour(sealedAt ?? 0) };
  const open = { length_bytes: 100, entry_count: 1, ...(state === 'sealing' && { seal_reason: 'age' }) };
  await insert(client, 'aggregates', {
    ...(state === 'sealed' ? whole : open),
    state,
    opened_at: hour(opened),
    oldest_accepted_at: hour(accepted),
  });
  const told = [
    ['open', opened],
    ['sealing', closed],
    ['sealed', sealedAt],
  ] as const;
  for (const [to, at] of told)
    if (at !== undefined)
      await insert(client, 'events', { upload_id: null, aggregate_id: id, to_state: to, at: hour(at) });
  await dealOf(client, id, way);
}

async function dealOf(client: pg.ClientBase, aggregateId: number, way: Way, slot = 0): Promise<void> {
  const { signed, taken, published, active } = way;
  const moves = (
    [
      ['signed', signed],
      ['accepted', taken],
      ['published', published],
      ['active', active],
    ] as const
  ).filter(([, at]) => at !== undefined);
  const [state] = moves.at(-1) ?? [];
  if (state === undefined) return;
  const onChain = state === 'published' || state === 'active';
  const id = randomUUID();
  await insert(client, 'deals', {
    id,
    aggregate_id: aggregateId,
    slot,
    provider_id: `f0${1000 + slot}`,
    proposal_cid: `bafy${id}`,
    state,
    attempts: state === 'signed' ? 0 : 1,
    chain_deal_id: onChain ? aggregateId * 10 + slot : null,
    sector_start_epoch: state === 'active' ? 1 : null,
  });
  for (const [to, at] of moves)
    await insert(client, 'events', { upload_id: null, deal_id: id, to_state: to, at: hour(at ?? 0) });
}

/** Transactions of other tests on the same server hold events back for a moment. */
async function foldUntil(db: Database, hours: number): Promise<void> {
  await expect
    .poll(
      async () => {
        while (await foldHistory({ kysely: db.kysely, clock: until(hours) }));
        const { rows } = await db.pool.query<{ as_of: Date | null }>('select as_of from history_cursor');
        return rows[0]?.as_of?.toISOString();
      },
      { timeout: 10_000 },
    )
    .toBe(hour(hours).toISOString());
}

async function timesOf(db: Database) {
  const { rows } = await db.pool.query<Record<string, Date | bigint | null>>(
    'select * from aggregate_times order by aggregate_id',
  );
  return rows.map(({ aggregate_id: id, ...times }) => [
    Number(id),
    ...Object.values(times).map((at) => (at instanceof Date ? (at.getTime() - START) / HOUR : null)),
  ]);
}

const WAY = { accepted: 0, opened: 1, closed: 5, sealed: 6, signed: 7, taken: 8, published: 10, active: 20 };

/** A database with some aggregates, numbered from 1, and the providers of their deals. */
async function withLives(ways: readonly Way[]): Promise<Database> {
  const db = await testDatabase();
  await inTransaction(db, async (client) => {
    for (const slot of [0, 1]) await insert(client, 'providers', { id: `f0${1000 + slot}` });
    for (const [at, way] of ways.entries()) await lived(client, at + 1, way);
  });
  return db;
}

test('each step counts once, at its first time; one that was passed over counts with the next', async () => {
  const jumped = { accepted: 2, opened: 2, closed: 3, sealed: 4, signed: 5, active: 9 };
  await using db = await withLives([WAY, jumped, { accepted: 3, opened: 4 }]);
  await foldUntil(db, 15);
  expect(await timesOf(db)).toEqual([
    [1, 5, 7, 8, 10, 20],
    [2, 3, 5, 9, 9, 9],
  ]);
  // A second deal comes later, but for one step: of that the earlier time stays.
  await inTransaction(db, (client) =>
    dealOf(client, 1, { ...WAY, signed: 7.5, taken: 7.75, published: 12, active: 30 }, 1),
  );
  await foldUntil(db, 16);
  expect((await timesOf(db))[0]).toEqual([1, 5, 7, 7.75, 10, 20]);
});

test('many events are folded in steps; who comes within the minute has nothing to do', async () => {
  await using db = await withLives([WAY, WAY, WAY]);
  const deps = { kysely: db.kysely, clock: until(21) };
  const asOf = async () => (await db.pool.query('select as_of from history_cursor')).rows[0].as_of;
  await expect.poll(() => foldHistory(deps, 7)).toBe(true);
  expect(await asOf()).toBeNull();
  while (await foldHistory(deps, 7));
  expect(await asOf()).toEqual(hour(21));
  expect(await timesOf(db)).toHaveLength(3);
  await foldHistory({ ...deps, clock: { now: () => new Date(hour(21).getTime() + 40_000) } });
  expect(await asOf()).toEqual(hour(21));
});

test('what an open transaction holds back is neither lost nor thought not to have happened', async () => {
  await using db = await withLives([{ ...WAY, active: 11 }]);
  await foldUntil(db, 11);
  const slow = await db.pool.connect();
  await slow.query('begin');
  await slow.query('select pg_current_xact_id()');
  await inTransaction(db, (client) => lived(client, 2, { accepted: 11, opened: 12, closed: 13 }));
  await foldHistory({ kysely: db.kysely, clock: until(14) });
  const { rows } = await db.pool.query('select as_of from history_cursor');
  expect(rows[0].as_of).toEqual(hour(12));
  expect(await timesOf(db)).toHaveLength(1);
  await slow.query('commit');
  slow.release();
  await foldUntil(db, 14);
  expect(await timesOf(db)).toHaveLength(2);
});

test('a process whose clock was a year ahead stops nobody else', async () => {
  await using db = await withLives([WAY]);
  await foldUntil(db, 8_760);
  await inTransaction(db, (client) => lived(client, 2, { accepted: 20, opened: 21, closed: 22 }));
  await foldUntil(db, 23);
  expect(await timesOf(db)).toHaveLength(2);
});

test('the history has each stage of each aggregate, those under way up to now, and the upload that waits the longest', async () => {
  await using db = await withLives([WAY, { accepted: 12, opened: 12.5, closed: 14 }]);
  await inTransaction(db, (client) => insert(client, 'uploads', { changed_at: hour(10) }));
  await foldUntil(db, 16);
  const { asOf, lives } = await readHistory(db.kysely, hour(16));
  expect(asOf).toEqual(hour(16));
  const inHours = (stage: Parameters<typeof lives.get>[0]) =>
    (lives.get(stage) ?? [])
      .map(({ from, left, end, done }) => [from / HOUR, left / HOUR, end / HOUR, done])
      .sort((a, b) => Number(b[2]) - Number(a[2]));
  // The first became active at 20, which at 16 nobody knows.
  expect(inHours('waiting')).toEqual([
    [0, 1, 16, false],
    [0, 6, 6, false],
    [0, 0.5, 4, false],
  ]);
  expect(inHours('filling')).toEqual([
    [0, 4, 15, false],
    [0, 1.5, 3.5, false],
  ]);
  expect(inHours('sealing')).toEqual([
    [0, 1, 11, false],
    [0, 2, 2, false],
  ]);
  expect(inHours('sealed')).toEqual([[0, 1, 10, false]]);
  expect(inHours('published')).toEqual([[0, 6, 6, false]]);
  const later = await readHistory(db.kysely, hour(30));
  expect(later.lives.get('published')).toEqual([
    { stage: 'published', from: 0, left: 10 * HOUR, end: 10 * HOUR, done: true },
  ]);
  // A season later only what went on in it counts, from where it began.
  const season = await readHistory(db.kysely, hour(15 + 90 * 24));
  expect(season.lives.get('published')).toEqual([
    { stage: 'published', from: 5 * HOUR, left: 10 * HOUR, end: 10 * HOUR, done: true },
  ]);
  expect((await readHistory(db.kysely, hour(21 + 90 * 24))).lives.get('published')).toBeUndefined();
});

test('a hundred lives of the last two weeks are enough without those before', async () => {
  const long = { ...WAY, active: 300 };
  const ways = Array.from({ length: 100 }, (_, at) => ({ ...WAY, active: 1_000 + at / 100 }));
  await using db = await withLives([long, ...ways]);
  await foldUntil(db, 1_002);
  const active = async () => (await readHistory(db.kysely, hour(1_002))).lives.get('published')?.length;
  expect(await active()).toBe(100);
  await db.pool.query('update aggregate_times set active_at = null where aggregate_id = 2');
  expect(await active()).toBe(101);
});

test('what the service forecasts comes of these, and is unknown before there are enough', async () => {
  const ways = Array.from({ length: 18 }, (_, at) => ({ ...WAY, active: 11 + at }));
  await using db = await withLives(ways);
  let now = 40;
  const forecast = createForecast({ kysely: db.kysely, clock: { now: () => hour(now) } });
  const refreshed = async (hours: number) => {
    now = hours;
    await foldUntil(db, hours);
    await forecast.refresh();
  };
  const eta = (since: number) => etaActive(forecast.outlooks(), { stage: 'published', since: hour(since) }, hour(now));
  expect(eta(40)).toEqual({ p50: null, p95: null });
  await refreshed(41);
  expect(eta(41)).toEqual({ p50: null, p95: null });
  await inTransaction(db, (client) => lived(client, 19, { ...WAY, active: 29 }));
  await refreshed(42);
  // From publication to active they took 1, 2 … 19 hours.
  expect(eta(42)).toEqual({ p50: '2026-03-03T04:00:00+00:00', p95: '2026-03-03T13:00:00+00:00' });
  expect(etaActive(forecast.outlooks(), { stage: 'published', since: hour(41.5) }, hour(42)).p50).toBe(
    '2026-03-03T03:30:00+00:00',
  );
});

test('operators see how long it took to each point, from the acceptance of the oldest upload', async () => {
  await using db = await withLives([WAY, { accepted: 12, opened: 12.5, closed: 14 }]);
  await foldUntil(db, 21);
  const { rows } =
    await db.pool.query(`select seconds_to_aggregate / 3600 as aggregate, seconds_to_sealed / 3600 as sealed,
    seconds_to_published / 3600 as published, seconds_to_active / 3600 as active from ops_aggregate_times order by aggregate_id`);
  expect(rows).toEqual([
    { aggregate: 1, sealed: 6, published: 10, active: 20 },
    { aggregate: 0.5, sealed: null, published: null, active: null },
  ]);
});
