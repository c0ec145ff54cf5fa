import { crc32 } from 'node:zlib';
import { PutObjectCommand } from '@aws-sdk/client-s3';
import { answered, mayBeTaken, s3Fault } from './s3-faults.ts';
import { headS3Object } from './s3-head.ts';
import { crcText, PART_BYTES, S3Multipart, SEND_TIMEOUT_MS, type S3Target } from './s3-multipart.ts';
import { objectExists, stageClosed } from './store-faults.ts';
import type { StagedObject } from './store.ts';

/** Most objects are small: the buffer begins with this and doubles. */
const FIRST_BUFFER_BYTES = 64 * 1024;

/**
 * An object on its way to S3: one conditional PUT if it fits in a part, else a multipart upload, invisible until it is
 * completed under the same condition. Holds one part, and those that the store's slots let be under way.
 */
export class S3Stage implements StagedObject {
  readonly #target: S3Target;
  #buffer = Buffer.alloc(0);
  #used = 0;
  #written = 0;
  #crc = 0;
  #multipart: S3Multipart | undefined;
  #closed = false;

  constructor(target: S3Target) {
    this.#target = target;
  }

  async write(chunk: Uint8Array): Promise<void> {
    this.#checkOpen();
    for (let at = 0; at < chunk.length; ) {
      // A full part waits for the byte behind it, because an object of one part needs no multipart upload.
      if (this.#used === PART_BYTES) await this.#ship();
      const taken = chunk.subarray(at, at + PART_BYTES - this.#used);
      this.#append(taken);
      at += taken.length;
    }
  }

  async commit(): Promise<void> {
    this.#checkOpen();
    if (this.#multipart !== undefined && this.#used > 0) await this.#ship();
    try {
      await (this.#multipart?.complete(this.#crc, this.#written) ?? this.#putWhole());
      this.#multipart = undefined;
    } catch (error) {
      if (!mayBeTaken(error)) throw s3Fault(error);
      await this.#yieldTo(error);
    }
    this.#close();
  }

  async abort(): Promise<void> {
    const multipart = this.#multipart;
    this.#multipart = undefined;
    this.#close();
    // What cannot be removed now is removed by the sweep of stale uploads; the caller has a fault of its own to tell.
    await multipart?.abort().catch(() => undefined);
  }

  async #putWhole(): Promise<void> {
    const { client, bucket, name } = this.#target;
    const command = new PutObjectCommand({
      Bucket: bucket,
      Key: name,
      Body: this.#buffer.subarray(0, this.#used),
      ContentLength: this.#used,
      IfNoneMatch: '*',
      ChecksumCRC32: crcText(this.#crc),
    });
    await client.send(command, { requestTimeout: SEND_TIMEOUT_MS });
  }

  /** Objects never change: the same object again (a repeated step, a lost answer) is dropped, another one is refused. */
  async #yieldTo(refusal: unknown): Promise<void> {
    const held = await headS3Object(this.#target);
    if (held === undefined) throw s3Fault(refusal);
    const { bytes, crc } = held;
    const same = bytes === this.#written && (crc === undefined || crc === crcText(this.#crc));
    if (!same) throw objectExists(this.#target.key, bytes, this.#written);
    await this.abort();
  }

  async #ship(): Promise<void> {
    this.#multipart ??= await answered(S3Multipart.begin(this.#target));
    const part = this.#buffer.subarray(0, this.#used);
    // The part is the upload's from here on: it may still be under way when the next is filled.
    this.#buffer = Buffer.alloc(0);
    this.#used = 0;
    await this.#multipart.put(part);
  }

  #append(bytes: Uint8Array): void {
    const neededBytes = this.#used + bytes.length;
    if (neededBytes > this.#buffer.length) this.#grow(neededBytes);
    this.#buffer.set(bytes, this.#used);
    this.#used = neededBytes;
    this.#written += bytes.length;
    this.#crc = crc32(bytes, this.#crc);
  }

  #grow(neededBytes: number): void {
    // What follows a first part is mostly a whole part more.
    const firstBytes = this.#multipart === undefined ? FIRST_BUFFER_BYTES : PART_BYTES;
    let sizeBytes = Math.max(firstBytes, this.#buffer.length);
    while (sizeBytes < neededBytes) sizeBytes *= 2;
    const grown = Buffer.allocUnsafeSlow(sizeBytes);
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
  }

  #checkOpen(): void {
    if (this.#closed) throw stageClosed();
  }

  #close(): void {
    this.#closed = true;
    this.#buffer = Buffer.alloc(0);
    this.#used = 0;
  }
}
