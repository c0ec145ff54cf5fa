import { readdir, truncate, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { fileToKey, keyToFile } from '../../src/storage/object-key.ts';
import { openLocalStore } from '../../src/storage/local-store.ts';
import type { ObjectStore } from '../../src/storage/store.ts';
import { gather } from '../support/gather.ts';
import { filesBelow, temporaryFolder } from '../support/temporary-folder.ts';

async function put(store: ObjectStore, key: string, chunks: Uint8Array[]): Promise<void> {
  const staged = await store.stage();
  for (const chunk of chunks) await staged.write(chunk);
  await staged.commit(key);
}

async function get(store: ObjectStore, key: string, offset: number, length: number): Promise<Buffer> {
  return Buffer.concat(await gather(store.read(key, offset, length)));
}

function pattern(length: number): Buffer {
  return Buffer.from(Array.from({ length }, (_, at) => (at * 31 + (at >> 8)) % 256));
}

test('a range that was written is the range that is read', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const bytes = pattern(3_000_000);
  let number = 0;
  const cut = fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 6 });
  const property = fc.asyncProperty(cut, fc.nat(bytes.length), fc.nat(bytes.length), async (cuts, a, b) => {
    const edges = [0, ...cuts.sort((x, y) => x - y), bytes.length];
    const key = `runs/${number++}`;
    await put(
      store,
      key,
      edges.slice(1).map((edge, at) => bytes.subarray(edges[at], edge)),
    );
    const [start, end] = [Math.min(a, b), Math.max(a, b)];
    expect((await get(store, key, start, end - start)).equals(bytes.subarray(start, end))).toBe(true);
    expect(await store.size(key)).toBe(bytes.length);
  });
  await fc.assert(property, { numRuns: 12 });
});

test('many small writes arrive in order, and the caller may reuse its buffer', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const staged = await store.stage();
  const scratch = new Uint8Array(7);
  for (let at = 0; at < 100_000; at += 1) {
    scratch.fill(at % 256);
    await staged.write(scratch);
  }
  await staged.commit('runs/small');
  const bytes = await get(store, 'runs/small', 0, 700_000);
  expect(bytes.every((byte, at) => byte === Math.floor(at / 7) % 256)).toBe(true);
});

test('reads come in bounded chunks', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await put(store, 'runs/big', [pattern(2_500_000)]);
  const lengths = (await gather(store.read('runs/big', 1, 2_499_999))).map((chunk) => chunk.length);
  expect(lengths.length).toBeGreaterThan(3);
  expect(Math.max(...lengths)).toBeLessThanOrEqual(1024 * 1024);
});

test('an object is as old as its commit, however long ago its last byte was written', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const staged = await store.stage();
  await staged.write(pattern(1_000_000));
  const staging = join(folder.path, 'staging');
  const yesterday = new Date(Date.now() - 86_400_000);
  for (const name of await readdir(staging)) await utimes(join(staging, name), yesterday, yesterday);
  await staged.commit('runs/slow');
  const [listed] = await gather(store.list());
  expect(Date.now() - (listed?.modifiedAt.getTime() ?? 0)).toBeLessThan(3_600_000);
});

test('an object cannot be seen before it is committed', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const staged = await store.stage();
  await staged.write(pattern(1_000_000));
  expect(await store.size('runs/a')).toBeUndefined();
  expect(await gather(store.list())).toEqual([]);
  await staged.commit('runs/a');
  const listed = await gather(store.list());
  expect(listed).toMatchObject([{ key: 'runs/a', sizeBytes: 1_000_000 }]);
  expect(Math.abs(Date.now() - (listed[0]?.modifiedAt.getTime() ?? 0))).toBeLessThan(60_000);
});

test('abort leaves nothing, twice or after a commit too', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const staged = await store.stage();
  await staged.write(pattern(1_000_000));
  await staged.abort();
  await staged.abort();
  expect(await filesBelow(folder.path)).toEqual([]);
  await expect(staged.write(pattern(1))).rejects.toMatchObject({ code: 'STORE_STAGE_CLOSED' });
  await expect(staged.commit('runs/a')).rejects.toMatchObject({ code: 'STORE_STAGE_CLOSED' });
  const other = await store.stage();
  await other.write(pattern(10));
  await other.commit('runs/b');
  await other.abort();
  expect(await get(store, 'runs/b', 0, 10)).toEqual(pattern(10));
});

test('a missing object and a short one are told apart', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await expect(get(store, 'runs/none', 0, 0)).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
  await put(store, 'runs/a', [pattern(10)]);
  await expect(get(store, 'runs/a', 5, 6)).rejects.toMatchObject({ code: 'STORE_OBJECT_SHORT' });
  expect(await get(store, 'runs/a', 5, 5)).toEqual(pattern(10).subarray(5));
});

test('an object that shrinks while it is read is an error, not a short answer', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await put(store, 'runs/a', [pattern(2_000_000)]);
  const { shard, name } = keyToFile('runs/a');
  const reader = store.read('runs/a', 0, 2_000_000)[Symbol.asyncIterator]();
  await reader.next();
  await truncate(join(folder.path, 'objects', shard, name), 600_000);
  await reader.next();
  await expect(reader.next()).rejects.toMatchObject({ code: 'STORE_OBJECT_SHORT' });
});

test('an object never changes: the same again is dropped, another one is refused', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await put(store, 'trees/1-b', [pattern(100)]);
  await put(store, 'trees/1-b', [pattern(100)]);
  const other = await store.stage();
  await other.write(pattern(101));
  await expect(other.commit('trees/1-b')).rejects.toMatchObject({ code: 'STORE_OBJECT_EXISTS' });
  await other.abort();
  expect(await get(store, 'trees/1-b', 0, 100)).toEqual(pattern(100));
  expect(await filesBelow(join(folder.path, 'staging'))).toEqual([]);
});

test('removing twice is no error', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await put(store, 'runs/a', [pattern(10)]);
  await store.remove('runs/a');
  await store.remove('runs/a');
  expect(await store.size('runs/a')).toBeUndefined();
});

test.each([
  '',
  '/a',
  'a/',
  'a//b',
  '..',
  'a/../b',
  './a',
  'a/.',
  'A',
  'a b',
  'a~b',
  'a\\b',
  'ä',
  `a${'b'.repeat(300)}`,
])('the key %j is refused', async (key) => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(join(folder.path, 'store'));
  const staged = await store.stage();
  await expect(staged.commit(key)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
  await staged.abort();
  await expect(get(store, key, 0, 1)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
  await expect(store.size(key)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
  await expect(store.remove(key)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
  expect(await filesBelow(folder.path)).toEqual([]);
});

test('keys and file names map one to one, in one flat folder each', () => {
  const key = fc.stringMatching(/^[a-z0-9_-]{1,12}(\/[a-z0-9_-]{1,12}){0,3}$/);
  fc.assert(
    fc.property(key, (text) => {
      const { shard, name } = keyToFile(text);
      expect(shard).toMatch(/^[0-9a-f]{2}$/);
      expect(name).not.toContain('/');
      expect(fileToKey(name)).toBe(text);
    }),
  );
});

test('what a killed process left in staging is swept at start, objects stay', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  await put(store, 'runs/a', [pattern(10)]);
  await writeFile(join(folder.path, 'staging', 'left-over'), pattern(1000));
  const again = await openLocalStore(folder.path);
  expect(await again.sweepStaging()).toBe(1);
  expect(await again.sweepStaging()).toBe(0);
  expect(await get(again, 'runs/a', 0, 10)).toEqual(pattern(10));
});

test('free space is what the file system says', async () => {
  await using folder = await temporaryFolder();
  expect(await (await openLocalStore(folder.path)).freeBytes()).toBeGreaterThan(0);
});

test('many objects at once', async () => {
  await using folder = await temporaryFolder();
  const store = await openLocalStore(folder.path);
  const keys = Array.from({ length: 60 }, (_, at) => `runs/${at}`);
  await Promise.all(keys.map((key) => put(store, key, [pattern(1000)])));
  const listed = (await gather(store.list())).map(({ key }) => key);
  expect(listed.sort()).toEqual(keys.sort());
});
