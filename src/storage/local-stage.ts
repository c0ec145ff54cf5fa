import { rm } from 'node:fs/promises';
import type { FileHandle } from 'node:fs/promises';
import { systemClock } from '../clock.ts';
import { nameNew, sizeOf, syncFolder, writeFault } from './durable-file.ts';
import { objectExists, stageClosed } from './store-faults.ts';
import type { StagedObject } from './store.ts';

/** Small writes are gathered to this size: a CAR of small blocks would otherwise cost a system call each. */
const BUFFER_BYTES = 256 * 1024;
/** From here on a chunk is written where it lies, in one call with what was gathered: its copy would cost more. */
const DIRECT_BYTES = 64 * 1024;
/** Dirty pages are written back this often, so that the fsync of a large object's commit stays short. */
const SYNC_EVERY_BYTES = 256 * 1024 * 1024;

/** Of each write that only gathers: a promise of its own costs a small block as much as copying it. */
const done = Promise.resolve();

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

  write(chunk: Uint8Array): Promise<void> {
    if (this.#file === undefined || !this.#hasRoomFor(chunk)) return this.#writeOut(chunk);
    this.#gather(chunk);
    return done;
  }

  #hasRoomFor({ length }: Uint8Array): boolean {
    return length < DIRECT_BYTES && this.#used + length <= this.#buffer.length;
  }

  #gather(chunk: Uint8Array): void {
    this.#buffer.set(chunk, this.#used);
    this.#used += chunk.length;
  }

  async #writeOut(chunk: Uint8Array): Promise<void> {
    const file = this.#opened();
    if (chunk.length >= DIRECT_BYTES) return this.#append(file, [...this.#gathered(), chunk]);
    if (this.#used + chunk.length > BUFFER_BYTES) await this.#append(file, this.#gathered());
    if (this.#buffer.length === 0) this.#buffer = Buffer.allocUnsafe(BUFFER_BYTES);
    this.#gather(chunk);
  }

  async commit(): Promise<void> {
    const file = this.#opened();
    const { key, folder, path } = this.#place;
    await this.#append(file, this.#gathered());
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

  /** What waits to be written; to be written before the buffer is filled again. */
  #gathered(): Uint8Array[] {
    const filled = this.#buffer.subarray(0, this.#used);
    this.#used = 0;
    return filled.length > 0 ? [filled] : [];
  }

  async #append(file: FileHandle, chunks: Uint8Array[]): Promise<void> {
    try {
      for (let left = chunks; left.length > 0; ) {
        const { bytesWritten } = await file.writev(left, this.#written);
        this.#written += bytesWritten;
        this.#unsynced += bytesWritten;
        left = behind(left, bytesWritten);
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

/** What is left of chunks of which so many bytes were written. */
function behind(chunks: readonly Uint8Array[], writtenBytes: number): Uint8Array[] {
  let passed = 0;
  return chunks.flatMap((chunk) => {
    const rest = chunk.subarray(Math.max(0, writtenBytes - passed));
    passed += chunk.length;
    return rest.length > 0 ? [rest] : [];
  });
}
