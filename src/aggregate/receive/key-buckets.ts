import { randomBytes } from 'node:crypto';
import type { FileHandle } from 'node:fs/promises';
import { keyedHash, type KeyAt } from './keyed-hash.ts';
import { openNamelessFile, readAt, writeAt } from './nameless-file.ts';

/** Of 64 million CIDs each holds as many as a few megabytes of memory do. */
const BUCKETS = 1_024;
/** What is written at once of one bucket; 16 MiB of memory for all. Holds any record many times over. */
const PAGE_BYTES = 16 * 1024;
/** A page begins with the bytes it uses. */
const PAGE_HEAD_BYTES = 2;
/** The length of a key is far below; the bit says that a section has this key, and that its number follows. */
const HELD_BIT = 0x8000;
const LENGTH_BYTES = 2;
const NUMBER_BYTES = 4;

interface Bucket {
  page: Buffer;
  used: number;
  /** The pages of it that were written, by their number in the file. */
  written: number[];
}

/** Where in the bucket's bytes the key lies, and the number of the section with it; undefined for a link to it. */
export type VisitKey = (start: number, end: number, section: number | undefined) => void;

/**
 * Keys sorted into buckets in a file, by a hash whose key nobody outside knows: what belongs together lies in one bucket,
 * and no sender can make one of them large.
 */
export class KeyBuckets {
  readonly #file: FileHandle;
  readonly #pages = Buffer.allocUnsafe(BUCKETS * PAGE_BYTES);
  readonly #buckets: Bucket[];
  readonly #secret = randomBytes(8);
  #pageCount = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
    this.#buckets = Array.from({ length: BUCKETS }, (_, at) => ({
      page: this.#pages.subarray(at * PAGE_BYTES, (at + 1) * PAGE_BYTES),
      used: PAGE_HEAD_BYTES,
      written: [],
    }));
  }

  static async open(folder: string): Promise<KeyBuckets> {
    return new KeyBuckets(await openNamelessFile(folder));
  }

  /** The number is a section's with this key; without one it is a link. A promise only when a page must be written first. */
  add(key: KeyAt, section: number | undefined): Promise<void> | undefined {
    const bucket = this.#buckets[this.hashOf(key) % BUCKETS];
    if (bucket === undefined) throw new Error('there is a bucket for each hash');
    if (bucket.used + LENGTH_BYTES + NUMBER_BYTES + key.end - key.start <= PAGE_BYTES) {
      put(bucket, key, section);
      return undefined;
    }
    return this.#write(bucket).then(() => put(bucket, key, section));
  }

  async #write(bucket: Bucket): Promise<void> {
    bucket.page.writeUInt16LE(bucket.used, 0);
    bucket.written.push(this.#pageCount);
    this.#pageCount += 1;
    await writeAt(this.#file, bucket.page, (this.#pageCount - 1) * PAGE_BYTES);
    bucket.used = PAGE_HEAD_BYTES;
  }

  /** The hash by which keys are sorted into buckets. */
  hashOf(key: KeyAt): number {
    return keyedHash(this.#secret, key);
  }

  /** The bytes of each bucket, as `visitKeys` takes them. They hold until the next are taken. */
  async *buckets(): AsyncGenerator<Buffer> {
    let buffer = Buffer.allocUnsafeSlow(PAGE_BYTES);
    for (const { page, used, written } of this.#buckets) {
      const bytes = (written.length + 1) * PAGE_BYTES;
      if (bytes > buffer.length) buffer = Buffer.allocUnsafeSlow(bytes * 2);
      let at = 0;
      for (const number of written) {
        await readAt(this.#file, buffer.subarray(at, at + PAGE_BYTES), number * PAGE_BYTES);
        at += PAGE_BYTES;
      }
      page.writeUInt16LE(used, 0);
      buffer.set(page, at);
      yield buffer.subarray(0, at + PAGE_BYTES);
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function put(bucket: Bucket, { chunk, start, end }: KeyAt, section: number | undefined): void {
  const { page } = bucket;
  const length = end - start;
  let at = page.writeUInt16LE(section === undefined ? length : length | HELD_BIT, bucket.used);
  if (section !== undefined) at = page.writeUInt32LE(section, at);
  chunk.copy(page, at, start, end);
  bucket.used = at + length;
}

/** All keys of a bucket in the order in which they were added. */
export function visitKeys(bucket: Buffer, visit: VisitKey): void {
  for (let page = 0; page < bucket.length; page += PAGE_BYTES) {
    const pageEnd = page + bucket.readUInt16LE(page);
    for (let at = page + PAGE_HEAD_BYTES; at < pageEnd; ) {
      const length = bucket.readUInt16LE(at);
      at += LENGTH_BYTES;
      const isHeld = (length & HELD_BIT) !== 0;
      const section = isHeld ? bucket.readUInt32LE(at) : undefined;
      if (isHeld) at += NUMBER_BYTES;
      const end = at + (length & ~HELD_BIT);
      visit(at, end, section);
      at = end;
    }
  }
}

export function countKeys(bucket: Buffer): number {
  let count = 0;
  visitKeys(bucket, () => {
    count += 1;
  });
  return count;
}
