import { CID } from 'multiformats/cid';
import { carV1Header, encodeSectionHead } from '../filecoin/car.ts';
import { canonicalCid } from '../filecoin/cid.ts';
import { ClientError } from './client-error.ts';
import type { CarBlock } from './read-car.ts';

/** An upload that was looked through once: its root is known, and which part has which block. */
export interface PlannedUpload {
  root: CID;
  /** The root's block. */
  top: CarBlock;
  /** Lengths of the parts, each a whole CAR with the root's block in it. */
  partBytes: readonly number[];
  /** The part with this block; undefined when there is none. */
  partOf(cid: string): number | undefined;
  /** The CAR of a part. Earlier parts are read again only when one is asked for out of order. Throws `FILE_CHANGED`. */
  readPart(part: number): AsyncGenerator<Uint8Array>;
  /** Ends a reading that was left. */
  close(): Promise<void>;
}

/** Blocks in an order that is the same each time, each CID once or more. */
type ReadBlocks = () => AsyncGenerator<CarBlock>;

/** A break costs one part at most; as much as nft.storage allowed in one request. */
export const PART_BYTES = 100 * 1024 * 1024;

interface PlanInput {
  /** Undefined: the last block is the root, as UnixFS importers write it. */
  root: CID | undefined;
  readBlocks: ReadBlocks;
  partBytes: number;
}

/** Looks through all blocks once, keeping their CIDs and the root's block. Throws `ROOT_NOT_IN_CAR`. */
export async function planParts({ root, readBlocks, partBytes }: PlanInput): Promise<PlannedUpload> {
  const parts = new Map<string, number>();
  const lengths = [0];
  const rootKey = root && canonicalCid(root);
  let top: CarBlock | undefined;
  for await (const block of readBlocks()) {
    const key = canonicalCid(block.cid);
    if (parts.has(key)) continue;
    const length = sectionBytes(block);
    if ((lengths.at(-1) ?? 0) > 0 && (lengths.at(-1) ?? 0) + length > partBytes) lengths.push(0);
    parts.set(key, lengths.length - 1);
    lengths[lengths.length - 1] = (lengths.at(-1) ?? 0) + length;
    if (rootKey === undefined || key === rootKey) top = block;
  }
  if (top === undefined) throw rootMissing();
  return new Plan({ top, parts, lengths, readBlocks });
}

export function rootMissing(): ClientError {
  return new ClientError('ROOT_NOT_IN_CAR', 'there is no block of the root: nothing to send');
}

interface Planned {
  top: CarBlock;
  parts: Map<string, number>;
  /** Of the sections that are the parts' own. */
  lengths: number[];
  readBlocks: ReadBlocks;
}

class Plan implements PlannedUpload {
  readonly root: CID;
  readonly top: CarBlock;
  readonly partBytes: readonly number[];
  readonly #planned: Planned;
  readonly #ownRoot: number | undefined;
  #blocks: AsyncGenerator<CarBlock> | undefined;
  /** The first part of which `#blocks` has yielded nothing yet. */
  #next = 0;
  #held: CarBlock | undefined;
  /** Who reads now. */
  #reader: object | undefined;

  constructor(planned: Planned) {
    const { top, parts, lengths } = planned;
    this.root = top.cid;
    this.top = top;
    this.#planned = planned;
    this.#ownRoot = parts.get(canonicalCid(top.cid));
    const headBytes = carV1Header(this.root).length;
    const rootBytes = sectionBytes(top);
    this.partBytes = lengths.map((own, part) => headBytes + own + (part === this.#ownRoot ? 0 : rootBytes));
  }

  partOf(cid: string): number | undefined {
    return this.#planned.parts.get(canonicalCid(CID.parse(cid)));
  }

  async *readPart(part: number): AsyncGenerator<Uint8Array> {
    const reader = {};
    this.#reader = reader;
    let length = 0;
    for await (const bytes of this.#partBytes(part, reader)) {
      length += bytes.length;
      yield bytes;
    }
    // A reader that another one took the place of ends early: nothing changed.
    if (length !== this.partBytes[part] && this.#reader === reader) throw changed();
  }

  async *#partBytes(part: number, reader: object): AsyncGenerator<Uint8Array> {
    yield carV1Header(this.root);
    if (part !== this.#ownRoot) yield* section(this.top);
    for await (const block of this.#ownBlocks(part, reader)) yield* section(block);
  }

  async *#ownBlocks(part: number, reader: object): AsyncGenerator<CarBlock> {
    if (this.#blocks === undefined || part < this.#next) await this.#rewind();
    this.#next = part + 1;
    const sent = new Set<string>();
    // A body that broke may still be read ahead of: it must take no blocks from the reader after it.
    while (this.#reader === reader) {
      const block = await this.#take();
      if (block === undefined || this.#reader !== reader) return;
      const key = canonicalCid(block.cid);
      const own = this.#planned.parts.get(key);
      if (own === undefined) throw changed();
      if (own < part || sent.has(key)) continue;
      if (own > part) {
        this.#held = block;
        return;
      }
      sent.add(key);
      yield block;
    }
  }

  async #take(): Promise<CarBlock | undefined> {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) return held;
    const next = await this.#blocks?.next();
    return next === undefined || next.done === true ? undefined : next.value;
  }

  async #rewind(): Promise<void> {
    await this.close();
    this.#held = undefined;
    this.#blocks = this.#planned.readBlocks();
  }

  async close(): Promise<void> {
    await this.#blocks?.return(undefined);
  }
}

function changed(): ClientError {
  return new ClientError('FILE_CHANGED', 'what is sent changed meanwhile: try again');
}

export function sectionBytes({ cid, bytes }: CarBlock): number {
  return encodeSectionHead(cid, bytes.length).length + bytes.length;
}

export function* section({ cid, bytes }: CarBlock): Generator<Uint8Array> {
  yield encodeSectionHead(cid, bytes.length);
  yield bytes;
}
