import { CarReader } from '@ipld/car';
import fc from 'fast-check';
import type { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import type { OpenBlocks } from '../../../src/aggregate/blocks/block-pool.ts';
import { packChunks } from '../../../src/aggregate/blocks/pack-chunks.ts';
import { RunReader } from '../../../src/aggregate/blocks/run-reader.ts';
import { UploadBlocks } from '../../../src/aggregate/blocks/upload-blocks.ts';
import { walkDag, type Walk } from '../../../src/aggregate/blocks/walk-dag.ts';
import { car, header, pbNode, rawBlock, section, sections, type Block } from '../../support/car-builder.ts';
import { gather } from '../../support/gather.ts';

/** A store of one object that uses one memory for all its chunks, and says what was read of it. */
function memoryStore(bytes: Uint8Array, chunkBytes: number) {
  const read: [offset: number, length: number][] = [];
  return {
    read,
    store: {
      async *read(_key: string, offset: number, length: number): AsyncGenerator<Uint8Array> {
        const memory = new Uint8Array(chunkBytes);
        for (let at = offset; at < offset + length; at += chunkBytes) {
          const chunk = bytes.subarray(at, Math.min(at + chunkBytes, offset + length));
          read.push([at, chunk.length]);
          memory.fill(0xee);
          memory.set(chunk);
          yield memory.subarray(0, chunk.length);
        }
      },
    },
  };
}

interface Stored {
  run: Uint8Array;
  blockCount: number;
  root: CID;
}

/** The run in one object behind other bytes, in parts that end where a section does. */
function opened(
  { run, blockCount, root }: Stored,
  { partsAt = [], chunkBytes = 4_096 }: { partsAt?: number[]; chunkBytes?: number } = {},
) {
  const before = 100;
  const { store, read } = memoryStore(Buffer.concat([Buffer.alloc(before), run]), chunkBytes);
  const ends = [...partsAt, run.length];
  const parts = ends.map((end, at) => {
    const start = at === 0 ? 0 : (ends[at - 1] ?? 0);
    return { objectKey: 'object', objectOffset: before + start, length: end - start };
  });
  const upload = { id: 1n, root: root.toString(), complete: true, runBytes: run.length, blockCount, version: '1' };
  const blocks = new UploadBlocks(upload, parts);
  const reader = (signal = new AbortController().signal) => new RunReader(store, blocks.layout, signal);
  const open: OpenBlocks = { blocks, reader: reader(), [Symbol.asyncDispose]: async () => undefined };
  return { open, read, reader };
}

async function walked(open: OpenBlocks, walk: Partial<Walk> & Pick<Walk, 'start'>): Promise<CID[]> {
  const chunks: Uint8Array[] = [header({ roots: [walk.start], version: 1 })];
  for await (const chunk of packChunks(walkDag(open, { path: [], scope: 'all', dups: false, ...walk }))) {
    chunks.push(new Uint8Array(chunk));
  }
  const blocks = await gather((await CarReader.fromBytes(Buffer.concat(chunks))).blocks());
  return blocks.map(({ cid }) => cid);
}

/** Depth first by the book, over blocks in memory. */
function expectedOrder(root: Block, children: ReadonlyMap<string, readonly Block[]>, dups: boolean): string[] {
  const order: string[] = [];
  const seen = new Set<string>();
  const visit = (block: Block) => {
    const name = block.cid.toString();
    if (!dups && seen.has(name)) return;
    seen.add(name);
    order.push(name);
    for (const child of children.get(name) ?? []) visit(child);
  };
  visit(root);
  return order;
}

test('any DAG in any stored order, cut into any parts, read by chunks of any size', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.array(fc.nat(30), { maxLength: 5 }), { minLength: 1, maxLength: 25 }),
      fc.infiniteStream(fc.nat()),
      fc.integer({ min: 1, max: 3_000 }),
      fc.boolean(),
      async (shape, draws, chunkBytes, dups) => {
        const made: Block[] = [rawBlock('a'), rawBlock('b'.repeat(2_000))];
        const children = new Map<string, readonly Block[]>();
        for (const picks of shape) {
          const below = picks.slice(0, 9).map((pick) => made[pick % made.length] ?? rawBlock('a'));
          const node = pbNode([...below, rawBlock(`own ${made.length}`)]);
          children.set(node.cid.toString(), [...below, rawBlock(`own ${made.length}`)]);
          made.push(rawBlock(`own ${made.length}`), node);
        }
        const root = made.at(-1) ?? rawBlock('a');
        const expected = expectedOrder(root, children, dups);
        fc.pre(expected.length < 5_000);
        const stored = made.map((block) => ({ block, at: draws.next().value })).toSorted((a, b) => a.at - b.at);
        const lengths = stored.map(({ block }) => section(block).length);
        let end = 0;
        const ends = lengths
          .map((length) => (end += length))
          .slice(0, -1)
          .filter(() => draws.next().value % 3 === 0);
        const run = sections(stored.map(({ block }) => block));
        const { open } = opened({ run, blockCount: made.length, root: root.cid }, { partsAt: ends, chunkBytes });
        expect((await walked(open, { start: root.cid, dups })).map(String)).toEqual(expected);
        // Once more, with all places known.
        expect((await walked(open, { start: root.cid, dups })).map(String)).toEqual(expected);
      },
    ),
    { numRuns: 60 },
  );
});

test('who takes blocks in the order in which they are stored reads every byte once', async () => {
  const leaves = Array.from({ length: 8 }, (_, at) => rawBlock(Buffer.alloc(200_000, at)));
  const root = pbNode(leaves);
  const run = sections([root, ...leaves]);
  const { open, read } = opened({ run, blockCount: 9, root: root.cid }, { chunkBytes: 65_536 });
  expect(await walked(open, { start: root.cid })).toHaveLength(9);
  const bytes = read.reduce((sum, [, length]) => sum + length, 0);
  expect(bytes).toBeLessThan(run.length + 2 * 65_536);
  // One stream from the start to the end, and the look at the first bytes before it.
  expect(read.length).toBeLessThan(run.length / 65_536 + 4);
});

test('a chain of 30,000 nodes, and a node that is repeated in 60 levels', async () => {
  const chain: Block[] = [rawBlock('end')];
  for (let at = 0; at < 30_000; at += 1) chain.push(pbNode([chain.at(-1) ?? rawBlock('end')]));
  const top = chain.at(-1) ?? rawBlock('end');
  const deep = opened({ run: sections(chain), blockCount: chain.length, root: top.cid });
  expect(await walked(deep.open, { start: top.cid })).toHaveLength(30_001);
  const levels: Block[] = [rawBlock('x')];
  for (let at = 0; at < 60; at += 1) levels.push(pbNode([levels[at] ?? top, levels[at] ?? top]));
  const bomb = levels.at(-1) ?? top;
  const wide = opened({ run: sections(levels), blockCount: levels.length, root: bomb.cid });
  expect(await walked(wide.open, { start: bomb.cid })).toHaveLength(61);
});

test('a block that is missing ends the walk, with its name', async () => {
  const leaves = [rawBlock('one'), rawBlock('two'), rawBlock('three')];
  const root = pbNode(leaves);
  const kept = [root, ...leaves.slice(0, 2)];
  const { open } = opened({ run: sections(kept), blockCount: 3, root: root.cid });
  await expect(walked(open, { start: root.cid })).rejects.toMatchObject({
    code: 'STORED_BLOCK_MISSING',
    details: { cid: leaves[2]?.cid.toString() },
  });
});

test('stored bytes that are not what they were are told, and never sent under the CID', async () => {
  const leaves = [rawBlock('one'), rawBlock('two'), rawBlock('three')];
  const root = pbNode(leaves);
  const run = sections([root, ...leaves]);
  const { open } = opened({ run, blockCount: 4, root: root.cid });
  expect(await walked(open, { start: root.cid })).toHaveLength(4);
  // The CID of the last block, after its place was noted.
  run[run.length - 10] = (run[run.length - 10] ?? 0) ^ 1;
  const again = opened({ run, blockCount: 4, root: root.cid });
  await expect(walked(again.open, { start: root.cid })).rejects.toMatchObject({ code: 'STORED_BLOCK_MISSING' });
  const short = Buffer.from(run.subarray(0, run.length));
  short[0] = 0;
  const broken = opened({ run: short, blockCount: 4, root: root.cid });
  await expect(walked(broken.open, { start: root.cid })).rejects.toMatchObject({ code: 'STORED_BLOCK_DAMAGED' });
});

test('many readers of one upload share what was found, and one that leaves takes nobody along', async () => {
  const leaves = Array.from({ length: 300 }, (_, at) => rawBlock(`leaf ${at} ${'.'.repeat(at * 10)}`));
  const groups = Array.from({ length: 30 }, (_, at) => pbNode(leaves.slice(at * 10, at * 10 + 10)));
  const nodes = [pbNode(groups.slice(0, 10)), pbNode(groups.slice(10, 20)), pbNode(groups.slice(20))];
  const root = pbNode(nodes);
  const all = [...leaves, ...groups, ...nodes, root];
  const { open, reader } = opened({ run: sections(all), blockCount: all.length, root: root.cid }, { chunkBytes: 512 });
  const leaving = new AbortController();
  const gone = walked({ ...open, reader: reader(leaving.signal) }, { start: root.cid });
  const others = Array.from({ length: 10 }, () => walked({ ...open, reader: reader() }, { start: root.cid }));
  leaving.abort(new Error('left'));
  await expect(gone).rejects.toThrow('left');
  const expected = (await walked({ ...open, reader: reader() }, { start: root.cid })).map(String);
  expect(expected).toHaveLength(all.length);
  for (const other of others) expect((await other).map(String)).toEqual(expected);
});

test('what is packed is the CAR that another writes', async () => {
  const leaves = Array.from({ length: 20 }, (_, at) => rawBlock(Buffer.alloc(at * 5_000, at)));
  const root = pbNode(leaves.slice(0, 10));
  const all = [root, ...leaves.slice(0, 10)];
  const { open } = opened({ run: sections(all.toReversed()), blockCount: all.length, root: root.cid });
  const chunks = await gather(
    (async function* () {
      for await (const chunk of packChunks(walkDag(open, { path: [], start: root.cid, scope: 'all', dups: true }))) {
        yield new Uint8Array(chunk);
      }
    })(),
  );
  expect(Buffer.concat([header({ roots: [root.cid], version: 1 }), ...chunks])).toEqual(car([root.cid], all));
});
