import { Piece } from '@web3-storage/data-segment';
import { describe, expect, test } from 'vitest';
import { listAggregatesToHash, listChunkRoots, CHUNK_BYTES } from '../../../src/aggregate/seal/chunks.ts';
import { hashChunks } from '../../../src/aggregate/seal/hash-chunks.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { findSealed, type SealedAggregate } from '../../../src/aggregate/aggregate-rows.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { openVirtualCar } from '../../../src/aggregate/bytes/virtual-car.ts';
import { systemClock } from '../../../src/clock.ts';
import { createFastCommp } from '../../../src/hashing/commp-engine.ts';
import type { Database } from '../../../src/db/connect.ts';
import { pieceCidV1 } from '../../../src/filecoin/piece.ts';
import { startJobs } from '../../../src/jobs/jobs.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { sweepJobs } from '../../../src/running/sweep.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import {
  brokenRows,
  insertBareUpload,
  never,
  rules,
  setClock,
  stowDeps,
  storeUpload,
  storeUploadInParts,
} from '../aggregate-fixture.ts';

/** Sixteen units: an aggregate of a few uploads has many such chunks. */
const SMALL_CHUNK_BYTES = 127 * 16;

/** A store that counts the bytes it reads, and fails at the read of a given number. */
function watched(store: ObjectStore, failAt = Number.POSITIVE_INFINITY) {
  let bytesRead = 0;
  let reads = 0;
  const watching: ObjectStore = {
    stage: (key) => store.stage(key),
    async *read(key, offset, length) {
      if (++reads === failAt) throw new Error('the disk is gone');
      for await (const chunk of store.read(key, offset, length)) {
        bytesRead += chunk.length;
        yield chunk;
      }
    },
    size: (key) => store.size(key),
    remove: (key) => store.remove(key),
    list: () => store.list(),
    freeBytes: () => store.freeBytes(),
  };
  return { store: watching, bytesRead: () => bytesRead };
}

/** An open aggregate of uploads of all shapes. */
async function openAggregate(database: Database, store: ObjectStore) {
  const deps = {
    ...(await stowDeps(database)),
    store,
    random: () => 0.4,
    chunkBytes: SMALL_CHUNK_BYTES,
  };
  await storeUpload(database.kysely, store, 'one', 4);
  await storeUploadInParts(database.kysely, store, 'in-parts');
  await storeUpload(database.kysely, store, 'single-leaf', 1);
  await storeUpload(database.kysely, store, 'many', 40);
  await stow(deps, never);
  const { id, length_bytes } = await database.kysely
    .selectFrom('aggregates')
    .select(['id', 'length_bytes'])
    .executeTakeFirstOrThrow();
  const settled = Math.floor(Number(length_bytes) / SMALL_CHUNK_BYTES);
  const settledChunks = Array.from({ length: settled - 1 }, (_, at) => at + 1);
  expect(settledChunks.length).toBeGreaterThan(3);
  return { deps, id, settledChunks };
}

async function knownChunks(database: Database, id: bigint): Promise<number[]> {
  return [...(await listChunkRoots(database.kysely, id)).keys()];
}

async function sealed(database: Database, id: bigint): Promise<SealedAggregate> {
  const found = await findSealed(database.kysely, id);
  if (found === undefined) throw new Error(`aggregate ${id} is not sealed`);
  return found;
}

/** The piece CID is that of the whole CAR by data-segment and by our own stream; each kept root is that of its bytes. */
async function expectRight(database: Database, store: ObjectStore, id: bigint): Promise<void> {
  const aggregate = await sealed(database, id);
  const car = openVirtualCar({ db: database.kysely, store }, aggregate);
  const bytes = Buffer.concat(await gather(car.readRange(0, car.carBytes)));
  const { link, size } = Piece.fromPayload(bytes).toInfo();
  expect(aggregate.pieceCid).toBe(link.toString());
  expect(aggregate.pieceBytes).toBe(BigInt(size));
  const commp = createFastCommp();
  commp.update(bytes);
  expect(aggregate.pieceCid).toBe(pieceCidV1(commp.digest().root).toString());

  const roots = await listChunkRoots(database.kysely, id);
  expect([...roots.keys()]).toEqual(Array.from({ length: Math.ceil(bytes.length / SMALL_CHUNK_BYTES) }, (_, at) => at));
  for (const [index, root] of roots) {
    const chunk = Buffer.alloc(SMALL_CHUNK_BYTES);
    bytes.copy(chunk, 0, index * SMALL_CHUNK_BYTES, (index + 1) * SMALL_CHUNK_BYTES);
    expect(pieceCidV1(root).toString()).toBe(Piece.fromPayload(chunk).toInfo().link.toString());
  }
  expect(await brokenRows(database)).toEqual([]);
}

describe('hashing while an aggregate grows', () => {
  test('keeps the settled chunks, and sealing reads only the others', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id, settledChunks } = await openAggregate(db, store);
    await hashChunks(deps, id, never);
    expect(await knownChunks(db, id)).toEqual(settledChunks);

    const again = watched(store);
    await hashChunks({ ...deps, store: again.store }, id, never);
    expect(again.bytesRead()).toBe(0);

    await sealNow(deps, id);
    const sealing = watched(store);
    await seal({ ...deps, store: sealing.store }, id, never);
    await expectRight(db, store, id);
    const { carBytes } = await sealed(db, id);
    const header = 59;
    expect(sealing.bytesRead()).toBe(carBytes - settledChunks.length * SMALL_CHUNK_BYTES - header);
  });

  test('goes on where the aggregate has grown', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id, settledChunks } = await openAggregate(db, store);
    await hashChunks(deps, id, never);
    await storeUpload(db.kysely, store, 'later', 30);
    await stow(deps, never);
    await hashChunks(deps, id, never);
    expect((await knownChunks(db, id)).length).toBeGreaterThan(settledChunks.length + 1);
    await sealNow(deps, id);
    await seal(deps, id, never);
    await expectRight(db, store, id);
  });

  test('workers side by side, and a seal that comes before they are done', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id } = await openAggregate(db, store);
    const workers = [0, 0.5, 0.9].map((start) => hashChunks({ ...deps, random: () => start }, id, never));
    await sealNow(deps, id);
    await Promise.all([...workers, seal(deps, id, never), seal(deps, id, never)]);
    await expectRight(db, store, id);
    expect((await deps.jobs.sent()).filter(({ queue }) => queue === 'propose')).toHaveLength(1);
  });

  test('a worker that dies anywhere leaves right roots, and a repetition does the rest', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id, settledChunks } = await openAggregate(db, store);
    for (let failAt = 1; failAt <= 9; failAt += 2) {
      const dying = watched(store, failAt);
      // The later ones may get to the end before their fault.
      await hashChunks({ ...deps, store: dying.store }, id, never).catch((error: unknown) => {
        expect(String(error)).toContain('the disk is gone');
      });
      expect(settledChunks).toEqual(expect.arrayContaining(await knownChunks(db, id)));
    }
    await hashChunks(deps, id, never);
    expect(await knownChunks(db, id)).toEqual(settledChunks);
    await sealNow(deps, id);
    await seal(deps, id, never);
    await expectRight(db, store, id);
  });

  test('stops when told to', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await openAggregate(db, await openLocalStore(folder.path));
    const stopped = AbortSignal.abort(new Error('told to stop'));
    await expect(hashChunks(deps, id, stopped)).rejects.toThrow('told to stop');
    expect(await knownChunks(db, id)).toEqual([]);
  });

  test('does nothing for an aggregate that seals, is sealed or is not', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await openAggregate(db, await openLocalStore(folder.path));
    await hashChunks(deps, id + 1n, never);
    await sealNow(deps, id);
    await hashChunks(deps, id, never);
    expect(await knownChunks(db, id)).toEqual([]);
  });
});

describe('sealing by chunks', () => {
  test('hashes all of them when nobody has', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id } = await openAggregate(db, store);
    await sealNow(deps, id);
    await seal(deps, id, never);
    await expectRight(db, store, id);
  });

  test.each([1, 4, 8, 12])(
    'a seal that dies at read %i keeps what it hashed, and a repetition does the rest',
    async (failAt) => {
      await using db = await testDatabase();
      await using folder = await temporaryFolder();
      const store = await openLocalStore(folder.path);
      const { deps, id, settledChunks } = await openAggregate(db, store);
      await sealNow(deps, id);
      const dying = watched(store, failAt);
      await expect(seal({ ...deps, store: dying.store }, id, never)).rejects.toThrow('the disk is gone');
      // No root that rests on the batch tree may be there before the tree's root is the aggregate's.
      expect(settledChunks).toEqual(expect.arrayContaining(await knownChunks(db, id)));
      expect(await findSealed(db.kysely, id)).toBeUndefined();
      await seal(deps, id, never);
      await expectRight(db, store, id);
    },
  );

  test('an aggregate of less than a chunk has one stream and no rows', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id } = await openAggregate(db, store);
    await hashChunks({ ...deps, chunkBytes: CHUNK_BYTES }, id, never);
    await sealNow(deps, id);
    await seal({ ...deps, chunkBytes: CHUNK_BYTES }, id, never);
    expect(await knownChunks(db, id)).toEqual([]);
    expect((await sealed(db, id)).pieceCid).toMatch(/^baga/);
  });
});

describe('the jobs', () => {
  const large = { ...rules, pieceBytes: 2n ** 30n, minPieceBytes: 2n ** 20n, minFillBytes: 2n ** 20n };

  test('stow wakes hashing when a chunk is settled, and only then', async () => {
    await using db = await testDatabase();
    const deps = await stowDeps(db, setClock(), large);
    const hashJobs = async () => (await deps.jobs.sent()).filter(({ queue }) => queue === 'hash').length;
    await insertBareUpload(db.kysely, 'first', CHUNK_BYTES + 1000);
    await stow(deps, never);
    expect(await hashJobs()).toBe(0);
    await insertBareUpload(db.kysely, 'second', CHUNK_BYTES);
    await stow(deps, never);
    expect(await hashJobs()).toBe(1);
    await insertBareUpload(db.kysely, 'third', 1000);
    await stow(deps, never);
    expect(await hashJobs()).toBe(1);
    await insertBareUpload(db.kysely, 'fourth', CHUNK_BYTES * 3);
    await stow(deps, never);
    expect(await hashJobs()).toBe(2);
  });

  test('the sweep finds what no job would hash', async () => {
    await using db = await testDatabase();
    await using jobs = await startJobs({ url: db.url, clock: systemClock, log: silentLog });
    const deps = await stowDeps(db, setClock(), large);
    await insertBareUpload(db.kysely, 'first', CHUNK_BYTES * 3);
    await stow(deps, never);
    const [id] = await listAggregatesToHash(db.kysely, 10);
    if (id === undefined) throw new Error('nothing to hash');
    const sweepDeps = { kysely: db.kysely, jobs, clock: setClock(), rules: large };
    expect(await sweepJobs(sweepDeps)).toMatchObject({ hash: 1 });
    expect(await sweepJobs(sweepDeps)).toMatchObject({ hash: 0 });
    const rows = [1, 2].map((index) => ({ aggregate_id: id, index, root: Buffer.alloc(32) }));
    await db.kysely.insertInto('chunks').values(rows).execute();
    expect(await listAggregatesToHash(db.kysely, 10)).toEqual([]);
  });
});
