import { Piece } from '@web3-storage/data-segment';
import { describe, expect, test } from 'vitest';
import { hashPairsPortably } from '../../src/filecoin/commp/hash-pairs.ts';
import {
  bytesBelow,
  foldRun,
  foldSubtrees,
  subtreesOver,
  surroundingsOf,
  type InclusionPath,
  type NodePlace,
} from '../../src/filecoin/inclusion-path.ts';

const node = new Uint8Array(32).fill(1);

/** One unit in the middle of a piece of 8. */
function path(change: Partial<InclusionPath> = {}): InclusionPath {
  const place = { start: 127 * 3 + 5, end: 127 * 3 + 100, pieceSize: 1024 };
  const left = [null, null, node, node, null];
  return {
    ...place,
    head: new Uint8Array(5),
    tail: new Uint8Array(27),
    left,
    right: [null, null, null, null, node],
    ...change,
  };
}

describe('what stands beside a run', () => {
  test('one unit of a piece of eight', () => {
    expect(surroundingsOf({ start: 127 * 3 + 5, end: 127 * 3 + 100, pieceSize: 1024 })).toEqual({
      height: 5,
      firstUnit: 3,
      endUnit: 4,
      headBytes: 5,
      tailBytes: 27,
      left: [undefined, undefined, { level: 2, index: 2 }, { level: 3, index: 0 }, undefined],
      right: [undefined, undefined, undefined, undefined, { level: 4, index: 1 }],
    });
  });

  test('its siblings and the run cover the piece, nothing twice', () => {
    for (const [start, end] of [
      [0, 1],
      [59, 900],
      [126, 128],
      [127 * 5, 127 * 11],
      [1_000, 127 * 16],
    ] as const) {
      const { left, right, firstUnit, endUnit } = surroundingsOf({ start, end, pieceSize: 2048 });
      const ranges = [...left, ...right].flatMap((place) => (place === undefined ? [] : [bytesBelow(place)]));
      const all = [...ranges, { start: firstUnit * 127, end: endUnit * 127 }].toSorted((a, b) => a.start - b.start);
      expect(all.reduce((at, range) => (range.start === at ? range.end : Number.NaN), 0)).toBe(127 * 16);
    }
  });

  test.each([
    [{ start: 5, end: 5, pieceSize: 1024 }],
    [{ start: 6, end: 5, pieceSize: 1024 }],
    [{ start: -1, end: 5, pieceSize: 1024 }],
    [{ start: 0, end: 127 * 8 + 1, pieceSize: 1024 }],
    [{ start: 0, end: 1, pieceSize: 64 }],
    [{ start: 0, end: 1, pieceSize: 1000 }],
    [{ start: 0, end: 1, pieceSize: 2 ** 50 }],
    [{ start: 0, end: 1, pieceSize: 0 }],
    [{ start: 0.5, end: 1, pieceSize: 128 }],
  ])('no run lies at %o', (place) => {
    expect(() => surroundingsOf(place)).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
  });
});

describe('folding', () => {
  test('a run that is the whole piece folds to what data-segment finds, however it is cut', () => {
    const bytes = Uint8Array.from({ length: 127 * 2_048 }, (_, at) => (at * 7 + (at >> 9)) & 0xff);
    const left = Array.from({ length: 13 }, () => null);
    const whole = {
      start: 0,
      end: bytes.length,
      pieceSize: 2_048 * 128,
      head: node.subarray(0, 0),
      tail: node.subarray(0, 0),
      left,
      right: [],
    };
    const expected = Piece.fromPayload(bytes).toInfo().link.multihash.digest;
    for (const chunk of [1_000_000, 127, 126, 40, 9_999]) {
      const fold = foldRun(whole, hashPairsPortably);
      for (let at = 0; at < bytes.length; at += chunk) fold.update(bytes.subarray(at, at + chunk));
      expect(fold.root()).toEqual(expected);
    }
  });

  test('trailing zero subtrees may be written out or left out', () => {
    const fold = (right: InclusionPath['right']) => {
      const one = foldRun(
        path({ start: 5, end: 100, left: Array.from({ length: 5 }, () => null), right }),
        hashPairsPortably,
      );
      one.update(new Uint8Array(95));
      return Buffer.from(one.root()).toString('hex');
    };
    const zeroUnit = foldRun(
      {
        start: 0,
        end: 127,
        pieceSize: 128,
        head: node.subarray(0, 0),
        tail: node.subarray(0, 0),
        left: [null, null],
        right: [],
      },
      hashPairsPortably,
    );
    zeroUnit.update(new Uint8Array(127));
    expect(fold([null, null, zeroUnit.root()])).toBe(fold([]));
    expect(fold([null, null, node])).not.toBe(fold([]));
  });

  test('known roots over the run fold to the same', () => {
    const bytes = Uint8Array.from({ length: 127 * 64 }, (_, at) => (at * 5 + (at >> 6)) & 0xff);
    const { link } = Piece.fromPayload(bytes).toInfo();
    const rootBelow = (place: NodePlace) => {
      const range = bytesBelow(place);
      const units = bytes.subarray(range.start, range.end);
      return Piece.fromPayload(units).toInfo().link.multihash.digest;
    };
    const place = { start: 127 * 5 + 3, end: 127 * 39, pieceSize: 8_192 };
    const around = surroundingsOf(place);
    const nodes = (side: readonly (NodePlace | undefined)[]) =>
      side.map((one) => (one === undefined ? null : rootBelow(one)));
    const given = {
      ...place,
      head: bytes.subarray(635, 638),
      tail: new Uint8Array(),
      left: nodes(around.left),
      right: nodes(around.right),
    };
    const over = subtreesOver(around);
    expect(over.map(({ level, index }) => [level, index])).toEqual([
      [2, 5],
      [3, 3],
      [5, 1],
      [6, 1],
      [4, 8],
      [3, 18],
      [2, 38],
    ]);
    expect(foldSubtrees(given, over.map(rootBelow), hashPairsPortably)).toEqual(link.multihash.digest);
    const fold = foldRun(given, hashPairsPortably);
    fold.update(bytes.subarray(place.start, place.end));
    expect(fold.root()).toEqual(link.multihash.digest);
    expect(() => foldSubtrees(given, [], hashPairsPortably)).toThrow(
      expect.objectContaining({ code: 'PROOF_INVALID' }),
    );
  });

  test.each([
    ['a longer head', { head: new Uint8Array(6) }],
    ['a shorter tail', { tail: new Uint8Array(26) }],
    ['too few levels', { left: [null, null, node, node] }],
    ['too many levels', { left: [null, null, node, node, null, null] }],
    ['too many levels to the right', { right: [null, null, null, null, node, null] }],
    ['no node where one is due', { left: [null, null, null, node, null] }],
    ['a node where none is due', { left: [node, null, node, node, null] }],
    ['a node to the right where none is due', { right: [null, null, node, null, node] }],
    ['no node to the right where one is due', { right: [null, null, null, null, null] }],
    ['a node of 31 bytes', { left: [null, null, node.subarray(1), node, null] }],
  ])('%s is no proof', (_, change) => {
    expect(() => foldRun(path(change), hashPairsPortably)).toThrow(expect.objectContaining({ code: 'PROOF_INVALID' }));
  });

  test('a run of another length is refused', () => {
    const short = foldRun(path(), hashPairsPortably);
    short.update(new Uint8Array(94));
    expect(() => short.root()).toThrow(expect.objectContaining({ code: 'RUN_LENGTH_DIFFERS' }));
    const long = foldRun(path(), hashPairsPortably);
    expect(() => long.update(new Uint8Array(96))).toThrow(expect.objectContaining({ code: 'RUN_LENGTH_DIFFERS' }));
  });
});
