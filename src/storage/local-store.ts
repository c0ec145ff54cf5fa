import { randomUUID } from 'node:crypto';
import { mkdir, open, opendir, readdir, rm, stat, statfs } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { isMissing, sizeOf, syncFolder, writeFault } from './durable-file.ts';
import { freeBytesIn } from './free-bytes.ts';
import { LocalStage } from './local-stage.ts';
import { fileToKey, keyToFile } from './object-key.ts';
import { objectMissing, objectShort } from './store-faults.ts';
import type { ReadOptions, ServiceStore, StagedObject, StoredObject } from './store.ts';

/** Large enough that a sequential read runs at the disk's speed, small enough for many readers at once. */
const READ_CHUNK_BYTES = 512 * 1024;
/** Buffers kept for reads that pass, 4 MiB: as many as one process reads side by side to hash. */
const MAX_FREE_BUFFERS = 8;

/**
 * The object store in a folder: `objects/<shard>/<key with ~ for />` and `staging/<uuid>` of what is being written.
 * Data and names are fsynced before `commit` returns.
 */
export class LocalStore implements ServiceStore {
  readonly #objects: string;
  readonly #staging: string;
  /** For reads that pass; each was given back by one that has ended. */
  readonly #freeBuffers: Buffer[] = [];
  readonly #shards = new Map<string, Promise<string>>();

  /** Use `openLocalStore`. */
  constructor(folder: string) {
    this.#objects = join(folder, 'objects');
    this.#staging = join(folder, 'staging');
  }

  async stage(key: string): Promise<StagedObject> {
    const path = join(this.#staging, randomUUID());
    const { shard, name } = keyToFile(key);
    try {
      const folder = await this.#shard(shard);
      return new LocalStage(path, await open(path, 'wx'), { key, folder, path: join(folder, name) });
    } catch (error) {
      throw writeFault(error);
    }
  }

  async *read(
    key: string,
    offset: number,
    length: number,
    { passing = false }: ReadOptions = {},
  ): AsyncGenerator<Uint8Array> {
    const path = this.#path(key);
    const file = await open(path, 'r').catch((error: unknown) => {
      throw isMissing(error) ? objectMissing(key) : error;
    });
    const reused = passing ? (this.#freeBuffers.pop() ?? Buffer.allocUnsafeSlow(READ_CHUNK_BYTES)) : undefined;
    try {
      const { size } = await file.stat();
      if (size < offset + length) throw objectShort(key, size, offset + length);
      for (let at = offset; at < offset + length; ) {
        const wanted = Math.min(READ_CHUNK_BYTES, offset + length - at);
        const chunk = reused?.subarray(0, wanted) ?? Buffer.allocUnsafe(wanted);
        const { bytesRead } = await file.read(chunk, 0, chunk.length, at);
        if (bytesRead === 0) throw objectShort(key, at, offset + length);
        at += bytesRead;
        yield chunk.subarray(0, bytesRead);
      }
    } finally {
      if (reused !== undefined && this.#freeBuffers.length < MAX_FREE_BUFFERS) this.#freeBuffers.push(reused);
      await file.close();
    }
  }

  async size(key: string): Promise<number | undefined> {
    return sizeOf(this.#path(key));
  }

  async remove(key: string): Promise<void> {
    await rm(this.#path(key), { force: true });
  }

  async *list(): AsyncGenerator<StoredObject> {
    for (const shard of (await readdir(this.#objects)).sort()) {
      for await (const entry of await opendir(join(this.#objects, shard))) {
        const found = await stat(join(this.#objects, shard, entry.name)).catch(() => undefined);
        if (found !== undefined) yield { key: fileToKey(entry.name), sizeBytes: found.size, modifiedAt: found.mtime };
      }
    }
  }

  async freeBytes(): Promise<number> {
    return await freeBytesIn(this.#objects);
  }

  async probe(): Promise<void> {
    await statfs(this.#objects);
  }

  async sweepStaging(graceMs: number): Promise<number> {
    let swept = 0;
    for (const name of await readdir(this.#staging)) {
      const path = join(this.#staging, name);
      const found = await stat(path).catch(() => undefined);
      if (found === undefined || (graceMs > 0 && found.mtimeMs > Date.now() - graceMs)) continue;
      await rm(path, { force: true, recursive: true });
      swept += 1;
    }
    return swept;
  }

  /** Nothing is held open between calls. */
  close(): void {}

  #path(key: string): string {
    const { shard, name } = keyToFile(key);
    return join(this.#objects, shard, name);
  }

  /** The shard's folder, made durable once a process: a commit must not rest on a folder that a crash can lose. */
  #shard(shard: string): Promise<string> {
    const known = this.#shards.get(shard);
    if (known !== undefined) return known;
    const made = this.#makeShard(shard);
    this.#shards.set(shard, made);
    made.catch(() => this.#shards.delete(shard));
    return made;
  }

  async #makeShard(shard: string): Promise<string> {
    const folder = join(this.#objects, shard);
    await mkdir(folder, { recursive: true });
    await syncFolder(this.#objects);
    return folder;
  }
}

/** Opens the store in `folder`, making it when it is not there. */
export async function openLocalStore(folder: string): Promise<LocalStore> {
  const root = resolve(folder);
  await mkdir(join(root, 'objects'), { recursive: true });
  await mkdir(join(root, 'staging'), { recursive: true });
  await syncFolder(root);
  await syncFolder(resolve(root, '..'));
  return new LocalStore(root);
}
