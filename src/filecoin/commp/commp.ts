import { naturalPieceBytes } from '../piece.ts';
import { BLOCK_BYTES, BLOCK_LEVEL } from './block-hasher.ts';
import { chooseEngine, type CommpEngine } from './engine.ts';
import { NODE_BYTES, SubtreeStack } from './tree.ts';

export interface PieceDigest {
  /** The piece commitment (CommP): 32 bytes. */
  root: Uint8Array;
  /** Padded size of the piece: the smallest power of two that holds the payload. */
  paddedBytes: bigint;
  /** Bytes given to `update`. */
  rawBytes: bigint;
}

/** A piece commitment in the making. Takes about 260 KiB, however long the stream. */
export interface Commp {
  update(bytes: Uint8Array): void;
  /** The commitment of all bytes so far; more may follow. */
  digest(): PieceDigest;
  /** The root over the 2^level leaves that all bytes so far begin and zeros fill. Throws RangeError if they do not fit. */
  rootAt(level: number): Uint8Array;
}

/**
 * CommP of a stream at its natural size (fr32-sha2-256-trunc254-padded-binary-tree, FRC-0069).
 * Without `engine` only what `process.arch` alone makes safe is used; the product passes src/hashing/commp-engine.ts's.
 */
export function createCommp(engine: CommpEngine = chooseEngine({ arch: process.arch })): Commp {
  return new StreamingCommp(engine);
}

class StreamingCommp implements Commp {
  readonly #engine: CommpEngine;
  readonly #stack: SubtreeStack;
  /** The payload of the block in hand. */
  readonly #block = new Uint8Array(BLOCK_BYTES);
  #filled = 0;
  #rawBytes = 0n;

  constructor(engine: CommpEngine) {
    this.#engine = engine;
    this.#stack = new SubtreeStack(engine.hashPairs);
  }

  update(bytes: Uint8Array): void {
    this.#rawBytes += BigInt(bytes.length);
    let offset = this.#filled > 0 ? this.#fill(bytes) : 0;
    for (; bytes.length - offset >= BLOCK_BYTES; offset += BLOCK_BYTES) {
      this.#push(bytes.subarray(offset, offset + BLOCK_BYTES));
    }
    this.#block.set(bytes.subarray(offset), this.#filled);
    this.#filled += bytes.length - offset;
  }

  digest(): PieceDigest {
    const paddedBytes = naturalPieceBytes(this.#rawBytes);
    const level = Math.log2(Number(paddedBytes) / NODE_BYTES);
    return { root: this.rootAt(level), paddedBytes, rawBytes: this.#rawBytes };
  }

  rootAt(level: number): Uint8Array {
    if (Number(naturalPieceBytes(this.#rawBytes)) > NODE_BYTES * 2 ** level) {
      throw new RangeError(`${this.#rawBytes} bytes do not fit into a tree of 2^${level} leaves`);
    }
    if (this.#filled === 0) return this.#stack.rootAt(level);
    const blockLevel = Math.min(level, BLOCK_LEVEL);
    const root = this.#engine.root(this.#block.subarray(0, this.#filled), blockLevel);
    const stack = this.#stack.copy();
    stack.push({ level: blockLevel, root });
    return stack.rootAt(level);
  }

  /** Completes the block in hand as far as `bytes` goes; returns how many bytes that took. */
  #fill(bytes: Uint8Array): number {
    const taken = Math.min(bytes.length, BLOCK_BYTES - this.#filled);
    this.#block.set(bytes.subarray(0, taken), this.#filled);
    this.#filled += taken;
    if (this.#filled === BLOCK_BYTES) {
      this.#push(this.#block);
      this.#filled = 0;
    }
    return taken;
  }

  #push(payload: Uint8Array): void {
    this.#stack.push({ level: BLOCK_LEVEL, root: this.#engine.root(payload, BLOCK_LEVEL) });
  }
}
