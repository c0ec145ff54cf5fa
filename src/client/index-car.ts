import type { CID } from 'multiformats/cid';
import { parseCid } from '../filecoin/cid.ts';
import { bytesOf, readCarSections, type CarBlock, type CarSource } from './read-car.ts';

/** Where the blocks of a CAR lie, so that they can be read in any order. Memory: about 150 bytes a block. */
export interface CarIndex {
  /** Blocks of the CAR, each CID once in whichever version. */
  readonly blockCount: number;
  /** Those of the listed blocks that the CAR has, in the order of the list; the bytes are as the file has them. */
  blocksOf(list: readonly string[]): AsyncGenerator<CarBlock>;
  /** Blocks that none of the lists has: how many, and the first ones by name. */
  besides(lists: readonly (readonly string[])[]): { count: number; first: string[] };
}

/** Read at once where listed blocks follow each other in the file. */
const BATCH_BYTES = 1024 * 1024;
/** Bytes of the longest length before a section. */
const MAX_LENGTH_BYTES = 10;
/** Names of blocks in an answer: enough to see what kind they are. */
const MAX_NAMED = 10;

interface Place {
  cid: CID;
  /** Where the section begins in the file. */
  offset: number;
  blockBytes: number;
}

/** Reads the CAR once. Throws FormatError CAR_*. */
export async function indexCar(source: CarSource): Promise<CarIndex> {
  const places = new Map<string, Place>();
  for await (const { cid, bytes, offset } of readCarSections(source)) {
    const key = keyOf(cid);
    if (!places.has(key)) places.set(key, { cid, offset, blockBytes: bytes.length });
  }
  return {
    blockCount: places.size,
    blocksOf: (list) => readPlaces(source, placesOf(places, list)),
    besides: (lists) => besides(places, lists),
  };
}

/** One name for both versions of a CID, a byte a character. */
function keyOf(cid: CID): string {
  return String.fromCharCode(...cid.toV1().bytes);
}

function* placesOf(places: ReadonlyMap<string, Place>, list: readonly string[]): Generator<Place> {
  for (const text of list) {
    const place = places.get(keyOf(parseCid(text)));
    if (place !== undefined) yield place;
  }
}

async function* readPlaces(source: CarSource, places: Iterable<Place>): AsyncGenerator<CarBlock> {
  let batch: Place[] = [];
  for (const place of places) {
    const [first] = batch;
    const last = batch.at(-1);
    if (first !== undefined && last !== undefined && !isNear(first, last, place)) {
      yield* readBatch(source, first, batch);
      batch = [];
    }
    batch.push(place);
  }
  const [first] = batch;
  if (first !== undefined) yield* readBatch(source, first, batch);
}

function isNear(first: Place, last: Place, next: Place): boolean {
  return next.offset > last.offset && endOf(next) - first.offset <= BATCH_BYTES;
}

/** At the latest: lengths are mostly shorter. */
function endOf({ cid, offset, blockBytes }: Place): number {
  return offset + MAX_LENGTH_BYTES + cid.bytes.length + blockBytes;
}

async function* readBatch(source: CarSource, first: Place, batch: readonly Place[]): AsyncGenerator<CarBlock> {
  const end = Math.max(...batch.map(endOf));
  const bytes = await bytesOf(source, first.offset, end);
  for (const { cid, offset, blockBytes } of batch) {
    let start = offset - first.offset;
    while ((bytes[start] ?? 0) >= 0x80) start += 1;
    start += 1 + cid.bytes.length;
    yield { cid, bytes: bytes.subarray(start, start + blockBytes) };
  }
}

function besides(places: ReadonlyMap<string, Place>, lists: readonly (readonly string[])[]) {
  const covered = new Set(lists.flatMap((list) => list.map((text) => keyOf(parseCid(text)))));
  const others = [...places].filter(([key]) => !covered.has(key));
  return { count: others.length, first: others.slice(0, MAX_NAMED).map(([, { cid }]) => cid.toString()) };
}
