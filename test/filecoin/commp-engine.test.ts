import { describe, expect, test } from 'vitest';
import { createJsBlockHasher } from '../../src/filecoin/commp/block-hasher.ts';
import { chooseEngine } from '../../src/filecoin/commp/engine.ts';
import { hashPairsPortably } from '../../src/filecoin/commp/hash-pairs.ts';
import type { HashPairs } from '../../src/filecoin/commp/pair-hashing.ts';
import { createWasmBlockHasher } from '../../src/filecoin/commp/wasm-block-hasher.ts';

const machine = { arch: 'x64' };
const loadNative = () => hashPairsPortably;
const none = () => undefined;

/** A block hasher that is wrong in one bit, as a miscompiled kernel might be. */
function broken(native?: HashPairs) {
  const right = createWasmBlockHasher(native) ?? createJsBlockHasher(hashPairsPortably);
  return {
    root: (payload: Uint8Array, level: number) => {
      const root = right.root(payload, level);
      root[31] = (root[31] ?? 0) ^ 1;
      return root;
    },
  };
}

describe('the choice of an engine', () => {
  test.each([
    ['all there is', {}, 'hashtree, Fr32 in WebAssembly SIMD'],
    ['no WebAssembly SIMD', { createWasm: none }, 'hashtree, Fr32 in JavaScript'],
    ['a WebAssembly that is wrong', { createWasm: broken }, 'hashtree, Fr32 in JavaScript'],
    ['no native code', { loadNative: none }, 'sha2-256 and Fr32 in WebAssembly SIMD'],
    ['neither', { loadNative: none, createWasm: none }, 'node:crypto, Fr32 in JavaScript'],
    [
      'no native code and a wrong WebAssembly',
      { loadNative: none, createWasm: broken },
      'node:crypto, Fr32 in JavaScript',
    ],
  ])('with %s', (_name, parts, description) => {
    expect(chooseEngine(machine, { loadNative, ...parts }).description).toBe(description);
  });

  test('a native hash that turns wrong in use is not used', () => {
    const wrong: HashPairs = (pairs, nodes) => {
      hashPairsPortably(pairs, nodes);
      nodes[0] = (nodes[0] ?? 0) ^ 1;
    };
    const { description } = chooseEngine(machine, { loadNative: () => wrong });
    expect(description).toBe('sha2-256 and Fr32 in WebAssembly SIMD');
  });
});
