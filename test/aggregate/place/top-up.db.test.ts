import { expect, test } from 'vitest';
import { advanceByTopUp } from '../../../src/aggregate/place/top-up-store.ts';
import { findSealed, listOpen } from '../../../src/aggregate/aggregate-rows.ts';
import { FILLER_SECTION_BYTES } from '../../../src/aggregate/bytes/filler.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import { brokenBytes } from '../../checker/check-bytes.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import {
  brokenRows,
  insertBareUpload,
  never,
  setClock,
  START,
  stowDeps,
  storeUpload,
  withClient,
} from '../aggregate-fixture.ts';

const KIB = 1_024;
/** The smallest piece of these rules is half a MiB: its CAR has more than this. */
const HALF = (256 * KIB * 127) / 128;
const pieces = { pieceBytes: BigInt(1_024 * KIB), minPieceBytes: BigInt(512 * KIB), minFillBytes: BigInt(512 * KIB) };

async function place(db: Awaited<ReturnType<typeof testDatabase>>, ids: bigint[]) {
  return await db.kysely
    .selectFrom('placements')
    .select(['aggregate_id', 'seq', 'upload_id', 'topped_up'])
    .where('upload_id', 'in', ids)
    .orderBy('aggregate_id')
    .orderBy('seq')
    .execute();
}

test('what is sealed too small is topped up with runs we hold, then filled, and is one sound piece', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const clock = setClock();
  const deps = { ...(await stowDeps(db, clock, pieces)), store };
  const first = await storeUpload(db.kysely, store, 'first', 30);
  await stow(deps, never);
  clock.set(48);
  await stow(deps, never);
  const [one] = await db.kysely.selectFrom('aggregates').selectAll().execute();
  expect(one).toMatchObject({ state: 'sealing', seal_reason: 'force_age', entry_count: 1 });
  expect(Number(one?.filler_bytes) % FILLER_SECTION_BYTES).toBe(0);
  expect(Number((one?.length_bytes ?? 0n) + (one?.filler_bytes ?? 0n))).toBeGreaterThan(HALF);
  await seal(deps, one?.id ?? 0n, never);

  clock.set(1);
  const second = await storeUpload(db.kysely, store, 'second', 5);
  await stow(deps, never);
  const [open] = await listOpen(db.kysely);
  await sealNow(deps, open?.id ?? 0n);
  expect(await place(db, [first.id, second.id])).toEqual([
    { aggregate_id: one?.id, seq: 0, upload_id: first.id, topped_up: false },
    { aggregate_id: open?.id, seq: 0, upload_id: second.id, topped_up: false },
    { aggregate_id: open?.id, seq: 1, upload_id: first.id, topped_up: true },
  ]);
  const event = await db.kysely
    .selectFrom('events')
    .select('evidence')
    .where('aggregate_id', '=', open?.id ?? 0n)
    .where('to_state', '=', 'sealing')
    .executeTakeFirstOrThrow();
  expect(event.evidence).toEqual({
    toppedUpRuns: 1,
    toppedUpBytes: first.run.length.toString(),
    fillerBytes: expect.stringMatching(/^[1-9][0-9]+$/),
  });
  await seal(deps, open?.id ?? 0n, never);
  expect(await findSealed(db.kysely, open?.id ?? 0n)).toMatchObject({
    pieceBytes: pieces.minPieceBytes,
    entryCount: 2,
  });
  expect(await brokenRows(db)).toEqual([]);
  const read = async (key: string) => Buffer.concat(await gather(store.read(key, 0, (await store.size(key)) ?? 0)));
  expect(await withClient(db, (client) => brokenBytes(client, read))).toEqual([]);
});

test('a run whose aggregate was released meanwhile tops nothing up', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db, setClock(), pieces);
  const id = await insertBareUpload(db.kysely, 'one', 500);
  await insertBareUpload(db.kysely, 'other', 500);
  await stow(deps, never);
  const [open] = await listOpen(db.kysely);
  if (open === undefined) throw new Error('nothing is open');
  const runs = [{ uploadId: id, aggregateId: 4_711n, runBytes: 500n }];
  const lost = db.kysely.transaction().execute((trx) => advanceByTopUp(trx, open, { runs, fillerBytes: 0n }, START));
  await expect(lost).rejects.toThrow('released');
  expect(await listOpen(db.kysely)).toEqual([open]);
  expect(await brokenRows(db)).toEqual([]);
});
