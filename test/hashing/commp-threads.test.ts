import { monitorEventLoopDelay } from 'node:perf_hooks';
import { afterAll, expect, test } from 'vitest';
import { createFastCommp } from '../../src/hashing/commp-engine.ts';
import { openCommpThreads } from '../../src/hashing/commp-threads.ts';

const threads = openCommpThreads(2);
afterAll(() => threads[Symbol.asyncDispose]());

const MIB = 1024 * 1024;

function payloadOf(length: number, seed: number): Uint8Array {
  return Uint8Array.from({ length }, (_, at) => (at * seed) ^ (at >> 7));
}

async function* chunksOf(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

/** Bytes without end to the reader's knowledge, and the fault that ends them. */
async function* failingAfter(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
  throw new Error('the disk is gone');
}

function here(bytes: Uint8Array, level?: number) {
  const commp = createFastCommp();
  commp.update(bytes);
  return { ...commp.digest(), ...(level !== undefined && { root: commp.rootAt(level) }) };
}

test.each([0, 1, 127, 5_000, 512 * 1024, 512 * 1024 + 1, 3 * MIB + 77])(
  'a stream of %i bytes has the commitment it has in the main thread',
  async (length) => {
    const bytes = payloadOf(length, 151);
    expect(await threads.hash(chunksOf(bytes, 70_001))).toEqual(here(bytes));
    expect(await threads.hash(chunksOf(bytes, 2 * MIB), 20)).toEqual(here(bytes, 20));
  },
);

test('more streams than threads keep apart', async () => {
  const payloads = Array.from({ length: 9 }, (_, at) => payloadOf(200_000 + at * 90_000, 3 + at * 2));
  const digests = await Promise.all(payloads.map((bytes) => threads.hash(chunksOf(bytes, 65_536))));
  expect(digests).toEqual(payloads.map((bytes) => here(bytes)));
});

test('a source that fails fails its own stream alone', async () => {
  const bytes = payloadOf(MIB + 5, 7);
  for (let round = 0; round < 5; round++) {
    await expect(threads.hash(failingAfter(bytes))).rejects.toThrow('the disk is gone');
  }
  expect(await threads.hash(chunksOf(bytes, 1000))).toEqual(here(bytes));
});

test('a thread that dies fails its stream, and another takes its place', async () => {
  const bytes = payloadOf(1_000, 7);
  // No tree of four leaves holds them.
  await expect(threads.hash(chunksOf(bytes, 1000), 2)).rejects.toThrow(RangeError);
  expect(await threads.hash(chunksOf(bytes, 1000))).toEqual(here(bytes));
});

test('threads that are ended fail what they hash', async () => {
  const own = openCommpThreads(1);
  async function* endless(): AsyncGenerator<Uint8Array> {
    const bytes = new Uint8Array(MIB);
    for (;;) {
      yield bytes;
      await new Promise((resolve) => void setImmediate(resolve));
    }
  }
  const hashing = own.hash(endless());
  setTimeout(() => void own[Symbol.asyncDispose](), 100);
  await expect(hashing).rejects.toThrow('ended');
});

test('the event loop goes on while they hash', async () => {
  const bytes = new Uint8Array(4 * MIB);
  async function* source(): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < 32; at++) yield bytes;
  }
  await threads.hash(source());
  const delay = monitorEventLoopDelay({ resolution: 1 });
  delay.enable();
  await Promise.all([threads.hash(source()), threads.hash(source())]);
  delay.disable();
  expect(delay.percentile(99) / 1e6).toBeLessThan(20);
});
