import { hash } from 'node:crypto';
import type { CID } from 'multiformats/cid';
import { SHA2_256 } from '../../filecoin/codes.ts';
import { linksOf } from '../../filecoin/dag.ts';

/** What an upload must not exceed to be cut: some 70 bytes of memory a block, and 4 a link. */
export const MAX_CUT_BLOCKS = 4_194_304;
const MAX_CUT_LINKS = 33_554_432;

/** Of the hash of a CID; that two of some millions agree in 128 bits does not happen. */
const KEY_WORDS = 4;
/** Slots of the table for each block: a search ends after one or two steps. */
const SLOTS_PER_BLOCK = 2;
const FIRST_LINKS = 65_536;
const NONE = -1;
const SHA2_256_BYTES = 32;

/** Why an upload cannot be cut; nothing that a repetition could mend. */
export class Uncuttable extends Error {
  override readonly name = 'Uncuttable';
}

/** A section of an upload's run: where its length begins, and how many bytes it takes with it. */
export interface IndexedSection {
  cid: CID;
  bytes: Uint8Array;
  offset: number;
  sectionBytes: number;
}

/**
 * The blocks of an upload as numbers in typed arrays: where each lies in the run and what it links to. A block that is
 * there under both versions of its CID counts once, where it came first.
 */
export class BlockIndex {
  /** Numbers of the blocks in stored order. */
  readonly order: Int32Array;
  /** By number: place and length of the section in the run. */
  readonly offsets: Float64Array;
  readonly lengths: Uint32Array;
  readonly #keys: Uint32Array;
  readonly #slots: Int32Array;
  readonly #linkStarts: Uint32Array;
  readonly #linkEnds: Uint32Array;
  #links = new Int32Array(FIRST_LINKS);
  #linkCount = 0;
  #known = 0;
  #held = 0;
  readonly #capacity: number;
  /** Of the CID that is looked for. */
  readonly #key = new Uint32Array(KEY_WORDS);

  /** Throws `Uncuttable` when the upload has too many blocks. */
  constructor(blockCount: number) {
    if (blockCount > MAX_CUT_BLOCKS) throw tooMany('blocks', MAX_CUT_BLOCKS);
    this.#capacity = blockCount;
    this.order = new Int32Array(blockCount);
    this.offsets = new Float64Array(blockCount);
    this.lengths = new Uint32Array(blockCount);
    this.#keys = new Uint32Array(blockCount * KEY_WORDS);
    this.#slots = new Int32Array(slotCount(blockCount)).fill(NONE);
    this.#linkStarts = new Uint32Array(blockCount);
    this.#linkEnds = new Uint32Array(blockCount);
  }

  /** Blocks whose sections were added. */
  get blockCount(): number {
    return this.#held;
  }

  /** Adds the next section of the run. Throws `Uncuttable` when there are too many links. */
  add({ cid, bytes, offset, sectionBytes }: IndexedSection): void {
    const id = this.numberOf(cid);
    if (this.lengths[id] !== 0) return;
    this.order[this.#held] = id;
    this.#held += 1;
    this.offsets[id] = offset;
    this.lengths[id] = sectionBytes;
    this.#linkStarts[id] = this.#linkCount;
    for (const link of new Set(linksOf(cid, bytes).map((one) => this.numberOf(one)))) this.#pushLink(link);
    this.#linkEnds[id] = this.#linkCount;
  }

  /** The numbers that a block links to, each once, in the order of the block. */
  linksOf(id: number): Int32Array {
    return this.#links.subarray(this.#linkStarts[id], this.#linkEnds[id]);
  }

  /** The number of a block that was added or is linked to; a new one if it was not known. */
  numberOf(cid: CID): number {
    const key = this.#key;
    writeKey(key, cid);
    const mask = this.#slots.length - 1;
    for (let slot = (key[0] ?? 0) & mask; ; slot = (slot + 1) & mask) {
      const id = this.#slots[slot] ?? NONE;
      if (id === NONE) return this.#addKey(slot, key);
      if (this.#hasKey(id, key)) return id;
    }
  }

  #hasKey(id: number, key: Uint32Array): boolean {
    for (let word = 0; word < KEY_WORDS; word += 1) {
      if (this.#keys[id * KEY_WORDS + word] !== key[word]) return false;
    }
    return true;
  }

  #addKey(slot: number, key: Uint32Array): number {
    const id = this.#known;
    // A complete upload has a block for each link, so that there are never more numbers than blocks.
    if (id === this.#capacity) throw new Error(`the upload has links to more than its ${this.#capacity} blocks`);
    this.#keys.set(key, id * KEY_WORDS);
    this.#slots[slot] = id;
    this.#known += 1;
    return id;
  }

  #pushLink(id: number): void {
    if (this.#linkCount === MAX_CUT_LINKS) throw tooMany('links', MAX_CUT_LINKS);
    if (this.#linkCount === this.#links.length) {
      const links = new Int32Array(this.#links.length * 2);
      links.set(this.#links);
      this.#links = links;
    }
    this.#links[this.#linkCount] = id;
    this.#linkCount += 1;
  }
}

/**
 * The start of the digest, and the codec: the same bytes may be two blocks. A digest of another function or length than
 * nearly all have (every CIDv0 has it) is hashed first, so that every key is as random.
 */
function writeKey(key: Uint32Array, { code, bytes, multihash }: CID): void {
  const isPlain = multihash.code === SHA2_256 && multihash.digest.length === SHA2_256_BYTES;
  const digest = isPlain ? multihash.digest : hash('sha256', bytes, 'buffer');
  for (let word = 0; word < KEY_WORDS; word += 1) {
    const at = word * 4;
    key[word] =
      (digest[at] ?? 0) | ((digest[at + 1] ?? 0) << 8) | ((digest[at + 2] ?? 0) << 16) | ((digest[at + 3] ?? 0) << 24);
  }
  if (isPlain) key[KEY_WORDS - 1] = (key[KEY_WORDS - 1] ?? 0) ^ code;
}

function slotCount(blockCount: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, blockCount) * SLOTS_PER_BLOCK));
}

function tooMany(what: string, limit: number): Uncuttable {
  return new Uncuttable(
    `it is larger than an aggregate and has more than ${limit} ${what}, too many to cut it: send it as several uploads`,
  );
}
