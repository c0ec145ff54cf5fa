import { CarWriter } from '@ipld/car';
import type { BlockWriter } from '@ipld/car/writer';
import type { ImportCandidate } from 'ipfs-unixfs-importer';
import type { CID } from 'multiformats/cid';
import { packUnixfs } from '../pack-unixfs.ts';
import { sampleContents, type SampleContents } from './sample-catalogue.ts';

/** One upload: a UnixFS DAG as a CARv1 with one root. */
export interface Sample {
  name: string;
  root: CID;
  /** The CAR. Each iteration packs it anew from the seed, so it can be sent again and is never held whole. */
  car: AsyncIterable<Uint8Array>;
  /** Length of the whole CAR, for a Content-Length header. */
  bytes: number;
}

/** A varied, deterministic set of uploads; 24 or more show every kind. `seed` decides every byte. */
export async function* packSamples(options: { seed: string; count: number }): AsyncGenerator<Sample> {
  for (const contents of sampleContents(options.seed, options.count)) yield await packSample(contents);
}

async function packSample(contents: SampleContents): Promise<Sample> {
  const { root, sectionBytes } = await measure(contents);
  const car = { [Symbol.asyncIterator]: () => carBytes(contents, root) };
  return { name: contents.name, root, car, bytes: (await headerLength(root)) + sectionBytes };
}

/** A first pass that keeps no block: the root has to be known before the CAR's first byte. */
async function measure(contents: SampleContents): Promise<{ root: CID; sectionBytes: number }> {
  let sectionBytes = 0;
  const root = await importBlocks(contents, (cid, bytes) => {
    const length = cid.bytes.length + bytes.length;
    sectionBytes += varintLength(length) + length;
    return Promise.resolve();
  });
  return { root, sectionBytes };
}

async function* carBytes(contents: SampleContents, root: CID): AsyncGenerator<Uint8Array> {
  const { writer, out } = CarWriter.create([root]);
  const writing = writeBlocks(contents, writer);
  // A fault in the importer ends `out` through the close in writeBlocks, and is thrown below.
  writing.catch(() => undefined);
  yield* out;
  await writing;
}

async function writeBlocks(contents: SampleContents, writer: BlockWriter): Promise<void> {
  try {
    await importBlocks(contents, (cid, bytes) => writer.put({ cid, bytes }));
  } finally {
    await writer.close();
  }
}

/** Hands each block over once, leaves first, and waits for it to be taken; answers the root. */
async function importBlocks(
  contents: SampleContents,
  take: (cid: CID, bytes: Uint8Array) => Promise<void>,
): Promise<CID> {
  const root = await packUnixfs(candidates(contents), take);
  if (root === undefined) throw new Error(`sample ${contents.name} has no files`);
  return root;
}

function candidates({ name, files }: SampleContents): ImportCandidate[] {
  return files.map(({ path, content }) => ({ path: path === '' ? name : `${name}/${path}`, content: content() }));
}

async function headerLength(root: CID): Promise<number> {
  const { writer, out } = CarWriter.create([root]);
  const closing = writer.close();
  let length = 0;
  for await (const chunk of out) length += chunk.length;
  await closing;
  return length;
}

function varintLength(value: number): number {
  return value < 128 ? 1 : 1 + varintLength(Math.floor(value / 128));
}
