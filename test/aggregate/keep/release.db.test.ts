import { expect, test } from 'vitest';
import { listNeededKeys } from '../../../src/aggregate/keep/named-objects.ts';
import { releaseAll, type ReleaseDeps } from '../../../src/aggregate/keep/release/release.ts';
import { readStoredProof } from '../../../src/aggregate/keep/release/stored-proofs.ts';
import { sweepOrphans } from '../../../src/aggregate/keep/sweep-orphans.ts';
import { writeProofs } from '../../../src/aggregate/keep/release/write-proofs.ts';
import { findSealed } from '../../../src/aggregate/aggregate-rows.ts';
import { listPlacedRuns } from '../../../src/aggregate/bytes/placed-runs.ts';
import { proveRun } from '../../../src/aggregate/bytes/prove.ts';
import { listTopUpCandidates } from '../../../src/aggregate/place/top-up-store.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import type { Database } from '../../../src/db/connect.ts';
import { proofToJson } from '../../../src/filecoin/inclusion-proof.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { ObjectStore, StagedObject } from '../../../src/storage/store.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { checkProof } from '../../support/proof-checker.ts';
import { seedDeal } from '../../support/seed-rows.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { brokenRows, never, START, stowDeps, storeUpload, storeUploadInParts } from '../aggregate-fixture.ts';

const DAY_MS = 86_400_000;
/** What a new database asks for. */
const REPLICAS = 5;
const SMALL_CHUNK_BYTES = 127 * 4;

/** Four uploads in a sealed aggregate, with as many active deals as given since `START`. */
async function world(database: Database, folder: string, { active = REPLICAS, chunkBytes = SMALL_CHUNK_BYTES } = {}) {
  const store = await openLocalStore(folder);
  const deps = { ...(await stowDeps(database)), store, chunkBytes };
  const uploads = [
    await storeUpload(database.kysely, store, 'one', 4),
    await storeUploadInParts(database.kysely, store, 'in-parts'),
    await storeUpload(database.kysely, store, 'single-leaf', 1),
    await storeUpload(database.kysely, store, 'many', 40),
  ];
  await stow(deps, never);
  const { id } = await database.kysely.selectFrom('aggregates').select('id').executeTakeFirstOrThrow();
  await sealNow(deps, id);
  await seal(deps, id, never);
  for (let slot = 0; slot < active; slot += 1) {
    const provider = `f0100${slot}`;
    await seedDeal(database.kysely, { aggregateId: id, provider, slot, state: 'active', changedAt: START });
  }
  const release: ReleaseDeps = {
    db: database.kysely,
    store,
    clock: { now: () => new Date(START.getTime() + 31 * DAY_MS) },
    log: silentLog,
    retentionMs: 30 * DAY_MS,
    chunkBytes,
  };
  return { id, store, deps, uploads, release };
}

async function keysOf(store: ObjectStore): Promise<string[]> {
  return (await gather(store.list())).map(({ key }) => key.replace(/-.*/, '')).sort();
}

/** As the process sees it long after. */
async function sweepLater({ release, store }: Awaited<ReturnType<typeof world>>): Promise<number> {
  const clock = { now: () => new Date(Date.now() + DAY_MS) };
  return sweepOrphans({ kysely: release.db, store, clock }, { pauseMs: 0 });
}

/** The runs of all uploads with the proofs that their bytes give. */
async function provenRuns({ release, uploads }: Awaited<ReturnType<typeof world>>) {
  const proven = [];
  for (const { root, run } of uploads) {
    const [placed] = await listPlacedRuns(release.db, root, { limit: 1 });
    if (placed === undefined) throw new Error('no run');
    proven.push({ run, seq: placed.seq, proof: await proveRun(release, placed, never) });
  }
  return proven;
}

async function isReleased({ release, id }: Awaited<ReturnType<typeof world>>): Promise<boolean> {
  return (await findSealed(release.db, id))?.releasedAt !== undefined;
}

test.each([SMALL_CHUNK_BYTES, 127 * 64, 127 * 2 ** 18])(
  'proofs outlive the bytes: every one that the bytes gave, with chunks of %i bytes',
  async (chunkBytes) => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const made = await world(db, folder.path, { chunkBytes });
    const proven = await provenRuns(made);
    expect(await listTopUpCandidates(db.kysely, { aggregateId: 0n, maxRunBytes: 2n ** 40n })).toHaveLength(4);
    expect(await releaseAll(made.release, never)).toBe(1);
    for (const { run, seq, proof } of proven) {
      const stored = await readStoredProof(made.release, made.id, seq);
      const { blocks, ...path } = stored;
      expect(path).toEqual(proof);
      // The run of what came in parts has the order of no CAR.
      expect(blocks).toEqual(seq === 1 ? made.uploads[1]?.blocks.map(({ cid }) => cid.toString()) : undefined);
      expect(checkProof(proofToJson({ ...stored, deals: [] }), run).pieceCid).toBe(proof.pieceCid);
    }
    await expect(readStoredProof(made.release, made.id, proven.length)).rejects.toMatchObject({
      code: 'PROOFS_DAMAGED',
    });
    expect(await db.kysely.selectFrom('parts').selectAll().execute()).toEqual([]);
    // Nothing is left of their bytes to top up another aggregate with.
    expect(await listTopUpCandidates(db.kysely, { aggregateId: 0n, maxRunBytes: 2n ** 40n })).toEqual([]);
    // One object of the fixture is in no run, yet its row goes with its upload.
    expect(await sweepLater(made)).toBe(7);
    expect(await keysOf(made.store)).toEqual([`proofs/${made.id}`]);
    expect(await releaseAll(made.release, never)).toBe(0);
    // The deals are seeds without a history, and released runs have no parts.
    const others = /^(a run is the sum of its parts|a deal was signed before|active, published and ended)/;
    const broken = (await brokenRows(db)).filter((rule) => !others.test(rule));
    expect(broken).toEqual([]);
  },
);

test('reads each chunk at the edge of a run once, and whole chunks within a run never', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const aggregate = await findSealed(db.kysely, made.id);
  if (aggregate === undefined) throw new Error('not sealed');
  let readBytes = 0;
  const store = readingStore(made.store, (chunk) => (readBytes += chunk.length));
  await writeProofs({ ...made.release, store }, aggregate, never);
  expect(readBytes).toBeLessThan(aggregate.carBytes);
});

/** A method as the store has it, which may look at private fields. */
function own(store: ObjectStore, name: string | symbol): unknown {
  const value: unknown = Reflect.get(store, name);
  return typeof value === 'function' ? value.bind(store) : value;
}

function readingStore(store: ObjectStore, see: (chunk: Uint8Array) => void): ObjectStore {
  async function* read(key: string, offset: number, length: number) {
    for await (const chunk of store.read(key, offset, length)) {
      see(chunk);
      yield chunk;
    }
  }
  return new Proxy(store, { get: (target, name) => (name === 'read' ? read : own(target, name)) });
}

test('bytes stay while a replica is missing, is not active for long enough, or nobody asks to release', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path, { active: REPLICAS - 1 });
  expect(await releaseAll(made.release, never)).toBe(0);
  const late = new Date(START.getTime() + 5 * DAY_MS);
  await seedDeal(db.kysely, { aggregateId: made.id, provider: 'f01009', slot: 4, state: 'active', changedAt: late });
  expect(await releaseAll(made.release, never)).toBe(0);
  const clock = { now: () => new Date(late.getTime() + 30 * DAY_MS) };
  expect(await releaseAll({ ...made.release, clock }, never)).toBe(1);
});

test('an upload that another aggregate holds too keeps its parts until that one is released', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const shared = made.uploads[0];
  if (shared === undefined) throw new Error('no upload');
  const at = START;
  const other = await db.kysely.transaction().execute(async (trx) => {
    const values = { state: 'open' as const, capacity_bytes: 65_000n, length_bytes: 59n + BigInt(shared.run.length) };
    const row = { ...values, entry_count: 1, oldest_accepted_at: at, opened_at: at, changed_at: at };
    const { id } = await trx.insertInto('aggregates').values(row).returning('id').executeTakeFirstOrThrow();
    await trx.insertInto('events').values({ aggregate_id: id, at, to_state: 'open' }).execute();
    const run = { offset_bytes: 59n, length_bytes: BigInt(shared.run.length), topped_up: true };
    await trx
      .insertInto('placements')
      .values({ aggregate_id: id, seq: 0, upload_id: shared.id, ...run })
      .execute();
    return id;
  });
  expect(other).not.toBe(made.id);
  expect(await releaseAll(made.release, never)).toBe(1);
  const parts = await db.kysely.selectFrom('parts').select('upload_id').execute();
  expect(parts.map(({ upload_id }) => upload_id)).toEqual([shared.id]);
  await sweepLater(made);
  expect(await keysOf(made.store)).toEqual([`proofs/${made.id}`, 'runs/one']);
});

test('damaged bytes are never released: whoever could mend them needs to know first', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const flip = readingStore(made.store, (chunk) => chunk.set([(chunk[0] ?? 0) ^ 1]));
  const told: unknown[] = [];
  const log = { ...silentLog, error: (fields: unknown) => told.push(fields) } as typeof silentLog;
  expect(await releaseAll({ ...made.release, store: flip, log }, never)).toBe(0);
  expect(told).toMatchObject([{ aggregateId: made.id.toString() }]);
  expect(await isReleased(made)).toBe(false);
  expect(await keysOf(made.store)).not.toContain(`proofs/${made.id}`);
});

/** A store that ends the process, as it were, at the n-th step of writing an object. */
function dyingStore(store: ObjectStore, at: 'stage' | 'write' | 'before commit' | 'after commit'): ObjectStore {
  const die = () => {
    throw Object.assign(new Error('SlowDown: please reduce your request rate'), { code: 'STORE_UNAVAILABLE' });
  };
  const stage = async (key: string): Promise<StagedObject> => {
    if (at === 'stage') die();
    const staged = await store.stage(key);
    return {
      write: async (chunk) => (at === 'write' ? die() : staged.write(chunk)),
      commit: async () => {
        if (at === 'before commit') die();
        await staged.commit();
        if (at === 'after commit') die();
      },
      abort: () => staged.abort(),
    };
  };
  return new Proxy(store, { get: (target, name) => (name === 'stage' ? stage : own(target, name)) });
}

test.each(['stage', 'write', 'before commit', 'after commit'] as const)(
  'a release that ends at %s leaves the bytes, and the next one goes through',
  async (at) => {
    await using db = await testDatabase();
    await using folder = await temporaryFolder();
    const made = await world(db, folder.path);
    const proven = await provenRuns(made);
    expect(await releaseAll({ ...made.release, store: dyingStore(made.store, at) }, never)).toBe(0);
    expect(await isReleased(made)).toBe(false);
    expect(await provenRuns(made)).toEqual(proven);
    // The sweep must not take the proofs away under a release that goes on with them.
    expect(await sweepLater(made)).toBe(0);
    expect(await releaseAll(made.release, never)).toBe(1);
    for (const { seq, proof } of proven) expect(await readStoredProof(made.release, made.id, seq)).toMatchObject(proof);
  },
);

test('a process that dies in the transaction changes nothing; one that dies behind it leaves only a sweep', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const refuse =
    'create function refuse() returns trigger language plpgsql as $$ begin raise exception $m$killed$m$; end $$';
  await db.pool.query(refuse);
  await db.pool.query('create trigger refuse before delete on parts for each row execute function refuse()');
  expect(await releaseAll(made.release, never)).toBe(0);
  expect(await isReleased(made)).toBe(false);
  expect(await db.kysely.selectFrom('parts').selectAll().execute()).not.toEqual([]);
  await db.pool.query('drop trigger refuse on parts');
  expect(await releaseAll(made.release, never)).toBe(1);
  const keys = (await gather(made.store.list())).map(({ key }) => key);
  const needed = await listNeededKeys(db.kysely, keys);
  expect([...needed].map((key) => key.replace(/-.*/, ''))).toEqual([`proofs/${made.id}`]);
});

test('two processes release an aggregate once', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const counts = await Promise.all([releaseAll(made.release, never), releaseAll(made.release, never)]);
  expect(counts.toSorted()).toEqual([0, 1]);
  const events = await db.kysely
    .selectFrom('events')
    .select('detail')
    .where('reason_code', '=', 'BYTES_RELEASED')
    .execute();
  expect(events).toHaveLength(1);
});
