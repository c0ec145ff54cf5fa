import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { DagTracker } from '../../../src/aggregate/receive/dag-tracker.ts';
import { asV0, cborNode, pbNode, rawBlock, type Block } from '../../support/car-builder.ts';

function tracked(blocks: readonly Block[], maxBlocks = 1000): DagTracker {
  const dag = new DagTracker(maxBlocks);
  for (const { cid, bytes } of blocks) dag.add(cid, bytes, bytes.length);
  return dag;
}

const [a, b, c] = [rawBlock('a'), rawBlock('b'), rawBlock('c')];
const left = pbNode([a, b]);
const right = cborNode({ deep: [{ er: c.cid }], same: a.cid });
const top = pbNode([left, right]);
const all = [top, left, right, a, b, c];

test('only the first of each CID is new', () => {
  const dag = new DagTracker(10);
  expect(dag.add(left.cid, left.bytes, 100)).toBe('added');
  expect(dag.add(left.cid, left.bytes, 100)).toBe('repeated');
  expect(dag.add(asV0(left).cid, left.bytes, 100)).toBe('added');
  expect(dag.add(asV0(left).cid, left.bytes, 100)).toBe('repeated');
});

test('complete, in whatever order the blocks come', () => {
  fc.assert(
    fc.property(fc.shuffledSubarray(all, { minLength: all.length }), (blocks) => {
      expect(tracked(blocks).missingBelow(top.cid)).toBeUndefined();
    }),
  );
});

test('what is missing is counted, and the first is the same in whatever order the blocks come', () => {
  const subset = fc.subarray(all.slice(1));
  fc.assert(
    fc.property(subset, fc.infiniteStream(fc.nat()), (held, random) => {
      const ordered = tracked([top, ...held]).missingBelow(top.cid);
      const [seed = 0] = random.take(1);
      const rotated = [...held.slice(seed % (held.length + 1)), top, ...held.slice(0, seed % (held.length + 1))];
      expect(tracked(rotated).missingBelow(top.cid)).toEqual(ordered);
      expect(ordered).toEqual(expectedMissing(new Set([top, ...held])));
    }),
  );
});

/** By hand: depth first, links in order, below held blocks only. */
function expectedMissing(held: Set<Block>): { count: number; first: string } | undefined {
  const children = new Map([
    [top, [left, right]],
    [left, [a, b]],
    [right, [c, a]],
  ]);
  const missing = new Set<Block>();
  const visit = (block: Block): void => {
    if (held.has(block)) children.get(block)?.forEach(visit);
    else missing.add(block);
  };
  visit(top);
  const [first] = missing;
  return first && { count: missing.size, first: first.cid.toString() };
}

test('blocks outside the DAG of the root do not make it incomplete', () => {
  expect(tracked([...all, pbNode([rawBlock('elsewhere')])]).missingBelow(top.cid)).toBeUndefined();
});

test('a root that did not come is itself what is missing', () => {
  expect(tracked([a]).missingBelow(top.cid)).toEqual({ count: 1, first: top.cid.toString() });
});

test('a deep chain does not overflow the stack', () => {
  const chain: Block[] = [rawBlock('end')];
  for (let depth = 0; depth < 20_000; depth += 1) chain.push(cborNode([chain.at(-1)?.cid]));
  const last = chain.at(-1);
  expect(last && tracked(chain, 30_000).missingBelow(last.cid)).toBeUndefined();
});

/** What adding said, and what is known after it. */
function answersOf(blocks: readonly Block[], maxBlocks: number) {
  const dag = new DagTracker(maxBlocks);
  return blocks.map(({ cid, bytes }) => dag.add(cid, bytes, bytes.length));
}

test('CIDs held and missing count against the limit, and so do links', () => {
  expect(answersOf(all, 6)).toEqual(all.map(() => 'added'));
  expect(answersOf(all, 5)).toEqual(['added', 'added', 'full', 'added', 'added', 'full']);
  const nodes = [top, left, right, a, b, c];
  const dense = Array.from({ length: 20 }, (_, at) => cborNode([at, ...nodes.map(({ cid }) => cid)]));
  expect(answersOf([...nodes, ...dense.slice(0, 4)], 26)).not.toContain('full');
  const web = dense.map((_, at) => cborNode([at, ...dense.map(({ cid }) => cid)]));
  expect(answersOf([...dense, ...web], 60)).toContain('full');
});

test('a block for which there is no room leaves nothing behind', () => {
  const dag = new DagTracker(3);
  expect([top, left].map(({ cid, bytes }) => dag.add(cid, bytes, 1))).toEqual(['added', 'full']);
  expect([...dag.sections()].map(({ links }) => links.length)).toEqual([2]);
  expect(dag.add(a.cid, a.bytes, 1)).toBe('full');
});
