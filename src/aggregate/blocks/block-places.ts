import { randomBytes } from 'node:crypto';
import type { CID } from 'multiformats/cid';
import { keyBytes } from '../receive/dag-tracker.ts';
import { keyedHash } from '../receive/keyed-hash.ts';

const SECRET_BYTES = 8;
const GOLDEN = 0x9e3779b1;
const MIN_SLOT_BITS = 4;
/** Of a block: its key, where its section begins and how long it is. */
const BLOCK_BYTES = 20;
const SLOT_BYTES = 4;
const TAG_BYTES = 4;

/** Where a section lies in the run, its length included. */
export interface SectionPlace {
  offset: number;
  length: number;
}

/**
 * Where the blocks of an upload lie, as numbers in typed arrays: 36 bytes of memory a block at most. Both versions of a CID
 * are one block. A key is 64 bits, of which 32 are by a secret, so that nobody makes keys that fall together; whoever
 * reads a block compares its CID.
 */
export class BlockPlaces {
  readonly #secret = randomBytes(SECRET_BYTES);
  readonly #slotBits: number;
  /** Numbers of blocks and one more; 0: free. */
  readonly #slots: Uint32Array;
  readonly #hashes: Uint32Array;
  readonly #tags: Uint32Array;
  readonly #offsets: Float64Array;
  readonly #lengths: Uint32Array;
  #count = 0;

  constructor(capacity: number) {
    this.#slotBits = slotBitsOf(capacity);
    this.#slots = new Uint32Array(2 ** this.#slotBits);
    this.#hashes = new Uint32Array(capacity);
    this.#tags = new Uint32Array(capacity);
    this.#offsets = new Float64Array(capacity);
    this.#lengths = new Uint32Array(capacity);
  }

  /** Memory for so many blocks. */
  static bytesFor(capacity: number): number {
    return capacity * BLOCK_BYTES + 2 ** slotBitsOf(capacity) * SLOT_BYTES;
  }

  /** Notes where a block lies; of one that is there already nothing changes. */
  add(cid: CID, { offset, length }: SectionPlace): void {
    const [hash, tag] = this.#keyOf(cid);
    const slot = this.#slotOf(hash, tag);
    if (this.#slots[slot] !== 0) return;
    const id = this.#count;
    if (id === this.#lengths.length) throw new Error(`the upload has more than its ${id} blocks`);
    this.#hashes[id] = hash;
    this.#tags[id] = tag;
    this.#offsets[id] = offset;
    this.#lengths[id] = length;
    this.#slots[slot] = id + 1;
    this.#count += 1;
  }

  /** The number of a block; undefined when it was not added. */
  find(cid: CID): number | undefined {
    const [hash, tag] = this.#keyOf(cid);
    const found = this.#slots[this.#slotOf(hash, tag)] ?? 0;
    return found === 0 ? undefined : found - 1;
  }

  placeOf(id: number): SectionPlace {
    return { offset: this.#offsets[id] ?? 0, length: this.#lengths[id] ?? 0 };
  }

  #keyOf(cid: CID): [hash: number, tag: number] {
    const { buffer, byteOffset, byteLength } = keyBytes(cid);
    const chunk = Buffer.from(buffer, byteOffset, byteLength);
    const hash = keyedHash(this.#secret, { chunk, start: 0, end: byteLength }) >>> 0;
    return [hash, byteLength < TAG_BYTES ? 0 : chunk.readUInt32LE(byteLength - TAG_BYTES)];
  }

  /** The slot of the block, or the free one where it belongs. */
  #slotOf(hash: number, tag: number): number {
    const mask = this.#slots.length - 1;
    let slot = Math.imul(hash, GOLDEN) >>> (32 - this.#slotBits);
    for (;;) {
      const taken = this.#slots[slot] ?? 0;
      if (taken === 0 || (this.#hashes[taken - 1] === hash && this.#tags[taken - 1] === tag)) return slot;
      slot = (slot + 1) & mask;
    }
  }
}

/** At least twice as many slots as blocks: a search ends after one or two steps. */
function slotBitsOf(capacity: number): number {
  return Math.max(MIN_SLOT_BITS, Math.ceil(Math.log2(capacity * 2)));
}
