import { expect, test } from 'vitest';
import { isKnownUpload, listPlacedRuns } from '../../../src/aggregate/bytes/placed-runs.ts';
import { listRunBlocks, proveRun } from '../../../src/aggregate/bytes/prove.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import type { Database } from '../../../src/db/connect.ts';
import { proofToJson } from '../../../src/filecoin/inclusion-proof.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { testDatabase } from '../../support/database.ts';
import { checkProof } from '../../support/proof-checker.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { never, stowDeps, storeUpload, storeUploadInParts } from '../aggregate-fixture.ts';

async function sealedAggregate(database: Database, folder: string, chunkBytes?: number) {
  const store = await openLocalStore(folder);
  const deps = { ...(await stowDeps(database)), store, ...(chunkBytes === undefined ? {} : { chunkBytes }) };
  const uploads = [
    await storeUpload(database.kysely, store, 'one', 4),
    await storeUploadInParts(database.kysely, store, 'in-parts'),
    await storeUpload(database.kysely, store, 'single-leaf', 1),
    await storeUpload(database.kysely, store, 'many', 40),
  ];
  await stow(deps, never);
  const { id } = await database.kysely.selectFrom('aggregates').select('id').executeTakeFirstOrThrow();
  await sealNow(deps, id);
  expect(await listPlacedRuns(database.kysely, uploads[0]?.root ?? '', { limit: 10 })).toEqual([]);
  await seal(deps, id, never);
  return { deps, uploads };
}

test('every upload of a sealed aggregate has a proof that a verifier of data-segment alone accepts', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { deps, uploads } = await sealedAggregate(db, folder.path);
  for (const { root, run, blocks } of uploads) {
    expect(await isKnownUpload(db.kysely, root)).toBe(true);
    const runs = await listPlacedRuns(db.kysely, root, { limit: 10 });
    expect(runs).toHaveLength(1);
    for (const placed of runs) {
      const proof = await proveRun(deps, placed, never);
      const found = checkProof(proofToJson({ ...proof, deals: [] }), run);
      expect(found.pieceCid).toBe(placed.pieceCid);
      expect(proof).toMatchObject({ root, pieceCid: placed.pieceCid, batchRootCid: placed.outline.batchRoot });
      expect(proof.selector).toMatch(/^(Links\/\d+\/Hash\/?){3}$/);
      expect(await listRunBlocks(deps, placed, never)).toEqual(blocks.map(({ cid }) => cid.toString()));
      const after = { aggregateId: placed.outline.id, seq: placed.seq };
      expect(await listPlacedRuns(db.kysely, root, { after, limit: 10 })).toEqual([]);
    }
  }
  expect(await isKnownUpload(db.kysely, 'bafkreidjfulqwgi23ot5vkplvhu3boqawf42nzcz4gcyniwuodguxmcixq')).toBe(false);
});

test('with the roots of chunks, a proof reads no more than the chunks at the edges of the run', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const chunkBytes = 127 * 4;
  const { deps, uploads } = await sealedAggregate(db, folder.path, chunkBytes);
  let readBytes = 0;
  const counted = { ...deps, store: watchedStore(deps.store, (chunk) => ((readBytes += chunk.length), chunk)) };
  for (const { root, run } of uploads) {
    const [placed] = await listPlacedRuns(db.kysely, root, { limit: 10 });
    if (placed === undefined) throw new Error('no run');
    readBytes = 0;
    const proof = await proveRun(counted, placed, never);
    expect(checkProof(proofToJson({ ...proof, deals: [] }), run).pieceCid).toBe(placed.pieceCid);
    expect(readBytes).toBeLessThanOrEqual(2 * chunkBytes + 2 * 126);
    // Without the rows the same proof comes from all the bytes.
    const { chunkBytes: _, ...plain } = counted;
    expect(await proveRun(plain, placed, never)).toEqual(proof);
  }
});

/** A store whose chunks pass through `see`, with the key of their object. */
function watchedStore(store: ObjectStore, see: (chunk: Uint8Array, key: string) => Uint8Array): ObjectStore {
  async function* read(key: string, offset: number, length: number) {
    for await (const chunk of store.read(key, offset, length)) yield see(chunk, key);
  }
  return new Proxy(store, { get: (target, name) => (name === 'read' ? read : Reflect.get(target, name)) });
}

/** Each chunk read of one object begins with another bit. */
function flippingStore(store: ObjectStore, damaged: string): ObjectStore {
  return watchedStore(store, (chunk, key) =>
    key === damaged ? Uint8Array.from(chunk, (byte, at) => (at === 0 ? byte ^ 1 : byte)) : chunk,
  );
}

test('stored bytes that changed give no proof, and neither does a caller that went away', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { deps, uploads } = await sealedAggregate(db, folder.path);
  const [placed] = await listPlacedRuns(db.kysely, uploads[2]?.root ?? '', { limit: 10 });
  if (placed === undefined) throw new Error('no run');
  const stop = AbortSignal.abort(new Error('the client went away'));
  await expect(proveRun(deps, placed, stop)).rejects.toThrow('the client went away');
  const flipping = (key: string) => ({ ...deps, store: flippingStore(deps.store, key) });
  // Its own bytes, a neighbour's, the tree's.
  for (const key of ['runs/single-leaf', 'runs/many', placed.outline.treeKey]) {
    await expect(proveRun(flipping(key), placed, never)).rejects.toMatchObject({ code: 'PIECE_DAMAGED' });
  }
  await expect(proveRun(flipping('runs/none'), placed, never)).resolves.toMatchObject({ pieceCid: placed.pieceCid });
});
