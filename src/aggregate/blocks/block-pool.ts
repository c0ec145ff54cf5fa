import type { Kysely } from 'kysely';
import type { CID } from 'multiformats/cid';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import { canonicalCid } from '../../filecoin/cid.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { RunReader } from './run-reader.ts';
import { findStoredById, listStoredParts, type StoredUpload } from './stored-upload.ts';
import { memoryOf, UploadBlocks } from './upload-blocks.ts';

/** Memory of all indexes: one of 7 million blocks, or those of 10,000 uploads of some thousands each. */
const MAX_MEMORY_BYTES = 256 * 1024 * 1024;
/** Uploads of which is known what was found in them. */
const MAX_UPLOADS = 10_000;
/** Of a block that no known place has, so many of the uploads asked for last are searched on. */
const SEARCHED_UPLOADS = 4;

interface PoolDeps {
  db: Kysely<DB>;
  store: Pick<ObjectStore, 'read'>;
  maxMemoryBytes?: number;
}

/** An upload whose blocks are read by one caller; disposing lets go of both. */
export interface OpenBlocks extends AsyncDisposable {
  blocks: UploadBlocks;
  reader: RunReader;
}

interface Pooled {
  blocks: UploadBlocks;
  users: number;
}

/** What is known of where blocks lie in the uploads that were asked for last, within a bound of memory. */
export class BlockPool {
  readonly #deps: PoolDeps;
  readonly #maxMemoryBytes: number;
  /** By upload, the one that was asked for last at the end. */
  readonly #pooled = new Map<bigint, Pooled>();
  #memoryBytes = 0;

  constructor(deps: PoolDeps) {
    this.#deps = deps;
    this.#maxMemoryBytes = deps.maxMemoryBytes ?? MAX_MEMORY_BYTES;
  }

  /** Memory of all that is held. */
  get memoryBytes(): number {
    return this.#memoryBytes;
  }

  /** Opens a stored upload. Throws `TOO_MANY_BLOCKS_TO_WALK`, and `UNAVAILABLE` while others take all the memory. */
  async open(upload: StoredUpload, signal: AbortSignal): Promise<OpenBlocks> {
    const known = this.#pooled.get(upload.id);
    if (known?.blocks.upload.version === upload.version) return this.#use(known, signal);
    const parts = await listStoredParts(this.#deps.db, upload);
    const needed = memoryOf(upload, parts.length);
    const bytes = parts.reduce((sum, { length }) => sum + length, 0);
    if (bytes !== upload.runBytes) throw changing(upload);
    // Another caller may have opened it meanwhile.
    const meanwhile = this.#pooled.get(upload.id);
    if (meanwhile?.blocks.upload.version === upload.version) return this.#use(meanwhile, signal);
    this.#makeRoom(upload, needed);
    const made: Pooled = { blocks: new UploadBlocks(upload, parts), users: 0 };
    this.#memoryBytes += needed;
    return this.#use(made, signal);
  }

  /**
   * The upload that holds a block which is no root, among those that were asked for lately: links lead to it from what was
   * just fetched. Undefined when none does.
   */
  async openHolding(cid: CID, signal: AbortSignal): Promise<OpenBlocks | undefined> {
    const latest = [...this.#pooled.values()].toReversed();
    const holding = latest.find(({ blocks }) => blocks.known(cid) !== undefined);
    for (const { blocks } of holding === undefined ? latest.slice(0, SEARCHED_UPLOADS) : [holding]) {
      const upload = await findStoredById(this.#deps.db, blocks.upload.id);
      if (upload === undefined) continue;
      const open = await this.open(upload, signal);
      await using closing = new AsyncDisposableStack();
      closing.use(open);
      if ((await open.blocks.find(cid, open.reader)) === undefined) continue;
      closing.move();
      return open;
    }
    return undefined;
  }

  #use(pooled: Pooled, signal: AbortSignal): OpenBlocks {
    const { blocks } = pooled;
    const { id } = blocks.upload;
    const old = this.#pooled.get(id);
    this.#pooled.delete(id);
    // Its callers go on with it, and its memory is counted until the last of them has left.
    if (old !== undefined && old !== pooled && old.users === 0) this.#memoryBytes -= old.blocks.memoryBytes;
    this.#pooled.set(id, pooled);
    pooled.users += 1;
    const reader = new RunReader(this.#deps.store, blocks.layout, signal);
    let isOpen = true;
    const close = async () => {
      if (isOpen) this.#leave(pooled);
      isOpen = false;
      await reader.close();
    };
    return { blocks, reader, [Symbol.asyncDispose]: close };
  }

  #leave(pooled: Pooled): void {
    pooled.users -= 1;
    if (pooled.users === 0 && this.#pooled.get(pooled.blocks.upload.id) !== pooled) {
      this.#memoryBytes -= pooled.blocks.memoryBytes;
    }
  }

  /** Forgets what nobody reads and was asked for longest ago. */
  #makeRoom({ root }: StoredUpload, needed: number): void {
    if (needed > this.#maxMemoryBytes) throw tooManyBlocks(root);
    for (const [id, { blocks, users }] of this.#pooled) {
      if (this.#memoryBytes + needed <= this.#maxMemoryBytes && this.#pooled.size < MAX_UPLOADS) return;
      if (users > 0) continue;
      this.#pooled.delete(id);
      this.#memoryBytes -= blocks.memoryBytes;
    }
    if (this.#memoryBytes + needed <= this.#maxMemoryBytes && this.#pooled.size < MAX_UPLOADS) return;
    const message = 'as many uploads are being read as there is memory for: try again later';
    throw new LadingError('UNAVAILABLE', message, { retry: 'later' });
  }
}

/** For a CID that carries its block: nothing of it is stored, nor has to be. */
export function nothingStored(cid: CID): OpenBlocks {
  const upload = { id: 0n, root: canonicalCid(cid), complete: true, runBytes: 0, blockCount: 0, version: '' };
  const blocks = new UploadBlocks(upload, []);
  const reader = new RunReader({ read: () => noBytes() }, blocks.layout, new AbortController().signal);
  return { blocks, reader, [Symbol.asyncDispose]: () => reader.close() };
}

async function* noBytes(): AsyncGenerator<Uint8Array> {}

function changing({ root }: StoredUpload): LadingError {
  return new LadingError('UNAVAILABLE', `the upload ${root} is changing: try again`, { retry: 'later' });
}

function tooManyBlocks(root: string): LadingError {
  const message = `the upload ${root} has too many blocks to walk here: fetch all of it as it is stored, without a path and an order`;
  return new LadingError('TOO_MANY_BLOCKS_TO_WALK', message, { details: { root } });
}
