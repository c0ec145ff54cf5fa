import { BLOCK_LEVEL, BLOCK_UNITS, NODES_PER_UNIT, type BlockHasher } from './block-hasher.ts';
import { maskNodesFunction, padUnitsFunction } from './fr32-wasm.ts';
import { PADDED_UNIT_BYTES, UNIT_BYTES } from './fr32.ts';
import type { HashPairs } from './pair-hashing.ts';
import { hashPairsFunction, PAIRS_PER_GROUP, SHA256_SCRATCH_BYTES, writeSha256Constants } from './sha256-wasm.ts';
import { NODE_BYTES, zeroRoot } from './tree.ts';
import { encodeModule } from './wasm-emitter.ts';

const PAGE_BYTES = 64 * 1024;
/** Vector code is at its best where no access crosses a cache line. */
const LINE_BYTES = 64;

const align = (at: number): number => Math.ceil(at / LINE_BYTES) * LINE_BYTES;
/** The memory: what sha2-256 needs, the payload and the byte that Fr32 reads after it, the leaves, two layers in turn. */
const PAYLOAD_AT = align(SHA256_SCRATCH_BYTES);
const LEAVES_AT = align(PAYLOAD_AT + BLOCK_UNITS * UNIT_BYTES + 1);
const LEAVES_BYTES = BLOCK_UNITS * PADDED_UNIT_BYTES;
const ODD_LAYERS_AT = LEAVES_AT + LEAVES_BYTES;
const EVEN_LAYERS_AT = ODD_LAYERS_AT + LEAVES_BYTES / 2;
const MEMORY_BYTES = EVEN_LAYERS_AT + LEAVES_BYTES / 4;
const MEMORY_PAGES = Math.ceil(MEMORY_BYTES / PAGE_BYTES);

interface Kernel {
  memory: Uint8Array;
  padUnits(source: number, target: number, units: number): void;
  maskNodes(nodes: number, count: number): void;
  hashPairs(pairs: number, nodes: number, groups: number): void;
}

/** As much of the WebAssembly API as is used here; neither our TypeScript libraries nor Node's types declare it. */
interface WasmApi {
  validate(code: Uint8Array): boolean;
  Memory: new (limits: { initial: number; maximum: number }) => { buffer: ArrayBuffer };
  Module: new (code: Uint8Array) => object;
  Instance: new (module: object, imports: object) => { exports: object };
}
const wasm: WasmApi | undefined = Reflect.get(globalThis, 'WebAssembly');

/** Compiles the kernels, a few kilobytes of code; undefined where WebAssembly or its SIMD is missing. */
function createKernel(): Kernel | undefined {
  const code = encodeModule([padUnitsFunction, maskNodesFunction, hashPairsFunction], MEMORY_PAGES);
  if (wasm?.validate(code) !== true) return undefined;
  const memory = new wasm.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
  const { exports } = new wasm.Instance(new wasm.Module(code), { env: { memory } });
  const bytes = new Uint8Array(memory.buffer);
  writeSha256Constants(bytes);
  // The module's exports are what the three functions say; nothing tells TypeScript so.
  return { memory: bytes, ...(exports as unknown as Omit<Kernel, 'memory'>) };
}

/** One layer of a tree on its way up: where its nodes are, and the views that native hashing wants. */
interface Layer {
  at: number;
  nextAt: number;
  count: number;
  pairs: Uint8Array;
  nodes: Uint8Array;
}

const layerAt = (level: number): number => {
  if (level === 0) return LEAVES_AT;
  return level % 2 === 1 ? ODD_LAYERS_AT : EVEN_LAYERS_AT;
};

function describeLayer(memory: Uint8Array, level: number, count: number): Layer {
  const at = layerAt(level);
  const nextAt = layerAt(level + 1);
  return {
    at,
    nextAt,
    count,
    pairs: memory.subarray(at, at + count * NODE_BYTES),
    nodes: memory.subarray(nextAt, nextAt + (count / 2) * NODE_BYTES),
  };
}

/** How a kernel hashes one layer into the next. */
function layerHasher(kernel: Kernel, native: HashPairs | undefined): (layer: Layer) => void {
  if (native !== undefined) return ({ pairs, nodes }) => native(pairs, nodes);
  // The last group may take in what lies behind the layer, and leave as much behind the next one: both are scratch.
  return ({ at, nextAt, count }) => kernel.hashPairs(at, nextAt, Math.ceil(count / 2 / PAIRS_PER_GROUP));
}

/**
 * Fr32 and masks in WebAssembly SIMD, which reads and writes the memory that `native` hashes in; without `native` its own
 * sha2-256. Undefined where WebAssembly or its SIMD is missing.
 */
export function createWasmBlockHasher(native?: HashPairs): BlockHasher | undefined {
  const kernel = createKernel();
  if (kernel === undefined) return undefined;
  const { memory } = kernel;
  const hashLayer = layerHasher(kernel, native);
  const fullLayers = Array.from({ length: BLOCK_LEVEL }, (_, level) =>
    describeLayer(memory, level, 2 ** (BLOCK_LEVEL - level)),
  );
  const layerOf = (level: number, count: number): Layer => {
    const full = fullLayers[level];
    return full?.count === count ? full : describeLayer(memory, level, count);
  };
  const padAll = (payload: Uint8Array): number => {
    const units = Math.ceil(payload.length / UNIT_BYTES);
    memory.set(payload, PAYLOAD_AT);
    memory.fill(0, PAYLOAD_AT + payload.length, PAYLOAD_AT + units * UNIT_BYTES);
    kernel.padUnits(PAYLOAD_AT, LEAVES_AT, units);
    return units * NODES_PER_UNIT;
  };
  return {
    root(payload, topLevel) {
      let count = padAll(payload);
      for (let level = 0; level < topLevel; level++) {
        // An odd layer has room for one more node: it is shorter than its full length, a power of two.
        if (count % 2 === 1) memory.set(zeroRoot(level), layerAt(level) + count++ * NODE_BYTES);
        hashLayer(layerOf(level, count));
        count /= 2;
        kernel.maskNodes(layerAt(level + 1), count);
      }
      return memory.slice(layerAt(topLevel), layerAt(topLevel) + NODE_BYTES);
    },
  };
}
