import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { loadNativeHashPairs, hashPairsPortably } from '../../src/filecoin/commp/hash-pairs.ts';
import type { HashPairs } from '../../src/filecoin/commp/pair-hashing.ts';

/** A stand-in for the native library that is right, and countable. */
function honest(): { hashPairs: HashPairs; calls: () => number } {
  let calls = 0;
  const hashPairs: HashPairs = (pairs, nodes) => {
    calls += 1;
    hashPairsPortably(pairs, nodes);
  };
  return { hashPairs, calls: () => calls };
}

const avx = new Set(['sse4_2', 'avx', 'avx2']);

test('hashes each 64 bytes by themselves', () => {
  const pairs = Uint8Array.from({ length: 192 }, (_, at) => at);
  const nodes = new Uint8Array(96);
  hashPairsPortably(pairs, nodes);
  const expected = [0, 64, 128].map((at) =>
    createHash('sha256')
      .update(pairs.subarray(at, at + 64))
      .digest(),
  );
  expect(Buffer.from(nodes)).toEqual(Buffer.concat(expected));
});

test('takes the native library where it is safe and right', () => {
  const { hashPairs, calls } = honest();
  expect(loadNativeHashPairs({ arch: 'x64', cpuFlags: avx }, () => hashPairs)).toBe(hashPairs);
  expect(loadNativeHashPairs({ arch: 'arm64' }, () => hashPairs)).toBe(hashPairs);
  expect(calls()).toBe(2);
});

test.each([
  ['x86 without AVX', { arch: 'x64', cpuFlags: new Set(['sse4_2']) }],
  ['x86 whose flags nobody read', { arch: 'x64' }],
  ['a machine the library does not know', { arch: 'riscv64', cpuFlags: avx }],
])('never loads it on %s', (_name, machine) => {
  const load = () => {
    throw new Error('loaded');
  };
  expect(loadNativeHashPairs(machine, load)).toBeUndefined();
});

test('falls back when it is not installed for the platform', () => {
  const load = () => {
    throw new Error('Cannot find native binding');
  };
  expect(loadNativeHashPairs({ arch: 'x64', cpuFlags: avx }, load)).toBeUndefined();
});

test('falls back when its self-test fails, even in one byte', () => {
  const wrong: HashPairs = (pairs, nodes) => {
    hashPairsPortably(pairs, nodes);
    nodes[nodes.length - 1] = (nodes.at(-1) ?? 0) ^ 1;
  };
  expect(loadNativeHashPairs({ arch: 'arm64' }, () => wrong)).toBeUndefined();
});
