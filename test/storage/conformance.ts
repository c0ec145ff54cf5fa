import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { ObjectStore, ServiceStore, StagedObject } from '../../src/storage/store.ts';
import { gather } from '../support/gather.ts';

/** An empty store of a kind, and what lies in it that is no object. */
export interface StoreUnderTest extends AsyncDisposable {
  store: ServiceStore;
  /** Opens the same store once more, as another process would. */
  reopen(): Promise<ServiceStore>;
  /** Names of what is staged and not committed, by other means than the store's. */
  staged(): Promise<string[]>;
}

export async function put(store: ObjectStore, key: string, chunks: Uint8Array[]): Promise<void> {
  const staged = await store.stage(key);
  for (const chunk of chunks) await staged.write(chunk);
  await staged.commit();
}

export async function get(store: ObjectStore, key: string, offset: number, length: number): Promise<Buffer> {
  return Buffer.concat(await gather(store.read(key, offset, length)));
}

export function pattern(length: number): Buffer {
  const bytes = Buffer.alloc(length);
  for (let at = 0; at < length; at += 1) bytes[at] = (at * 31 + (at >> 8) + (at >> 16) * 7) % 256;
  return bytes;
}

/** More than two parts of a multipart upload. */
export const LARGE_BYTES = 20_000_001;

/** What any object store does (src/storage/store.ts), whatever keeps the bytes. */
export function describeStore(name: string, open: () => Promise<StoreUnderTest>): void {
  describe(name, () => {
    describeBytes(open);
    describeStaging(open);
    describeObjects(open);
  });
}

function describeBytes(open: () => Promise<StoreUnderTest>): void {
  test('a range that was written is the range that is read', async () => {
    await using at = await open();
    const bytes = pattern(3_000_000);
    let number = 0;
    const cut = fc.array(fc.integer({ min: 0, max: bytes.length }), { maxLength: 6 });
    const property = fc.asyncProperty(cut, fc.nat(bytes.length), fc.nat(bytes.length), async (cuts, a, b) => {
      const edges = [0, ...cuts.sort((x, y) => x - y), bytes.length];
      const key = `runs/${number++}`;
      const chunks = edges.slice(1).map((edge, index) => bytes.subarray(edges[index], edge));
      await put(at.store, key, chunks);
      const [start, end] = [Math.min(a, b), Math.max(a, b)];
      expect((await get(at.store, key, start, end - start)).equals(bytes.subarray(start, end))).toBe(true);
      expect(await at.store.size(key)).toBe(bytes.length);
    });
    await fc.assert(property, { numRuns: 12 });
  });

  test.each([0, 1, 8 * 2 ** 20 - 1, 8 * 2 ** 20, 8 * 2 ** 20 + 1, LARGE_BYTES])(
    'an object of %i bytes',
    async (length) => {
      await using at = await open();
      const bytes = pattern(length);
      await put(at.store, 'runs/whole', [bytes]);
      expect(await at.store.size('runs/whole')).toBe(length);
      expect((await get(at.store, 'runs/whole', 0, length)).equals(bytes)).toBe(true);
      const middle = Math.floor(length / 2);
      expect((await get(at.store, 'runs/whole', middle, length - middle)).equals(bytes.subarray(middle))).toBe(true);
      expect(await at.staged()).toEqual([]);
    },
  );

  test('many small writes arrive in order, and the caller may reuse its buffer', async () => {
    await using at = await open();
    const staged = await at.store.stage('runs/small');
    const scratch = new Uint8Array(7);
    for (let count = 0; count < 100_000; count += 1) {
      scratch.fill(count % 256);
      await staged.write(scratch);
    }
    await staged.commit();
    const bytes = await get(at.store, 'runs/small', 0, 700_000);
    expect(bytes.every((byte, index) => byte === Math.floor(index / 7) % 256)).toBe(true);
  });

  test('reads come in bounded chunks', async () => {
    await using at = await open();
    await put(at.store, 'runs/big', [pattern(2_500_000)]);
    const lengths = (await gather(at.store.read('runs/big', 1, 2_499_999))).map((chunk) => chunk.length);
    expect(lengths.length).toBeGreaterThan(3);
    expect(Math.max(...lengths)).toBeLessThanOrEqual(1024 * 1024);
  });

  test('reads that pass side by side give each its own bytes, while they do', async () => {
    await using at = await open();
    const bytes = pattern(2_500_000);
    await put(at.store, 'runs/big', [bytes]);
    const readOne = async (start: number) => {
      let offset = start;
      for await (const chunk of at.store.read('runs/big', start, bytes.length - start, { passing: true })) {
        expect(Buffer.compare(chunk, bytes.subarray(offset, offset + chunk.length))).toBe(0);
        offset += chunk.length;
        if (start % 2 === 1 && offset > bytes.length / 2) return;
        await new Promise((resolve) => setImmediate(resolve));
        expect(Buffer.compare(chunk, bytes.subarray(offset - chunk.length, offset))).toBe(0);
      }
      expect(offset).toBe(bytes.length);
    };
    for (let round = 0; round < 3; round += 1) await Promise.all(Array.from({ length: 10 }, (_, nth) => readOne(nth)));
  });

  test('a reader may stop early, and others go on', async () => {
    await using at = await open();
    const bytes = pattern(4_000_000);
    await put(at.store, 'runs/big', [bytes]);
    // More than any pool of connections that were not given back.
    for (let reader = 0; reader < 60; reader += 1) {
      for await (const chunk of at.store.read('runs/big', 0, bytes.length)) {
        expect(chunk.length).toBeGreaterThan(0);
        break;
      }
    }
    expect((await get(at.store, 'runs/big', 0, bytes.length)).equals(bytes)).toBe(true);
  });

  test('a missing object and a short one are told apart', async () => {
    await using at = await open();
    for (const length of [0, 1]) {
      await expect(get(at.store, 'runs/none', 0, length)).rejects.toMatchObject({ code: 'STORE_OBJECT_MISSING' });
    }
    await put(at.store, 'runs/a', [pattern(10)]);
    for (const [offset, length] of [
      [5, 6],
      [10, 1],
      [11, 0],
      [100, 5],
    ] as const) {
      const details = { sizeBytes: 10, neededBytes: offset + length };
      await expect(get(at.store, 'runs/a', offset, length)).rejects.toMatchObject({
        code: 'STORE_OBJECT_SHORT',
        details,
      });
    }
    expect(await get(at.store, 'runs/a', 5, 5)).toEqual(pattern(10).subarray(5));
    expect(await get(at.store, 'runs/a', 10, 0)).toHaveLength(0);
  });
}

function describeStaging(open: () => Promise<StoreUnderTest>): void {
  test.each([1_000_000, LARGE_BYTES])('an object of %i bytes cannot be seen before it is committed', async (length) => {
    await using at = await open();
    const staged = await at.store.stage('runs/a');
    await staged.write(pattern(length));
    expect(await at.store.size('runs/a')).toBeUndefined();
    expect(await gather(at.store.list())).toEqual([]);
    await staged.commit();
    const listed = await gather(at.store.list());
    expect(listed).toMatchObject([{ key: 'runs/a', sizeBytes: length }]);
    expect(Math.abs(Date.now() - (listed[0]?.modifiedAt.getTime() ?? 0))).toBeLessThan(60_000);
  });

  test.each([1_000_000, LARGE_BYTES])('abort of %i bytes leaves nothing, and ends the stage', async (length) => {
    await using at = await open();
    const staged = await at.store.stage('runs/a');
    await staged.write(pattern(length));
    await staged.abort();
    await staged.abort();
    expect(await at.staged()).toEqual([]);
    expect(await gather(at.store.list())).toEqual([]);
    await expect(staged.write(pattern(1))).rejects.toMatchObject({ code: 'STORE_STAGE_CLOSED' });
    await expect(staged.commit()).rejects.toMatchObject({ code: 'STORE_STAGE_CLOSED' });
  });

  test.each([10, LARGE_BYTES])('abort after the commit of %i bytes changes nothing', async (length) => {
    await using at = await open();
    const staged = await at.store.stage('runs/b');
    await staged.write(pattern(length));
    await staged.commit();
    await staged.abort();
    await expect(staged.commit()).rejects.toMatchObject({ code: 'STORE_STAGE_CLOSED' });
    expect((await get(at.store, 'runs/b', 0, length)).equals(pattern(length))).toBe(true);
  });

  test('what a killed process left is swept, objects stay', async () => {
    await using at = await open();
    await put(at.store, 'runs/a', [pattern(10)]);
    await using again = { store: await at.reopen(), [Symbol.asyncDispose]: async () => again.store.close() };
    const left = await again.store.stage('runs/left');
    await left.write(pattern(LARGE_BYTES));
    expect(await at.store.sweepStaging(3_600_000)).toBe(0);
    expect(await at.staged()).toHaveLength(1);
    expect(await at.store.sweepStaging(0)).toBe(1);
    expect(await at.store.sweepStaging(0)).toBe(0);
    expect(await at.staged()).toEqual([]);
    expect(await get(at.store, 'runs/a', 0, 10)).toEqual(pattern(10));
    await left.abort();
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
    await using at = await open();
    await expect(at.store.stage(key)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
    await expect(get(at.store, key, 0, 1)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
    await expect(at.store.size(key)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
    await expect(at.store.remove(key)).rejects.toMatchObject({ code: 'STORE_BAD_KEY' });
    expect(await at.staged()).toEqual([]);
  });
}

function describeObjects(open: () => Promise<StoreUnderTest>): void {
  test.each([100, LARGE_BYTES])('an object of %i bytes never changes', async (length) => {
    await using at = await open();
    const bytes = pattern(length);
    await put(at.store, 'trees/1-b', [bytes]);
    await put(at.store, 'trees/1-b', [bytes]);
    for (const other of [pattern(length + 1), pattern(1)]) {
      const staged = await at.store.stage('trees/1-b');
      await staged.write(other);
      await expect(staged.commit()).rejects.toMatchObject({ code: 'STORE_OBJECT_EXISTS' });
      await staged.abort();
    }
    expect((await get(at.store, 'trees/1-b', 0, length)).equals(bytes)).toBe(true);
    expect(await at.staged()).toEqual([]);
  });

  test('of many who commit other bytes under one key at once, one wins whole', async () => {
    await using at = await open();
    const stages = await Promise.all(
      Array.from({ length: 10 }, async (_, index): Promise<StagedObject> => {
        const staged = await at.store.stage('runs/raced');
        await staged.write(Buffer.alloc(1_000 + index, index));
        return staged;
      }),
    );
    const commits = await Promise.allSettled(stages.map((staged) => staged.commit()));
    await Promise.all(stages.map((staged) => staged.abort()));
    const won = commits.flatMap(({ status }, index) => (status === 'fulfilled' ? [index] : []));
    expect(won).toHaveLength(1);
    const length = 1_000 + (won[0] ?? 0);
    expect(await get(at.store, 'runs/raced', 0, length)).toEqual(Buffer.alloc(length, won[0]));
    expect(await at.staged()).toEqual([]);
  });

  test('removing twice is no error', async () => {
    await using at = await open();
    await put(at.store, 'runs/a', [pattern(10)]);
    await at.store.remove('runs/a');
    await at.store.remove('runs/a');
    expect(await at.store.size('runs/a')).toBeUndefined();
    expect(await gather(at.store.list())).toEqual([]);
  });

  test('many objects at once', async () => {
    await using at = await open();
    const keys = Array.from({ length: 60 }, (_, index) => `runs/${index}`);
    await Promise.all(keys.map((key) => put(at.store, key, [pattern(1000)])));
    const listed = (await gather(at.store.list())).map(({ key }) => key);
    expect(listed.sort()).toEqual(keys.sort());
  });

  test('what one process committed, another reads', async () => {
    await using at = await open();
    await put(at.store, 'runs/a', [pattern(1000)]);
    const again = await at.reopen();
    expect(await get(again, 'runs/a', 1, 999)).toEqual(pattern(1000).subarray(1));
    await again.probe();
    again.close();
  });
}
