import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { RunLayout } from '../../../src/aggregate/place/cut-extents.ts';
import { BlockIndex, MAX_CUT_BLOCKS, Uncuttable } from '../../../src/aggregate/place/cut-index.ts';
import { findPaths, planCuts, type DagPaths } from '../../../src/aggregate/place/cut-plan.ts';
import type { StoredPart } from '../../../src/aggregate/place/cut-store.ts';
import { asV0, header, pbNode, rawBlock, section, sections, type Block } from '../../support/car-builder.ts';
import { readCar } from '../aggregate-fixture.ts';
import { linksOf, nameOf, randomUpload, type RandomUpload } from './cut-fixture.ts';

function indexOf(blocks: readonly Block[]): BlockIndex {
  const index = new BlockIndex(blocks.length);
  let offset = 0;
  for (const block of blocks) {
    const sectionBytes = section(block).length;
    index.add({ ...block, offset, sectionBytes });
    offset += sectionBytes;
  }
  return index;
}

function pathsFrom(index: BlockIndex, root: number): DagPaths {
  const steps = findPaths(index, root);
  for (;;) {
    const step = steps.next();
    if (step.done === true) return step.value;
  }
}

function plan(upload: Pick<RandomUpload, 'root' | 'blocks'>, roomBytes: number) {
  const index = indexOf(upload.blocks);
  const paths = pathsFrom(index, index.numberOf(upload.root));
  const planned = [...planCuts(index, paths, roomBytes)].filter((cut) => cut !== undefined);
  const cuts = planned.map((cut) => ({
    ...cut,
    list: [...cut.blocks].map((id) => upload.blocks[storedPlace(index, id)] ?? rawBlock('none')),
  }));
  return { index, cuts };
}

function storedPlace(index: BlockIndex, id: number): number {
  return index.order.indexOf(id);
}

/** Stored parts of an upload, as objects with other bytes around them. */
function stored({ blocks, splits }: RandomUpload) {
  const bounds = [0, ...splits, blocks.length];
  const noise = Buffer.from('of another upload');
  const objects = new Map<string, Buffer>();
  const parts = bounds.slice(0, -1).map((from, at): StoredPart => {
    const bytes = sections(blocks.slice(from, bounds[at + 1]));
    objects.set(`runs/${at}`, Buffer.concat([noise, bytes, noise]));
    return { objectKey: `runs/${at}`, objectOffset: noise.length, length: bytes.length };
  });
  return { parts, objects };
}

/** Bytes that the blocks on the shortest path to each block take, by an own walk. */
function longestPathBytes({ root, blocks }: RandomUpload): number {
  const byName = new Map(blocks.map((block) => [nameOf(block.cid), block]));
  const bytesTo = new Map<string, number>();
  let due = [{ name: nameOf(root), before: 0 }];
  while (due.length > 0) {
    const next: typeof due = [];
    for (const { name, before } of due) {
      const block = byName.get(name);
      if (block === undefined || bytesTo.has(name)) continue;
      const bytes = before + section(block).length;
      bytesTo.set(name, bytes);
      next.push(...linksOf(block).map((link) => ({ name: nameOf(link), before: bytes })));
    }
    due = next;
  }
  return Math.max(...bytesTo.values());
}

function reachable(root: string, blocks: ReadonlyMap<string, Block>): Set<string> {
  const found = new Set<string>();
  const due = [root];
  for (let name = due.pop(); name !== undefined; name = due.pop()) {
    const block = blocks.get(name);
    if (block === undefined || found.has(name)) continue;
    found.add(name);
    due.push(...linksOf(block).map(nameOf));
  }
  return found;
}

describe('cuts of any DAG', () => {
  test('begin with the root, reach all they hold, fit the room, and together have every block', async () => {
    let several = 0;
    await fc.assert(
      fc.asyncProperty(randomUpload, fc.integer({ min: 3, max: 30 }), async (upload, tenths) => {
        const room = longestPathBytes(upload) + Math.ceil((sections(upload.blocks).length * tenths) / 40);
        const { index, cuts } = plan(upload, room);
        if (cuts.length > 1) several += 1;
        const { parts, objects } = stored(upload);
        const layout = new RunLayout(parts);
        const place = new Map(upload.blocks.map(({ cid }, at) => [nameOf(cid), at]));
        const own = new Set<string>();
        const covered = new Set<string>();
        for (const { blocks, list, runBytes, ancestorCount } of cuts) {
          const names = list.map(({ cid }) => nameOf(cid));
          expect(names[0]).toBe(nameOf(upload.root));
          expect(new Set(names).size).toBe(names.length);
          expect(runBytes).toBeLessThanOrEqual(room);
          expect(runBytes).toBe(sections(list).length);
          const held = new Map(list.map((block) => [nameOf(block.cid), block]));
          expect(reachable(nameOf(upload.root), held).size).toBe(list.length);
          // Each ancestor but the root is led to by one before it, and leads to another block of the cut.
          const ancestors = names.slice(0, ancestorCount);
          for (const [at, name] of ancestors.entries()) {
            const before = ancestors.slice(0, at).flatMap((one) => linksOf(held.get(one) ?? rawBlock('')).map(nameOf));
            expect(at === 0 || before.includes(name)).toBe(true);
          }
          const ownNames = names.slice(ancestorCount);
          const places = ownNames.map((name) => place.get(name) ?? -1);
          expect(places).toEqual(places.toSorted((a, b) => a - b));
          for (const name of ownNames) {
            expect(own.has(name)).toBe(false);
            own.add(name);
          }
          for (const name of names) covered.add(name);
          // What the extents name in the store is these sections, and a stranger's reader takes it.
          const bytes = Buffer.concat(
            [...layout.extentsOf(index, blocks)].map(({ objectKey, objectOffset, length }) =>
              (objects.get(objectKey) ?? Buffer.alloc(0)).subarray(objectOffset, objectOffset + length),
            ),
          );
          expect(bytes.equals(sections(list))).toBe(true);
          expect((await readCar(Buffer.concat([header({ roots: [upload.root], version: 1 }), bytes]))).count).toBe(
            list.length,
          );
        }
        expect(covered).toEqual(new Set(upload.blocks.map(({ cid }) => nameOf(cid))));
      }),
      { numRuns: 300 },
    );
    expect(several).toBeGreaterThan(50);
  });

  test('are the same each time', () => {
    fc.assert(
      fc.property(randomUpload, (upload) => {
        const room = longestPathBytes(upload) + 500;
        expect(plan(upload, room).cuts).toEqual(plan(upload, room).cuts);
      }),
      { numRuns: 20 },
    );
  });

  test('fail with words, and only then, when a block and what leads to it find no room', () => {
    fc.assert(
      fc.property(randomUpload, fc.integer({ min: 1, max: 50 }), (upload, less) => {
        const room = longestPathBytes(upload) - less;
        expect(() => plan(upload, room)).toThrow(Uncuttable);
      }),
      { numRuns: 60 },
    );
  });
});

describe('cuts of a file', () => {
  /** A balanced file of 174 links a node, as importers make it: leaves of `leafBytes`. */
  function file(leaves: number, leafBytes: number) {
    const leafBlocks = Array.from({ length: leaves }, (_, at) => rawBlock(Buffer.alloc(leafBytes, `${at} `)));
    const nodes = Array.from({ length: Math.ceil(leaves / 174) }, (_, at) =>
      pbNode(leafBlocks.slice(at * 174, at * 174 + 174)),
    );
    const root = pbNode(nodes);
    const depthFirst = [root, ...nodes.flatMap((node, at) => [node, ...leafBlocks.slice(at * 174, at * 174 + 174)])];
    return { root: root.cid, blocks: depthFirst };
  }

  test.each(['as importers order it', 'leaves first', 'shuffled'] as const)(
    'all but the last are full: %s',
    (order) => {
      const { root, blocks } = file(3_000, 900);
      const shuffled = blocks.toSorted((a, b) => (a.cid.multihash.digest[3] ?? 0) - (b.cid.multihash.digest[3] ?? 0));
      const ordered = order === 'shuffled' ? shuffled : order === 'leaves first' ? blocks.toReversed() : blocks;
      const room = 400_000;
      const { cuts } = plan({ root, blocks: ordered }, room);
      expect(cuts.length).toBeGreaterThan(6);
      for (const { runBytes } of cuts.slice(0, -1)) expect(runBytes).toBeGreaterThan(room * 0.94);
    },
  );

  test('ranges that follow each other are one', () => {
    const { root, blocks } = file(1_000, 900);
    const { index, cuts } = plan({ root, blocks }, 400_000);
    const layout = new RunLayout([{ objectKey: 'runs/one', objectOffset: 7, length: sections(blocks).length }]);
    // The root with the first node, and the leaves on either side of each further node.
    for (const cut of cuts) expect([...layout.extentsOf(index, cut.blocks)].length).toBeLessThan(12);
  });

  test('large blocks are passed over for smaller ones while there is much room', () => {
    const large = Array.from({ length: 4 }, (_, at) => rawBlock(Buffer.alloc(60_000, at)));
    const small = Array.from({ length: 60 }, (_, at) => rawBlock(Buffer.alloc(1_000, `s${at}`)));
    const root = pbNode([...large, ...small]);
    const { cuts } = plan({ root: root.cid, blocks: [root, ...large, ...small] }, 100_000);
    expect(cuts.map(({ list }) => list.filter(({ bytes }) => bytes.length === 60_000).length)).toEqual([1, 1, 1, 1]);
    expect(cuts[0]?.runBytes).toBeGreaterThan(94_000);
  });
});

test('a chain of blocks that is longer than the room fails', () => {
  const chain: Block[] = [rawBlock('end')];
  for (let at = 0; at < 100; at += 1) chain.push(pbNode(chain.slice(-1)));
  const [root] = chain.slice(-1);
  if (root === undefined) throw new Error('no root');
  expect(() => plan({ root: root.cid, blocks: chain.toReversed() }, 2_000)).toThrow(/make its DAG flatter/);
  expect(plan({ root: root.cid, blocks: chain.toReversed() }, 20_000).cuts).toHaveLength(1);
});

test('a block that is larger than the room fails with other advice', () => {
  const leaves = [1, 2].map((at) => rawBlock(Buffer.alloc(3_000, `${at}`)));
  const root = pbNode(leaves);
  expect(() => plan({ root: root.cid, blocks: [root, ...leaves] }, 2_000)).toThrow(
    /: make its blocks smaller, or have/,
  );
});

test('an upload that repetition would make many times as large fails', () => {
  const leaves = Array.from({ length: 400 }, (_, at) => rawBlock(Buffer.alloc(300, `${at} `)));
  let node = pbNode(leaves);
  const above: Block[] = [node];
  for (let at = 0; at < 5; at += 1) {
    node = pbNode([node, ...Array.from({ length: 5 }, () => leaves[0] ?? node)]);
    above.unshift(node);
  }
  const blocks = [...above, ...leaves];
  const onlyPaths = sections(above).length;
  expect(() => plan({ root: node.cid, blocks }, onlyPaths + 400)).toThrow(/more than 4 times its bytes/);
});

test('one block under both versions of its CID counts once', () => {
  const leaf = rawBlock('leaf');
  const node = pbNode([leaf]);
  const root = pbNode([asV0(node), node]);
  const blocks = [root, asV0(node), node, leaf];
  const { index, cuts } = plan({ root: root.cid, blocks }, 10_000);
  const [v0, v1, last] = [1, 2, 3].map((count) => sections(blocks.slice(0, count)).length);
  expect(cuts.map((cut) => [...cut.blocks].map((id) => index.offsets[id]))).toEqual([[0, v0, last]]);
  expect(v1).toBeGreaterThan(v0 ?? 0);
});

test('too many blocks are too many to cut', () => {
  expect(() => new BlockIndex(MAX_CUT_BLOCKS + 1)).toThrow(/more than 4194304 blocks/);
});
