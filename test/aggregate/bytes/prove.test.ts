import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { findPath, rootsFromBytes } from '../../../src/aggregate/bytes/prove.ts';
import { encodeProof, proofToJson, type InclusionProof } from '../../../src/filecoin/inclusion-proof.ts';
import { pbNode, rawBlock, sampleUpload, sections } from '../../support/car-builder.ts';
import { blockOfSection, memoryAggregate, memoryPiece } from '../../support/memory-aggregate.ts';
import { checkProof } from '../../support/proof-checker.ts';
import { BATCH_ROOT } from '../../support/seed-rows.ts';

const { signal } = new AbortController();

async function prove(piece: ReturnType<typeof memoryPiece>, start: number, end: number): Promise<InclusionProof> {
  const subtreeRoot = rootsFromBytes(piece.car);
  const path = await findPath(piece.car, { start, end, pieceSize: piece.pieceSize }, { subtreeRoot, signal });
  const root = rawBlock('root').cid.toString();
  return { ...path, pieceCid: piece.pieceCid, batchRootCid: BATCH_ROOT, root, selector: 'Links/1', deals: [] };
}

async function check(piece: ReturnType<typeof memoryPiece>, start: number, end: number) {
  const proof = await prove(piece, start, end);
  const found = checkProof(proofToJson(proof), piece.bytes.subarray(start, end));
  expect(found.pieceCid).toBe(piece.pieceCid);
  return { proof, agreeingSubtrees: found.agreeingSubtrees };
}

/** Bytes of nodes and edges: what the design bounds by 2 × 30 × 32 + 252. */
function nodeBytes({ head, tail, left, right }: InclusionProof): number {
  return [head, tail, ...left, ...right].reduce((sum, bytes) => sum + (bytes?.length ?? 0), 0);
}

describe('proofs verify by a verifier of data-segment alone', () => {
  test('first, middle, last, one-block, and short uploads of one aggregate', async () => {
    const short = rawBlock('x');
    const single = rawBlock(Buffer.alloc(70_000, 7));
    const runs = [
      sampleUpload('first', 9).blocks,
      [short],
      sampleUpload('middle', 80).blocks,
      [single],
      [pbNode([]), ...sampleUpload('many', 30).blocks.slice(1)],
      [short],
    ];
    const piece = memoryAggregate(runs);
    expect(sections([short]).length).toBeLessThan(127);
    let subtrees = 0;
    for (const { start, end } of piece.places) {
      const { proof, agreeingSubtrees } = await check(piece, start, end);
      subtrees += agreeingSubtrees;
      expect(nodeBytes(proof)).toBeLessThanOrEqual(2 * 30 * 32 + 252);
    }
    expect(subtrees).toBeGreaterThan(500);
  });

  test('the first run has the header in its head, the last the tree behind it', async () => {
    const piece = memoryAggregate([sampleUpload('only', 5).blocks]);
    const [place] = piece.places;
    const { proof } = await check(piece, place?.start ?? 0, place?.end ?? 0);
    expect(Buffer.compare(proof.head, piece.bytes.subarray(0, 59))).toBe(0);
    const behind = piece.bytes.subarray(proof.end, proof.end + proof.tail.length);
    expect(Buffer.compare(proof.tail.subarray(0, behind.length), behind)).toBe(0);
  });

  test('a run that ends with the CAR has zeros for a tail, and nothing to its right', async () => {
    const bytes = Buffer.alloc(127 * 5 + 30, 0xa5);
    const piece = memoryPiece(bytes);
    const { proof } = await check(piece, 200, bytes.length);
    expect(proof.tail).toEqual(new Uint8Array(97));
    expect(proof.right).toEqual([]);
  });

  test('a piece of 128 bytes is one unit: head, run and tail, and no nodes', async () => {
    const piece = memoryPiece(Buffer.from(Array.from({ length: 120 }, (_, at) => at + 1)));
    expect(piece.pieceSize).toBe(128);
    const { proof } = await check(piece, 59, 100);
    expect(proof.left).toEqual([null, null]);
    expect(proof.right).toEqual([]);
    expect([proof.head.length, proof.tail.length]).toEqual([59, 27]);
    await check(piece, 0, 120);
    await check(piece, 119, 120);
  });

  test('a run of whole units has neither head nor tail, even the whole piece', async () => {
    const piece = memoryPiece(Buffer.alloc(127 * 8, 0x5a));
    for (const [start, end] of [
      [0, 127 * 8],
      [127, 254],
      [0, 127],
      [127 * 7, 127 * 8],
      [127 * 4, 127 * 8],
    ] as const) {
      const { proof } = await check(piece, start, end);
      expect([proof.head.length, proof.tail.length]).toEqual([0, 0]);
    }
  });

  test('a run of more than a batch of units, from an odd unit on', async () => {
    const piece = memoryAggregate([[blockOfSection(300)], [blockOfSection(400_000, 9)], [blockOfSection(500)]]);
    for (const { start, end } of piece.places) await check(piece, start, end);
  });

  test('any run of any piece', async () => {
    const pieces = fc.tuple(fc.integer({ min: 65, max: 6_000 }), fc.nat(), fc.nat(), fc.nat({ max: 255 }));
    await fc.assert(
      fc.asyncProperty(pieces, async ([length, one, other, seed]) => {
        const bytes = Buffer.from(Array.from({ length }, (_, at) => (at * 31 + seed + (at >> 7)) & 0xff));
        const [a, b] = [one % length, other % length].toSorted((x, y) => x - y);
        const { proof } = await check(memoryPiece(bytes), a ?? 0, (b ?? 0) + 1);
        expect(nodeBytes(proof)).toBeLessThanOrEqual(2 * 30 * 32 + 252);
        expect(proof.left).toHaveLength(Math.log2(proof.pieceSize / 32));
        expect(proof.right.at(-1)).not.toBe(null);
      }),
      { numRuns: 60 },
    );
  });

  test('bytes that are not the run’s are read once, in order, and nothing is read behind the end', async () => {
    const piece = memoryPiece(Buffer.alloc(127 * 700 + 3, 3));
    const reads: [number, number][] = [];
    const car = {
      ...piece.car,
      readRange: (start: number, end: number) => (reads.push([start, end]), piece.car.readRange(start, end)),
    };
    const [start, end] = [127 * 300 + 5, 127 * 433 - 9];
    await findPath(car, { start, end, pieceSize: piece.pieceSize }, { subtreeRoot: rootsFromBytes(car), signal });
    const large = reads.filter(([from, to]) => to - from >= 127 || to === car.carBytes);
    expect(large.toSorted(([a], [b]) => a - b)).toEqual(large);
    expect(large.reduce((sum, [from, to]) => sum + to - from, 0)).toBe(car.carBytes - 127 * 133);
  });

  test('roots may come from elsewhere', async () => {
    const piece = memoryPiece(Buffer.alloc(127 * 64, 1));
    const asked: string[] = [];
    const place = { start: 127 * 21, end: 127 * 22, pieceSize: piece.pieceSize };
    await findPath(piece.car, place, {
      signal,
      subtreeRoot: async ({ level, index }) => (asked.push(`${level}/${index}`), new Uint8Array(32)),
    });
    expect(asked).toEqual(['6/0', '4/4', '2/20', '3/11', '5/3', '7/1']);
  });

  test('what a proof takes in DAG-CBOR', async () => {
    const piece = memoryPiece(Buffer.alloc(127 * 4_000, 1));
    expect(encodeProof(await prove(piece, 300_001, 300_100)).length).toBeLessThan(2 * 30 * 34 + 252 + 500);
  });
});
