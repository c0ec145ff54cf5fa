import { expect, test } from 'vitest';
import { DELETE_BATCH_ROWS } from '../../../src/aggregate/delete-of-upload.ts';
import { FAILED_PARTS_MS, letGo } from '../../../src/aggregate/keep/let-go.ts';
import { createQuota, QUOTA_REFRESH_MS } from '../../../src/aggregate/keep/quota.ts';
import { endOwnership } from '../../../src/aggregate/keep/remove-upload.ts';
import { sweepOrphans, type Suspects } from '../../../src/aggregate/keep/sweep-orphans.ts';
import { failStale } from '../../../src/aggregate/receive/fail-stale.ts';
import { receiveCar } from '../../../src/aggregate/receive/receive.ts';
import { stow } from '../../../src/aggregate/place/stow.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { Database } from '../../../src/db/connect.ts';
import { car, sampleUpload, type Block } from '../../support/car-builder.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { refuseLargeDeletes } from '../delete-guard.ts';
import { HOUR_MS, insertBareUpload, never, putObject, setClock, stowDeps } from '../aggregate-fixture.ts';

const limits = { maxUploadBytes: 10n ** 7n, maxBlocks: 1_000, minFreeBytes: 0n };

async function world(database: Database, folder: string) {
  const store = await openLocalStore(folder);
  const clock = setClock();
  const { jobs } = await stowDeps(database, clock);
  const receive = { kysely: database.kysely, store, jobs, clock, limits, log: silentLog };
  const send = (root: Block['cid'], blocks: readonly Block[]) =>
    receiveCar(receive, { body: inOne(car([root], blocks)), owner: 'service', signal: never });
  return { store, clock, send, deps: { kysely: database.kysely, clock, log: silentLog } };
}

async function* inOne(bytes: Uint8Array) {
  yield bytes;
}

function rootFirst(root: Block['cid'], blocks: readonly Block[]): Block[] {
  const isRoot = ({ cid }: Block) => cid.toString() === root.toString();
  return [...blocks.filter(isRoot), ...blocks.filter((block) => !isRoot(block))];
}

test.each(['all of it', 'the parts alone'])(
  'parts of a failed upload wait a week, then go with what was known of them (%s), and a later CAR heals it',
  async (when) => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const { clock, send, deps } = await world(db, folder.path);
    const { root, blocks } = sampleUpload('failing', 6);
    const ordered = rootFirst(root, blocks);
    await send(root, ordered.slice(0, 4));
    clock.set(25);
    expect(await failStale({ ...deps, uploadTimeoutMs: 24 * HOUR_MS })).toBe(1);
    clock.set(25 + FAILED_PARTS_MS / HOUR_MS - 1);
    await letGo(deps);
    expect(await db.kysely.selectFrom('parts').selectAll().execute()).toHaveLength(1);
    clock.set(25 + FAILED_PARTS_MS / HOUR_MS);
    expect(await letGo(deps)).toBe(true);
    expect(await db.kysely.selectFrom('parts').selectAll().execute()).toEqual([]);
    // What is known of the blocks goes later; a part may come before that.
    if (when === 'all of it') {
      while (await letGo(deps));
      for (const table of ['part_blocks', 'wanted_blocks'] as const) {
        expect(await db.kysely.selectFrom(table).selectAll().execute()).toEqual([]);
      }
    }
    const [last] = await db.kysely.selectFrom('events').selectAll().orderBy('position', 'desc').limit(1).execute();
    expect(last).toMatchObject({ from_state: 'failed', to_state: 'failed', reason_code: 'PARTS_LET_GO' });
    // The other half alone is not enough any more; with the first half it is.
    expect((await send(root, [...ordered.slice(0, 1), ...ordered.slice(4)])).complete).toBe(false);
    expect((await send(root, ordered.slice(0, 4))).complete).toBe(true);
  },
);

test('parts and blocks of a large upload go in statements that each have time enough', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { clock, send, deps } = await world(db, folder.path);
  for (const seed of ['failing', 'leaving']) {
    const { root, blocks } = sampleUpload(seed, 6);
    const { uploadId } = await send(root, rootFirst(root, blocks).slice(0, 4));
    await db.pool.query(
      `insert into part_blocks (upload_id, cid, block_bytes, links, reached)
       select $1, convert_to(n::text, 'utf8'), 1, '{}', false from generate_series(1, ${DELETE_BATCH_ROWS + 10}) n`,
      [uploadId],
    );
    await db.pool.query(
      `insert into parts (upload_id, object_key, object_offset, length_bytes, block_count, created_at)
       select $1, $2, n, 1, 1, now() from generate_series(1, ${DELETE_BATCH_ROWS + 10}) n`,
      [uploadId, `runs/${seed}`],
    );
  }
  await refuseLargeDeletes(db, ['part_blocks', 'parts']);
  const leaving = sampleUpload('leaving', 6).root.toString();
  expect(await endOwnership(deps, { root: leaving, owner: 'service' })).toBe('removed');
  clock.set(25);
  await failStale({ ...deps, uploadTimeoutMs: 24 * HOUR_MS });
  clock.set(26 + FAILED_PARTS_MS / HOUR_MS);
  while (await letGo(deps));
  for (const table of ['parts', 'part_blocks', 'wanted_blocks'] as const) {
    expect(await db.kysely.selectFrom(table).selectAll().limit(1).execute()).toEqual([]);
  }
});

test('rows of blocks of a removed upload go, those of others stay', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { send, deps } = await world(db, folder.path);
  for (const seed of ['removed', 'kept']) {
    const { root, blocks } = sampleUpload(seed, 6);
    await send(root, rootFirst(root, blocks).slice(0, 4));
  }
  const removed = sampleUpload('removed', 6).root.toString();
  expect(await endOwnership(deps, { root: removed, owner: 'service' })).toBe('removed');
  const before = await db.kysely.selectFrom('part_blocks').selectAll().execute();
  while (await letGo(deps));
  const after = await db.kysely.selectFrom('part_blocks').selectAll().execute();
  expect([before.length, after.length]).toEqual([8, 4]);
  const left = await db.kysely.selectFrom('wanted_blocks').select('upload_id').distinct().execute();
  expect(left).toHaveLength(1);
});

test('removing and stowing at the same time: one of them has the upload, never both', async () => {
  await using db = await testDatabase();
  const deps = await stowDeps(db);
  const ids: bigint[] = [];
  for (let at = 0; at < 12; at += 1) ids.push(await insertBareUpload(db.kysely, `race-${at}`, 1_000));
  await db.kysely.insertInto('owners').values({ name: 'service' }).execute();
  const uploads = await db.kysely.selectFrom('uploads').select(['id', 'root']).execute();
  for (const { id } of uploads) {
    await db.kysely
      .insertInto('upload_owners')
      .values({ upload_id: id, owner_id: 1n, since: deps.clock.now() })
      .execute();
  }
  const remove = { kysely: db.kysely, clock: deps.clock, log: silentLog };
  const [, ...ended] = await Promise.all([
    stow(deps, never),
    ...uploads.map(({ root }) => endOwnership(remove, { root, owner: 'service' })),
  ]);
  await stow(deps, never);
  const rows = await db.kysely
    .selectFrom('uploads as u')
    .leftJoin('placements as p', 'p.upload_id', 'u.id')
    .select(['u.state', 'p.seq'])
    .execute();
  expect(rows).toHaveLength(ids.length);
  for (const { state, seq } of rows) expect(state).toBe(seq === null ? 'removed' : 'stowed');
  expect(ended.filter((one) => one === 'removed')).toHaveLength(rows.filter(({ seq }) => seq === null).length);
});

test('an object goes when two passes the grace apart find it unnamed, however old the store says it is', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const { store, send } = await world(db, folder.path);
  const { root, blocks } = sampleUpload('named', 3);
  await send(root, blocks);
  const stray = [
    'runs/stray',
    'trees/77-bafy',
    'proofs/77-baga',
    'other/of-somebody',
    'trees/no-id',
    'doctor/died-over-it',
  ];
  for (const key of stray) await putObject(store, key, Buffer.from(key));
  let now = Date.now() + 2 * HOUR_MS;
  const deps = { kysely: db.kysely, store, clock: { now: () => new Date(now) } };
  const suspects: Suspects = new Map();
  const pass = () => sweepOrphans(deps, { suspects, pauseMs: 0 });
  expect(await pass()).toBe(0);
  now += HOUR_MS / 2;
  expect(await pass()).toBe(0);
  // Named in between: a long upload whose row came late.
  await insertBareUpload(db.kysely, 'stray', 5);
  now += HOUR_MS;
  expect(await pass()).toBe(3);
  expect((await gather(store.list())).map(({ key }) => key).sort()).toEqual([
    'other/of-somebody',
    expect.stringMatching(/^runs\/[0-9a-f-]{36}$/),
    'runs/stray',
    'trees/no-id',
  ]);
});

test('the quota refuses what would be too much, before and in the middle of a body, and sees what is let go', async () => {
  await using db = await testDatabase();
  await insertBareUpload(db.kysely, 'held', 600);
  let now = 0;
  const quota = createQuota({ kysely: db.kysely, clock: { now: () => new Date(now) }, quotaBytes: 1_000n });
  await quota.expect(400);
  await expect(quota.expect(401)).rejects.toMatchObject({ code: 'STORE_QUOTA', retry: 'later' });
  async function* body() {
    for (let at = 0; at < 5; at += 1) yield new Uint8Array(100);
  }
  const taken: number[] = [];
  const take = async () => {
    for await (const { length } of quota.meter(body())) taken.push(length);
  };
  await expect(take()).rejects.toMatchObject({ code: 'STORE_QUOTA' });
  expect(taken).toHaveLength(4);
  await expect(quota.expect(0)).rejects.toMatchObject({ code: 'STORE_QUOTA' });
  await db.kysely.deleteFrom('parts').execute();
  // What came in stays counted for one more sum, for its rows may come late.
  for (let sums = 0; sums < 2; sums += 1) {
    now += QUOTA_REFRESH_MS;
    await quota.expect(0).catch(() => undefined);
    await expect
      .poll(() =>
        quota.expect(0).then(
          () => 'taken',
          () => 'refused',
        ),
      )
      .toBe('taken');
  }
  const none = createQuota({ kysely: db.kysely, clock: { now: () => new Date(now) }, quotaBytes: undefined });
  await none.expect(Number.MAX_SAFE_INTEGER);
});

test('bytes that came in stay counted while their sum cannot be read', async () => {
  await using db = await testDatabase();
  let now = 0;
  let isBroken = false;
  const kysely = new Proxy(db.kysely, {
    get(target, name) {
      if (isBroken) throw new Error('canceling statement due to statement timeout');
      const value: unknown = Reflect.get(target, name);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const quota = createQuota({ kysely, clock: { now: () => new Date(now) }, quotaBytes: 1_000n });
  await quota.expect(0);
  async function* body() {
    yield new Uint8Array(900);
  }
  for await (const _ of quota.meter(body()));
  isBroken = true;
  for (let tries = 0; tries < 3; tries += 1) {
    now += QUOTA_REFRESH_MS;
    await quota.expect(1);
    await expect(quota.expect(200)).rejects.toMatchObject({ code: 'STORE_QUOTA' });
  }
});
