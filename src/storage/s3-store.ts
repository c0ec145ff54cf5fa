import { DeleteObjectCommand, ListObjectsV2Command, type S3Client, type S3ClientConfig } from '@aws-sdk/client-s3';
import { LadingError } from '../errors.ts';
import { checkKey, isKey } from './object-key.ts';
import { createS3Client } from './s3-client.ts';
import { answered } from './s3-faults.ts';
import { headS3Object } from './s3-head.ts';
import { ASK_TIMEOUT_MS, type S3Target } from './s3-multipart.ts';
import { readS3Object } from './s3-read.ts';
import { S3Stage } from './s3-stage.ts';
import { sweepStaleUploads } from './s3-sweep.ts';
import type { S3Place } from './s3-url.ts';
import { Slots } from './slots.ts';
import type { ServiceStore, StagedObject, StoredObject } from './store.ts';

/** Parts under way over all objects: 48 MiB of memory, and enough to fill a gigabit line over 300 ms of latency. */
const PARTS_IN_FLIGHT = 6;
/**
 * The object store in a bucket of S3 or of a server that speaks it. It must honour `If-None-Match: *` for PUT and for
 * completing multipart uploads (AWS, MinIO, versitygw do): by this an object never changes.
 */
export class S3Store implements ServiceStore {
  readonly #client: S3Client;
  readonly #bucket: string;
  readonly #prefix: string;
  readonly #slots = new Slots(PARTS_IN_FLIGHT);

  /** Use `openS3Store`. */
  constructor(client: S3Client, { bucket, prefix }: S3Place) {
    this.#client = client;
    this.#bucket = bucket;
    this.#prefix = prefix === '' ? '' : `${prefix}/`;
  }

  async stage(key: string): Promise<StagedObject> {
    return new S3Stage(this.#target(key));
  }

  async *read(key: string, offset: number, length: number): AsyncGenerator<Uint8Array> {
    yield* readS3Object(this.#target(key), offset, length);
  }

  async size(key: string): Promise<number | undefined> {
    return (await headS3Object(this.#target(key)))?.bytes;
  }

  async remove(key: string): Promise<void> {
    const command = new DeleteObjectCommand({ Bucket: this.#bucket, Key: this.#target(key).name });
    await answered(this.#client.send(command, { requestTimeout: ASK_TIMEOUT_MS }));
  }

  async *list(): AsyncGenerator<StoredObject> {
    let after: string | undefined;
    do {
      const command = new ListObjectsV2Command({
        Bucket: this.#bucket,
        Prefix: this.#prefix,
        ...(after === undefined ? {} : { ContinuationToken: after }),
      });
      const page = await answered(this.#client.send(command, { requestTimeout: ASK_TIMEOUT_MS }));
      for (const { Key = '', Size, LastModified } of page.Contents ?? []) {
        const key = Key.slice(this.#prefix.length);
        // What is not a key of ours was put there by somebody else.
        if (!isKey(key) || Size === undefined || LastModified === undefined) continue;
        yield { key, sizeBytes: Size, modifiedAt: LastModified };
      }
      after = page.IsTruncated ? page.NextContinuationToken : undefined;
    } while (after !== undefined);
  }

  /** A bucket has no bound that we could ask for. */
  async freeBytes(): Promise<undefined> {
    return undefined;
  }

  async probe(): Promise<void> {
    // Not HeadBucket: the answer to a HEAD has no body that could tell a wrong key from a wrong bucket.
    const command = new ListObjectsV2Command({ Bucket: this.#bucket, Prefix: this.#prefix, MaxKeys: 1 });
    await answered(this.#client.send(command, { requestTimeout: ASK_TIMEOUT_MS }));
  }

  async sweepStaging(graceMs: number): Promise<number> {
    return sweepStaleUploads({ client: this.#client, bucket: this.#bucket, prefix: this.#prefix }, graceMs);
  }

  close(): void {
    this.#client.destroy();
  }

  #target(key: string): S3Target {
    checkKey(key);
    return { client: this.#client, bucket: this.#bucket, name: this.#prefix + key, key, slots: this.#slots };
  }
}

/**
 * Opens the store, and asks for the bucket once, so that a wrong name or key shows at start. Credentials as
 * `createS3Client` takes them.
 */
export async function openS3Store(
  place: S3Place,
  credentials?: NonNullable<S3ClientConfig['credentials']>,
): Promise<S3Store> {
  const client = createS3Client(place, credentials);
  const store = new S3Store(client, place);
  try {
    await checkRegion(client);
    await store.probe();
    return store;
  } catch (error) {
    store.close();
    throw error;
  }
}

async function checkRegion(client: S3Client): Promise<void> {
  try {
    await client.config.region();
  } catch {
    throw new LadingError('STORE_NO_REGION', 'STORE_URL names no region: add ?region=… or set AWS_REGION');
  }
}
