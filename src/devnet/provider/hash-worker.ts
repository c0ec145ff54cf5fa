import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import { CarBlockIterator } from '@ipld/car/iterator';
import { create as createSmallHasher } from '@web3-storage/data-segment/multihash';
import { create as createWasmHasher } from 'fr32-sha2-256-trunc254-padded-binary-tree-multihash';
import { commitmentOf, type Commitment } from './piece-commitment.ts';

/** Up to here data-segment's hasher runs, so that two foreign implementations watch over ours. */
const SMALL_BYTES = 1024 * 1024;
/** Reads of this size keep the hasher busy and the memory of two workers small. */
const READ_BYTES = 1024 * 1024;

export interface HashRequest {
  path: string;
}

/** What a provider learns of a downloaded file. The errors are texts: the file is no CAR at its head, or further on. */
export interface HashReport extends Commitment {
  headerError: string;
  carError: string;
}

export type HashAnswer = { report: HashReport } | { error: string };

async function commitment(path: string): Promise<Commitment> {
  const { size } = await stat(path);
  const stream = createReadStream(path, { highWaterMark: READ_BYTES });
  if (size <= SMALL_BYTES) {
    const hasher = createSmallHasher();
    for await (const chunk of stream) hasher.write(chunk);
    return commitmentOf(hasher.digest().bytes);
  }
  const hasher = createWasmHasher();
  try {
    for await (const chunk of stream) hasher.write(chunk);
    const multihash = new Uint8Array(hasher.multihashByteLength());
    hasher.digestInto(multihash, 0, true);
    return commitmentOf(multihash);
  } finally {
    hasher.free();
  }
}

/** Reads every section from the first to the last byte, and keeps none. */
async function parseCar(path: string): Promise<{ headerError: string; carError: string }> {
  const stream = createReadStream(path, { highWaterMark: READ_BYTES });
  let hasHeader = false;
  try {
    const blocks = await CarBlockIterator.fromIterable(stream);
    hasHeader = true;
    for await (const block of blocks) void block;
    return { headerError: '', carError: '' };
  } catch (error) {
    const text = error instanceof Error ? error.message : String(error);
    return hasHeader ? { headerError: '', carError: text } : { headerError: text, carError: '' };
  } finally {
    stream.destroy();
  }
}

async function answer({ path }: HashRequest): Promise<HashAnswer> {
  try {
    const parsed = await parseCar(path);
    return { report: { ...parsed, ...(await commitment(path)) } };
  } catch (error) {
    return { error: error instanceof Error ? error.message : String(error) };
  }
}

/** One file at a time: the pool sends the next request when it has this answer. */
parentPort?.on('message', (request: HashRequest) => {
  // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a worker thread has no origin
  void answer(request).then((reply) => parentPort?.postMessage(reply));
});
