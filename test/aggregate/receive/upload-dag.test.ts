import { createHmac } from 'node:crypto';
import { readdir } from 'node:fs/promises';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import type { TrackedSection } from '../../../src/aggregate/receive/dag-tracker.ts';
import { keyedHash } from '../../../src/aggregate/receive/keyed-hash.ts';
import { RecentKeys } from '../../../src/aggregate/receive/recent-keys.ts';
import { UploadDag } from '../../../src/aggregate/receive/upload-dag.ts';
import { asV0, cborNode, pbNode, rawBlock, type Block } from '../../support/car-builder.ts';
import { gather } from '../../support/gather.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { blocksOf, treeOf } from './split-car.ts';

const HEAD_BYTES = 40;

interface Noted {
  blocks: readonly Block[];
  root: Block;
  heldCids: number;
  maxBlocks?: number;
}

async function noted({ blocks, root, heldCids, maxBlocks = 100_000 }: Noted) {
  await using folder = await temporaryFolder();
  const limits = { maxUploadBytes: 10n ** 9n, minFreeBytes: 0n, maxBlocks, heldCids };
  const dag = new UploadDag({ root: root.cid, limits, spillFolder: folder.path });
  try {
    const stored: Block[] = [];
    for (const block of blocks) {
      if (await dag.note(block.cid, block.bytes, HEAD_BYTES + block.bytes.length)) stored.push(block);
    }
    const facts = await dag.conclude(root.cid);
    const sections: TrackedSection[] = await gather(facts.sections());
    expect(await readdir(folder.path)).toEqual([]);
    return { stored, facts, sections, spilled: dag.spilledBytes > 0, holdsRoot: dag.holdsRoot };
  } finally {
    await dag.close();
  }
}

/** The blocks that the ranges of the stored object hold. */
function blocksIn(stored: readonly Block[], ranges: readonly { offset: number; lengthBytes: number }[]): Block[] {
  let offset = 0;
  return stored.filter(({ bytes }) => {
    const start = offset;
    offset += HEAD_BYTES + bytes.length;
    return ranges.some((range) => start >= range.offset && offset <= range.offset + range.lengthBytes);
  });
}

const tree = treeOf('spilled', 4, 3, 5);
const all = blocksOf(tree);
const root = tree.block;

test('in a file or in memory: complete with the same run, whatever the order and the repetitions', async () => {
  const order = fc.shuffledSubarray(all, { minLength: all.length });
  const again = fc.array(fc.tuple(fc.nat(), fc.nat(all.length - 1)), { maxLength: 30 });
  await fc.assert(
    fc.asyncProperty(order, again, fc.integer({ min: 1, max: 60 }), async (blocks, repeats, heldCids) => {
      const given = [...blocks];
      for (const [at, which] of repeats) given.splice(at % given.length, 0, all[which] ?? root);
      const { stored, facts, spilled, holdsRoot } = await noted({ blocks: given, root, heldCids });
      expect([spilled, holdsRoot, facts.missing]).toEqual([true, true, undefined]);
      const first = given.filter((block, at) => given.indexOf(block) === at);
      expect(blocksIn(stored, facts.ranges)).toEqual(first);
      const dagBytes = first.reduce((sum, { bytes }) => sum + bytes.length, 0);
      const runBytes = dagBytes + HEAD_BYTES * first.length;
      expect(facts).toMatchObject({ dagBytes, runBytes, blockCount: first.length });
      expect(facts.ranges.reduce((sum, { blockCount }) => sum + blockCount, 0)).toBe(first.length);
    }),
    { numRuns: 40 },
  );
});

test('in a file: whatever does not resolve is told, and sections are as memory has them', async () => {
  await fc.assert(
    fc.asyncProperty(fc.subarray(all.slice(1)), async (rest) => {
      const blocks = [root, ...rest];
      const memory = await noted({ blocks, root, heldCids: 1_000 });
      const file = await noted({ blocks, root, heldCids: 3 });
      expect([memory.spilled, file.spilled]).toEqual([false, blocks.length > 0]);
      expect(file.sections).toEqual(memory.sections);
      const names = new Set(blocks.map(({ cid }) => cid.toString()));
      const named = new Set(memory.sections.flatMap(({ links }) => links.map((link) => link.toString('hex'))));
      for (const { cid } of blocks) named.delete(Buffer.from(cid.bytes).toString('hex'));
      expect(file.facts.missing?.count ?? 0).toBe(named.size);
      if (file.facts.missing !== undefined) expect(names).not.toContain(file.facts.missing.first);
    }),
    { numRuns: 40 },
  );
});

test('both versions of a CID are one block in a file', async () => {
  const leaf = rawBlock('leaf');
  const node = pbNode([leaf]);
  const { facts, stored } = await noted({ blocks: [node, leaf, asV0(node)], root: node, heldCids: 1 });
  expect(facts).toMatchObject({ missing: undefined, blockCount: 2 });
  expect(blocksIn(stored, facts.ranges)).toEqual([node, leaf]);
});

test('a block with more links than a chunk of the file holds', async () => {
  const leaves = Array.from({ length: 20_000 }, (_, at) => rawBlock(`many ${at}`));
  const top = cborNode(leaves.map(({ cid }) => cid));
  const whole = await noted({ blocks: [...leaves, top], root: top, heldCids: 100 });
  expect(whole.facts).toMatchObject({ missing: undefined, blockCount: 20_001 });
  const less = await noted({ blocks: [...leaves.slice(1), top], root: top, heldCids: 100 });
  expect(less.facts.missing).toEqual({ count: 1, first: leaves[0]?.cid.toString() });
  expect(less.sections.at(-1)?.links).toHaveLength(20_000);
});

test('the limits of blocks and links hold in a file', async () => {
  const leaves = Array.from({ length: 30 }, (_, at) => rawBlock(`bound ${at}`));
  const given = { blocks: leaves, root, heldCids: 5 };
  await expect(noted({ ...given, maxBlocks: 30 })).resolves.toBeDefined();
  await expect(noted({ ...given, maxBlocks: 29 })).rejects.toMatchObject({ code: 'TOO_MANY_BLOCKS' });
  const dense = Array.from({ length: 9 }, (_, at) => cborNode([at, ...leaves.map(({ cid }) => cid)]));
  await expect(noted({ ...given, blocks: dense, maxBlocks: 33 })).rejects.toMatchObject({ code: 'TOO_MANY_LINKS' });
});

test('repetitions far apart at more places than an upload may have are refused', async () => {
  const blocks = Array.from({ length: 110_000 }, (_, at) => rawBlock(`far ${at}`));
  const repeats = blocks.slice(0, 12_000).flatMap((block, at) => [block, rawBlock(`between ${at}`)]);
  const given = { root: cborNode(['alone']), heldCids: 5, maxBlocks: 1_000_000 };
  const parted = [...blocks, ...Array.from({ length: 100_000 }, (_, at) => rawBlock(`new ${at}`))];
  await expect(noted({ ...given, blocks: [...parted, ...repeats.slice(0, 18_000)] })).resolves.toMatchObject({
    facts: { blockCount: 219_000 },
  });
  await expect(noted({ ...given, blocks: [...parted, ...repeats] })).rejects.toMatchObject({
    code: 'PART_TOO_SCATTERED',
  });
}, 60_000);

test('a recent key is told until another takes its place, and one that did not come never is', () => {
  const recent = new RecentKeys();
  const [first, second] = [Buffer.from('0123456789 end'), Buffer.from('another with the same end')];
  expect([first, first, second, second, first].map((key) => recent.add(key))).toEqual([true, false, true, false, true]);
  expect(recent.add(Buffer.from('a shorter end'))).toBe(true);
  const long = Buffer.alloc(60, 1);
  expect([long, long, Buffer.alloc(0)].map((key) => recent.add(key))).toEqual([true, true, true]);
});

/** Written from the paper, with words as BigInt: HalfSipHash with one round a word and three at the end. */
function slowHash(secret: Buffer, key: Buffer): number {
  const MASK = 0xffffffffn;
  const rotate = (x: bigint, by: bigint) => ((x << by) | (x >> (32n - by))) & MASK;
  const [k0, k1] = [BigInt(secret.readUInt32LE(0)), BigInt(secret.readUInt32LE(4))];
  const v: [bigint, bigint, bigint, bigint] = [k0, k1, k0 ^ 0x6c796765n, k1 ^ 0x74656462n];
  const round = () => {
    v[0] = (v[0] + v[1]) & MASK;
    v[1] = rotate(v[1], 5n) ^ v[0];
    v[0] = rotate(v[0], 16n);
    v[2] = (v[2] + v[3]) & MASK;
    v[3] = rotate(v[3], 8n) ^ v[2];
    v[0] = (v[0] + v[3]) & MASK;
    v[3] = rotate(v[3], 7n) ^ v[0];
    v[2] = (v[2] + v[1]) & MASK;
    v[1] = rotate(v[1], 13n) ^ v[2];
    v[2] = rotate(v[2], 16n);
  };
  const padded = Buffer.alloc(Math.floor(key.length / 4) * 4 + 4);
  key.copy(padded);
  padded[padded.length - 1] = key.length & 0xff;
  for (let at = 0; at < padded.length; at += 4) {
    const word = BigInt(padded.readUInt32LE(at));
    v[3] ^= word;
    round();
    v[0] ^= word;
  }
  v[2] ^= 0xffn;
  for (let at = 0; at < 3; at += 1) round();
  return Number(v[1] ^ v[3]);
}

test('the keyed hash is HalfSipHash-1-3, and spreads keys that differ in little', () => {
  const secret = createHmac('sha256', 'bench').digest().subarray(0, 8);
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
      const chunk = Buffer.concat([Buffer.alloc(3, 9), bytes, Buffer.alloc(3, 9)]);
      const hash = keyedHash(secret, { chunk, start: 3, end: 3 + bytes.length });
      expect(hash).toBe(slowHash(secret, Buffer.from(bytes)));
    }),
  );
  const counts = new Map<number, number>();
  for (let at = 0; at < 64_000; at += 1) {
    const key = Buffer.alloc(36);
    key.writeUInt32LE(at * 1_024, 4);
    const bucket = keyedHash(secret, { chunk: key, start: 0, end: key.length }) % 1_024;
    counts.set(bucket, (counts.get(bucket) ?? 0) + 1);
  }
  expect(Math.max(...counts.values())).toBeLessThan(130);
});
