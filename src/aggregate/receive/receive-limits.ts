import { BadInput, LadingError } from '../../errors.ts';
import { formatBytes } from '../../filecoin/units.ts';
import type { ObjectStore } from '../../storage/store.ts';

export interface ReceiveLimits {
  /** Bytes of one request's body. */
  maxUploadBytes: bigint;
  /** Blocks of one request's CAR. */
  maxBlocks: number;
  /** CIDs held in memory for one upload while it arrives; more of them go to a file. */
  heldCids?: number;
  /** The store keeps this much free, so that sealing and the database never meet a full disk. */
  minFreeBytes: bigint;
}

/** About 180 bytes of disk each while it arrives, 12 GB for the most. 256 GiB in blocks of 4 KiB have as many. */
const MAX_BLOCKS = 64_000_000;
/** About 120 bytes of memory each, 24 MB. A 32 GiB file in 256 KiB blocks has 132,000. */
export const HELD_CIDS = 200_000;
/** More than this many a block, on average, is no directory but an attack on memory or disk. */
const MAX_LINKS_PER_BLOCK = 8;

/** Links among so many blocks. */
export function maxLinksOf(maxBlocks: number): number {
  return maxBlocks * MAX_LINKS_PER_BLOCK;
}

/** The limits that follow from the configuration. */
export function receiveLimits({
  maxUploadBytes,
  minFreeBytes,
}: Pick<ReceiveLimits, 'maxUploadBytes' | 'minFreeBytes'>): ReceiveLimits {
  return { maxUploadBytes, minFreeBytes, maxBlocks: MAX_BLOCKS };
}

/** Free space is asked again after this much was written: often enough for minFreeBytes of a gigabyte to hold. */
const SPACE_CHECK_BYTES = 32 * 1024 * 1024;

/** Passes a request body on, and throws once it is longer than allowed or the caller is gone. */
export async function* limitBody(
  body: AsyncIterable<Uint8Array>,
  limits: ReceiveLimits,
  signal: AbortSignal,
): AsyncGenerator<Uint8Array> {
  let bytes = 0;
  for await (const chunk of body) {
    signal.throwIfAborted();
    bytes += chunk.length;
    checkUploadBytes(bytes, limits);
    yield chunk;
  }
}

export function checkUploadBytes(bytes: number, limits: ReceiveLimits): void {
  if (BigInt(bytes) <= limits.maxUploadBytes) return;
  const limit = `${formatBytes(limits.maxUploadBytes)} (${limits.maxUploadBytes} bytes)`;
  throw new BadInput('UPLOAD_TOO_LARGE', `the body is longer than the limit of ${limit}: send it as several uploads`, {
    details: { maxUploadBytes: Number(limits.maxUploadBytes) },
  });
}

/** With so much more than the minimum free, small uploads need not ask each time. */
const ROOMY_BYTES = 1024n * 1024n * 1024n;
/** They take half of that at most, until the store is asked again; many connections may ask at once. */
const ROOMY_UPLOADS = 512;
const SMALL_UPLOAD_BYTES = 1024 * 1024;

/** How many small uploads may still come before a store that had plenty of space is asked again. */
const roomyUploads = new WeakMap<object, number>();

/** Asks the store for its free space before an upload and every so many bytes while it is written. */
export class SpaceGuard {
  readonly #store: Pick<ObjectStore, 'freeBytes'>;
  readonly #minFreeBytes: bigint;
  #unchecked = 0;

  constructor(store: Pick<ObjectStore, 'freeBytes'>, limits: ReceiveLimits) {
    this.#store = store;
    this.#minFreeBytes = limits.minFreeBytes;
  }

  /** `declaredBytes`: what the caller says will come. Throws `STORE_FULL`. */
  async begin(declaredBytes: number | undefined): Promise<void> {
    const left = roomyUploads.get(this.#store) ?? 0;
    if (left === 0 || declaredBytes === undefined || declaredBytes > SMALL_UPLOAD_BYTES) {
      await this.expect(declaredBytes ?? 0);
    } else {
      roomyUploads.set(this.#store, left - 1);
    }
  }

  /** Throws `STORE_FULL` unless `comingBytes` more leave the minimum free. */
  async expect(comingBytes: number): Promise<void> {
    const freeBytes = await this.#store.freeBytes();
    if (freeBytes === undefined) return;
    const spareBytes = BigInt(freeBytes) - BigInt(comingBytes) - this.#minFreeBytes;
    roomyUploads.set(this.#store, spareBytes >= ROOMY_BYTES ? ROOMY_UPLOADS : 0);
    if (spareBytes >= 0n) return;
    const left = `fewer than ${formatBytes(this.#minFreeBytes)} (MIN_FREE_SPACE) would be left free`;
    throw new LadingError('STORE_FULL', `the store has not enough space for this upload: ${left}; try again later`, {
      retry: 'later',
    });
  }

  async wrote(bytes: number): Promise<void> {
    this.#unchecked += bytes;
    if (this.#unchecked < SPACE_CHECK_BYTES) return;
    this.#unchecked = 0;
    await this.expect(0);
  }
}
