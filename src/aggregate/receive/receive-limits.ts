import { BadInput, LadingError } from '../../errors.ts';
import { formatBytes } from '../../filecoin/units.ts';
import { pieceCapacity } from '../../filecoin/piece.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { emptyRoomBytes } from '../place/placement-rules.ts';

export interface ReceiveLimits {
  /** Bytes of one request's body. */
  maxUploadBytes: bigint;
  /** Bytes of the longest run that an empty aggregate takes: its capacity less header and batch tree. */
  maxRunBytes: bigint;
  /** CIDs held in memory for one upload while its links are followed. */
  maxBlocks: number;
  /** The store keeps this much free, so that sealing and the database never meet a full disk. */
  minFreeBytes: bigint;
}

/** About 120 bytes of memory each: 120 MB for the largest upload. A 32 GiB file in 256 KiB blocks has 132,000. */
const MAX_BLOCKS = 1_000_000;

/** The limits that follow from the configuration. `pieceBytes` is the padded size of a full aggregate. */
export function receiveLimits(
  config: Omit<ReceiveLimits, 'maxRunBytes' | 'maxBlocks'> & { pieceBytes: bigint },
): ReceiveLimits {
  const { maxUploadBytes, minFreeBytes, pieceBytes } = config;
  return {
    maxUploadBytes,
    minFreeBytes,
    maxRunBytes: emptyRoomBytes(pieceCapacity(pieceBytes)),
    maxBlocks: MAX_BLOCKS,
  };
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

/** An upload that fits no aggregate could never be stowed; cutting one into parts comes later. */
export function checkRunBytes(bytes: number, limits: Pick<ReceiveLimits, 'maxRunBytes'>): void {
  if (BigInt(bytes) <= limits.maxRunBytes) return;
  const limit = `${formatBytes(limits.maxRunBytes)} (${limits.maxRunBytes} bytes)`;
  throw new BadInput('UPLOAD_TOO_LARGE', `the blocks take more than the ${limit} that one aggregate holds`, {
    details: { maxRunBytes: Number(limits.maxRunBytes) },
  });
}

/** Asks the store for its free space before an upload and every so many bytes while it is written. */
export class SpaceGuard {
  readonly #store: Pick<ObjectStore, 'freeBytes'>;
  readonly #minFreeBytes: bigint;
  #unchecked = 0;

  constructor(store: Pick<ObjectStore, 'freeBytes'>, limits: ReceiveLimits) {
    this.#store = store;
    this.#minFreeBytes = limits.minFreeBytes;
  }

  /** Throws `STORE_FULL` unless `comingBytes` more leave the minimum free. */
  async expect(comingBytes: number): Promise<void> {
    const freeBytes = await this.#store.freeBytes();
    if (freeBytes === undefined || BigInt(freeBytes) - BigInt(comingBytes) >= this.#minFreeBytes) return;
    throw new LadingError('STORE_FULL', 'the store has not enough free space for this upload; try again later', {
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
