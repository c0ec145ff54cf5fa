import type { FileHandle } from 'node:fs/promises';
import { openNamelessFile, readAt, writeAt } from './nameless-file.ts';

/** A section in the order stored. Bytes; keys are binary CIDv1s. */
export interface SectionNote {
  key: Uint8Array;
  sectionBytes: number;
  blockBytes: number;
  /** Without repetitions, in the order of the block. */
  links: readonly Uint8Array[];
}

interface LoggedSection extends SectionNote {
  key: Buffer;
  links: Buffer[];
}

/** What is written at once, and read at once: some thousands of sections, and some milliseconds to take apart. */
const CHUNK_BYTES = 256 * 1024;
/** Where the fields of a record lie, and how long those before its key are. */
const BLOCK_BYTES_AT = 4;
const LINK_COUNT_AT = 8;
const KEY_LENGTH_AT = 12;
const HEAD_BYTES = 14;
const LENGTH_BYTES = 2;

/**
 * Sections written down in a file, for what is too much for memory. One record each: section bytes, block bytes, number
 * of links (32 bits each), length of the key (16 bits), the key, then each link with its length before it.
 */
export class SectionLog {
  readonly #file: FileHandle;
  #buffer = Buffer.allocUnsafe(CHUNK_BYTES);
  #filled = 0;
  #position = 0;

  private constructor(file: FileHandle) {
    this.#file = file;
  }

  static async open(folder: string): Promise<SectionLog> {
    return new SectionLog(await openNamelessFile(folder));
  }

  /** Bytes that the records take in the file. */
  get bytes(): number {
    return this.#position + this.#filled;
  }

  /** Takes the bytes at once; a promise only when they must be written before the next section. */
  append(section: SectionNote): Promise<void> | undefined {
    const size = recordBytes(section);
    if (this.#filled + size > this.#buffer.length) return this.#flushThen(section, size);
    this.#filled = writeRecord(this.#buffer, this.#filled, section);
    return undefined;
  }

  async #flushThen(section: SectionNote, size: number): Promise<void> {
    await this.#flush();
    if (size > this.#buffer.length) this.#buffer = Buffer.allocUnsafe(size);
    this.#filled = writeRecord(this.#buffer, 0, section);
  }

  async #flush(): Promise<void> {
    await writeAt(this.#file, this.#buffer.subarray(0, this.#filled), this.#position);
    this.#position += this.#filled;
    this.#filled = 0;
  }

  /** All records in their order, many at a time and none cut. The bytes hold until the next are taken. */
  async *chunks(): AsyncGenerator<Buffer> {
    await this.#flush();
    let buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
    for (let position = 0; position < this.#position; ) {
      const chunk = await readAt(this.#file, buffer, position);
      const whole = wholeRecords(chunk);
      // One record longer than that: a directory of thousands of entries.
      if (whole === 0) buffer = Buffer.allocUnsafeSlow(buffer.length * 2);
      else yield chunk.subarray(0, whole);
      position += whole;
    }
  }

  /** All sections in their order, in memory of their own. */
  async *sections(): AsyncGenerator<LoggedSection> {
    for await (const chunk of this.chunks()) {
      const cursor = new KeyCursor(chunk);
      let more = cursor.next();
      while (more) {
        const { key, sectionBytes, blockBytes } = cursor;
        const links: Buffer[] = [];
        while ((more = cursor.next()) && cursor.isLink) links.push(cursor.key);
        yield { key, sectionBytes, blockBytes, links };
      }
    }
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

function recordBytes({ key, links }: SectionNote): number {
  let bytes = HEAD_BYTES + key.length + links.length * LENGTH_BYTES;
  for (const link of links) bytes += link.length;
  return bytes;
}

function writeRecord(into: Buffer, start: number, { key, sectionBytes, blockBytes, links }: SectionNote): number {
  let at = into.writeUInt32LE(sectionBytes, start);
  at = into.writeUInt32LE(blockBytes, at);
  at = into.writeUInt32LE(links.length, at);
  at = writeKey(into, at, key);
  for (const link of links) at = writeKey(into, at, link);
  return at;
}

function writeKey(into: Buffer, at: number, key: Uint8Array): number {
  const start = into.writeUInt16LE(key.length, at);
  into.set(key, start);
  return start + key.length;
}

/** Bytes of the records that are whole in the chunk. */
function wholeRecords(chunk: Buffer): number {
  let whole = 0;
  for (;;) {
    const end = recordEnd(chunk, whole);
    if (end === undefined) return whole;
    whole = end;
  }
}

function recordEnd(chunk: Buffer, start: number): number | undefined {
  if (start + HEAD_BYTES > chunk.length) return undefined;
  let end = start + HEAD_BYTES + chunk.readUInt16LE(start + KEY_LENGTH_AT);
  for (let links = chunk.readUInt32LE(start + LINK_COUNT_AT); links > 0; links -= 1) {
    if (end + LENGTH_BYTES > chunk.length) return undefined;
    end += LENGTH_BYTES + chunk.readUInt16LE(end);
  }
  return end > chunk.length ? undefined : end;
}

/** Goes through whole records key by key, a section's own and then those of its links, and makes no objects. */
export class KeyCursor {
  readonly chunk: Buffer;
  /** Where the key begins and ends. */
  start = 0;
  end = 0;
  isLink = false;
  /** Of the section whose key, or whose link, this is. */
  sectionBytes = 0;
  blockBytes = 0;
  #linksLeft = 0;

  constructor(chunk: Buffer) {
    this.chunk = chunk;
  }

  /** False at the end. */
  next(): boolean {
    if (this.end >= this.chunk.length) return false;
    let at = this.end;
    this.isLink = this.#linksLeft > 0;
    if (this.isLink) this.#linksLeft -= 1;
    else {
      this.sectionBytes = this.chunk.readUInt32LE(at);
      this.blockBytes = this.chunk.readUInt32LE(at + BLOCK_BYTES_AT);
      this.#linksLeft = this.chunk.readUInt32LE(at + LINK_COUNT_AT);
      at += KEY_LENGTH_AT;
    }
    this.start = at + LENGTH_BYTES;
    this.end = this.start + this.chunk.readUInt16LE(at);
    return true;
  }

  /** A copy. */
  get key(): Buffer {
    return Buffer.from(this.chunk.subarray(this.start, this.end));
  }
}
