const MIN_SLOTS = 1_024;
/** 32 MiB of memory. */
const MAX_SLOTS = 4 * 1024 * 1024;
/** Two words of 32 bits a key: the end of its hash. The second is never 0, which is a free slot. */
const WORDS = 2;
const WORD_BYTES = 4;

/**
 * Keys that came, eight bytes each: millions of texts in a set would take a hundred times that. Two that end alike count
 * as one, which whoever makes such blocks finds out by the second of them being asked for later.
 */
export class SeenKeys {
  #words = new Uint32Array(MIN_SLOTS * WORDS);
  #slots = MIN_SLOTS;
  #count = 0;
  readonly #maxSlots: number;

  constructor(maxSlots = MAX_SLOTS) {
    this.#maxSlots = maxSlots;
  }

  /** No more are to be added. */
  get isFull(): boolean {
    return this.#count * 2 >= this.#maxSlots;
  }

  has(key: string): boolean {
    return this.#words[this.#find(wordAt(key, 2), wordAt(key, 1) || 1) * WORDS + 1] !== 0;
  }

  add(key: string): void {
    if (this.isFull) return;
    if (this.#count * 2 >= this.#slots) this.#grow();
    this.#put(wordAt(key, 2), wordAt(key, 1) || 1);
  }

  #put(first: number, second: number): void {
    const at = this.#find(first, second) * WORDS;
    if (this.#words[at + 1] === 0) this.#count += 1;
    this.#words[at] = first;
    this.#words[at + 1] = second;
  }

  #grow(): void {
    const old = this.#words;
    this.#slots *= 2;
    this.#words = new Uint32Array(this.#slots * WORDS);
    this.#count = 0;
    for (let at = 0; at < old.length; at += WORDS) {
      const second = old[at + 1] ?? 0;
      if (second !== 0) this.#put(old[at] ?? 0, second);
    }
  }

  /** The slot of the key, or the free one where it belongs. */
  #find(first: number, second: number): number {
    const mask = this.#slots - 1;
    let slot = first & mask;
    for (;;) {
      const other = this.#words[slot * WORDS + 1];
      if (other === 0 || (other === second && this.#words[slot * WORDS] === first)) return slot;
      slot = (slot + 1) & mask;
    }
  }
}

/** A word of 32 bits of a key of one byte a character (keyOf), counted from its end. */
function wordAt(key: string, fromEnd: number): number {
  const at = key.length - fromEnd * WORD_BYTES;
  let word = 0;
  for (let n = 0; n < WORD_BYTES; n += 1) word = (word << 8) | key.charCodeAt(at + n);
  return word >>> 0;
}
