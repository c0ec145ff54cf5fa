import type { CID } from 'multiformats/cid';
import { openCar, type Car } from '../filecoin/car.ts';
import { canonicalCid } from '../filecoin/cid.ts';
import { check } from './check.ts';
import { ClientError, withClientErrors } from './client-error.ts';
import type { Connection } from './connection.ts';
import { carOf, cutStream, type StreamPart } from './cut-stream.ts';
import { PART_BYTES, planParts, type PlannedUpload } from './plan-parts.ts';
import { readCarFile } from './read-car.ts';
import { sendPart } from './send-part.ts';
import { readStream } from './streams.ts';
import type { UploadStatus } from './upload-status.ts';

/**
 * A CAR with one root. A Blob or File (Node: `openAsBlob`), bytes, or a function that opens it anew each time, can be
 * read again, so that a later call goes on where an earlier one was left; a stream can be read once.
 */
export type CarInput =
  | Blob
  | Uint8Array
  | ReadableStream<Uint8Array>
  | AsyncIterable<Uint8Array>
  | (() => AsyncIterable<Uint8Array>);

export interface UploadProgress {
  /** Bytes that were sent, or that the service was found to have. */
  doneBytes: number;
  /** Undefined for a stream, until it ends. */
  totalBytes: number | undefined;
}

export interface UploadOptions {
  onProgress?(progress: UploadProgress): void;
  signal?: AbortSignal;
  /** Longest part that is sent in one request, and what a broken connection costs; 100 MiB unless told. */
  partBytes?: number;
}

export interface Uploaded {
  /** The root, CIDv1 in base32. */
  cid: string;
  /** `known`: the service had all of it before. What was sent all the same makes it the caller's own as well. */
  outcome: 'sent' | 'known';
  /** Delivered by this call. */
  sentBytes: number;
  status: UploadStatus;
}

/**
 * Sends a CAR: its root alone when the service has all of it (a stream: its first part), else in parts at block
 * boundaries, those that are missing alone where an earlier call was left. A part is sent again after a break, and the call ends when all blocks are durable.
 * Throws ClientError (CAR_* for what is no CAR with one root), or the signal's reason.
 */
export async function upload(connection: Connection, car: CarInput, options: UploadOptions = {}): Promise<Uploaded> {
  return withClientErrors(async () => {
    if (isStream(car)) return sendStream(connection, car, options);
    const planned = await plan(car, options.partBytes ?? PART_BYTES);
    try {
      return await sendPlanned(connection, planned, options);
    } finally {
      await planned.close();
    }
  });
}

type OneReading = ReadableStream<Uint8Array> | AsyncIterable<Uint8Array>;

function isStream(car: CarInput): car is OneReading {
  return !(car instanceof Blob || car instanceof Uint8Array || typeof car === 'function');
}

async function plan(car: Exclude<CarInput, OneReading>, partBytes: number): Promise<PlannedUpload> {
  if (typeof car !== 'function') {
    const { roots, blocks } = await readCarFile(car);
    return planParts({ root: onlyRoot(roots), readBlocks: blocks, partBytes });
  }
  const { roots, sections } = await openCar(car());
  await sections.return(undefined);
  const readBlocks = async function* () {
    yield* (await openCar(car())).sections;
  };
  return planParts({ root: onlyRoot(roots), readBlocks, partBytes });
}

function onlyRoot(roots: readonly CID[]): CID {
  const [root] = roots;
  if (root !== undefined && roots.length === 1) return root;
  throw new ClientError('CAR_ROOTS', `the CAR names ${roots.length} roots: one upload has one root`);
}

/** What `upload` does with a CAR that was looked through; for callers that make the blocks themselves. */
export async function sendPlanned(
  connection: Connection,
  planned: PlannedUpload,
  { onProgress, signal }: UploadOptions = {},
): Promise<Uploaded> {
  const cid = canonicalCid(planned.root);
  const totalBytes = planned.partBytes.reduce((sum, bytes) => sum + bytes, 0);
  let known = await check(connection, cid, signal && { signal });
  let sentBytes = 0;
  if (known !== undefined && isComplete(known)) {
    // Another may have sent it: who sends none of it owns none of it.
    const own = partOf(carOf(planned.top, []));
    known = await sendPart(connection, own, { onBytes: () => undefined, signal });
    sentBytes = own.bytes;
    if (missingOf(known) === undefined) {
      onProgress?.({ doneBytes: totalBytes, totalBytes });
      return { cid, outcome: 'known', sentBytes, status: known };
    }
  }
  const walk = new PartWalk(planned, known);
  for (let at: number | undefined = walk.first(); at !== undefined; ) {
    const part = { bytes: planned.partBytes[at] ?? 0, read: planned.readPart.bind(planned, at) };
    const before = sentBytes;
    const onBytes = (bytes: number) => onProgress?.({ doneBytes: before + bytes, totalBytes });
    const status = await sendPart(connection, part, { onBytes, signal });
    sentBytes += part.bytes;
    if (missingOf(status) === undefined) {
      onProgress?.({ doneBytes: totalBytes, totalBytes });
      return { cid, outcome: 'sent', sentBytes, status };
    }
    at = walk.after(at, status);
  }
  throw incomplete();
}

/** All blocks came: only then is its size known. Whether an IPFS Cluster has pinned them too is another matter. */
function isComplete({ pin }: UploadStatus): boolean {
  return pin.size > 0;
}

function missingOf({ queueing }: UploadStatus): { first: string } | undefined {
  return queueing?.missing;
}

function incomplete(): ClientError {
  return new ClientError('UPLOAD_INCOMPLETE', 'all was sent, and the service still misses blocks: the CAR lacks them');
}

/** Which part comes next: each once in order where the service knows nothing, else the one with the first missing block. */
class PartWalk {
  readonly #planned: PlannedUpload;
  readonly #known: UploadStatus | undefined;
  readonly #sent = new Set<number>();

  constructor(planned: PlannedUpload, known: UploadStatus | undefined) {
    this.#planned = planned;
    this.#known = known;
  }

  first(): number {
    return this.#missingPart(this.#known) ?? 0;
  }

  after(part: number, status: UploadStatus): number | undefined {
    this.#sent.add(part);
    const isNew = this.#known === undefined || missingOf(this.#known) === undefined;
    const next = isNew && part + 1 < this.#planned.partBytes.length ? part + 1 : undefined;
    const wanted = next ?? this.#missingPart(status);
    return wanted === undefined || this.#sent.has(wanted) ? undefined : wanted;
  }

  #missingPart(status: UploadStatus | undefined): number | undefined {
    const missing = status && missingOf(status);
    return missing && this.#planned.partOf(missing.first);
  }
}

/** Each part is kept in memory until it is delivered. */
async function sendStream(connection: Connection, car: OneReading, options: UploadOptions): Promise<Uploaded> {
  const { onProgress, signal, partBytes = PART_BYTES } = options;
  const opened: Car = await openCar(car instanceof ReadableStream ? readStream(car) : car);
  try {
    const root = onlyRoot(opened.roots);
    const cid = canonicalCid(root);
    const known = await check(connection, cid, signal && { signal });
    const outcome = known !== undefined && isComplete(known) ? 'known' : 'sent';
    let sentBytes = 0;
    for await (const part of cutStream({ root, blocks: opened.sections, partBytes })) {
      const before = sentBytes;
      const onBytes = (bytes: number) => onProgress?.({ doneBytes: before + bytes, totalBytes: undefined });
      const status = await sendPart(connection, partOf(part), { onBytes, signal });
      sentBytes += part.bytes;
      if (missingOf(status) !== undefined) continue;
      onProgress?.({ doneBytes: sentBytes, totalBytes: sentBytes });
      return { cid, outcome, sentBytes, status };
    }
    throw incomplete();
  } finally {
    await opened.sections.return(undefined);
  }
}

function partOf({ bytes, chunks }: StreamPart) {
  async function* read() {
    yield* chunks;
  }
  return { bytes, read };
}
