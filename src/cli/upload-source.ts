import { createReadStream } from 'node:fs';
import { basename, resolve } from 'node:path';
import { CID } from 'multiformats/cid';
import { BadInput } from '../errors.ts';
import { carV1Header, encodeSectionHead, openCar } from '../filecoin/car.ts';
import { canonicalCid } from '../filecoin/cid.ts';
import { FormatError } from '../filecoin/format-error.ts';
import { packUnixfs } from '../pack-unixfs.ts';
import { openFileTree } from './list-files.ts';
import { pullItems } from './pull-items.ts';

interface Block {
  cid: CID;
  bytes: Uint8Array;
}

/** One argument of `lading upload`, looked through once: its root is known, and which part has which block. */
export interface UploadSource {
  name: string;
  root: CID;
  /** Lengths of the parts, each a whole CAR with the root's block in it. */
  partBytes: readonly number[];
  /** The part with this block; undefined when there is none. */
  partOf(cid: string): number | undefined;
  /** The CAR of a part. Earlier parts are packed again only when one is asked for out of order. Throws `FILE_CHANGED`. */
  readPart(part: number): AsyncGenerator<Uint8Array>;
  [Symbol.asyncDispose](): Promise<void>;
}

/** Blocks in an order that is the same each time, each CID once or more. */
type ReadBlocks = () => AsyncGenerator<Block>;

/** A break costs one part at most; as much as nft.storage allowed in one request. */
export const PART_BYTES = 100 * 1024 * 1024;

/** Opens a CAR, or a file or folder to be packed. Throws `FILE_UNREADABLE`, `NOT_A_FILE`, CAR_*. */
export async function openUploadSource(path: string, partBytes: number = PART_BYTES): Promise<UploadSource> {
  const name = basename(resolve(path));
  if (path.endsWith('.car')) {
    const root = await readCarRoot(path);
    return planParts({ name, root, readBlocks: () => carBlocks(path), partBytes });
  }
  const tree = await openFileTree(path);
  const pack = (take: (block: Block) => Promise<void>) =>
    packUnixfs(tree.candidates(), (cid, bytes) => take({ cid, bytes }));
  return planParts({
    name,
    root: undefined,
    readBlocks: () => pullItems<Block>(async (give) => void (await pack(give))),
    partBytes,
  });
}

async function readCarRoot(path: string): Promise<CID> {
  const file = createReadStream(path);
  const { roots, sections } = await openCar(file).catch((error: unknown) => {
    throw carFault(path, error);
  });
  await sections.return(undefined);
  file.destroy();
  const [root] = roots;
  if (root !== undefined && roots.length === 1) return root;
  throw new BadInput('CAR_ROOTS', `${path} names ${roots.length} roots: one upload has one root`);
}

async function* carBlocks(path: string): AsyncGenerator<Block> {
  try {
    yield* (await openCar(createReadStream(path))).sections;
  } catch (error) {
    throw carFault(path, error);
  }
}

function carFault(path: string, cause: unknown): unknown {
  if (cause instanceof FormatError) return new BadInput(cause.code, `${path}: ${cause.message}`, { cause });
  const unreadable = cause instanceof Error && 'syscall' in cause;
  return unreadable ? new BadInput('FILE_UNREADABLE', `cannot read ${path}`, { cause }) : cause;
}

interface PlanInput {
  name: string;
  /** Undefined: the last block is the root, as the importer writes it. */
  root: CID | undefined;
  readBlocks: ReadBlocks;
  partBytes: number;
}

/** Looks through all blocks once, keeping their CIDs and the root's block. */
async function planParts({ name, root, readBlocks, partBytes }: PlanInput): Promise<UploadSource> {
  const parts = new Map<string, number>();
  const lengths = [0];
  let top: Block | undefined;
  for await (const block of readBlocks()) {
    const key = canonicalCid(block.cid);
    if (parts.has(key)) continue;
    const length = sectionBytes(block);
    if ((lengths.at(-1) ?? 0) > 0 && (lengths.at(-1) ?? 0) + length > partBytes) lengths.push(0);
    parts.set(key, lengths.length - 1);
    lengths[lengths.length - 1] = (lengths.at(-1) ?? 0) + length;
    if (root === undefined || block.cid.equals(root)) top = block;
  }
  if (top === undefined) throw new BadInput('ROOT_NOT_IN_CAR', `${name} has no block of its root: nothing to send`);
  return new PlannedSource({ name, top, parts, lengths, readBlocks });
}

interface Plan {
  name: string;
  top: Block;
  parts: Map<string, number>;
  /** Of the sections that are the parts' own. */
  lengths: number[];
  readBlocks: ReadBlocks;
}

class PlannedSource implements UploadSource {
  readonly name: string;
  readonly root: CID;
  readonly partBytes: readonly number[];
  readonly #plan: Plan;
  readonly #ownRoot: number | undefined;
  #blocks: AsyncGenerator<Block> | undefined;
  /** The first part of which `#blocks` has yielded nothing yet. */
  #next = 0;
  #held: Block | undefined;

  constructor(plan: Plan) {
    this.name = plan.name;
    this.root = plan.top.cid;
    this.#plan = plan;
    this.#ownRoot = plan.parts.get(canonicalCid(plan.top.cid));
    const headBytes = carV1Header(this.root).length;
    const rootBytes = sectionBytes(plan.top);
    this.partBytes = plan.lengths.map((own, part) => headBytes + own + (part === this.#ownRoot ? 0 : rootBytes));
  }

  partOf(cid: string): number | undefined {
    return this.#plan.parts.get(canonicalCid(CID.parse(cid)));
  }

  async *readPart(part: number): AsyncGenerator<Uint8Array> {
    let length = 0;
    for await (const bytes of this.#partBytes(part)) {
      length += bytes.length;
      yield bytes;
    }
    if (length !== this.partBytes[part]) throw this.#changed();
  }

  async *#partBytes(part: number): AsyncGenerator<Uint8Array> {
    yield carV1Header(this.root);
    if (part !== this.#ownRoot) yield* section(this.#plan.top);
    for await (const block of this.#ownBlocks(part)) yield* section(block);
  }

  #changed(): BadInput {
    return new BadInput('FILE_CHANGED', `${this.name} changed while it was sent: try again`);
  }

  async *#ownBlocks(part: number): AsyncGenerator<Block> {
    if (this.#blocks === undefined || part < this.#next) await this.#rewind();
    this.#next = part + 1;
    const sent = new Set<string>();
    for (let block = await this.#take(); block !== undefined; block = await this.#take()) {
      const key = canonicalCid(block.cid);
      const own = this.#plan.parts.get(key);
      if (own === undefined) throw this.#changed();
      if (own < part || sent.has(key)) continue;
      if (own > part) {
        this.#held = block;
        return;
      }
      sent.add(key);
      yield block;
    }
  }

  async #take(): Promise<Block | undefined> {
    const held = this.#held;
    this.#held = undefined;
    if (held !== undefined) return held;
    const next = await this.#blocks?.next();
    return next === undefined || next.done === true ? undefined : next.value;
  }

  async #rewind(): Promise<void> {
    await this.#blocks?.return(undefined);
    this.#held = undefined;
    this.#blocks = this.#plan.readBlocks();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#blocks?.return(undefined);
  }
}

function sectionBytes({ cid, bytes }: Block): number {
  return encodeSectionHead(cid, bytes.length).length + bytes.length;
}

function* section({ cid, bytes }: Block): Generator<Uint8Array> {
  yield encodeSectionHead(cid, bytes.length);
  yield bytes;
}
