import { CID } from 'multiformats/cid';
import { linksOf } from '../../filecoin/dag.ts';
import { maxLinksOf } from './receive-limits.ts';

const HELD_AS_V1 = 1;
const HELD_AS_V0 = 2;

export interface Missing {
  count: number;
  /** As CIDv1: here the first in depth-first order from the root, over several parts the first level by level. */
  first: string;
}

/** A section as it lies in the stored object, and what is to be known of its block. Bytes. */
export interface TrackedSection {
  /** The binary CIDv1. */
  key: Buffer;
  sectionBytes: number;
  blockBytes: number;
  /** Binary CIDv1s, without repetitions, in the order of the block. */
  links: Buffer[];
  /** The block came before, under the other version of its CID. */
  repeated: boolean;
}

/** CIDv0 and v1 name the same block, so both have the key of v1. */
export function keyBytes(cid: CID): Uint8Array {
  return cid.version === 0 ? cid.toV1().bytes : cid.bytes;
}

/** One byte a character: half of what base32 takes. */
export function keyOf(cid: CID): string {
  const { buffer, byteOffset, byteLength } = keyBytes(cid);
  return Buffer.from(buffer, byteOffset, byteLength).toString('latin1');
}

/**
 * Which blocks of an upload arrived and which its links name, in memory bounded by `maxBlocks` CIDs (held or missing),
 * whatever the order of the blocks.
 */
export class DagTracker {
  readonly #maxBlocks: number;
  readonly #ids = new Map<string, number>();
  readonly #held: number[] = [];
  readonly #links: (number[] | undefined)[] = [];
  #linkCount = 0;
  /** By section, in the order stored: the number of its CID, its length, and its block's. */
  readonly #sections: number[] = [];
  readonly #sectionBytes: number[] = [];
  readonly #blockBytes: number[] = [];

  constructor(maxBlocks: number) {
    this.#maxBlocks = maxBlocks;
  }

  /**
   * Notes a block whose section is stored with so many bytes. 'repeated': this very CID came before. 'full': nothing was
   * noted, for there might be more CIDs or links than are held.
   */
  add(cid: CID, bytes: Uint8Array, sectionBytes: number): 'added' | 'repeated' | 'full' {
    const key = keyOf(cid);
    const known = this.#ids.get(key);
    const form = cid.version === 0 ? HELD_AS_V0 : HELD_AS_V1;
    const held = known === undefined ? 0 : (this.#held[known] ?? 0);
    if ((held & form) !== 0) return 'repeated';
    const links = held === 0 ? [...new Set(linksOf(cid, bytes).map(keyOf))] : [];
    if (!this.#hasRoom(key, links)) return 'full';
    const id = this.#idOf(key);
    this.#held[id] = held | form;
    if (held === 0) this.#links[id] = links.length === 0 ? undefined : links.map((link) => this.#idOf(link));
    this.#linkCount += links.length;
    this.#sections.push(id);
    this.#sectionBytes.push(sectionBytes);
    this.#blockBytes.push(bytes.length);
    return 'added';
  }

  /** What was noted, in the order of the sections. */
  *sections(): Generator<TrackedSection> {
    const keys = [...this.#ids.keys()];
    const keyAt = (id: number) => Buffer.from(keys[id] ?? '', 'latin1');
    const seen = new Uint8Array(keys.length);
    for (const [at, id] of this.#sections.entries()) {
      yield {
        key: keyAt(id),
        sectionBytes: this.#sectionBytes[at] ?? 0,
        blockBytes: this.#blockBytes[at] ?? 0,
        links: (this.#links[id] ?? []).map(keyAt),
        repeated: seen[id] === 1,
      };
      seen[id] = 1;
    }
  }

  /** Blocks that the DAG under the root names and that did not arrive; undefined when it is complete. */
  missingBelow(root: CID): Missing | undefined {
    const missing: number[] = [];
    const seen = new Set<number>();
    const next = [this.#idOf(keyOf(root))];
    for (let id = next.pop(); id !== undefined; id = next.pop()) {
      if (seen.has(id)) continue;
      seen.add(id);
      if (!this.#isHeld(id)) missing.push(id);
      // Pushed backwards, so that the first link is taken first.
      for (const link of (this.#links[id] ?? []).toReversed()) if (!seen.has(link)) next.push(link);
    }
    const [first] = missing;
    return first === undefined ? undefined : { count: missing.length, first: this.#nameOf(first) };
  }

  #isHeld(id: number | undefined): boolean {
    return id !== undefined && (this.#held[id] ?? 0) !== 0;
  }

  #hasRoom(key: string, links: readonly string[]): boolean {
    if (this.#linkCount + links.length > maxLinksOf(this.#maxBlocks)) return false;
    if (this.#ids.size + 1 + links.length <= this.#maxBlocks) return true;
    const unknown = new Set([key, ...links].filter((one) => !this.#ids.has(one)));
    return this.#ids.size + unknown.size <= this.#maxBlocks;
  }

  #idOf(key: string): number {
    const known = this.#ids.get(key);
    if (known !== undefined) return known;
    const id = this.#ids.size;
    this.#ids.set(key, id);
    return id;
  }

  #nameOf(id: number): string {
    for (const [key, at] of this.#ids) if (at === id) return CID.decode(Buffer.from(key, 'latin1')).toString();
    throw new Error(`no CID has the number ${id}`);
  }
}
