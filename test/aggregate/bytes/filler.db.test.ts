import { Piece } from '@web3-storage/data-segment';
import { expect, test } from 'vitest';
import { findSealed } from '../../../src/aggregate/aggregate-rows.ts';
import { FILLER_SECTION_BYTES } from '../../../src/aggregate/bytes/filler.ts';
import { listPlacedRuns } from '../../../src/aggregate/bytes/placed-runs.ts';
import { proveRun } from '../../../src/aggregate/bytes/prove.ts';
import { openVirtualCar } from '../../../src/aggregate/bytes/virtual-car.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { proofToJson } from '../../../src/filecoin/inclusion-proof.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import { brokenBytes } from '../../checker/check-bytes.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { checkProof } from '../../support/proof-checker.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { brokenRows, never, readCar, stowDeps, storeUpload, withClient } from '../aggregate-fixture.ts';

test.each([undefined, 127 * 512])(
  'an aggregate with filler is one CAR, hashed by chunks of %s or whole',
  async (chunk) => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const store = await openLocalStore(folder.path);
    const deps = {
      ...(await stowDeps(db, undefined, { pieceBytes: 1_048_576n })),
      store,
      ...(chunk === undefined ? {} : { chunkBytes: chunk }),
    };
    const uploads = [await storeUpload(db.kysely, store, 'one', 40), await storeUpload(db.kysely, store, 'two', 3)];
    await stow(deps, never);
    const { id } = await db.kysely.selectFrom('aggregates').select('id').executeTakeFirstOrThrow();
    await sealNow(deps, id);
    await db.kysely
      .updateTable('aggregates')
      .set({ filler_bytes: BigInt(FILLER_SECTION_BYTES * 5) })
      .execute();
    await seal(deps, id, never);
    const sealed = await findSealed(db.kysely, id);
    if (sealed === undefined) throw new Error('not sealed');
    expect(sealed.carBytes).toBe(sealed.lengthBytes + 5 * FILLER_SECTION_BYTES + sealed.treeBytes);
    const car = openVirtualCar(deps, sealed);
    const bytes = Buffer.concat(await gather(car.readRange(0, car.carBytes)));
    expect(bytes.length).toBe(sealed.carBytes);
    expect(Piece.fromPayload(bytes).toInfo().link.toString()).toBe(sealed.pieceCid);
    const { roots, blocks } = await readCar(bytes);
    expect(roots).toEqual([sealed.batchRoot]);
    expect(
      [...blocks.values()].filter((block) => block.length === 65_536 && block.every((byte) => byte === 0)),
    ).toHaveLength(1);
    for (const [from, to] of [
      [sealed.lengthBytes - 3, sealed.lengthBytes + 3],
      [sealed.lengthBytes + 1, sealed.lengthBytes + FILLER_SECTION_BYTES + 9],
      [sealed.carBytes - sealed.treeBytes - 5, sealed.carBytes],
    ] as const) {
      expect(Buffer.concat(await gather(car.readRange(from, to))).equals(bytes.subarray(from, to))).toBe(true);
    }
    for (const { root, run } of uploads) {
      const [placed] = await listPlacedRuns(db.kysely, root, { limit: 1 });
      if (placed === undefined) throw new Error('no run');
      const proof = proofToJson({ ...(await proveRun(deps, placed, never)), deals: [] });
      expect(checkProof(proof, run).pieceCid).toBe(sealed.pieceCid);
    }
    expect(await brokenRows(db)).toEqual([]);
    const read = async (key: string) => Buffer.concat(await gather(store.read(key, 0, (await store.size(key)) ?? 0)));
    expect(await withClient(db, (client) => brokenBytes(client, read))).toEqual([]);
  },
);
