/** Slots, a power of two: 3 MiB of memory. */
const SLOTS = 65_536;
/** A CIDv1 with a hash of 32 bytes has 36; longer ones are not remembered. */
const MAX_KEY_BYTES = 47;
const SLOT_BYTES = MAX_KEY_BYTES + 1;

/**
 * Most of the last keys that came, in a table where one takes the place of another: it forgets, and is never wrong. By the
 * end of the key, which is the end of a hash.
 */
export class RecentKeys {
  /** Each slot the length of its key, then the key. */
  readonly #table = Buffer.alloc(SLOTS * SLOT_BYTES);

  /** Notes the key; false when it is known to have come already. */
  add(key: Uint8Array): boolean {
    const { length } = key;
    if (length > MAX_KEY_BYTES || length < 2) return true;
    const slot = ((key[length - 1] ?? 0) << 8) | (key[length - 2] ?? 0);
    const start = slot * SLOT_BYTES;
    if (this.#table[start] === length && this.#table.compare(key, 0, length, start + 1, start + 1 + length) === 0) {
      return false;
    }
    this.#table[start] = length;
    this.#table.set(key, start + 1);
    return true;
  }
}
