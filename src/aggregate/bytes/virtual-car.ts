import type { Kysely } from 'kysely';
import { CID } from 'multiformats/cid';
import { carV1Header } from '../../filecoin/car.ts';
import type { DB } from '../../db/tables.ts';
import type { ObjectStore, ReadOptions } from '../../storage/store.ts';
import { LadingError } from '../../errors.ts';
import { CAR_HEADER_BYTES } from '../place/placement-rules.ts';
import { readFiller } from './filler.ts';
import { listRunExtents } from './run-extents.ts';

/** What is known of an aggregate once its tree is stored; a sealed row has this shape. Bytes. */
export interface CarOutline {
  id: bigint;
  batchRoot: string;
  /** Header and runs. */
  lengthBytes: number;
  /** Sections of zeros behind the runs. */
  fillerBytes: number;
  treeKey: string;
  treeBytes: number;
}

/** An aggregate's CAR that exists only as ranges of stored objects. */
export interface VirtualCar {
  readonly carBytes: number;
  /** Bytes `start` to `end` (exclusive), in chunks. Throws `RANGE_OUTSIDE_CAR`, and what the store throws. */
  readRange(start: number, end: number, signal?: AbortSignal, options?: ReadOptions): AsyncGenerator<Uint8Array>;
}

interface Sources {
  db: Kysely<DB>;
  store: ObjectStore;
}

/** A range of a stored object, or bytes that are stored nowhere. */
type Extent =
  | { kind: 'bytes'; bytes: Uint8Array }
  | { kind: 'filler'; start: number; end: number }
  | { kind: 'object'; key: string; offset: number; length: number };

/** Looked up at once: some hundred kilobytes of rows at most. A cut upload may have many ranges in one run. */
const RUNS_PER_LOOKUP = 256;
const RANGES_PER_LOOKUP = 2_000;

export function openVirtualCar(sources: Sources, outline: CarOutline): VirtualCar {
  const carBytes = endOf(outline);
  return {
    carBytes,
    async *readRange(start, end, signal, options) {
      checkRange({ start, end }, carBytes);
      for await (const extent of extentsOf(sources.db, outline, { start, end })) {
        signal?.throwIfAborted();
        yield* readExtent(sources.store, extent, { ...options, signal });
      }
    },
  };
}

/** A CAR that lies in the store as one object. */
export function openStoredCar(store: ObjectStore, key: string, carBytes: number): VirtualCar {
  return {
    carBytes,
    async *readRange(start, end, signal, options) {
      checkRange({ start, end }, carBytes);
      yield* readExtent(store, { kind: 'object', key, offset: start, length: end - start }, { ...options, signal });
    },
  };
}

function checkRange({ start, end }: Range, carBytes: number): void {
  if (start >= 0 && start <= end && end <= carBytes) return;
  const details = { start, end, carBytes };
  throw new LadingError('RANGE_OUTSIDE_CAR', `bytes ${start} to ${end} are not within ${carBytes}`, { details });
}

function endOf({ lengthBytes, fillerBytes, treeBytes }: CarOutline): number {
  return lengthBytes + fillerBytes + treeBytes;
}

interface Range {
  start: number;
  end: number;
}

async function* readExtent(
  store: ObjectStore,
  extent: Extent,
  { signal, ...options }: ReadOptions & { signal: AbortSignal | undefined },
): AsyncGenerator<Uint8Array> {
  if (extent.kind === 'bytes') {
    yield extent.bytes;
    return;
  }
  if (extent.kind === 'filler') {
    for (const chunk of readFiller(extent.start, extent.end)) {
      signal?.throwIfAborted();
      yield chunk;
    }
    return;
  }
  for await (const chunk of store.read(extent.key, extent.offset, extent.length, options)) {
    signal?.throwIfAborted();
    yield chunk;
  }
}

async function* extentsOf(db: Kysely<DB>, outline: CarOutline, range: Range): AsyncGenerator<Extent> {
  if (range.start === range.end) return;
  if (range.start < CAR_HEADER_BYTES) {
    const header = carV1Header(CID.parse(outline.batchRoot));
    yield { kind: 'bytes', bytes: header.subarray(range.start, range.end) };
  }
  const runs = clip(range, { start: CAR_HEADER_BYTES, end: outline.lengthBytes });
  if (runs !== undefined) yield* runExtents(db, outline, runs);
  const treeStart = outline.lengthBytes + outline.fillerBytes;
  const filler = clip(range, { start: outline.lengthBytes, end: treeStart });
  if (filler !== undefined) {
    const [start, end] = [filler.start - outline.lengthBytes, filler.end - outline.lengthBytes];
    yield { kind: 'filler', start, end };
  }
  const tree = clip(range, { start: treeStart, end: endOf(outline) });
  if (tree === undefined) return;
  const offset = tree.start - treeStart;
  yield { kind: 'object', key: outline.treeKey, offset, length: tree.end - tree.start };
}

/** The part of `range` within `bounds`; undefined if it is empty. */
function clip(range: Range, bounds: Range): Range | undefined {
  const start = Math.max(range.start, bounds.start);
  const end = Math.min(range.end, bounds.end);
  return start < end ? { start, end } : undefined;
}

/** Extents of runs that cover the range; throws `RUN_GAP` unless the stored ranges follow each other without one. */
async function* runExtents(db: Kysely<DB>, outline: CarOutline, range: Range): AsyncGenerator<Extent> {
  let next = range.start;
  while (next < range.end) {
    const before = next;
    const window = { fromByte: next, endByte: range.end, runs: RUNS_PER_LOOKUP, ranges: RANGES_PER_LOOKUP };
    for (const part of await listRunExtents(db, outline.id, window)) {
      const covered = clip({ start: next, end: range.end }, { start: part.offset, end: part.offset + part.length });
      if (covered === undefined) continue;
      if (covered.start !== next) throw runGap(outline.id, next);
      next = covered.end;
      const offset = part.objectOffset + covered.start - part.offset;
      yield { kind: 'object', key: part.objectKey, offset, length: covered.end - covered.start };
    }
    if (next === before) throw runGap(outline.id, next);
  }
}

function runGap(aggregateId: bigint, at: number): LadingError {
  return new LadingError('RUN_GAP', `no stored range holds byte ${at} of aggregate ${aggregateId}`, {
    details: { aggregateId: aggregateId.toString(), at },
  });
}
