import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { GetObjectCommand } from '@aws-sdk/client-s3';
import { LadingError } from '../errors.ts';
import { isAbsent, isOutOfRange, s3Fault } from './s3-faults.ts';
import { headS3Object } from './s3-head.ts';
import { ASK_TIMEOUT_MS, type S3Target } from './s3-multipart.ts';
import { objectMissing, objectShort } from './store-faults.ts';

/** A store that sends nothing for this long, while we wait for it, is taken for gone. */
const IDLE_MS = 30_000;
/** Broken bodies in a row that brought no byte: after these the store is not there. Each was opened with retries. */
const FRUITLESS_READS = 3;
const PAUSE_MS = 200;

type Source = Pick<S3Target, 'client' | 'bucket' | 'name' | 'key'>;

/**
 * Exactly the bytes `offset` to `offset + length` of an object. A body that breaks is asked for again from the byte
 * where it broke: a slow reader may hold one open for hours, which stores and proxies end.
 */
export async function* readS3Object(source: Source, offset: number, length: number): AsyncGenerator<Uint8Array> {
  const range = { at: offset, end: offset + length };
  if (length === 0) throwUnlessHeld(source.key, (await headS3Object(source))?.bytes, offset);
  let fruitless = 0;
  while (range.at < range.end) {
    const before = range.at;
    const fault = yield* readBody(source, range);
    if (range.at > range.end) throw new LadingError('STORE_FAILED', 'the object store sent more than it was asked for');
    fruitless = range.at > before ? 0 : fruitless + 1;
    if (fruitless === FRUITLESS_READS) throw s3Fault(fault);
    if (fault !== undefined) await sleep(PAUSE_MS);
  }
}

interface Range {
  /** The next byte; moves as bytes arrive. */
  at: number;
  end: number;
}

/** The chunks of one body until it ends or breaks; answers what broke it. A reader that stops early closes it. */
async function* readBody(source: Source, range: Range): AsyncGenerator<Uint8Array, unknown> {
  const body = await openBody(source, range);
  const chunks: AsyncIterator<Uint8Array, undefined> = body[Symbol.asyncIterator]();
  try {
    for (;;) {
      const next = await withinIdle(chunks.next()).catch((error: unknown) => ({ broken: error }));
      if ('broken' in next) return next.broken;
      if (next.done) return range.at < range.end ? new Error('the body ended early') : undefined;
      range.at += next.value.length;
      yield next.value;
    }
  } finally {
    body.destroy();
  }
}

async function openBody(source: Source, { at, end }: Range): Promise<Readable> {
  const { client, bucket, name, key } = source;
  const command = new GetObjectCommand({ Bucket: bucket, Key: name, Range: `bytes=${at}-${end - 1}` });
  try {
    const { Body, ContentRange = '' } = await client.send(command, { requestTimeout: ASK_TIMEOUT_MS });
    if (!(Body instanceof Readable)) throw new LadingError('STORE_FAILED', 'the object store sent no body');
    // Its own error once it is thrown away, or breaks before somebody reads it, is nobody's.
    Body.on('error', () => undefined);
    const [, start, sizeBytes] = /^bytes (\d+)-\d+\/(\d+)$/.exec(ContentRange) ?? [];
    if (Number(start) === at && Number(sizeBytes) >= end) return Body;
    Body.destroy();
    throwUnlessHeld(key, Number(sizeBytes), end);
    throw new LadingError('STORE_FAILED', 'the object store does not answer ranges as asked');
  } catch (error) {
    if (isAbsent(error)) throw objectMissing(key);
    if (isOutOfRange(error)) throwUnlessHeld(key, (await headS3Object(source))?.bytes, end);
    throw s3Fault(error);
  }
}

function throwUnlessHeld(key: string, sizeBytes: number | undefined, neededBytes: number): void {
  if (sizeBytes === undefined) throw objectMissing(key);
  if (sizeBytes < neededBytes) throw objectShort(key, sizeBytes, neededBytes);
}

async function withinIdle<T>(answer: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => reject(new Error(`no byte within ${IDLE_MS} ms`)), IDLE_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}
