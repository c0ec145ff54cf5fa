import { PADDED_UNIT_BYTES, UNIT_BYTES, padUnits } from './fr32.ts';
import type { HashPairs } from './pair-hashing.ts';
import { LayerFolder, NODE_BYTES } from './tree.ts';

/**
 * Units hashed at once, 256 KiB of them: small enough for the L2 cache, large enough that a layer's native call costs
 * little. A power of two: a full block is a whole subtree.
 */
export const BLOCK_UNITS = 2048;
export const NODES_PER_UNIT = PADDED_UNIT_BYTES / NODE_BYTES;
/** Bytes of payload in a full block. */
export const BLOCK_BYTES = BLOCK_UNITS * UNIT_BYTES;
/** A full block is the subtree of 2^BLOCK_LEVEL leaves. */
export const BLOCK_LEVEL = Math.log2(BLOCK_UNITS * NODES_PER_UNIT);

/** Hashes one block at a time, synchronously, in buffers that all streams of a thread share. */
export interface BlockHasher {
  /**
   * The root over the 2^level leaves that `payload` begins and zeros fill: at least one byte, at most `BLOCK_BYTES`, and
   * no more than 2^level leaves hold; level is at least 2 and at most `BLOCK_LEVEL`. The root is the caller's own.
   */
  root(payload: Uint8Array, level: number): Uint8Array;
}

/** Fr32 and masks in JavaScript, for where WebAssembly has no SIMD. */
export function createJsBlockHasher(hashPairs: HashPairs): BlockHasher {
  const folder = new LayerFolder(hashPairs, BLOCK_UNITS * NODES_PER_UNIT);
  const payloadUnits = new Uint8Array(BLOCK_BYTES);
  // Written as words by Fr32 and read as bytes by hashing.
  const leafWords = new Uint32Array((BLOCK_UNITS * PADDED_UNIT_BYTES) / 4);
  const leaves = new Uint8Array(leafWords.buffer);
  return {
    root(payload, level) {
      const units = Math.ceil(payload.length / UNIT_BYTES);
      payloadUnits.set(payload);
      payloadUnits.fill(0, payload.length, units * UNIT_BYTES);
      padUnits(payloadUnits, leafWords, { sourceOffset: 0, targetUnit: 0, units });
      return folder.fold(leaves, { count: units * NODES_PER_UNIT, level: 0, levels: level }).root;
    },
  };
}
