import { crc32 } from 'node:zlib';
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateMultipartUploadCommand,
  UploadPartCommand,
  type CompletedPart,
  type S3Client,
} from '@aws-sdk/client-s3';
import { LadingError } from '../errors.ts';
import { answered, s3Fault } from './s3-faults.ts';
import type { Slots } from './slots.ts';

/**
 * Far above the 5 MiB that S3 demands, so that the requests' cost does not show, and small enough to be held in memory
 * until the store has it: a part is sent again from there, which a stream could not be.
 */
export const PART_BYTES = 8 * 2 ** 20;
/** The bound of S3; 10,000 parts are 78 GiB, which no piece exceeds. */
const MAX_PARTS = 10_000;
/** For one part or a whole small object: 8 MiB at 1 Mbit/s take 67 s. */
export const SEND_TIMEOUT_MS = 120_000;
/** AWS may take minutes to put together an object of thousands of parts. */
const COMPLETE_TIMEOUT_MS = 300_000;
/** For requests that carry no bytes. */
export const ASK_TIMEOUT_MS = 20_000;

/** Where an object goes, and the parts that may be under way at once over the whole store. */
export interface S3Target {
  client: S3Client;
  bucket: string;
  /** The object's name in the bucket: prefix and key. */
  name: string;
  key: string;
  slots: Slots;
}

/** The form in which S3 speaks of a CRC-32. */
export function crcText(crc: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(crc);
  return bytes.toString('base64');
}

/** One multipart upload, with a checksum of each part and one of the whole that the store verifies. */
export class S3Multipart {
  readonly #target: S3Target;
  readonly #uploadId: string;
  readonly #parts: CompletedPart[] = [];
  readonly #sending = new Set<Promise<void>>();
  readonly #stop = new AbortController();
  #fault: LadingError | undefined;

  private constructor(target: S3Target, uploadId: string) {
    this.#target = target;
    this.#uploadId = uploadId;
  }

  static async begin(target: S3Target): Promise<S3Multipart> {
    const command = new CreateMultipartUploadCommand({
      Bucket: target.bucket,
      Key: target.name,
      ChecksumAlgorithm: 'CRC32',
      ChecksumType: 'FULL_OBJECT',
    });
    const { UploadId } = await answered(target.client.send(command, { requestTimeout: ASK_TIMEOUT_MS }));
    if (UploadId === undefined) throw new LadingError('STORE_FAILED', 'the object store began an upload without an id');
    return new S3Multipart(target, UploadId);
  }

  /** Sends the next part as soon as one may be under way; throws what became of earlier ones. Takes the buffer over. */
  async put(bytes: Buffer): Promise<void> {
    const number = this.#parts.length + 1;
    if (number > MAX_PARTS) {
      const limitBytes = MAX_PARTS * PART_BYTES;
      const message = `an object of this store has at most ${limitBytes} bytes: send the upload in several CARs`;
      throw new LadingError('STORE_OBJECT_TOO_LARGE', message, { details: { limitBytes } });
    }
    const part: CompletedPart = { PartNumber: number };
    this.#parts.push(part);
    await this.#target.slots.take();
    const sending = this.#send(part, bytes)
      .catch((error: unknown) => void (this.#fault ??= s3Fault(error)))
      .finally(() => {
        this.#target.slots.give();
        this.#sending.delete(sending);
      });
    this.#sending.add(sending);
    if (this.#fault !== undefined) throw this.#fault;
  }

  /** Puts the parts together unless the key is taken. Rejects with the SDK's error, because the caller tells these apart. */
  async complete(crc: number, sizeBytes: number): Promise<void> {
    await Promise.all(this.#sending);
    if (this.#fault !== undefined) throw this.#fault;
    const command = new CompleteMultipartUploadCommand({
      ...this.#names(),
      MultipartUpload: { Parts: this.#parts },
      IfNoneMatch: '*',
      ChecksumCRC32: crcText(crc),
      ChecksumType: 'FULL_OBJECT',
      MpuObjectSize: sizeBytes,
    });
    await this.#target.client.send(command, { requestTimeout: COMPLETE_TIMEOUT_MS });
  }

  /** Removes all parts. Only once none is under way: one that arrives after the abort would stay, and cost. */
  async abort(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#sending);
    const command = new AbortMultipartUploadCommand(this.#names());
    await answered(this.#target.client.send(command, { requestTimeout: ASK_TIMEOUT_MS }));
  }

  async #send(part: CompletedPart, bytes: Buffer): Promise<void> {
    const checksum = crcText(crc32(bytes));
    const command = new UploadPartCommand({
      ...this.#names(),
      PartNumber: part.PartNumber,
      Body: bytes,
      ContentLength: bytes.length,
      ChecksumCRC32: checksum,
    });
    const options = { requestTimeout: SEND_TIMEOUT_MS, abortSignal: this.#stop.signal };
    const { ETag } = await this.#target.client.send(command, options);
    if (ETag !== undefined) part.ETag = ETag;
    part.ChecksumCRC32 = checksum;
  }

  #names() {
    return { Bucket: this.#target.bucket, Key: this.#target.name, UploadId: this.#uploadId };
  }
}
