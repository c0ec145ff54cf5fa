import { createJsBlockHasher, type BlockHasher } from './block-hasher.ts';
import { hashPairsPortably, loadNativeHashPairs, type Machine } from './hash-pairs.ts';
import type { HashPairs } from './pair-hashing.ts';
import { createWasmBlockHasher } from './wasm-block-hasher.ts';

/** What a thread makes piece commitments with. Its calls are synchronous, so all streams of the thread share one. */
export interface CommpEngine extends BlockHasher {
  /** Which parts it is made of, for people: `hashtree, Fr32 in WebAssembly SIMD`. */
  readonly description: string;
  /** For a few pairs at a time, in any buffers. */
  readonly hashPairs: HashPairs;
}

/** What an engine may be made of; tests leave parts out. */
export interface EngineParts {
  loadNative?: (machine: Machine) => HashPairs | undefined;
  createWasm?: (native?: HashPairs) => BlockHasher | undefined;
}

function engineOf(description: string, hashPairs: HashPairs, blocks: BlockHasher): CommpEngine {
  return { description, hashPairs, root: (payload, level) => blocks.root(payload, level) };
}

/** Everything in node:crypto and JavaScript: slow, and right wherever Node runs. */
export function portableEngine(): CommpEngine {
  return engineOf('node:crypto, Fr32 in JavaScript', hashPairsPortably, createJsBlockHasher(hashPairsPortably));
}

const SELF_TEST_BYTES = 5_000;
const SELF_TEST_LEVEL = 8;
/** Found by @web3-storage/data-segment; the 40 units make odd layers on the way up. */
const SELF_TEST_ROOT = 'e82dc337061b8938243959bc3199de24b2c6b5da7721730176283cc05b48761d';

function isRight(engine: CommpEngine): boolean {
  const payload = Uint8Array.from({ length: SELF_TEST_BYTES }, (_, at) => (at * 151) ^ (at >> 8));
  const root = engine.root(payload, SELF_TEST_LEVEL);
  return Buffer.from(root).toString('hex') === SELF_TEST_ROOT;
}

/**
 * The fastest engine that is safe on the machine and right in its self-test: native hashing where there is one, else our
 * own in WebAssembly SIMD, behind Fr32 in WebAssembly SIMD or JavaScript.
 */
export function chooseEngine(machine: Machine, parts: EngineParts = {}): CommpEngine {
  for (const engine of candidates(machine, parts)) if (isRight(engine)) return engine;
  return portableEngine();
}

/** Fastest first; each is made only when those before it were wrong. */
function* candidates(machine: Machine, parts: EngineParts): Generator<CommpEngine> {
  const { loadNative = loadNativeHashPairs, createWasm = createWasmBlockHasher } = parts;
  const native = loadNative(machine);
  if (native !== undefined) {
    const both = createWasm(native);
    if (both !== undefined) yield engineOf('hashtree, Fr32 in WebAssembly SIMD', native, both);
    yield engineOf('hashtree, Fr32 in JavaScript', native, createJsBlockHasher(native));
  }
  const wasm = createWasm();
  if (wasm !== undefined) yield engineOf('sha2-256 and Fr32 in WebAssembly SIMD', hashPairsPortably, wasm);
}
