import { expect, test, vi } from 'vitest';
import { publicStatus } from '../../../src/deals/status/deal-object.ts';
import { createStatusReader } from '../../../src/deals/status/status-reader.ts';
import type { DealState, UploadState } from '../../../src/db/tables.ts';
import { rawBlock } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import { seedAggregate, seedDeal } from '../../support/seed-rows.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';

type Database = Awaited<ReturnType<typeof testDatabase>>;

const rootOf = (name: string) => rawBlock(name).cid.toString();

async function insertUpload({ kysely }: Database, name: string, state: UploadState = 'waiting', at = new Date(1_000)) {
  const complete = state === 'waiting' ? { run_bytes: 100n, dag_bytes: 90n, block_count: 1n } : {};
  const row = { root: rootOf(name), state, created_at: at, changed_at: at, ...complete };
  await kysely.insertInto('uploads').values(row).execute();
}

test('those who ask at the same time share queries, and each gets its own', async () => {
  await using db = await testDatabase();
  const names = Array.from({ length: 300 }, (_, at) => `upload ${at}`);
  for (const [at, name] of names.entries()) await insertUpload(db, name, 'waiting', new Date(1_000 + at));
  const queries = vi.spyOn(db.pool, 'query');
  const reader = createStatusReader(db);
  const asked = [...names, 'unknown', 'upload 7'];
  const found = await Promise.all(asked.map((name) => reader.find(rootOf(name))));
  expect(found.map((status) => status?.root)).toEqual(
    asked.map((name) => (name === 'unknown' ? undefined : rootOf(name))),
  );
  expect(found[7]?.position).toBe(8);
  // Two at once, then a hundred with each.
  expect(queries.mock.calls.length).toBeLessThanOrEqual(6);
});

test('a query that fails fails those who asked, and nobody after', async () => {
  await using db = await testDatabase();
  await insertUpload(db, 'here');
  const reader = createStatusReader(db);
  const queries = vi.spyOn(db.pool, 'query').mockImplementation(() => {
    throw new Error('gone');
  });
  const failed = await Promise.allSettled(['a', 'b', 'c', 'd'].map((name) => reader.find(rootOf(name))));
  expect(failed.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected', 'rejected']);
  queries.mockRestore();
  expect((await reader.find(rootOf('here')))?.state).toBe('waiting');
});

test('what was removed is not told of', async () => {
  await using db = await testDatabase();
  await insertUpload(db, 'gone', 'removed');
  const reader = createStatusReader(db);
  expect(await reader.find(rootOf('gone'))).toBeUndefined();
  expect(await reader.list([rootOf('gone')])).toEqual(new Map());
});

test('places in the queue are counted by time, then by number, for one as for many', async () => {
  await using db = await testDatabase();
  for (const name of ['third', 'fourth']) await insertUpload(db, name, 'waiting', new Date(5_000));
  await insertUpload(db, 'first', 'waiting', new Date(1_000));
  await insertUpload(db, 'second', 'waiting', new Date(2_000));
  const reader = createStatusReader(db);
  const order = ['first', 'second', 'third', 'fourth'];
  const many = await reader.list(order.map(rootOf));
  expect(order.map((name) => many.get(rootOf(name))?.position)).toEqual([1, 2, 3, 4]);
  for (const [at, name] of order.entries()) expect((await reader.find(rootOf(name)))?.position).toBe(at + 1);
});

test('the view shows the deals whose state is public, oldest change first', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await insertUpload(db, 'with deals');
  const { id } = await seedAggregate(db.kysely, store, { roots: [rootOf('with deals')] });
  const states: DealState[] = [
    'signed',
    'sent',
    'accepted',
    'published',
    'active',
    'rejected',
    'failed',
    'abandoned',
    'missed',
    'expired',
    'slashed',
  ];
  for (const [slot, state] of states.entries()) {
    const changedAt = new Date(10_000 * (states.length - slot));
    await seedDeal(db.kysely, { aggregateId: id, slot, provider: `f0${1_000 + slot}`, state, changedAt });
  }
  const status = await createStatusReader(db).find(rootOf('with deals'));
  const shown = states.filter((state) => publicStatus(state) !== undefined).toReversed();
  expect(status?.deals.map(({ state }) => state)).toEqual(shown);
  // Nobody waits for an answer while a deal lives.
  expect(status?.lastRefusal).toBeUndefined();
});

test('of an aggregate without a live deal the last refusal is told', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await insertUpload(db, 'refused');
  const { id } = await seedAggregate(db.kysely, store, { roots: [rootOf('refused')] });
  const states: DealState[] = ['failed', 'rejected', 'abandoned', 'expired'];
  for (const [slot, state] of states.entries()) {
    const changedAt = new Date(slot === 1 ? 60_000 : 10_000 + slot);
    await seedDeal(db.kysely, { aggregateId: id, slot, provider: `f0${1_000 + slot}`, state, changedAt });
  }
  const status = await createStatusReader(db).find(rootOf('refused'));
  expect(status?.deals.map(({ state }) => state)).toEqual(['expired']);
  expect(status?.lastRefusal).toEqual({ miner: 'f01001', text: 'some_reason', at: new Date(60_000) });
});
