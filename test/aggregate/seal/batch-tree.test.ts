import { readFileSync } from 'node:fs';
import * as dagPb from '@ipld/dag-pb';
import * as fc from 'fast-check';
import { exporter } from 'ipfs-unixfs-exporter';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import * as Digest from 'multiformats/hashes/digest';
import { identity } from 'multiformats/hashes/identity';
import { sha256, sha512 } from 'multiformats/hashes/sha2';
import { varint } from 'multiformats';
import { describe, expect, test } from 'vitest';
import { encodeSectionHead } from '../../../src/filecoin/car.ts';
import { BATCH_DESCRIPTION } from '../../../src/aggregate/seal/batch-manifest.ts';
import { batchTreeReserve } from '../../../src/aggregate/seal/batch-tree-reserve.ts';
import { buildBatchTree, type BatchEntry, type BatchTree } from '../../../src/aggregate/seal/batch-tree.ts';

interface Golden {
  description: string;
  inputs: { cid: string; dagSize?: number; nodeCount?: number }[];
  root: string;
  pathIndexesInSortedOrder: [number, number, number][];
}

const golden: Golden = JSON.parse(readFileSync(new URL('../../vectors/batch-tree.json', import.meta.url), 'utf8'));
const goldenEntries = golden.inputs.map(({ cid, dagSize, nodeCount }) => ({
  cid: CID.parse(cid),
  dagBytes: dagSize,
  nodeCount,
}));

/** The blocks in the order of their sections. */
function listBlocks({ sections }: BatchTree): { cid: CID; bytes: Uint8Array }[] {
  const bytes = Buffer.concat(sections);
  const blocks: { cid: CID; bytes: Uint8Array }[] = [];
  for (let at = 0; at < bytes.length; ) {
    const [length, lengthBytes] = varint.decode(bytes.subarray(at));
    const section = bytes.subarray(at + lengthBytes, at + lengthBytes + length);
    const [cid, block] = CID.decodeFirst(section);
    blocks.push({ cid, bytes: block });
    at += lengthBytes + length;
  }
  return blocks;
}

/** Blocks by CID text, as a reader that knows nothing of how they were made sees them. */
function blocksOf(tree: BatchTree): Map<string, Uint8Array> {
  return new Map(listBlocks(tree).map(({ cid, bytes }) => [cid.toString(), bytes]));
}

function follow(blocks: Map<string, Uint8Array>, root: CID, selector: string): string {
  const steps = [...selector.matchAll(/Links\/(\d+)\/Hash/g)].map(([, index]) => Number(index));
  return steps
    .reduce((cid, index) => {
      const link = dagPb.decode(blocks.get(cid.toString()) ?? new Uint8Array()).Links[index];
      if (link === undefined) throw new Error(`no link ${index} in ${cid}`);
      return link.Hash;
    }, root)
    .toString();
}

async function readFile(blocks: Map<string, Uint8Array>, path: string): Promise<string> {
  const store = {
    async *get(cid: CID) {
      yield blocks.get(cid.toString()) ?? new Uint8Array();
    },
  };
  const file = await exporter(path, store);
  if (file.type !== 'file' && file.type !== 'raw') throw new Error(`${path} is a ${file.type}`);
  const chunks: Uint8Array[] = [];
  for await (const chunk of file.content()) chunks.push(chunk);
  return Buffer.concat(chunks).toString('utf8');
}

function cidOf(seed: number, codec: number = seed % 2 === 0 ? dagPb.code : raw.code): CID {
  const digest = new Uint8Array(32);
  new DataView(digest.buffer).setUint32(0, Math.imul(seed + 1, 0x9e37_79b1));
  new DataView(digest.buffer).setUint32(28, Math.imul(seed + 1, 0x85eb_ca6b));
  return CID.createV1(codec, Digest.create(sha256.code, digest));
}

function many(count: number): BatchEntry[] {
  return Array.from({ length: count }, (_, seed) => ({ cid: cidOf(seed), dagBytes: seed * 997, nodeCount: seed % 50 }));
}

function sectionsOf(tree: BatchTree): number {
  let total = 0;
  for (const { cid, bytes } of listBlocks(tree)) total += encodeSectionHead(cid, bytes.length).length + bytes.length;
  return total;
}

describe('the golden vector of go-dagaggregator-unixfs', () => {
  const tree = buildBatchTree(goldenEntries, golden.description);

  test('has its root', () => {
    expect(tree.root.toString()).toBe(golden.root);
    expect(listBlocks(tree)[0]?.cid.toString()).toBe(golden.root);
  });

  test('has its paths, in bytewise order of the roots', () => {
    expect([...tree.paths.values()].map(({ indexes }) => indexes)).toEqual(golden.pathIndexesInSortedOrder);
  });

  test('does not depend on the order given', () => {
    const [first, duplicate, ...rest] = goldenEntries;
    if (first === undefined || duplicate === undefined) throw new Error('vector changed');
    expect(buildBatchTree([...rest.toReversed(), first, duplicate], golden.description).root.toString()).toBe(
      golden.root,
    );
  });
});

describe('the batch tree', () => {
  test('leads from its root to every upload, and holds nothing else', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat({ max: 1_000_000 }), { minLength: 1, maxLength: 60 }), (seeds) => {
        const tree = buildBatchTree(
          seeds.map((seed) => ({ cid: cidOf(seed) })),
          BATCH_DESCRIPTION,
        );
        const blocks = blocksOf(tree);
        for (const [root, { selector, indexes }] of tree.paths) {
          expect(follow(blocks, tree.root, selector)).toBe(root);
          expect(selector).toBe(`Links/${indexes.join('/Hash/Links/')}/Hash`);
        }
        expect(new Set(tree.paths.keys())).toEqual(new Set(seeds.map((seed) => cidOf(seed).toString())));
        const linked = [...blocks.values()].flatMap((bytes) => (bytes[0] === 0x7b ? [] : dagPb.decode(bytes).Links));
        const reached = new Set([tree.root.toString(), ...linked.map(({ Hash }) => Hash.toString())]);
        expect([...blocks.keys()].filter((cid) => !reached.has(cid))).toEqual([]);
      }),
      { numRuns: 30 },
    );
  });

  test('every block hashes to its CID', async () => {
    const tree = buildBatchTree(many(2_000), BATCH_DESCRIPTION);
    for (const { cid, bytes } of listBlocks(tree)) {
      expect(cid.multihash.digest).toEqual((await sha256.digest(bytes)).digest);
    }
  });

  test('a UnixFS reader finds the manifest, an entry by its names, and the sizes that links tell', async () => {
    const entries = many(3_000);
    const tree = buildBatchTree(entries, BATCH_DESCRIPTION);
    const blocks = blocksOf(tree);
    const text = await readFile(blocks, `${tree.root}/@AggregateManifest.ndjson`);
    const [preamble, summary, ...lines] = text
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line));
    expect(preamble).toEqual({ RecordType: 'DagAggregatePreamble', Version: 1 });
    expect(summary).toEqual({
      RecordType: 'DagAggregateSummary',
      EntryCount: 3_000,
      EntriesSortedBy: 'DagCidV1',
      Description: BATCH_DESCRIPTION,
    });
    expect(lines.map(({ DagCidV1 }) => DagCidV1)).toEqual([...tree.paths.keys()]);
    expect(lines.map(({ PathIndexes }) => PathIndexes)).toEqual([...tree.paths.values()].map(({ indexes }) => indexes));
    const line = lines[1234];
    const store = {
      async *get(cid: CID) {
        yield blocks.get(cid.toString()) ?? new Uint8Array();
      },
    };
    const names = `${tree.root}/${line.PathPrefixes[0]}/${line.PathPrefixes[1]}`;
    const inner = await exporter(names, store);
    expect(inner.type).toBe('directory');
    expect(dagPb.decode(blocks.get(inner.cid.toString()) ?? new Uint8Array()).Links.map(({ Name }) => Name)).toContain(
      line.DagCidV1,
    );
    const rootBytes = blocks.get(tree.root.toString()) ?? new Uint8Array();
    const below = dagPb.decode(rootBytes).Links.reduce((sum, { Tsize }) => sum + (Tsize ?? 0), 0);
    const dagBytes = entries.reduce((sum, entry) => sum + (entry.dagBytes ?? 0), 0);
    const ownBytes = [...blocks.values()].reduce((sum, bytes) => sum + bytes.length, 0);
    expect(below + rootBytes.length).toBe(dagBytes + ownBytes);
  });

  test('names CIDv0 only where there is one, and leaves out what is unknown', async () => {
    const pb = cidOf(2, dagPb.code);
    const leaf = cidOf(3, raw.code);
    const tree = buildBatchTree(
      [
        { cid: pb, dagBytes: 0 },
        { cid: leaf, dagBytes: 5, nodeCount: 1 },
      ],
      BATCH_DESCRIPTION,
    );
    const text = await readFile(blocksOf(tree), `${tree.root}/@AggregateManifest.ndjson`);
    const lines = text
      .trimEnd()
      .split('\n')
      .slice(2)
      .map((line) => JSON.parse(line));
    const byCid = new Map(lines.map((line) => [line.DagCidV1, line]));
    expect(byCid.get(pb.toString())).toMatchObject({ DagCidV0: pb.toV0().toString() });
    expect(byCid.get(pb.toString())).not.toHaveProperty('DagSize');
    expect(byCid.get(leaf.toString())).toMatchObject({ DagSize: 5, NodeCount: 1 });
    expect(byCid.get(leaf.toString())).not.toHaveProperty('DagCidV0');
  });

  test.each(['a < b', 'a & b', 'line\u2028', 'tab\t', '\ud800', 'x'.repeat(257)])(
    'refuses the description %j',
    (text) => {
      expect(() => buildBatchTree(many(1), text)).toThrowError(expect.objectContaining({ code: 'BATCH_DESCRIPTION' }));
    },
  );

  test('refuses to be empty', () => {
    expect(() => buildBatchTree([], BATCH_DESCRIPTION)).toThrowError(expect.objectContaining({ code: 'BATCH_EMPTY' }));
  });
});

describe('the reserve', () => {
  const longRoots = fc
    .uint8Array({ minLength: 64, maxLength: 64 })
    .map((digest) => CID.createV1(0x0129, Digest.create(sha512.code, digest)));
  const blakeRoots = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((digest) => CID.createV1(0x71, Digest.create(0xb220, digest)));
  const shaRoots = fc
    .uint8Array({ minLength: 32, maxLength: 32 })
    .map((digest) => CID.createV1(dagPb.code, Digest.create(sha256.code, digest)));
  const shortRoots = fc
    .uint8Array({ minLength: 0, maxLength: 12 })
    .map((digest) => CID.createV1(raw.code, identity.digest(digest)));
  const sizes = fc.oneof(fc.constant(undefined), fc.nat(), fc.constant(2 ** 44));
  const entry = fc.record({
    cid: fc.oneof(longRoots, blakeRoots, shaRoots, shortRoots),
    dagBytes: sizes,
    nodeCount: sizes,
  });
  const description = fc.oneof(
    fc.constant(BATCH_DESCRIPTION),
    fc.constant('x'.repeat(256)),
    fc.constant('"'.repeat(128)),
  );

  test('is never below the real size, which the tree tells exactly', () => {
    fc.assert(
      fc.property(fc.array(entry, { minLength: 1, maxLength: 120 }), description, (entries, text) => {
        const tree = buildBatchTree(entries, text);
        expect(tree.sectionBytes).toBe(sectionsOf(tree));
        expect(batchTreeReserve(tree.paths.size)).toBeGreaterThanOrEqual(tree.sectionBytes);
      }),
      { numRuns: 200 },
    );
  });

  /** All sizes at their largest, all roots with the longest manifest line: as near to the bound as it gets. */
  test.each([1, 2, 500, 5_000])('holds for %i uploads of the worst kind', (count) => {
    const worst = (code: number, length: number) =>
      Array.from({ length: count }, (_, seed) => {
        const digest = new Uint8Array(length);
        new DataView(digest.buffer).setUint32(length - 4, Math.imul(seed + 1, 0x9e37_79b1));
        const cid = CID.createV1(0x0129, Digest.create(code, digest));
        return { cid, dagBytes: Math.floor(2 ** 53 / (count + 1)) - 10_000, nodeCount: Number.MAX_SAFE_INTEGER };
      });
    for (const entries of [worst(sha512.code, 64), worst(sha256.code, 32)]) {
      const { sectionBytes } = buildBatchTree(entries, 'x'.repeat(256));
      expect(batchTreeReserve(count)).toBeGreaterThanOrEqual(sectionBytes);
    }
  });

  test('does not waste much of a piece on ordinary uploads', () => {
    const { sectionBytes } = buildBatchTree(many(4_000), BATCH_DESCRIPTION);
    expect(batchTreeReserve(4_000) / sectionBytes).toBeLessThan(2);
  });

  test('grows with each entry', () => {
    fc.assert(
      fc.property(fc.nat({ max: 2_000_000 }), (count) => {
        expect(batchTreeReserve(count + 1)).toBeGreaterThan(batchTreeReserve(count));
      }),
    );
  });
});
