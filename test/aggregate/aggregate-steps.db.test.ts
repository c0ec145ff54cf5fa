import { sql, type Kysely } from 'kysely';
import { describe, expect, test } from 'vitest';
import { listOpen } from '../../src/aggregate/aggregate-rows.ts';
import { listWaiting } from '../../src/aggregate/place/waiting-queue.ts';
import { advanceToSealed, advanceToSealing, insertAggregate, LostRace } from '../../src/aggregate/aggregate-steps.ts';
import { advanceByPlacements } from '../../src/aggregate/place/place-runs.ts';
import type { Database } from '../../src/db/connect.ts';
import { withUpload, type OpenAggregate, type WaitingUpload } from '../../src/aggregate/place/placement-rules.ts';
import type { DB } from '../../src/db/tables.ts';
import { testDatabase } from '../support/database.ts';
import { brokenRows, insertBareUpload, rules, START } from './aggregate-fixture.ts';

/** Longer than the other transaction needs to come to the same row. */
const OVERLAP_SECONDS = 0.2;

function inTransaction<T>({ kysely }: Database, act: (trx: Kysely<DB>) => Promise<T>): Promise<T> {
  return kysely.transaction().execute(act);
}

/** Two transactions that are both open while each does its part: how each of them ended. */
async function overlapping(database: Database, acts: ((trx: Kysely<DB>) => Promise<unknown>)[]): Promise<string[]> {
  const ended = await Promise.allSettled(
    acts.map((act) =>
      inTransaction(database, async (trx) => {
        await act(trx);
        await sql`select pg_sleep(${OVERLAP_SECONDS})`.execute(trx);
      }),
    ),
  );
  return ended.map((end) => (end.status === 'fulfilled' ? 'done' : end.reason instanceof LostRace ? 'lost' : 'failed'));
}

async function openAggregate(database: Database) {
  return await inTransaction(database, (trx) => insertAggregate(trx, rules, START));
}

async function advanceByUpload(
  trx: Kysely<DB>,
  before: OpenAggregate,
  upload: WaitingUpload,
  at: Date,
): Promise<OpenAggregate> {
  const after = withUpload(before, upload);
  const place = { aggregateId: before.id, seq: before.entryCount, offsetBytes: before.lengthBytes, upload };
  await advanceByPlacements(trx, { fillings: [{ before, after }], placements: [place], at });
  return after;
}

async function twoUploads(database: Database) {
  await insertBareUpload(database.kysely, 'one', 500);
  await insertBareUpload(database.kysely, 'two', 700);
  const { uploads } = await listWaiting(database.kysely, { limit: 2 });
  const [one, two] = uploads;
  if (one === undefined || two === undefined) throw new Error('two uploads wait');
  return { one, two };
}

async function rowCount({ kysely }: Database, table: 'aggregates' | 'placements'): Promise<bigint> {
  const { rows } = await sql<{ count: bigint }>`select count(*) from ${sql.table(table)}`.execute(kysely);
  return rows[0]?.count ?? 0n;
}

describe('between two transactions at the same time', () => {
  test('only one of two uploads gets the place at the end of an aggregate', async () => {
    await using db = await testDatabase();
    const { one, two } = await twoUploads(db);
    const aggregate = await openAggregate(db);
    const ends = await overlapping(db, [
      (trx) => advanceByUpload(trx, aggregate, one, START),
      (trx) => advanceByUpload(trx, aggregate, two, START),
    ]);
    expect(ends.toSorted()).toEqual(['done', 'lost']);
    expect(await rowCount(db, 'placements')).toBe(1n);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('only one of two aggregates gets an upload', async () => {
    await using db = await testDatabase();
    const { one } = await twoUploads(db);
    const [first, second] = [await openAggregate(db), await openAggregate(db)];
    const ends = await overlapping(db, [
      (trx) => advanceByUpload(trx, first, one, START),
      (trx) => advanceByUpload(trx, second, one, START),
    ]);
    expect(ends.toSorted()).toEqual(['done', 'lost']);
    expect(await rowCount(db, 'placements')).toBe(1n);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('no more aggregates open than there are places', async () => {
    await using db = await testDatabase();
    const one = { ...rules, openAggregates: 1 };
    const ends = await overlapping(db, [
      (trx) => insertAggregate(trx, one, START),
      (trx) => insertAggregate(trx, one, START),
    ]);
    expect(ends.toSorted()).toEqual(['done', 'lost']);
    expect(await rowCount(db, 'aggregates')).toBe(1n);
  });

  test('an aggregate that goes to sealing takes no upload any more, or goes with it', async () => {
    await using db = await testDatabase();
    const { one, two } = await twoUploads(db);
    const empty = await openAggregate(db);
    const aggregate = await inTransaction(db, (trx) => advanceByUpload(trx, empty, one, START));
    const ends = await overlapping(db, [
      (trx) => advanceToSealing(trx, aggregate.id, { reason: 'operator', at: START }),
      (trx) => advanceByUpload(trx, aggregate, two, START),
    ]);
    // Whichever was first: a placement before sealing is part of it, one after it is lost.
    expect(ends[0]).toBe('done');
    expect(await rowCount(db, 'placements')).toBe(ends[1] === 'done' ? 2n : 1n);
    expect(await listOpen(db.kysely)).toEqual([]);
    expect(await brokenRows(db)).toEqual([]);
  });
});

test('a change is made once: who comes later with the same one has lost', async () => {
  await using db = await testDatabase();
  const { one } = await twoUploads(db);
  const empty = await openAggregate(db);
  const { id } = await inTransaction(db, (trx) => advanceByUpload(trx, empty, one, START));
  const seal = {
    batchRoot: 'bafy',
    treeKey: 'trees/x',
    treeBytes: 441,
    carBytes: 1_000,
    pieceCid: 'baga',
    pieceBytes: 1_024n,
  };
  await expect(inTransaction(db, (trx) => advanceToSealed(trx, id, seal, START))).rejects.toThrow(LostRace);
  await inTransaction(db, (trx) => advanceToSealing(trx, id, { reason: 'full', at: START }));
  await expect(inTransaction(db, (trx) => advanceToSealing(trx, id, { reason: 'full', at: START }))).rejects.toThrow(
    LostRace,
  );
  await inTransaction(db, (trx) => advanceToSealed(trx, id, seal, START));
  await expect(inTransaction(db, (trx) => advanceToSealed(trx, id, seal, START))).rejects.toThrow(LostRace);
});
