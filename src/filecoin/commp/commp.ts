import { naturalPieceBytes } from '../piece.ts';
import { PADDED_UNIT_BYTES, UNIT_BYTES, padUnits } from './fr32.ts';
import { chooseHashPairs, type HashPairs } from './hash-pairs.ts';
import { LayerFolder, NODE_BYTES, SubtreeStack } from './tree.ts';

/**
 * Units hashed at once, 128 KiB of them: small enough for the L2 cache, large enough that a layer's native call costs
 * little. From 256 to 16,384 units the rate differs by some 5 %. A power of two: a full block is a whole subtree.
 */
const BLOCK_UNITS = 1024;
const NODES_PER_UNIT = PADDED_UNIT_BYTES / NODE_BYTES;
const BLOCK_NODES = BLOCK_UNITS * NODES_PER_UNIT;
const BLOCK_LEVEL = Math.log2(BLOCK_NODES);

export interface PieceDigest {
  /** The piece commitment (CommP): 32 bytes. */
  root: Uint8Array;
  /** Padded size of the piece: the smallest power of two that holds the payload. */
  paddedBytes: bigint;
  /** Bytes given to `update`. */
  rawBytes: bigint;
}

/** A piece commitment in the making. Takes about 250 KiB, however long the stream. */
export interface Commp {
  update(bytes: Uint8Array): void;
  /** The commitment of all bytes so far; more may follow. */
  digest(): PieceDigest;
}

/**
 * CommP of a stream at its natural size (fr32-sha2-256-trunc254-padded-binary-tree, FRC-0069).
 * Without `hashPairs` only what `process.arch` alone makes safe is used; the product passes src/commp-engine.ts's.
 */
export function createCommp(hashPairs: HashPairs = chooseHashPairs({ arch: process.arch })): Commp {
  return new StreamingCommp(hashPairs);
}

class StreamingCommp implements Commp {
  readonly #folder: LayerFolder;
  readonly #stack: SubtreeStack;
  /** The leaves of the block in hand, written as words by Fr32 and read as bytes by hashing. */
  readonly #leaves = new Uint8Array(BLOCK_NODES * NODE_BYTES);
  readonly #leafWords = new Uint32Array(this.#leaves.buffer);
  #units = 0;
  /** The bytes of an unfinished unit. */
  readonly #carry = new Uint8Array(UNIT_BYTES);
  #carried = 0;
  #rawBytes = 0n;

  constructor(hashPairs: HashPairs) {
    this.#folder = new LayerFolder(hashPairs, BLOCK_NODES);
    this.#stack = new SubtreeStack(hashPairs);
  }

  update(bytes: Uint8Array): void {
    this.#rawBytes += BigInt(bytes.length);
    let offset = this.#carried > 0 ? this.#fillCarry(bytes) : 0;
    while (bytes.length - offset >= UNIT_BYTES) {
      const units = Math.min(Math.floor((bytes.length - offset) / UNIT_BYTES), BLOCK_UNITS - this.#units);
      this.#pad(bytes, offset, units);
      offset += units * UNIT_BYTES;
    }
    this.#carry.set(bytes.subarray(offset), this.#carried);
    this.#carried += bytes.length - offset;
  }

  digest(): PieceDigest {
    const paddedBytes = naturalPieceBytes(this.#rawBytes);
    const level = Math.log2(Number(paddedBytes) / NODE_BYTES);
    return { root: this.#rootAt(level), paddedBytes, rawBytes: this.#rawBytes };
  }

  /** Completes the unfinished unit as far as `bytes` goes; returns how many bytes that took. */
  #fillCarry(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, UNIT_BYTES - this.#carried);
    this.#carry.set(bytes.subarray(0, taken), this.#carried);
    this.#carried += taken;
    if (this.#carried === UNIT_BYTES) {
      this.#carried = 0;
      this.#pad(this.#carry, 0, 1);
    }
    return taken;
  }

  #pad(bytes: Uint8Array, sourceOffset: number, units: number): void {
    padUnits(bytes, this.#leafWords, { sourceOffset, targetUnit: this.#units, units });
    this.#units += units;
    if (this.#units < BLOCK_UNITS) return;
    this.#stack.push(this.#folder.fold(this.#leaves, { count: BLOCK_NODES, level: 0, levels: BLOCK_LEVEL }));
    this.#units = 0;
  }

  #rootAt(level: number): Uint8Array {
    const units = this.#units + this.#padCarry();
    if (units === 0) return this.#stack.rootAt(level);
    const levels = Math.min(level, BLOCK_LEVEL);
    const last = this.#folder.fold(this.#leaves, { count: units * NODES_PER_UNIT, level: 0, levels });
    const stack = this.#stack.copy();
    stack.push(last);
    return stack.rootAt(level);
  }

  /** Lays the unfinished unit, zero-filled, behind the others without counting it; returns 1, or 0 if there is none. */
  #padCarry(): 0 | 1 {
    if (this.#carried === 0) return 0;
    this.#carry.fill(0, this.#carried);
    padUnits(this.#carry, this.#leafWords, { sourceOffset: 0, targetUnit: this.#units, units: 1 });
    return 1;
  }
}
