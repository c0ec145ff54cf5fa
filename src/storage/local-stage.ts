import { rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { systemClock } from '../clock.ts';
import { nameNew, sizeOf, syncFolder, writeFault } from './durable-file.ts';
import { objectExists, stageClosed } from './store-faults.ts';
import type { StagedObject } from './store.ts';

/** Small writes are gathered to this size: a CAR of small blocks would otherwise cost a system call each. */
const BUFFER_BYTES = 256 * 1024;
/** Dirty pages are written back this often, so that the fsync of a large object's commit stays short. */
const SYNC_EVERY_BYTES = 256 * 1024 * 1024;

/** Where a committed object goes. */
interface Place {
  key: string;
  folder: string;
  path: string;
}

/** A file under `staging/` until `commit` renames it into place. Calls must not overlap. */
export class LocalStage implements StagedObject {
  readonly #path: string;
  readonly #place: Place;
  #file: FileHandle | undefined;
  /** Nothing is under `staging/` any more. */
  #gone = false;
  #buffer = Buffer.alloc(0);
  #used = 0;
  #written = 0;
  #unsynced = 0;

  constructor(path: string, file: FileHandle, place: Place) {
    this.#path = path;
    this.#file = file;
    this.#place = place;
  }

  async write(chunk: Uint8Array): Promise<void> {
    const file = this.#opened();
    if (this.#used + chunk.length > BUFFER_BYTES) await this.#flush(file);
    if (chunk.length >= BUFFER_BYTES) return this.#append(file, chunk);
    if (this.#buffer.length === 0) this.#buffer = Buffer.allocUnsafe(BUFFER_BYTES);
    this.#buffer.set(chunk, this.#used);
    this.#used += chunk.length;
  }

  async commit(): Promise<void> {
    const file = this.#opened();
    const { key, folder, path } = this.#place;
    await this.#flush(file);
    // A body may stall for hours behind its last block: an object that looks as old as that block would be taken for
    // an orphan before its row is there. The clock of file times is the system's.
    await file.utimes(systemClock.now(), systemClock.now());
    await file.sync().catch((error: unknown) => {
      throw writeFault(error);
    });
    await this.#close();
    if (await nameNew(this.#path, path)) this.#gone = true;
    else await this.#yieldTo(key, (await sizeOf(path)) ?? 0);
    await syncFolder(folder);
  }

  async abort(): Promise<void> {
    if (this.#gone) return;
    await this.#close().catch(() => undefined);
    await rm(this.#path, { force: true });
    this.#gone = true;
  }

  /** Objects never change: the same object again (a repeated step of a stage) is dropped, another one is refused. */
  async #yieldTo(key: string, heldBytes: number): Promise<void> {
    if (heldBytes !== this.#written) throw objectExists(key, heldBytes, this.#written);
    await this.abort();
  }

  #opened(): FileHandle {
    if (this.#file === undefined) throw stageClosed();
    return this.#file;
  }

  async #close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    this.#buffer = Buffer.alloc(0);
    await file?.close();
  }

  async #flush(file: FileHandle): Promise<void> {
    const filled = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    if (filled.length > 0) await this.#append(file, filled);
  }

  async #append(file: FileHandle, bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; at < bytes.length; ) {
        const { bytesWritten } = await file.write(bytes, at, bytes.length - at, this.#written);
        at += bytesWritten;
        this.#written += bytesWritten;
        this.#unsynced += bytesWritten;
      }
      if (this.#unsynced >= SYNC_EVERY_BYTES) {
        await file.datasync();
        this.#unsynced = 0;
      }
    } catch (error) {
      throw writeFault(error);
    }
  }
}
