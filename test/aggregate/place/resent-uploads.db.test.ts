import { expect, test } from 'vitest';
import { LostRace } from '../../../src/aggregate/aggregate-steps.ts';
import { advanceByPlacements } from '../../../src/aggregate/place/place-runs.ts';
import { listOpen } from '../../../src/aggregate/aggregate-rows.ts';
import { endOwnership } from '../../../src/aggregate/keep/remove-upload.ts';
import { cutUpload } from '../../../src/aggregate/place/cut.ts';
import { planPlacements, beginPass } from '../../../src/aggregate/place/plan-placements.ts';
import { stow } from '../../../src/aggregate/place/stow.ts';
import { listWaiting } from '../../../src/aggregate/place/waiting-queue.ts';
import { receiveCar } from '../../../src/aggregate/receive/receive.ts';
import type { Database } from '../../../src/db/connect.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { car, pbNode, rawBlock, sampleUpload, sections, type Block } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { brokenRows, never, rules, stowDeps } from '../aggregate-fixture.ts';

const limits = { maxUploadBytes: 10n ** 7n, maxBlocks: 1_000, minFreeBytes: 0n };

async function* inOne(bytes: Uint8Array) {
  yield bytes;
}

/** A service that receives, removes and places. */
async function world(database: Database, folder: string) {
  const store = await openLocalStore(folder);
  const deps = { ...(await stowDeps(database)), store };
  const { jobs, clock } = deps;
  const receive = { kysely: database.kysely, store, jobs, clock, limits, log: silentLog, spillFolder: folder };
  const send = (root: Block['cid'], blocks: readonly Block[]) =>
    receiveCar(receive, { body: inOne(car([root], blocks)), owner: 'service', signal: never });
  const remove = (root: Block['cid']) =>
    endOwnership({ kysely: database.kysely, clock, log: silentLog }, { root: root.toString(), owner: 'service' });
  return { store, deps, send, remove };
}

function largeUpload(): { root: Block['cid']; blocks: Block[] } {
  const leaves = Array.from({ length: 150 }, (_, at) => rawBlock(Buffer.alloc(1_000 + at, `leaf ${at} `)));
  const root = pbNode(leaves);
  return { root: root.cid, blocks: [root, ...leaves] };
}

/** Does something once, before the first byte of an object is read. */
function interrupted(store: ObjectStore, once: () => Promise<void>): ObjectStore {
  let isDone = false;
  async function* read(key: string, offset: number, length: number) {
    if (!isDone) {
      isDone = true;
      await once();
    }
    yield* store.read(key, offset, length);
  }
  return new Proxy(store, { get: (target, name): unknown => (name === 'read' ? read : Reflect.get(target, name)) });
}

async function keysOfCuts({ kysely }: Database): Promise<string[]> {
  return (await kysely.selectFrom('cut_extents').select('object_key').distinct().execute()).map(
    (row) => row.object_key,
  );
}

async function keysOfParts({ kysely }: Database): Promise<string[]> {
  return (await kysely.selectFrom('parts').select('object_key').distinct().execute()).map((row) => row.object_key);
}

test('an upload that was removed and sent again while it was cut is cut where its bytes are now', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { store, deps, send, remove } = await world(db, folder.path);
  const { root, blocks } = largeUpload();
  const { uploadId } = await send(root, blocks);
  const again = async () => {
    expect(await remove(root)).toBe('removed');
    await send(root, blocks);
  };
  await cutUpload({ ...deps, store: interrupted(store, again) }, uploadId, never);
  expect(await keysOfCuts(db)).toEqual([]);
  await cutUpload(deps, uploadId, never);
  expect(await keysOfCuts(db)).toEqual(await keysOfParts(db));
  expect(await brokenRows(db)).toEqual([]);
});

test('an upload that was removed and sent again with a longer run is not placed as it was seen before', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { deps, send, remove } = await world(db, folder.path);
  const other = sampleUpload('other', 3);
  await send(other.root, other.blocks);
  await stow(deps, never);
  const { root, blocks } = sampleUpload('again', 3);
  await send(root, blocks);
  const { uploads } = await listWaiting(db.kysely, { limit: 10 });
  const plan = planPlacements(uploads, beginPass(await listOpen(db.kysely)), rules);
  expect(plan.placements).toHaveLength(1);
  expect(await remove(root)).toBe('removed');
  // A CAR may hold blocks that the root does not lead to.
  await send(root, [...blocks, rawBlock('a stray block that came along')]);
  const place = db.kysely.transaction().execute((trx) => advanceByPlacements(trx, { ...plan, at: deps.clock.now() }));
  await expect(place).rejects.toThrow(LostRace);
  await stow(deps, never);
  expect(await brokenRows(db)).toEqual([]);
});

test('an upload that cannot be cut for smaller pieces leaves no cuts for larger ones', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { store, deps, send } = await world(db, folder.path);
  const { root, blocks } = largeUpload();
  const { uploadId } = await send(root, blocks);
  await cutUpload(deps, uploadId, never);
  expect(await keysOfCuts(db)).toHaveLength(1);
  // Its root alone has links of 40 bytes to each of 150 leaves.
  await cutUpload({ ...deps, rules: { ...rules, pieceBytes: 8_192n } }, uploadId, never);
  expect(await db.kysely.selectFrom('uploads').select('state').execute()).toEqual([{ state: 'failed' }]);
  expect(await keysOfCuts(db)).toEqual([]);
  expect(await keysOfParts(db)).toHaveLength(1);
  await send(root, blocks);
  await cutUpload(deps, uploadId, never);
  await stow(deps, never);
  expect(await keysOfCuts(db)).toEqual(await keysOfParts(db));
  const stored = (await gather(store.list())).map(({ key }) => key);
  for (const key of await keysOfCuts(db)) expect(stored).toContain(key);
  expect(await brokenRows(db)).toEqual([]);
});

test('an upload that could not be cut and comes again in parts is of these alone', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { deps, send } = await world(db, folder.path);
  const { root, blocks } = largeUpload();
  const { uploadId } = await send(root, blocks);
  await cutUpload({ ...deps, rules: { ...rules, pieceBytes: 8_192n } }, uploadId, never);
  expect((await send(root, blocks.slice(0, 70))).complete).toBe(false);
  expect((await send(root, [...blocks.slice(0, 1), ...blocks.slice(70)])).complete).toBe(true);
  const row = await db.kysely.selectFrom('uploads').select(['state', 'run_bytes']).executeTakeFirstOrThrow();
  expect(row).toEqual({ state: 'waiting', run_bytes: BigInt(sections(blocks).length) });
  expect(await brokenRows(db)).toEqual([]);
});
