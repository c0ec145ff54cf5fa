import type { CID } from 'multiformats/cid';
import { LadingError } from '../../errors.ts';
import { decodeFirstCid } from '../../filecoin/cid.ts';
import { IDENTITY } from '../../filecoin/codes.ts';
import { RunLayout } from '../place/cut-extents.ts';
import type { StoredPart } from '../place/cut-store.ts';
import { keyBytes } from '../receive/dag-tracker.ts';
import { BlockPlaces, type SectionPlace } from './block-places.ts';
import type { RunReader } from './run-reader.ts';
import type { StoredUpload } from './stored-upload.ts';

/** The longest length and CID before a block. */
const HEAD_BYTES = 10 + 512;
/** Who looks for a block lets others look again after so much: theirs may have come by. */
const STRETCH_BYTES = 32 * 1024 * 1024;

/** A block as it is stored: views that are good until the reader's next `take`. */
export interface StoredSection {
  /** As the uploader wrote it: v0 or v1. */
  cid: CID;
  /** Length, CID and block. */
  section: Uint8Array;
  block: Uint8Array;
}

/**
 * The blocks of one stored upload. Nothing is read ahead: looking for a block reads on from where the last search ended, and
 * notes what comes by, so that who takes blocks in stored order reads the bytes once.
 */
export class UploadBlocks {
  readonly upload: StoredUpload;
  readonly layout: RunLayout;
  /** Memory that it takes. */
  readonly memoryBytes: number;
  readonly #places: BlockPlaces;
  /** Sections before it are noted. */
  #frontier = 0;
  #search: Promise<void> | undefined;

  constructor(upload: StoredUpload, parts: readonly StoredPart[]) {
    this.upload = upload;
    this.layout = new RunLayout(parts);
    this.memoryBytes = memoryOf(upload, parts.length);
    this.#places = new BlockPlaces(upload.blockCount);
  }

  /** The number of a block that a search came by. */
  known(cid: CID): number | undefined {
    return this.#places.find(cid);
  }

  /** The number of a block; undefined when the upload has none of this CID. */
  async find(cid: CID, reader: RunReader): Promise<number | undefined> {
    for (;;) {
      const found = this.#places.find(cid);
      if (found !== undefined || this.#frontier === this.upload.runBytes) return found;
      await (this.#search === undefined ? this.#begin(cid, reader) : this.#search.catch(() => undefined));
    }
  }

  /** The block of this number, whose CID is compared. Throws `STORED_BLOCK_DAMAGED`. */
  async read(id: number, cid: CID, reader: RunReader): Promise<StoredSection> {
    const { offset, length } = this.#places.placeOf(id);
    const section = reader.here(offset, length) ?? (await reader.take(offset, length));
    const head = this.#headOf(section, offset);
    if (Buffer.compare(keyBytes(head.cid), keyBytes(cid)) !== 0) throw damaged(this.upload, offset);
    return { cid: head.cid, section, block: section.subarray(head.bytes) };
  }

  async #begin(cid: CID, reader: RunReader): Promise<void> {
    this.#search = this.#searchOn(cid, reader);
    try {
      await this.#search;
    } finally {
      this.#search = undefined;
    }
  }

  /** Reads on until the block is found, or for a while. */
  async #searchOn(cid: CID, reader: RunReader): Promise<void> {
    const { runBytes } = this.upload;
    const wanted = keyBytes(cid);
    const stop = Math.min(runBytes, this.#frontier + STRETCH_BYTES);
    while (this.#frontier < stop) {
      const offset = this.#frontier;
      const length = Math.min(HEAD_BYTES, runBytes - offset);
      const head = this.#headOf(reader.here(offset, length) ?? (await reader.take(offset, length)), offset);
      const place: SectionPlace = { offset, length: head.sectionBytes };
      // The link that names such a block carries it.
      if (head.cid.multihash.code !== IDENTITY) this.#places.add(head.cid, place);
      this.#frontier = offset + head.sectionBytes;
      if (Buffer.compare(keyBytes(head.cid), wanted) === 0) return;
    }
  }

  #headOf(section: Uint8Array, offset: number): { cid: CID; bytes: number; sectionBytes: number } {
    let [length, at] = [0, 0];
    for (let byte = 0x80; byte >= 0x80; at += 1) {
      byte = section[at] ?? 0;
      length += (byte & 0x7f) * 2 ** (7 * at);
    }
    const sectionBytes = at + length;
    if (length === 0 || offset + sectionBytes > this.upload.runBytes) throw damaged(this.upload, offset);
    const cid = cidAt(section.subarray(at), () => damaged(this.upload, offset));
    return { cid, bytes: at + cid.bytes.length, sectionBytes };
  }
}

/** Memory for its index, and for where its parts lie. */
export function memoryOf({ blockCount }: StoredUpload, parts: number): number {
  const bytesOfPart = 200;
  return BlockPlaces.bytesFor(blockCount) + parts * bytesOfPart;
}

function cidAt(bytes: Uint8Array, fault: () => LadingError): CID {
  try {
    return decodeFirstCid(bytes);
  } catch {
    throw fault();
  }
}

function damaged({ root }: StoredUpload, offset: number): LadingError {
  return new LadingError('STORED_BLOCK_DAMAGED', `the upload ${root} is not what it was at byte ${offset} of its run`, {
    details: { root, offset },
  });
}
