/** Numbers from 0 below a size, a bit each. */
export class BitSet {
  readonly #bits: Uint8Array;
  #count = 0;

  constructor(size: number) {
    this.#bits = new Uint8Array(Math.ceil(size / 8));
  }

  /** How many are in it. */
  get count(): number {
    return this.#count;
  }

  add(number: number): void {
    if (this.has(number)) return;
    const at = Math.floor(number / 8);
    this.#bits[at] = (this.#bits[at] ?? 0) | (1 << (number % 8));
    this.#count += 1;
  }

  has(number: number): boolean {
    return (((this.#bits[Math.floor(number / 8)] ?? 0) >> (number % 8)) & 1) === 1;
  }
}
