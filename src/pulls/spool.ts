import { mkdir, open, readdir, rm, statfs, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { SpaceGuard, type ReceiveLimits } from '../aggregate/receive/receive-limits.ts';

const SUFFIX = '.part';
const READ_BYTES = 256 * 1024;

/**
 * What came of a pull, in a file: an attempt that was cut, by its origin or by the end of this process, goes on behind it.
 * A machine that loses power may lose the end of it or find zeros there; each block is checked again as it is read.
 */
export class Spool implements AsyncDisposable {
  readonly #file: FileHandle;
  readonly #path: string;
  readonly #space: SpaceGuard;
  #bytes: number;

  private constructor(file: FileHandle, place: { path: string; bytes: number; space: SpaceGuard }) {
    this.#file = file;
    this.#path = place.path;
    this.#bytes = place.bytes;
    this.#space = place.space;
  }

  static async open(folder: string, pullId: string, limits: ReceiveLimits): Promise<Spool> {
    await mkdir(folder, { recursive: true });
    const path = join(folder, pullId + SUFFIX);
    const file = await open(path, 'a+');
    const { size: bytes } = await file.stat();
    return new Spool(file, { path, bytes, space: new SpaceGuard({ freeBytes: () => freeBytes(folder) }, limits) });
  }

  get bytes(): number {
    return this.#bytes;
  }

  async empty(): Promise<void> {
    await this.#file.truncate(0);
    this.#bytes = 0;
  }

  /** Throws `STORE_FULL` where so many more bytes have no room beside what is to stay free. */
  async expect(moreBytes: number): Promise<void> {
    await this.#space.expect(moreBytes);
  }

  /** What is here, and then what comes, which is here too before it is handed on. */
  async *through(coming: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    yield* this.#kept();
    for await (const chunk of coming) {
      await this.#space.wrote(chunk.length);
      await this.#file.appendFile(chunk);
      this.#bytes += chunk.length;
      yield chunk;
    }
  }

  /** A chunk is good until the next one is asked for. */
  async *#kept(): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    const end = this.#bytes;
    for (let at = 0; at < end; ) {
      const { bytesRead } = await this.#file.read(buffer, 0, Math.min(READ_BYTES, end - at), at);
      if (bytesRead === 0) throw new Error(`the file of a pull ends at byte ${at} of ${end}`);
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  }

  async remove(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
  }
}

async function freeBytes(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}

/** Removes what is here of pulls that nobody waits for any more. */
export async function sweepSpools(
  folder: string,
  waiting: (pullIds: readonly string[]) => Promise<ReadonlySet<string>>,
): Promise<number> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const ids = names.filter((name) => name.endsWith(SUFFIX)).map((name) => name.slice(0, -SUFFIX.length));
  const wanted = await waiting(ids);
  const done = ids.filter((id) => !wanted.has(id));
  for (const id of done) await rm(join(folder, id + SUFFIX), { force: true });
  return done.length;
}
