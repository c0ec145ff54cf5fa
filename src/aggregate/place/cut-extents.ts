import type { ObjectStore } from '../../storage/store.ts';
import type { BlockIndex } from './cut-index.ts';
import type { StoredPart } from './cut-store.ts';

/** Where a run's bytes are stored. */
export class RunLayout {
  readonly #parts: readonly StoredPart[];
  /** Where each part begins in the run. */
  readonly #starts: number[] = [];

  constructor(parts: readonly StoredPart[]) {
    this.#parts = parts;
    let start = 0;
    for (const { length } of parts) {
      this.#starts.push(start);
      start += length;
    }
  }

  /** The stored ranges that hold these blocks, in this order; ranges that follow each other in one object are one. */
  *extentsOf(index: BlockIndex, blocks: Iterable<number>): Generator<StoredPart> {
    let open: StoredPart | undefined;
    for (const id of blocks) {
      const place = { ...this.placeAt(index.offsets[id] ?? 0), length: index.lengths[id] ?? 0 };
      if (open !== undefined && follows(open, place)) open.length += place.length;
      else {
        if (open !== undefined) yield open;
        open = place;
      }
    }
    if (open !== undefined) yield open;
  }

  /** Where a byte of the run is stored, and how many of its part are left from there on. */
  placeAt(offset: number): StoredPart {
    const at = this.#partAt(offset);
    const part = this.#parts[at];
    const within = offset - (this.#starts[at] ?? 0);
    if (part === undefined || within >= part.length) throw new Error(`no part holds byte ${offset} of the run`);
    return { ...part, objectOffset: part.objectOffset + within, length: part.length - within };
  }

  /** The last part that begins at or before the offset. */
  #partAt(offset: number): number {
    let [low, high] = [0, this.#starts.length - 1];
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#starts[middle] ?? 0) <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

function follows(open: StoredPart, next: StoredPart): boolean {
  return open.objectKey === next.objectKey && open.objectOffset + open.length === next.objectOffset;
}

interface Reading {
  /** Bytes that come first. */
  before: Uint8Array;
  extents: readonly StoredPart[];
  signal: AbortSignal;
}

/** The bytes of stored ranges, one after the other. */
export async function* readExtents(
  store: Pick<ObjectStore, 'read'>,
  { before, extents, signal }: Reading,
): AsyncGenerator<Uint8Array> {
  yield before;
  for (const { objectKey, objectOffset, length } of extents) {
    for await (const chunk of store.read(objectKey, objectOffset, length)) {
      signal.throwIfAborted();
      yield chunk;
    }
  }
}
