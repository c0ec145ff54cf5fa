import { expect, test } from 'vitest';
import { BlockPool } from '../../../src/aggregate/blocks/block-pool.ts';
import { findStoredByRoot } from '../../../src/aggregate/blocks/stored-upload.ts';
import { apiFixture, bearer, tokens } from '../../support/api-fixture.ts';
import { sampleUpload } from '../../support/car-builder.ts';

const { signal } = new AbortController();

/** Uploads of eleven blocks each. */
async function withUploads(count: number) {
  const fixture = await apiFixture();
  const samples = Array.from({ length: count }, (_, at) => sampleUpload(`sample ${at}`, 10));
  for (const sample of samples) {
    const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
    await fixture.server.inject({ method: 'POST', url: '/upload', payload: Buffer.from(sample.car), headers });
  }
  const sources = { db: fixture.kysely, store: fixture.store };
  const stored = async (at: number) => {
    const found = await findStoredByRoot(fixture.kysely, String(samples[at]?.root));
    if (found === undefined) throw new Error('the upload is not stored');
    return found;
  };
  return { fixture, samples, sources, stored, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

async function sizeOfOne({ sources, stored }: Awaited<ReturnType<typeof withUploads>>): Promise<number> {
  const pool = new BlockPool(sources);
  await using open = await pool.open(await stored(0), signal);
  expect(open.blocks.memoryBytes).toBe(pool.memoryBytes);
  return pool.memoryBytes;
}

test('what was asked for longest ago is forgotten where memory ends; what is read stays, and others come later', async () => {
  await using given = await withUploads(4);
  const one = await sizeOfOne(given);
  const pool = new BlockPool({ ...given.sources, maxMemoryBytes: 2 * one });
  for (const at of [0, 1]) await (await pool.open(await given.stored(at), signal))[Symbol.asyncDispose]();
  expect(pool.memoryBytes).toBe(2 * one);
  const second = await pool.open(await given.stored(1), signal);
  const third = await pool.open(await given.stored(2), signal);
  expect(pool.memoryBytes).toBe(2 * one);
  await expect(pool.open(await given.stored(3), signal)).rejects.toMatchObject({ code: 'UNAVAILABLE', retry: 'later' });
  // The same again takes no more.
  await (await pool.open(await given.stored(2), signal))[Symbol.asyncDispose]();
  await third[Symbol.asyncDispose]();
  await third[Symbol.asyncDispose]();
  await using fourth = await pool.open(await given.stored(3), signal);
  expect(pool.memoryBytes).toBe(2 * one);
  const leaf = given.samples[3]?.blocks[5];
  if (leaf === undefined) throw new Error('the sample has no leaf');
  const id = await fourth.blocks.find(leaf.cid, fourth.reader);
  expect(Buffer.from((await fourth.blocks.read(id ?? -1, leaf.cid, fourth.reader)).block)).toEqual(leaf.bytes);
  await second[Symbol.asyncDispose]();
});

test('an upload with more blocks than there is memory for is told so', async () => {
  await using given = await withUploads(1);
  const one = await sizeOfOne(given);
  const pool = new BlockPool({ ...given.sources, maxMemoryBytes: one - 1 });
  await expect(pool.open(await given.stored(0), signal)).rejects.toMatchObject({ code: 'TOO_MANY_BLOCKS_TO_WALK' });
  expect(pool.memoryBytes).toBe(0);
});

test('another part of an upload makes its index anew, and the old one is given back by its last reader', async () => {
  await using given = await withUploads(1);
  const pool = new BlockPool(given.sources);
  const upload = await given.stored(0);
  const before = await pool.open(upload, signal);
  const size = pool.memoryBytes;
  const after = await pool.open({ ...upload, version: 'another' }, signal);
  expect(after.blocks).not.toBe(before.blocks);
  expect(pool.memoryBytes).toBe(2 * size);
  await before[Symbol.asyncDispose]();
  expect(pool.memoryBytes).toBe(size);
  await after[Symbol.asyncDispose]();
  expect(pool.memoryBytes).toBe(size);
});

test('callers that ask for one upload at once share its index', async () => {
  await using given = await withUploads(1);
  const one = await sizeOfOne(given);
  const pool = new BlockPool(given.sources);
  const upload = await given.stored(0);
  const opened = await Promise.all(Array.from({ length: 8 }, () => pool.open(upload, signal)));
  expect(new Set(opened.map(({ blocks }) => blocks)).size).toBe(1);
  expect(pool.memoryBytes).toBe(one);
  for (const open of opened) await open[Symbol.asyncDispose]();
  expect(pool.memoryBytes).toBe(one);
});

test('who leaves while a block is looked for lets go of what was searched', async () => {
  await using given = await withUploads(2);
  const one = await sizeOfOne(given);
  const pool = new BlockPool({ ...given.sources, maxMemoryBytes: one });
  await (await pool.open(await given.stored(0), signal))[Symbol.asyncDispose]();
  const leaf = given.samples[0]?.blocks[5];
  if (leaf === undefined) throw new Error('the sample has no leaf');
  await expect(pool.openHolding(leaf.cid, AbortSignal.abort(new Error('gone')))).rejects.toThrow('gone');
  await using other = await pool.open(await given.stored(1), signal);
  expect(other.blocks.memoryBytes).toBe(pool.memoryBytes);
});
