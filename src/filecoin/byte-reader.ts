const EMPTY = new Uint8Array();
/** The least that the shared buffer grows to: most blocks are 256 KiB or smaller, and their CID comes with them. */
const SHARED_BYTES = 264 * 1024;

/** Pulls exact numbers of bytes out of a stream of chunks; holds one chunk and what one `take` asks for. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>;
  #chunk: Uint8Array = EMPTY;
  /** First byte of the chunk that is not taken yet. */
  #position = 0;
  #offset = 0;
  #ended = false;
  /** What `takeShared` gathers in. */
  #shared: Uint8Array = EMPTY;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** Bytes taken so far, which is where the next one lies. */
  get offset(): number {
    return this.#offset;
  }

  /** The next byte if it is here; undefined when only `byte` can tell. Waiting for what is here costs small blocks most. */
  byteHere(): number | undefined {
    if (this.#available() === 0) return undefined;
    const byte = this.#chunk[this.#position];
    this.#advance(1);
    return byte;
  }

  /** As `take` if all of it is here, as a view; undefined when only `take` can tell. */
  takeHere(length: number): Uint8Array | undefined {
    return this.#available() >= length ? this.#cut(length) : undefined;
  }

  /** The next byte, or undefined at the end. */
  async byte(): Promise<number | undefined> {
    if (!(await this.#fill())) return undefined;
    const byte = this.#chunk[this.#position];
    this.#advance(1);
    return byte;
  }

  /** Exactly `length` bytes, or the fewer that are left. A view where one chunk has them all. */
  async take(length: number): Promise<Uint8Array> {
    if (length === 0 || !(await this.#fill())) return EMPTY;
    if (this.#available() >= length) return this.#cut(length);
    return this.#gather(new Uint8Array(length));
  }

  /**
   * As `take`, but what one chunk does not have lies in a buffer that the next call uses again: a new one for each block
   * costs its clearing, its page faults and a collection of garbage, which together is half as much as its hashing.
   */
  async takeShared(length: number): Promise<Uint8Array> {
    if (length === 0 || !(await this.#fill())) return EMPTY;
    if (this.#available() >= length) return this.#cut(length);
    if (this.#shared.length < length) this.#shared = new Uint8Array(Math.max(length, SHARED_BYTES));
    return this.#gather(this.#shared.subarray(0, length));
  }

  /** Passes over up to `length` bytes and gives how many there were. */
  async skip(length: number): Promise<number> {
    let skipped = 0;
    while (skipped < length && (await this.#fill())) {
      skipped += this.#cut(Math.min(this.#available(), length - skipped)).length;
    }
    return skipped;
  }

  /** Tells a source that has not ended that no more is wanted of it. */
  async close(): Promise<void> {
    if (this.#ended) return;
    this.#ended = true;
    await this.#source.return?.();
  }

  /** Fills `taken`; gives the part of it that the input had bytes for. */
  async #gather(taken: Uint8Array): Promise<Uint8Array> {
    let filled = 0;
    while (filled < taken.length && (await this.#fill())) {
      const part = this.#cut(Math.min(this.#available(), taken.length - filled));
      taken.set(part, filled);
      filled += part.length;
    }
    return taken.subarray(0, filled);
  }

  /** Makes at least one byte available; false at the end. */
  async #fill(): Promise<boolean> {
    while (this.#available() === 0) {
      if (this.#ended) return false;
      const next = await this.#source.next();
      if (next.done === true) this.#ended = true;
      else this.#chunk = next.value;
      this.#position = 0;
    }
    return true;
  }

  #available(): number {
    return this.#ended ? 0 : this.#chunk.length - this.#position;
  }

  #cut(length: number): Uint8Array {
    const part = this.#chunk.subarray(this.#position, this.#position + length);
    this.#advance(length);
    return part;
  }

  #advance(length: number): void {
    this.#position += length;
    this.#offset += length;
  }
}
