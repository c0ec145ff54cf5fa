import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { scrubEverything, scrubNext, type ScrubDeps } from '../../../src/aggregate/keep/scrub.ts';
import { listDamage } from '../../../src/aggregate/keep/scrub-store.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import type { Database } from '../../../src/db/connect.ts';
import { LadingError } from '../../../src/errors.ts';
import { silentLog } from '../../../src/log/log.ts';
import { openLocalStore } from '../../../src/storage/local-store.ts';
import type { ObjectStore } from '../../../src/storage/store.ts';
import { testDatabase } from '../../support/database.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { never, setClock, stowDeps, storeUpload, storeUploadInParts } from '../aggregate-fixture.ts';

async function world(database: Database, folder: string) {
  const store = await openLocalStore(folder);
  const clock = setClock();
  const deps = { ...(await stowDeps(database, clock)), store };
  const one = await storeUpload(database.kysely, store, 'one', 4);
  await storeUploadInParts(database.kysely, store, 'in-parts');
  await stow(deps, never);
  const { id } = await database.kysely.selectFrom('aggregates').select('id').executeTakeFirstOrThrow();
  await sealNow(deps, id);
  await seal(deps, id, never);
  const errors: object[] = [];
  const log = { ...silentLog, info: () => undefined, error: (fields: object) => void errors.push(fields) };
  const scrub: ScrubDeps = {
    db: database.kysely,
    store,
    clock,
    log: log as typeof silentLog,
    bytesPerSecond: Number.POSITIVE_INFINITY,
  };
  return { folder, store, clock, one, scrub, errors, id };
}

async function rewrite({ folder }: { folder: string }, key: string, change: (bytes: Buffer) => Buffer) {
  const { readFile } = await import('node:fs/promises');
  for (const shard of await readdir(join(folder, 'objects'))) {
    for (const name of await readdir(join(folder, 'objects', shard))) {
      if (!name.startsWith(key.replaceAll('/', '~'))) continue;
      const path = join(folder, 'objects', shard, name);
      await writeFile(path, change(await readFile(path)));
    }
  }
}

function flipLast(bytes: Buffer): Buffer {
  const copy = Buffer.from(bytes);
  copy[copy.length - 1] = (copy.at(-1) ?? 0) ^ 1;
  return copy;
}

async function passToEnd(deps: ScrubDeps): Promise<void> {
  for (let steps = 0; steps < 20 && (await scrubNext(deps, never)); steps += 1);
}

test('sound bytes are all read, part by part and the tree, and nothing is told', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const told: number[] = [];
  const counts = await scrubEverything(made.scrub, ({ ranges }) => told.push(ranges), never);
  expect(counts).toMatchObject({ ranges: 5, damaged: 0 });
  expect(told.at(-1)).toBe(5);
  expect(await listDamage(db.kysely, 10)).toEqual([]);
});

test('a bit that changed, bytes cut off and an object gone are damage, told once, and cleared when mended', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  await rewrite(made, 'runs/one', flipLast);
  await rewrite(made, 'trees/', (bytes) => bytes.subarray(0, bytes.length - 1));
  const [key] = (await gather(made.store.list()))
    .map((object) => object.key)
    .filter((name) => name === 'runs/in-parts-b');
  await made.store.remove(key ?? '');
  for (let again = 0; again < 2; again += 1) {
    expect(await scrubEverything(made.scrub, () => undefined, never)).toMatchObject({ ranges: 5, damaged: 3 });
  }
  const damage = await listDamage(db.kysely, 10);
  expect(damage.map(({ root, aggregateId, what }) => [root ?? aggregateId, what])).toEqual([
    [made.one.root, expect.stringMatching(/hash|match/i)],
    [expect.any(String), expect.stringContaining('no object')],
    [made.id, expect.stringContaining('bytes where')],
  ]);
  expect(made.errors).toHaveLength(3);
  await rewrite(made, 'runs/one', flipLast);
  expect(await scrubEverything(made.scrub, () => undefined, never)).toMatchObject({ damaged: 2 });
  expect((await listDamage(db.kysely, 10)).map(({ root }) => root)).not.toContain(made.one.root);
});

test('the loop reads everything in a pass, rests a day, and goes on where it was', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  expect(await scrubNext(made.scrub, never)).toBe(true);
  const progress = await db.kysely.selectFrom('scrub_progress').selectAll().executeTakeFirstOrThrow();
  const { last } = await db.kysely
    .selectFrom('parts')
    .select((eb) => eb.fn.max('id').as('last'))
    .executeTakeFirstOrThrow();
  expect(progress).toMatchObject({ kind: 'parts', after_id: last, pass_ended_at: null });
  await passToEnd(made.scrub);
  await rewrite(made, 'runs/one', flipLast);
  await passToEnd(made.scrub);
  expect(await listDamage(db.kysely, 10)).toEqual([]);
  made.clock.set(25);
  await passToEnd(made.scrub);
  expect(await listDamage(db.kysely, 10)).toHaveLength(1);
  // Damage of what nobody needs any more is none.
  await db.kysely.deleteFrom('parts').execute();
  made.clock.set(50);
  await passToEnd(made.scrub);
  expect(await listDamage(db.kysely, 10)).toEqual([]);
});

test('a store that does not answer is no damage', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const store = {
    read: () => {
      throw new LadingError('STORE_UNAVAILABLE', 'the store answered 503');
    },
  } as unknown as ObjectStore;
  await expect(scrubNext({ ...made.scrub, store }, never)).rejects.toThrow('503');
  expect(await listDamage(db.kysely, 10)).toEqual([]);
});

test('keeps to its rate', async () => {
  await using db = await testDatabase();
  await using folder = await temporaryFolder();
  const made = await world(db, folder.path);
  const { sum } = await db.kysely
    .selectFrom('parts')
    .select((eb) => eb.fn.sum<string>('length_bytes').as('sum'))
    .executeTakeFirstOrThrow();
  const began = Date.now();
  // All parts in 0.4 s.
  await scrubNext({ ...made.scrub, bytesPerSecond: Number(sum) / 0.4 }, never);
  expect(Date.now() - began).toBeGreaterThan(380);
});
