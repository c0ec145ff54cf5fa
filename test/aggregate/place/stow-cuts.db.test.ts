import { expect, test } from 'vitest';
import { emptyRoomBytes } from '../../../src/aggregate/place/placement-rules.ts';
import { stow } from '../../../src/aggregate/place/stow.ts';
import type { Database } from '../../../src/db/connect.ts';
import { silentLog } from '../../../src/log/log.ts';
import { testDatabase } from '../../support/database.ts';
import { brokenRows, insertBareUpload, never, rules, setClock, stowDeps } from '../aggregate-fixture.ts';

const room = Number(emptyRoomBytes((rules.pieceBytes / 128n) * 127n));

/** Cuts by hand: the run of the upload in ranges that follow each other. */
async function insertCuts({ kysely }: Database, uploadId: bigint, sizes: readonly number[]): Promise<void> {
  const part = await kysely.selectFrom('parts').selectAll().where('upload_id', '=', uploadId).executeTakeFirstOrThrow();
  let offset = 0;
  for (const [cut, size] of sizes.entries()) {
    await kysely
      .insertInto('cuts')
      .values({ upload_id: uploadId, cut, run_bytes: BigInt(size), block_count: 1n })
      .execute();
    await kysely
      .insertInto('cut_extents')
      .values({
        upload_id: uploadId,
        cut,
        seq: 0,
        object_key: part.object_key,
        object_offset: BigInt(offset),
        length_bytes: BigInt(size),
      })
      .execute();
    offset += size;
  }
}

async function placed({ kysely }: Database, uploadId: bigint) {
  const query = kysely.selectFrom('placements').select(['aggregate_id', 'cut']).where('upload_id', '=', uploadId);
  return await query.orderBy('cut').execute();
}

async function stateOf({ kysely }: Database, id: bigint): Promise<string> {
  return (await kysely.selectFrom('uploads').select('state').where('id', '=', id).executeTakeFirstOrThrow()).state;
}

test('an upload larger than an aggregate is sent to be cut, and others go on', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db);
  const huge = await insertBareUpload(db.kysely, 'huge', 150_000, 0);
  const small = await insertBareUpload(db.kysely, 'small', 700, 1);
  await stow(deps, never);
  const sent = (await deps.jobs.sent()).filter(({ queue }) => queue === 'cut');
  expect(sent.map(({ data }) => data)).toEqual([{ uploadId: huge.toString() }]);
  expect(await stateOf(db, small)).toBe('stowed');
  expect(await stateOf(db, huge)).toBe('waiting');
});

test('its cuts go in order, each into an aggregate of its own; with the last one it is stowed', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db);
  const huge = await insertBareUpload(db.kysely, 'huge', room * 2 + 500, 0);
  await insertCuts(db, huge, [room, room, 500]);
  await insertBareUpload(db.kysely, 'small', 700, 1);
  await stow(deps, never);
  const places = await placed(db, huge);
  expect(places.map(({ cut }) => cut)).toEqual([0, 1, 2]);
  const told = await db.kysely
    .selectFrom('events')
    .select(['to_state', 'reason_code', 'evidence'])
    .where('upload_id', '=', huge)
    .orderBy('position')
    .execute();
  expect(told.slice(1)).toEqual(
    places.map(({ aggregate_id: id, cut }) => ({
      to_state: cut === 2 ? 'stowed' : 'waiting',
      reason_code: 'CUT_PLACED',
      evidence: { aggregateId: id.toString(), cut, offsetBytes: expect.any(String) },
    })),
  );
  expect(new Set(places.map(({ aggregate_id }) => aggregate_id)).size).toBe(3);
  expect(await stateOf(db, huge)).toBe('stowed');
  expect(await brokenRows(db)).toEqual([]);
});

test('it waits while a cut finds no place, and a repeated call goes on where the last one ended', async () => {
  await using db = await testDatabase();
  const clock = setClock();
  const deps = await stowDeps(db, clock, { openAggregates: 1 });
  const huge = await insertBareUpload(db.kysely, 'huge', 60_000, 0);
  await insertCuts(db, huge, [20_000, 20_000, 20_000]);
  await insertBareUpload(db.kysely, 'small', 700, 1);
  await stow(deps, never);
  expect(await placed(db, huge)).toMatchObject([{ cut: 0 }]);
  expect(await stateOf(db, huge)).toBe('waiting');
  expect(await brokenRows(db)).toEqual([]);
  clock.set(48);
  await stow(deps, never);
  expect(await placed(db, huge)).toHaveLength(3);
  expect(await stateOf(db, huge)).toBe('stowed');
  expect(await brokenRows(db)).toEqual([]);
});

test('cuts that a smaller piece size made too large are made anew while none is placed', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db);
  const unplaced = await insertBareUpload(db.kysely, 'unplaced', 60_000, 0);
  await insertCuts(db, unplaced, [20_000, 40_000]);
  const smaller = { ...deps, rules: { ...rules, pieceBytes: 32_768n } };
  await stow(smaller, never);
  expect(await placed(db, unplaced)).toEqual([]);
  const sent = (await deps.jobs.sent()).filter(({ queue }) => queue === 'cut');
  expect(sent.map(({ data }) => data)).toEqual([{ uploadId: unplaced.toString() }]);
  expect(await brokenRows(db)).toEqual([]);
});

test('cuts that became too large when some were placed stay as they are, and are told in the log', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db, setClock(), { openAggregates: 1 });
  const begun = await insertBareUpload(db.kysely, 'begun', 60_000, 0);
  await insertCuts(db, begun, [20_000, 40_000]);
  // Too full for the second cut, and not full enough to be sealed.
  await stow(deps, never);
  expect(await placed(db, begun)).toMatchObject([{ cut: 0 }]);
  const told: unknown[] = [];
  const log = { ...silentLog, warn: (...line: unknown[]) => void told.push(line) };
  await stow({ ...deps, log, rules: { ...rules, openAggregates: 2, pieceBytes: 32_768n } }, never);
  expect(told).toMatchObject([[{ uploadId: begun.toString(), cut: 1 }, 'upload.unplaceable']]);
  expect((await deps.jobs.sent()).filter(({ queue }) => queue === 'cut')).toEqual([]);
  expect(await placed(db, begun)).toHaveLength(1);
  expect(await stateOf(db, begun)).toBe('waiting');
  // The larger pieces come back, and so does its turn.
  await stow({ ...deps, rules: { ...rules, openAggregates: 2 } }, never);
  expect(await stateOf(db, begun)).toBe('stowed');
  expect(await brokenRows(db)).toEqual([]);
});

test('several processes place batches of whole and cut uploads exactly once', async () => {
  await using db = await testDatabase();
  const clock = setClock();
  const deps = await stowDeps(db, clock);
  for (let n = 0; n < 300; n++) await insertBareUpload(db.kysely, `n${n}`, 300 + ((n * 7_919) % 900), n / 1_000);
  const huge = await insertBareUpload(db.kysely, 'huge', 90_000, 0.15);
  await insertCuts(db, huge, [30_000, 30_000, 30_000]);
  await Promise.all(Array.from({ length: 3 }, () => stow(deps, never)));
  clock.set(48);
  await stow(deps, never);
  clock.set(97);
  await stow(deps, never);
  expect(await db.kysely.selectFrom('uploads').select('state').distinct().execute()).toEqual([{ state: 'stowed' }]);
  expect(await placed(db, huge)).toHaveLength(3);
  expect(await brokenRows(db)).toEqual([]);
});

test('a process killed between two steps leaves nothing half done', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db);
  for (let n = 0; n < 40; n++) await insertBareUpload(db.kysely, `n${n}`, 5_000, n / 1_000);
  for (let allowed = 0; allowed < 6; allowed++) {
    let left = allowed;
    const send: typeof deps.jobs.send = async (trx, queue, data, options) => {
      if (left-- === 0) throw new Error('killed');
      await deps.jobs.send(trx, queue, data, options);
    };
    await stow({ ...deps, jobs: { send } }, never).catch(() => undefined);
    expect(await brokenRows(db)).toEqual([]);
  }
  await stow(deps, never);
  expect(await db.kysely.selectFrom('uploads').select('state').distinct().execute()).toEqual([{ state: 'stowed' }]);
  expect(await brokenRows(db)).toEqual([]);
});
