import type { CID } from 'multiformats/cid';
import { openCar, type CarSection } from '../filecoin/car.ts';

export interface CarBlock {
  cid: CID;
  bytes: Uint8Array;
}

/** A CAR that can be read as often as needed: a file of a browser or of Node (`openAsBlob`), or bytes. */
export type CarSource = Blob | Uint8Array;

export interface CarFile {
  roots: CID[];
  /** Reads the blocks once more, in the order of the file. */
  blocks(): AsyncGenerator<CarBlock>;
}

/** Few calls for a large file, little memory for a browser. */
const SLICE_BYTES = 1024 * 1024;

/** Opens a CARv1 or CARv2. Throws FormatError CAR_*, here and while the blocks are read. */
export async function readCarFile(source: CarSource): Promise<CarFile> {
  const { roots, sections } = await openCar(chunksOf(source));
  await sections.return(undefined);
  return { roots, blocks: () => readCarSections(source) };
}

/** The sections in the order of the file, their offsets in it. Throws FormatError CAR_*. */
export async function* readCarSections(source: CarSource): AsyncGenerator<CarSection> {
  const { sections } = await openCar(chunksOf(source));
  yield* sections;
}

/** Bytes `start` to `end` (exclusive) of the file, fewer where it ends before. */
export async function bytesOf(source: CarSource, start: number, end: number): Promise<Uint8Array> {
  if (source instanceof Uint8Array) return source.subarray(start, end);
  return new Uint8Array(await source.slice(start, end).arrayBuffer());
}

/** Not `Blob.stream()`, whose async iteration Safari lacks. */
async function* chunksOf(source: CarSource): AsyncGenerator<Uint8Array> {
  if (source instanceof Uint8Array) {
    yield source;
    return;
  }
  for (let at = 0; at < source.size; at += SLICE_BYTES) {
    yield await bytesOf(source, at, at + SLICE_BYTES);
  }
}
