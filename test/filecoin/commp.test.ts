import { readFileSync } from 'node:fs';
import * as dataSegment from '@web3-storage/data-segment/multihash';
import * as fc from 'fast-check';
import * as rust from 'fr32-sha2-256-trunc254-padded-binary-tree-multihash';
import { describe, expect, test } from 'vitest';
import { machineEngine } from '../../src/hashing/commp-engine.ts';
import { createCommp, type PieceDigest } from '../../src/filecoin/commp/commp.ts';
import { chooseEngine, portableEngine, type CommpEngine } from '../../src/filecoin/commp/engine.ts';
import { hashPairsPortably } from '../../src/filecoin/commp/hash-pairs.ts';
import { SubtreeStack, zeroRoot } from '../../src/filecoin/commp/tree.ts';
import { parsePieceCid } from '../../src/filecoin/piece.ts';

interface PieceVectors {
  vectors: { payload: [number, number][]; v1: string; v2: string }[];
  zero_pieces: { padded: number; v1: string; v2: string }[];
}

const vectors: PieceVectors = JSON.parse(readFileSync(new URL('../vectors/piece-cid.json', import.meta.url), 'utf8'));

const none = () => undefined;
const engines: [string, CommpEngine][] = [
  ['the machine’s engine', machineEngine()],
  ['JavaScript before its hash', chooseEngine({ arch: process.arch }, { createWasm: none })],
  ['WebAssembly alone', chooseEngine({ arch: process.arch }, { loadNative: none })],
  ['node:crypto', portableEngine()],
];

/** Bytes that look random and are the same for the same seed, quicker than fast-check makes arrays. */
function pseudoRandom(length: number, seed: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let state = seed | 1;
  for (let at = 0; at < length; at++) {
    state = (Math.imul(state, 1_103_515_245) + 12_345) | 0;
    bytes[at] = state >>> 16;
  }
  return bytes;
}

function commpOf(chunks: Iterable<Uint8Array>, engine: CommpEngine = machineEngine()): PieceDigest {
  const commp = createCommp(engine);
  for (const chunk of chunks) commp.update(chunk);
  return commp.digest();
}

/** Root and height by the Rust hasher compiled to WASM, which shares nothing with ours. */
function rustDigest(bytes: Uint8Array): { root: string; paddedBytes: bigint } {
  const hasher = rust.create();
  hasher.write(bytes);
  const digest = new Uint8Array(hasher.digestByteLength());
  hasher.digestInto(digest, 0, false);
  return { root: Buffer.from(digest.subarray(-32)).toString('hex'), paddedBytes: 32n << BigInt(digest.at(-33) ?? 0) };
}

function dataSegmentRoot(bytes: Uint8Array): string {
  return Buffer.from(dataSegment.digest(bytes).digest.subarray(-32)).toString('hex');
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** Cuts bytes at the given places, which may repeat: empty chunks are chunks too. */
function cut(bytes: Uint8Array, places: readonly number[]): Uint8Array[] {
  const edges = [0, ...places.map((place) => place % (bytes.length + 1)).toSorted((a, b) => a - b), bytes.length];
  return edges.slice(1).map((edge, at) => bytes.subarray(edges[at], edge));
}

describe.each(engines)('CommP with %s', (_name, engine) => {
  test.each(vectors.vectors.map((vector) => [vector.v2, vector] as const))('vector %s', (_v2, { payload, v1, v2 }) => {
    const bytes = Buffer.concat(payload.map(([value, count]) => Buffer.alloc(count, value)));
    const digest = commpOf([bytes], engine);
    expect(hex(digest.root)).toBe(hex(parsePieceCid(v1).root));
    expect(digest.rawBytes).toBe(parsePieceCid(v2).rawBytes);
    expect(digest.paddedBytes).toBe(parsePieceCid(v2).paddedBytes);
  });

  test('lengths around every unit, node and block boundary', () => {
    const bytes = pseudoRandom(127 * 70, 7);
    for (const units of [0, 1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 31, 33, 64, 65]) {
      for (const length of [127 * units - 1, 127 * units, 127 * units + 1, 127 * units + 64]) {
        if (length < 0) continue;
        const payload = bytes.subarray(0, length);
        const { root, paddedBytes, rawBytes } = commpOf([payload], engine);
        expect({ length, root: hex(root), paddedBytes, rawBytes }).toEqual({
          length,
          ...rustDigest(payload),
          rawBytes: BigInt(length),
        });
        expect(hex(root)).toBe(dataSegmentRoot(payload));
      }
    }
  });
});

describe('CommP', () => {
  test('is the same however the stream is cut', () => {
    const payload = pseudoRandom(127 * 300 + 51, 3);
    const expected = rustDigest(payload).root;
    fc.assert(
      fc.property(fc.array(fc.nat(), { maxLength: 40 }), (places) => {
        expect(hex(commpOf(cut(payload, places)).root)).toBe(expected);
      }),
      { numRuns: 50 },
    );
  });

  test('agrees with the oracles on any length', () => {
    fc.assert(
      fc.property(fc.nat({ max: 127 * 40 }), fc.nat(), (length, seed) => {
        const payload = pseudoRandom(length, seed);
        const { root, paddedBytes } = commpOf([payload]);
        expect({ root: hex(root), paddedBytes }).toEqual(rustDigest(payload));
      }),
      { numRuns: 100 },
    );
  });

  /** A block of the stream is 2,048 units: a subtree is finished there and the next one starts. */
  test.each(
    [1, 2, 3, 4, 5, 7, 8, 9].flatMap((blocks) => [-126, -1, 0, 1, 128].map((more) => blocks * 2048 * 127 + more)),
  )('across blocks: %i bytes', (length) => {
    const payload = pseudoRandom(length, length);
    const { root, paddedBytes } = commpOf(cut(payload, [65_536, 700_001, 700_002]));
    expect({ root: hex(root), paddedBytes }).toEqual(rustDigest(payload));
  });

  test('a digest in between changes nothing', () => {
    const payload = pseudoRandom(127 * 6144 + 1000, 11);
    const commp = createCommp(machineEngine());
    for (const chunk of cut(payload, [1, 126, 127, 128, 5_000, 260_095, 260_097, 520_193])) {
      commp.update(chunk);
      commp.digest();
    }
    expect(hex(commp.digest().root)).toBe(rustDigest(payload).root);
  });

  test('takes little memory, however long the stream', () => {
    const chunk = pseudoRandom(65_536, 13);
    const before = process.memoryUsage().arrayBuffers;
    const commp = createCommp(machineEngine());
    for (let written = 0; written < 64 * 1024 * 1024; written += chunk.length) commp.update(chunk);
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(4 * 1024 * 1024);
    expect(commp.digest().paddedBytes).toBe(128n * 1024n * 1024n);
  });

  test('a chunk that the caller overwrites afterwards was taken as it was', () => {
    const commp = createCommp();
    const chunk = pseudoRandom(1000, 5);
    const expected = rustDigest(chunk).root;
    commp.update(chunk);
    chunk.fill(0);
    expect(hex(commp.digest().root)).toBe(expected);
  });
});

describe('subtrees', () => {
  test('zero roots are those of the known empty piece of 32 GiB', () => {
    const piece = vectors.zero_pieces.find(({ padded }) => padded === 2 ** 35);
    expect(hex(zeroRoot(30))).toBe(hex(parsePieceCid(piece?.v1 ?? '').root));
  });

  test('a piece is joined from the roots of its chunks, whatever hashed them', () => {
    const chunkUnits = 16;
    const payload = pseudoRandom(127 * chunkUnits * 5, 23);
    const stack = new SubtreeStack(machineEngine().hashPairs);
    for (let at = 0; at < payload.length; at += 127 * chunkUnits) {
      const { root } = commpOf([payload.subarray(at, at + 127 * chunkUnits)]);
      stack.push({ level: Math.log2(chunkUnits * 4), root });
    }
    expect(hex(stack.rootAt(Math.log2(chunkUnits * 4) + 3))).toBe(rustDigest(payload).root);
  });

  test('a stream knows its root at any height that holds it', () => {
    const payload = pseudoRandom(127 * 16 + 5, 29);
    const commp = createCommp(machineEngine());
    commp.update(payload);
    const { root } = commp.digest();
    expect(commp.rootAt(7)).toEqual(root);
    const stack = new SubtreeStack(hashPairsPortably);
    stack.push({ level: 7, root });
    expect(commp.rootAt(20)).toEqual(stack.rootAt(20));
    expect(() => commp.rootAt(6)).toThrow(RangeError);
  });

  test('refuses subtrees that do not fit', () => {
    const stack = new SubtreeStack(hashPairsPortably);
    stack.push({ level: 3, root: zeroRoot(3) });
    expect(() => stack.push({ level: 4, root: zeroRoot(4) })).toThrow(RangeError);
    stack.push({ level: 2, root: zeroRoot(2) });
    expect(() => stack.rootAt(3)).toThrow(RangeError);
    expect(stack.rootAt(6)).toEqual(zeroRoot(6));
  });
});
