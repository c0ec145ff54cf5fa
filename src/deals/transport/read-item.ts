import { itemsWithin, readHead } from '../../filecoin/cbor-scan.ts';

/** Messages are below this; longer ones make room for twice as much at a time. */
const FIRST_ROOM_BYTES = 4_096;

/** Major types of byte strings and texts, whose argument is a length. */
const isString = (major: number): boolean => major === 2 || major === 3;

/**
 * Bytes that come in chunks, and how far they were read as one CBOR item. Each head is read once, however small the
 * chunks: a peer that sends byte by byte would cost minutes otherwise.
 */
class GrowingItem {
  readonly #maxBytes: number;
  #bytes = new Uint8Array(FIRST_ROOM_BYTES);
  #length = 0;
  /** Where the next head begins; beyond the bytes while a string is not whole. */
  #offset = 0;
  /** Items still to come, the one at the offset included. */
  #due = 1n;

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes;
  }

  add(chunk: Uint8Array): void {
    const length = this.#length + chunk.length;
    if (length > this.#maxBytes) throw new Error(`the reply exceeds ${this.#maxBytes} bytes`);
    if (length > this.#bytes.length) {
      const roomier = new Uint8Array(Math.max(length, 2 * this.#bytes.length));
      roomier.set(this.#bytes.subarray(0, this.#length));
      this.#bytes = roomier;
    }
    this.#bytes.set(chunk, this.#length);
    this.#length = length;
  }

  /** The item once it is whole. Throws FormatError as soon as the bytes cannot become one. */
  whole(): Uint8Array | undefined {
    const received = this.#bytes.subarray(0, this.#length);
    while (this.#due > 0n) {
      const head = this.#offset < this.#length ? readHead(received, this.#offset) : undefined;
      if (head === undefined) return undefined;
      const { major, argument, end } = head;
      if (isString(major) && argument > BigInt(this.#maxBytes))
        throw new Error(`the reply exceeds ${this.#maxBytes} bytes`);
      this.#offset = isString(major) ? end + Number(argument) : end;
      this.#due += itemsWithin(major, argument) - 1n;
    }
    return this.#offset <= this.#length ? received.slice(0, this.#offset) : undefined;
  }
}

/**
 * Bytes of the first CBOR item, whatever the chunks; the stream need not end. Undefined when it ends before. Throws for
 * bytes that cannot become an item, and for more than `maxBytes`.
 */
export async function readItem(
  stream: AsyncIterable<{ subarray(): Uint8Array }>,
  maxBytes: number,
): Promise<Uint8Array | undefined> {
  const item = new GrowingItem(maxBytes);
  for await (const chunk of stream) {
    item.add(chunk.subarray());
    const whole = item.whole();
    if (whole !== undefined) return whole;
  }
  return undefined;
}
