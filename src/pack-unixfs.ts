import { setImmediate } from 'node:timers/promises';
import { importer, type FileCandidate, type ImportCandidate, type ImporterOptions } from 'ipfs-unixfs-importer';
import { balanced } from 'ipfs-unixfs-importer/layout';
import type { CID } from 'multiformats/cid';
import { BadInput } from './errors.ts';

/** What the nft.storage client (npm, 7) packs with, so that both give a file the same CID. */
const CHUNK_BYTES = 262_144;
const CHILDREN_PER_NODE = 174;
/** A directory of so many entries is a HAMT. Later importers count bytes instead. */
const SHARDED_ENTRIES = 1_000;

const importerOptions: ImporterOptions = {
  cidVersion: 1,
  rawLeaves: true,
  chunker: fixedChunks,
  layout: balanced({ maxChildrenPerNode: CHILDREN_PER_NODE }),
  // One after another: the order of blocks, and so every byte of the CAR, is the same each time.
  fileImportConcurrency: 1,
  blockWriteConcurrency: 1,
};

/** A large directory is made of small steps that never wait: after so many others have their turn. */
const BREATH = 256;

/** Takes a block; the next one comes when it is done. */
export type TakeBlock = (cid: CID, bytes: Uint8Array) => Promise<void>;

/** A file or directory whose blocks were handed over. */
interface Packed {
  cid: CID;
  size: bigint;
}

type Directory = Map<string, Packed | Directory>;

interface PackOptions {
  /** The root is a directory that holds the paths as they are; without it they have one first name, which is the root. */
  wrap?: boolean;
  /** Files and directories, which are held in memory until all came. */
  maxEntries?: number;
  maxNameBytes?: number;
}

/**
 * Packs files and empty directories as the nft.storage client does. Hands each block over once, leaves first; answers the
 * root, undefined when there is nothing. Memory: a chunk, a node, the CIDs, and the names.
 */
export async function packUnixfs(
  files: AsyncIterable<ImportCandidate> | Iterable<ImportCandidate>,
  take: TakeBlock,
  options: PackOptions = {},
): Promise<CID | undefined> {
  const seen = new Set<string>();
  return await packTree(
    files,
    async (cid, bytes) => {
      const key = cid.toString();
      if (seen.has(key)) return;
      seen.add(key);
      await take(cid, bytes);
    },
    options,
  );
}

/** The same, for takers who know a block that comes again. Throws `DUPLICATE_PATH`, `PATH_INVALID`, `TOO_MANY_FILES`. */
export async function packTree(
  files: AsyncIterable<ImportCandidate> | Iterable<ImportCandidate>,
  take: TakeBlock,
  { wrap = false, maxEntries = Infinity, maxNameBytes = Infinity }: PackOptions,
): Promise<CID | undefined> {
  const top: Directory = new Map();
  const held = new Held(maxEntries, maxNameBytes);
  let taken = 0;
  for await (const candidate of files) {
    taken += 1;
    if (taken % BREATH === 0) await setImmediate();
    const names = namesOf(candidate.path ?? '');
    const packed = isFile(candidate) ? await packFile(candidate.content, take) : new Map();
    place(top, names, packed, held);
  }
  if (top.size === 0) return undefined;
  const [only] = top.values();
  return (await packEntry(wrap || only === undefined || top.size > 1 ? top : only, take)).cid;
}

/** One file as it streams in: its leaves, then the nodes above them. The source may take its chunks back. */
export async function packFile(content: FileCandidate['content'], take: TakeBlock): Promise<Packed> {
  const packed = await lastOf(importer([{ content }], blockstore(take), importerOptions));
  if (packed === undefined) throw new Error('the importer gave no file');
  return packed;
}

function isFile(candidate: ImportCandidate): candidate is FileCandidate {
  return 'content' in candidate && candidate.content !== undefined;
}

/** As of file systems. A directory in so many others is all the depth that is built, too. */
const MAX_PATH_BYTES = 4_096;

/** As the client takes paths apart: white space around them, and `.`, count for nothing, and `\` divides like `/`. */
function namesOf(path: string): string[] {
  if (Buffer.byteLength(path) > MAX_PATH_BYTES) {
    throw new BadInput('PATH_INVALID', `the path '${path.slice(0, 40)}…' has more than ${MAX_PATH_BYTES} bytes`);
  }
  const plain = path.split('/').filter((name) => name !== '' && name !== '.');
  const names = plain.join('/').trim().split(/[\\/]/).filter(Boolean);
  if (names.length > 0 && !names.includes('..')) return names;
  throw new BadInput(
    'PATH_INVALID',
    `the path '${path}' names no file in a directory: '..' and empty paths are not taken`,
  );
}

function place(top: Directory, names: readonly string[], packed: Packed | Directory, held: Held): void {
  let directory = top;
  const last = names.length - 1;
  for (const [depth, name] of names.entries()) {
    const known = directory.get(name);
    if (known === undefined) held.add(name);
    if (depth === last) {
      // A directory that is named by itself may have come with its files.
      if (known !== undefined && !(known instanceof Map && packed instanceof Map)) throw duplicate(names);
      directory.set(name, known ?? packed);
      return;
    }
    if (known !== undefined && !(known instanceof Map)) throw duplicate(names);
    const below: Directory = known ?? new Map();
    directory.set(name, below);
    directory = below;
  }
}

/** What the names take of memory. */
class Held {
  readonly #maxEntries: number;
  readonly #maxNameBytes: number;
  #entries = 0;
  #nameBytes = 0;

  constructor(maxEntries: number, maxNameBytes: number) {
    this.#maxEntries = maxEntries;
    this.#maxNameBytes = maxNameBytes;
  }

  add(name: string): void {
    this.#entries += 1;
    this.#nameBytes += Buffer.byteLength(name);
    if (this.#entries <= this.#maxEntries && this.#nameBytes <= this.#maxNameBytes) return;
    const most = `${this.#maxEntries} files and directories, or ${this.#maxNameBytes} bytes of names`;
    throw new BadInput('TOO_MANY_FILES', `more than ${most}: pack them as a CAR, or send several uploads`, {
      details: { maxEntries: this.#maxEntries, maxNameBytes: this.#maxNameBytes },
    });
  }
}

function duplicate(names: readonly string[]): BadInput {
  return new BadInput('DUPLICATE_PATH', `the path '${names.join('/')}' is there twice, or is both file and directory`);
}

async function packEntry(entry: Packed | Directory, take: TakeBlock): Promise<Packed> {
  if (!(entry instanceof Map)) return entry;
  const children: (Packed & { path: string })[] = [];
  for (const [path, child] of entry) children.push({ path, ...(await packEntry(child, take)) });
  return await packDirectory(children, take);
}

/** The importer builds each directory by itself, from entries whose blocks are there. */
async function packDirectory(children: readonly (Packed & { path: string })[], take: TakeBlock): Promise<Packed> {
  const packed = await lastOf(
    importer([], blockstore(take), {
      ...importerOptions,
      wrapWithDirectory: true,
      shardSplitThresholdBytes: children.length >= SHARDED_ENTRIES ? -1 : Infinity,
      async *dagBuilder() {
        for (const [at, child] of children.entries()) {
          if (at % BREATH === BREATH - 1) await setImmediate();
          yield async () => child;
        }
      },
    }),
  );
  if (packed === undefined) throw new Error('the importer gave no directory');
  return packed;
}

function blockstore(take: TakeBlock) {
  let puts = 0;
  return {
    async put(cid: CID, bytes: Uint8Array): Promise<CID> {
      await take(cid, bytes);
      puts += 1;
      if (puts % BREATH === 0) await setImmediate();
      return cid;
    },
  };
}

async function lastOf(entries: AsyncIterable<Packed>): Promise<Packed | undefined> {
  let last: Packed | undefined;
  for await (const { cid, size } of entries) last = { cid, size };
  return last;
}

/** Chunks in memory of their own, an empty one of what is empty. Many files are small: they take no whole chunk. */
async function* fixedChunks(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  let chunk = Buffer.allocUnsafeSlow(0);
  let filled = 0;
  let isFirst = true;
  for await (const bytes of source) {
    for (let from = 0; from < bytes.length; ) {
      const part = bytes.subarray(from, from + CHUNK_BYTES - filled);
      if (filled + part.length > chunk.length) chunk = grow(chunk, filled + part.length);
      chunk.set(part, filled);
      filled += part.length;
      from += part.length;
      if (filled < CHUNK_BYTES) continue;
      yield chunk;
      isFirst = false;
      chunk = Buffer.allocUnsafeSlow(0);
      filled = 0;
    }
  }
  if (filled > 0 || isFirst) yield chunk.subarray(0, filled);
}

/** Four times as large each time, so that little is copied, and never more than a chunk. */
function grow(chunk: Buffer, bytes: number): Buffer<ArrayBuffer> {
  const larger = Buffer.allocUnsafeSlow(Math.min(CHUNK_BYTES, Math.max(bytes, chunk.length * 4)));
  larger.set(chunk);
  return larger;
}
