import type { KeyBuckets } from './key-buckets.ts';

type KeyHash = Pick<KeyBuckets, 'hashOf'>;

const GOLDEN = 0x9e3779b1;
const MIN_SLOT_BITS = 10;

/**
 * The distinct keys of one bucket, by where they lie in its bytes: strings and sets of millions of them would leave the
 * collector more than it takes away in time. One table serves all buckets, one after another.
 */
export class KeyTable {
  readonly #hash: KeyHash;
  #bytes: Buffer = Buffer.alloc(0);
  #slotBits = 0;
  /** By slot: where the key begins and ends, and whether a section has it. An end of 0 is a free slot. */
  #starts = new Uint32Array(0);
  #ends = new Uint32Array(0);
  #held = new Uint8Array(0);
  #wanted = 0;

  constructor(hash: KeyHash) {
    this.#hash = hash;
  }

  /** Takes up a bucket of so many keys, repetitions included. */
  begin(bytes: Buffer, keys: number): void {
    this.#bytes = bytes;
    this.#wanted = 0;
    // At least twice as many slots as keys.
    this.#slotBits = Math.max(MIN_SLOT_BITS, 33 - Math.clz32(keys));
    const slots = 2 ** this.#slotBits;
    if (slots > this.#ends.length) {
      this.#starts = new Uint32Array(slots);
      this.#ends = new Uint32Array(slots);
      this.#held = new Uint8Array(slots);
    } else {
      this.#ends.fill(0, 0, slots);
    }
  }

  /** Keys that a link names and no section has. */
  get wanted(): number {
    return this.#wanted;
  }

  firstWanted(): Buffer | undefined {
    if (this.#wanted === 0) return undefined;
    const slots = 2 ** this.#slotBits;
    for (let slot = 0; slot < slots; slot += 1) {
      if (this.#ends[slot] !== 0 && this.#held[slot] === 0) {
        return Buffer.from(this.#bytes.subarray(this.#starts[slot], this.#ends[slot]));
      }
    }
    return undefined;
  }

  /** A link names the key. */
  want(start: number, end: number): void {
    const slot = this.#find(start, end);
    if (this.#ends[slot] !== 0) return;
    this.#take(slot, start, end);
    this.#held[slot] = 0;
    this.#wanted += 1;
  }

  /** A section has the key; false when one before it had. */
  hold(start: number, end: number): boolean {
    const slot = this.#find(start, end);
    if (this.#ends[slot] === 0) this.#take(slot, start, end);
    else if (this.#held[slot] === 1) return false;
    else this.#wanted -= 1;
    this.#held[slot] = 1;
    return true;
  }

  #take(slot: number, start: number, end: number): void {
    this.#starts[slot] = start;
    this.#ends[slot] = end;
  }

  /** The slot of the key, or the free one where it belongs. */
  #find(start: number, end: number): number {
    const mask = 2 ** this.#slotBits - 1;
    const hash = this.#hash.hashOf({ chunk: this.#bytes, start, end });
    let slot = Math.imul(hash, GOLDEN) >>> (32 - this.#slotBits);
    while (this.#ends[slot] !== 0 && !this.#isAt(slot, start, end)) slot = (slot + 1) & mask;
    return slot;
  }

  #isAt(slot: number, start: number, end: number): boolean {
    const [otherStart = 0, otherEnd = 0] = [this.#starts[slot], this.#ends[slot]];
    if (otherEnd - otherStart !== end - start) return false;
    return this.#bytes.compare(this.#bytes, start, end, otherStart, otherEnd) === 0;
  }
}
