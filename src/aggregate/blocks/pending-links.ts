import { CID } from 'multiformats/cid';
import { LadingError } from '../../errors.ts';
import type { WantedLink } from './entity-links.ts';

/** CIDs of 36 bytes: 1.8 million links, a hundred times what a walk through a file or a directory of millions has due. */
const MAX_PENDING_BYTES = 64 * 1024 * 1024;
const NUMBERS_OF_RANGE = 2;
const ALL = -1;

interface Frame {
  cids: Buffer;
  /** Where in `cids` the next one begins. */
  at: number;
  /** Start and end for each link, below zero for all of it; undefined: all of each. */
  ranges: Float64Array | undefined;
  link: number;
}

/** Links that a walk has still to follow, in depth-first order: as bytes, for a CID as an object takes twenty times as much. */
export class PendingLinks {
  readonly #frames: Frame[] = [];
  readonly #maxBytes: number;
  #bytes = 0;

  constructor(maxBytes = MAX_PENDING_BYTES) {
    this.#maxBytes = maxBytes;
  }

  /** The links of one block, which come before all that are due. Throws `DAG_TOO_WIDE`. */
  push(links: readonly WantedLink[]): void {
    if (links.length === 0) return;
    const cids = Buffer.concat(links.map(({ cid }) => cid.bytes));
    const ranges = links.some(({ range }) => range !== undefined) ? rangesOf(links) : undefined;
    this.#bytes += cids.length + (ranges?.byteLength ?? 0);
    if (this.#bytes > this.#maxBytes) {
      throw new LadingError('DAG_TOO_WIDE', 'a walk of this DAG has too many links due at once');
    }
    this.#frames.push({ cids, at: 0, ranges, link: 0 });
  }

  next(): WantedLink | undefined {
    const frame = this.#frames.at(-1);
    if (frame === undefined) return undefined;
    const [cid] = CID.decodeFirst(frame.cids.subarray(frame.at));
    const { link, ranges } = frame;
    frame.at += cid.bytes.length;
    frame.link += 1;
    if (frame.at === frame.cids.length) {
      // At once: a chain of millions of blocks has one link due at any time.
      this.#frames.pop();
      this.#bytes -= frame.cids.length + (ranges?.byteLength ?? 0);
    }
    if (ranges === undefined) return { cid };
    const [start = 0, end = 0] = ranges.subarray(link * NUMBERS_OF_RANGE, (link + 1) * NUMBERS_OF_RANGE);
    return { cid, range: start < 0 ? undefined : { start, end } };
  }
}

function rangesOf(links: readonly WantedLink[]): Float64Array {
  return Float64Array.from(links.flatMap(({ range }) => [range?.start ?? ALL, range?.end ?? ALL]));
}
