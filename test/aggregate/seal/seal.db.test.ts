import { Piece } from '@web3-storage/data-segment';
import * as dagPb from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';
import { describe, expect, test } from 'vitest';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import {
  findSealed,
  findSealedByPiece,
  listSealing,
  type SealedAggregate,
} from '../../../src/aggregate/aggregate-rows.ts';
import { listEntries } from '../../../src/aggregate/entries.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { openVirtualCar } from '../../../src/aggregate/bytes/virtual-car.ts';
import type { Database } from '../../../src/db/connect.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { brokenBytes } from '../../checker/check-bytes.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { filesBelow, temporaryFolder } from '../../support/temporary-folder.ts';
import {
  brokenRows,
  never,
  readCar,
  stowDeps,
  storeUpload,
  storeUploadInParts,
  withClient,
} from '../aggregate-fixture.ts';

/** Uploads of all shapes, stowed into one aggregate that is sealing. */
async function sealingAggregate(database: Database, store: ObjectStore) {
  const deps = { ...(await stowDeps(database)), store };
  const uploads = [
    await storeUpload(database.kysely, store, 'one', 4),
    await storeUploadInParts(database.kysely, store, 'in-parts'),
    await storeUpload(database.kysely, store, 'single-leaf', 1),
    await storeUpload(database.kysely, store, 'many', 40),
  ];
  await stow(deps, never);
  const { id } = await database.kysely.selectFrom('aggregates').select('id').executeTakeFirstOrThrow();
  await sealNow(deps, id);
  return { deps, id, uploads };
}

async function sealed(database: Database, id: bigint): Promise<SealedAggregate> {
  const found = await findSealed(database.kysely, id);
  if (found === undefined) throw new Error(`aggregate ${id} is not sealed`);
  return found;
}

async function readWhole(database: Database, store: ObjectStore, aggregate: SealedAggregate): Promise<Buffer> {
  const car = openVirtualCar({ db: database.kysely, store }, aggregate);
  return Buffer.concat(await gather(car.readRange(0, car.carBytes)));
}

/** A store that fails at one kind of call, as a disk that is full or gone. */
function failing(store: ObjectStore, when?: 'stage' | 'commit' | 'read'): ObjectStore {
  const fail = () => Promise.reject(new Error(`${when} failed`));
  return {
    stage: async (key) => {
      if (when === 'stage') return await fail();
      const staged = await store.stage(key);
      return {
        write: (chunk) => staged.write(chunk),
        commit: () => (when === 'commit' ? fail() : staged.commit()),
        abort: () => staged.abort(),
      };
    },
    async *read(key, offset, length) {
      if (when === 'read') await fail();
      yield* store.read(key, offset, length);
    },
    size: (key) => store.size(key),
    remove: (key) => store.remove(key),
    list: () => store.list(),
    freeBytes: () => store.freeBytes(),
  };
}

async function stagedFiles(folder: string): Promise<string[]> {
  return (await filesBelow(folder)).filter((path) => path.startsWith('staging'));
}

describe('seal', () => {
  test('makes one CAR that an independent reader reads to its last byte, whose piece CID another hasher finds', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id, uploads } = await sealingAggregate(db, store);
    await seal(deps, id, never);

    const aggregate = await sealed(db, id);
    const bytes = await readWhole(db, store, aggregate);
    expect(bytes.length).toBe(aggregate.carBytes);
    const { roots, blocks, count } = await readCar(bytes);
    expect(roots).toEqual([aggregate.batchRoot]);
    const piece = Piece.fromPayload(bytes);
    expect(aggregate.pieceCid).toBe(piece.toInfo().link.toString());
    expect(aggregate.pieceBytes).toBe(BigInt(piece.toInfo().size));

    const entries = await listEntries(db.kysely, id, { limit: 100 });
    expect(entries.map(({ root }) => root)).toEqual(uploads.map(({ root }) => root));
    const ownBlocks = uploads.reduce((sum, upload) => sum + upload.blocks.length, 0);
    expect(count).toBeGreaterThan(ownBlocks);
    for (const [at, { root, selector, offset, length }] of entries.entries()) {
      expect(bytes.subarray(offset, offset + length).equals(uploads[at]?.run ?? Buffer.alloc(0))).toBe(true);
      const steps = [...(selector ?? '').matchAll(/Links\/(\d+)\/Hash/g)].map(([, index]) => Number(index));
      const found = steps.reduce<string>((cid, index) => {
        const link = dagPb.decode(blocks.get(cid) ?? new Uint8Array()).Links[index];
        return String(link?.Hash);
      }, aggregate.batchRoot);
      expect(found).toBe(root);
      for (const { cid, bytes: block } of uploads[at]?.blocks ?? []) {
        expect(Buffer.compare(blocks.get(cid.toString()) ?? new Uint8Array(), block)).toBe(0);
      }
    }
    expect(await brokenRows(db)).toEqual([]);
    const readObject = async (key: string) =>
      Buffer.concat(await gather(store.read(key, 0, (await store.size(key)) ?? 0)));
    expect(await withClient(db, (client) => brokenBytes(client, readObject))).toEqual([]);
  });

  test('hands over to propose in the transaction that seals, once', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await sealingAggregate(db, await openLocalStore(folder.path));
    expect(await listSealing(db.kysely, 10)).toEqual([id]);
    await seal(deps, id, never);
    await seal(deps, id, never);
    expect(await listSealing(db.kysely, 10)).toEqual([]);
    const jobs = (await deps.jobs.sent()).filter(({ queue }) => queue === 'propose');
    expect(jobs).toEqual([{ queue: 'propose', data: { aggregateId: String(id) }, start_after: null }]);
    const { pieceCid } = await sealed(db, id);
    expect((await findSealedByPiece(db.kysely, pieceCid))?.id).toBe(id);
    expect(await findSealedByPiece(db.kysely, CID.parse(pieceCid).toString().replace(/.$/, 'a'))).toBeUndefined();
  });

  test('two at once seal it once, to the same bytes', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await sealingAggregate(db, await openLocalStore(folder.path));
    await Promise.all([seal(deps, id, never), seal(deps, id, never), seal(deps, id, never)]);
    expect((await deps.jobs.sent()).filter(({ queue }) => queue === 'propose')).toHaveLength(1);
    expect(await brokenRows(db)).toEqual([]);
  });

  test.each(['stage', 'commit', 'read'] as const)(
    'after a fault at %s a repetition comes to what an undisturbed run does',
    async (when) => {
      await using db = await testDatabase();
      await using folder = await temporaryFolder();
      const store = await openLocalStore(folder.path);
      const { deps, id } = await sealingAggregate(db, store);
      await expect(seal({ ...deps, store: failing(store, when) }, id, never)).rejects.toThrow(`${when} failed`);
      expect(await findSealed(db.kysely, id)).toBeUndefined();
      expect(await stagedFiles(folder.path)).toEqual([]);
      expect(await brokenRows(db)).toEqual([]);
      await seal(deps, id, never);
      const aggregate = await sealed(db, id);
      expect(
        Piece.fromPayload(await readWhole(db, store, aggregate))
          .toInfo()
          .link.toString(),
      ).toBe(aggregate.pieceCid);
      const trees = (await gather(store.list())).filter(({ key }) => key.startsWith('trees/'));
      expect(trees.map(({ key, sizeBytes }) => [key, sizeBytes])).toEqual([[aggregate.treeKey, aggregate.treeBytes]]);
    },
  );

  test('nothing of the seal stays when its job cannot be sent', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await sealingAggregate(db, await openLocalStore(folder.path));
    const jobs = { send: () => Promise.reject(new Error('no connection')) };
    await expect(seal({ ...deps, jobs }, id, never)).rejects.toThrow('no connection');
    expect(await findSealed(db.kysely, id)).toBeUndefined();
    expect((await listEntries(db.kysely, id, { limit: 10 })).map(({ selector }) => selector)).toEqual([
      null,
      null,
      null,
      null,
    ]);
    await seal(deps, id, never);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('stops when told to, in the middle of hashing', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id } = await sealingAggregate(db, store);
    const stop = new AbortController();
    let reads = 0;
    const stopping: ObjectStore = {
      ...failing(store),
      async *read(key, offset, length) {
        if (++reads === 2) stop.abort(new Error('told to stop'));
        yield* store.read(key, offset, length);
      },
    };
    await expect(seal({ ...deps, store: stopping }, id, stop.signal)).rejects.toThrow('told to stop');
    expect(reads).toBe(2);
    expect(await findSealed(db.kysely, id)).toBeUndefined();
  });
});

describe('the virtual CAR', () => {
  test('any range is that range of the whole', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id } = await sealingAggregate(db, store);
    await seal(deps, id, never);
    const aggregate = await sealed(db, id);
    const whole = await readWhole(db, store, aggregate);
    const car = openVirtualCar({ db: db.kysely, store }, aggregate);
    const entries = await listEntries(db.kysely, id, { limit: 100 });
    const edges = entries.flatMap(({ offset, length }) => [offset - 1, offset, offset + 1, offset + length - 1]);
    const places = [
      0,
      1,
      58,
      59,
      60,
      ...edges,
      aggregate.lengthBytes,
      aggregate.lengthBytes + 1,
      car.carBytes - 1,
      car.carBytes,
    ];
    for (const start of places) {
      for (const end of places) {
        if (end < start) continue;
        const part = Buffer.concat(await gather(car.readRange(start, end)));
        expect(part.equals(whole.subarray(start, end)), `${start} to ${end}`).toBe(true);
      }
    }
  });

  test('refuses a range outside, and says where bytes are missing', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const { deps, id, uploads } = await sealingAggregate(db, store);
    await seal(deps, id, never);
    const car = openVirtualCar({ db: db.kysely, store }, await sealed(db, id));
    for (const [start, end] of [
      [-1, 5],
      [6, 5],
      [0, car.carBytes + 1],
      [Number.NaN, 5],
    ] as const) {
      await expect(gather(car.readRange(start, end))).rejects.toMatchObject({ code: 'RANGE_OUTSIDE_CAR' });
    }
    await db.kysely
      .deleteFrom('parts')
      .where('upload_id', '=', uploads[1]?.id ?? 0n)
      .where('run_seq', '=', 1)
      .execute();
    await expect(gather(car.readRange(0, car.carBytes))).rejects.toMatchObject({ code: 'RUN_GAP' });
  });
});
