import { describe, expect, test } from 'vitest';
import { cutUpload } from '../../../src/aggregate/place/cut.ts';
import { emptyRoomBytes } from '../../../src/aggregate/place/placement-rules.ts';
import { findSealed } from '../../../src/aggregate/aggregate-rows.ts';
import { listEntries } from '../../../src/aggregate/entries.ts';
import { sealNow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { openVirtualCar } from '../../../src/aggregate/bytes/virtual-car.ts';
import { pieceCapacity } from '../../../src/filecoin/piece.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { Database } from '../../../src/db/connect.ts';
import { brokenBytes } from '../../checker/check-bytes.ts';
import { pbNode, rawBlock, sections, type Block } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import {
  brokenRows,
  insertUpload,
  never,
  putObject,
  readCar,
  rules,
  stowDeps,
  withClient,
} from '../aggregate-fixture.ts';
import { countCuts, placeCut } from './placed-cuts.ts';

/** 200 leaves of about a kilobyte under ten nodes: three and a half times a piece of 64 KiB. */
function largeFile(seed: string): { root: Block; blocks: Block[] } {
  const leaves = Array.from({ length: 200 }, (_, at) => rawBlock(Buffer.alloc(1_000 + at, `${seed} ${at} `)));
  const groups = Array.from({ length: 10 }, (_, at) => leaves.slice(at * 20, at * 20 + 20));
  const nodes = groups.map((group) => pbNode(group));
  const root = pbNode(nodes);
  return { root, blocks: [root, ...groups.flatMap((group, at) => [...nodes.slice(at, at + 1), ...group])] };
}

/** Stored in three parts, the second behind bytes of another upload. */
async function cutWorld(database: Database, folder: string, { root, blocks }: { root: Block; blocks: Block[] }) {
  const store = await openLocalStore(folder);
  const deps = { ...(await stowDeps(database)), store };
  const bounds = [0, 50, 120, blocks.length];
  const noise = Buffer.from('bytes of another upload in the same segment');
  const parts = [];
  for (const [at, from] of bounds.slice(0, -1).entries()) {
    const own = blocks.slice(from, bounds[at + 1]);
    const bytes = sections(own);
    await putObject(store, `runs/part-${at}`, Buffer.concat([noise, bytes, noise]));
    parts.push({ key: `runs/part-${at}`, offset: noise.length, length: bytes.length, blocks: own.length, runSeq: at });
  }
  const id = await insertUpload(database.kysely, { root: root.cid.toString(), blocks, parts });
  return { store, deps, id };
}

const room = emptyRoomBytes(pieceCapacity(rules.pieceBytes));

describe('cutUpload', () => {
  test('writes cuts that fit, in one transaction with the job that wakes stowing, and once', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await cutWorld(db, folder.path, largeFile('one'));
    await Promise.all([cutUpload(deps, id, never), cutUpload(deps, id, never)]);
    await cutUpload(deps, id, never);
    const cuts = await db.kysely.selectFrom('cuts').selectAll().orderBy('cut').execute();
    expect(cuts.map(({ cut }) => cut)).toEqual([0, 1, 2, 3]);
    for (const { run_bytes: bytes } of cuts) expect(bytes).toBeLessThanOrEqual(room);
    for (const { run_bytes: bytes } of cuts.slice(0, -1)) expect(Number(bytes)).toBeGreaterThan(Number(room) * 0.94);
    expect((await deps.jobs.sent()).map(({ queue }) => queue)).toEqual(['stow']);
    expect(await brokenRows(db)).toEqual([]);
    const extents = await db.kysely.selectFrom('cut_extents').selectAll().execute();
    expect(extents.length).toBeLessThan(40);
  });

  test('the cuts in aggregates of their own are CARs of a stranger, each with all that its selector leads to', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const upload = largeFile('two');
    const { store, deps, id } = await cutWorld(db, folder.path, upload);
    await cutUpload(deps, id, never);
    const together = new Map<string, Uint8Array>();
    for (let cut = 0; cut < (await countCuts(db.kysely, id)); cut += 1) {
      const aggregate = await placeCut(db.kysely, rules, id, cut);
      await sealNow(deps, aggregate);
      await seal(deps, aggregate, never);
      const sealed = await findSealed(db.kysely, aggregate);
      if (sealed === undefined) throw new Error('not sealed');
      const car = openVirtualCar(deps, sealed);
      const bytes = Buffer.concat(await gather(car.readRange(0, car.carBytes)));
      const [entry] = await listEntries(db.kysely, aggregate, { limit: 10 });
      expect(entry).toMatchObject({ root: upload.root.cid.toString(), partial: true, offset: 59 });
      for (const [name, block] of (await readCar(bytes)).blocks) together.set(name, block);
      // Any range of it is that range of the whole.
      for (const [start, end] of [
        [60, 61],
        [1_000, 30_000],
        [bytes.length - 3_000, bytes.length],
      ] as const) {
        expect(Buffer.concat(await gather(car.readRange(start, end))).equals(bytes.subarray(start, end))).toBe(true);
      }
    }
    for (const { cid, bytes } of upload.blocks) {
      expect(Buffer.compare(together.get(cid.toString()) ?? Buffer.alloc(0), bytes)).toBe(0);
    }
    expect(await brokenRows(db)).toEqual([]);
    const read = async (key: string) => Buffer.concat(await gather(store.read(key, 0, (await store.size(key)) ?? 0)));
    expect(await withClient(db, (client) => brokenBytes(client, read))).toEqual([]);
  });

  test('an upload that fits, and one that does not wait, are left alone', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await cutWorld(db, folder.path, largeFile('fits'));
    await cutUpload({ ...deps, rules: { ...rules, pieceBytes: 2n ** 20n } }, id, never);
    await cutUpload(deps, 999n, never);
    expect(await countCuts(db.kysely, id)).toBe(0);
    expect(await deps.jobs.sent()).toEqual([]);
  });

  test('a smaller piece size cuts anew while nothing is placed, and no more after that', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await cutWorld(db, folder.path, largeFile('smaller'));
    await cutUpload(deps, id, never);
    const before = await countCuts(db.kysely, id);
    await cutUpload({ ...deps, rules: { ...rules, pieceBytes: 32_768n } }, id, never);
    expect(await countCuts(db.kysely, id)).toBeGreaterThan(before);
    const halves = await countCuts(db.kysely, id);
    await placeCut(db.kysely, rules, id, 0);
    await cutUpload({ ...deps, rules: { ...rules, pieceBytes: 16_384n } }, id, never);
    expect(await countCuts(db.kysely, id)).toBe(halves);
  });

  test('an upload that no cutting helps fails with what to do, for good', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const chain: Block[] = [rawBlock('end')];
    for (let at = 0; at < 900; at += 1) chain.push(pbNode(chain.slice(-1)));
    const [root] = chain.slice(-1);
    if (root === undefined) throw new Error('no root');
    const { deps, id } = await cutWorld(db, folder.path, { root, blocks: chain.toReversed() });
    await cutUpload(deps, id, never);
    await cutUpload(deps, id, never);
    const row = await db.kysely.selectFrom('uploads').selectAll().where('id', '=', id).executeTakeFirstOrThrow();
    expect(row).toMatchObject({ state: 'failed', run_bytes: null, missing_count: null });
    expect(row.failure).toMatch(/^it is larger than an aggregate, .* make its DAG flatter .* raise PIECE_SIZE/);
    const events = await db.kysely.selectFrom('events').selectAll().where('upload_id', '=', id).execute();
    expect(events.map(({ to_state, reason_code }) => [to_state, reason_code])).toEqual([
      ['waiting', null],
      ['failed', 'UPLOAD_NOT_CUTTABLE'],
    ]);
    expect([await countCuts(db.kysely, id), await deps.jobs.sent()]).toEqual([0, []]);
    expect(await brokenRows(db)).toEqual([]);
  });

  test('a caller that stops leaves nothing', async () => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { deps, id } = await cutWorld(db, folder.path, largeFile('stopped'));
    await expect(cutUpload(deps, id, AbortSignal.abort(new Error('stopping')))).rejects.toThrow('stopping');
    expect(await countCuts(db.kysely, id)).toBe(0);
  });
});
