import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { BEGINNING, findHead } from '../../src/events/outbox.ts';
import { cursorOf, readChanges, type FoundChange } from '../../src/events/read-changes.ts';
import type { EventFilter } from '../../src/events/filter.ts';
import { testDatabase } from '../support/database.ts';
import { AT, seedUploads, tell } from './event-rows.ts';
import { rootAt, seedLarge } from './large-aggregate.ts';

type Db = Awaited<ReturnType<typeof testDatabase>>;

async function readAll({ kysely }: Db, filter: EventFilter, limit: number) {
  const found: FoundChange[] = [];
  const pages: number[] = [];
  for (let after = BEGINNING; ; ) {
    const page = await readChanges(kysely, filter, { after, limit });
    found.push(...page.changes);
    pages.push(page.changes.length);
    if (page.done) return { found, pages };
    after = page.cursor;
  }
}

const placeOf = ({ row, upload }: FoundChange) => `${row.kind} ${row.to} ${upload.root}`;

test('one row of an aggregate of many uploads is one change of each, in pages no longer than asked for', async () => {
  await using db = await testDatabase();
  await seedLarge(db, 2_500);
  const { found, pages } = await readAll(db, {}, 300);
  const roots = Array.from({ length: 2_500 }, (_, at) => rootAt(at));
  const sealed = roots.map((root) => `aggregate sealed ${root}`);
  expect(found.map(placeOf)).toEqual([...sealed, ...roots.map((root) => `deal accepted ${root}`)]);
  expect(Math.max(...pages)).toBe(300);
  // From any change on the rest follows.
  const at = 2_777;
  const middle = found[at];
  if (middle === undefined) throw new Error('no change');
  const { changes } = await readChanges(db.kysely, {}, { after: cursorOf(middle), limit: 50 });
  expect(changes.map(placeOf)).toEqual(found.slice(at + 1, at + 51).map(placeOf));
});

test('whoever names one upload of 100,000 is told of it without the others being read', async () => {
  await using db = await testDatabase();
  const { deal } = await seedLarge(db, 100_000);
  const root = rootAt(77_777);
  for (const filter of [{ cids: [root] }, { cids: [root], deal }, { cids: [root], aggregate: 'bagalarge' }]) {
    await db.kysely.transaction().execute(async (trx) => {
      const { changes, done } = await readChanges(trx, filter, { after: BEGINNING, limit: 500 });
      expect(done).toBe(true);
      expect(changes.at(-1)).toMatchObject({ row: { dealId: deal }, upload: { root, index: 77_777 } });
      const { rows } = await sql<{ read: bigint }>`select pg_stat_get_xact_tuples_fetched('placements'::regclass)
        + pg_stat_get_xact_tuples_returned('placements'::regclass) as read`.execute(trx);
      expect(Number(rows[0]?.read)).toBeLessThan(50);
    });
  }
});

test('a page of somebody who asks for all reads no more of a large aggregate than it tells', async () => {
  await using db = await testDatabase();
  await seedLarge(db, 10_000);
  await db.kysely.transaction().execute(async (trx) => {
    const { changes } = await readChanges(trx, {}, { after: BEGINNING, limit: 100 });
    expect(changes).toHaveLength(100);
    const { rows } = await sql<{ read: bigint }>`select pg_stat_get_xact_tuples_fetched('placements'::regclass)
      + pg_stat_get_xact_tuples_returned('placements'::regclass) as read`.execute(trx);
    expect(Number(rows[0]?.read)).toBeLessThan(1_000);
  });
});

test('an upload that is cut is told of by each aggregate that holds a part of it', async () => {
  await using db = await testDatabase();
  const [upload = 0n, other = 0n] = await seedUploads(db.kysely, ['bafycut', 'bafywhole']);
  const aggregates: bigint[] = [];
  for (const cut of [0, 1]) {
    const { rows } = await db.pool.query<{ id: bigint }>(
      `with made as (insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, opened_at, changed_at)
         values ('sealing', 1000, 259, 2, now(), 'full', now(), now()) returning id),
       told as (insert into events (at, aggregate_id, from_state, to_state) select now(), id, 'open', 'sealing' from made)
       select id from made`,
    );
    const id = rows[0]?.id ?? 0n;
    aggregates.push(id);
    await db.pool.query(`insert into cuts (upload_id, cut, run_bytes, block_count) values ($1, $2, 100, 1)`, [
      upload,
      cut,
    ]);
    await db.pool.query(
      `insert into placements (aggregate_id, seq, upload_id, cut, topped_up, offset_bytes, length_bytes)
       values ($1, 0, $2, null, $4, 59, 100), ($1, 1, $3, $5, false, 159, 100)`,
      [id, other, upload, cut > 0, cut],
    );
  }
  const { found } = await readAll(db, { cids: ['bafycut'], kinds: ['aggregate'] }, 10);
  expect(found.map(({ row, upload: { index } }) => [row.aggregateId, index])).toEqual(aggregates.map((id) => [id, 1]));
});

test('what does not concern a reader is passed over once, and what is to come is not', async () => {
  await using db = await testDatabase();
  const [mine = 0n, ...others] = await seedUploads(db.kysely, ['bafymine', 'bafya', 'bafyb']);
  await tell(
    db.kysely,
    others.map((id) => ({ upload_id: id, from_state: 'waiting', to_state: 'stowed' })),
  );
  const filter = { cids: ['bafymine'] };
  const page = await readChanges(db.kysely, filter, { after: BEGINNING, limit: 10 });
  expect(page.changes).toHaveLength(1);
  expect(page.done).toBe(true);
  const head = await findHead(db.kysely);
  expect(BigInt(page.cursor.xid)).toBeLessThanOrEqual(BigInt(head.xid));
  const client = await db.pool.connect();
  await client.query('begin');
  await client.query(`insert into events (at, upload_id, from_state, to_state) values ($1, $2, 'waiting', 'stowed')`, [
    AT,
    mine,
  ]);
  const before = await readChanges(db.kysely, filter, { after: page.cursor, limit: 10 });
  expect(before.changes).toEqual([]);
  await client.query('commit');
  client.release();
  const last = await readChanges(db.kysely, filter, { after: before.cursor, limit: 10 });
  expect(last.changes.map(placeOf)).toEqual(['upload stowed bafymine']);
});

test('an upload that was stowed says where it went', async () => {
  await using db = await testDatabase();
  const { aggregateId } = await seedLarge(db, 1);
  const [id] = await seedUploads(db.kysely, ['bafymine']);
  const event = `insert into events (at, upload_id, from_state, to_state, evidence) values ($1, $2, 'waiting', 'stowed', $3)`;
  for (const evidence of [{ aggregateId: aggregateId.toString() }, { aggregateId: 'odd' }, {}]) {
    await db.pool.query(event, [AT, id, evidence]);
  }
  const { found } = await readAll(db, { cids: ['bafymine'], states: ['stowed'] }, 10);
  expect(found.map(({ row }) => [row.aggregateId, row.pieceCid])).toEqual([
    [aggregateId, 'bagalarge'],
    [null, null],
    [null, null],
  ]);
});
