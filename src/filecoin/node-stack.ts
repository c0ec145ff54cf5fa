import { PADDED_UNIT_BYTES, padUnits, UNIT_BYTES } from './commp/fr32.ts';
import type { HashPairs } from './commp/pair-hashing.ts';

export const NODE_BYTES = 32;
/** The node over one unit of 127 bytes: two levels above its four leaves. */
export const UNIT_LEVEL = 2;
/** The last byte of a node keeps 6 bits, so that it is an element of the 254-bit field. */
const TOP_BYTE_MASK = 0x3f;
/** Units hashed in one go: 128 KiB of nodes stay in the cache, and native hashing costs one call a level. */
const BATCH_UNITS = 1_024;
const BATCH_LEVEL = UNIT_LEVEL + Math.log2(BATCH_UNITS);

/** Spreads bytes over Fr32 units and hands their nodes on: whole aligned batches as one node, the rest one by one. */
export class UnitHasher {
  readonly #stack: NodeStack;
  readonly #hashPairs: HashPairs;
  readonly #leaves = new Uint8Array(BATCH_UNITS * PADDED_UNIT_BYTES);
  readonly #leafWords = new Uint32Array(this.#leaves.buffer);
  /** A layer is hashed from one of these into the other. */
  readonly #scratch = [new Uint8Array(this.#leaves.length / 2), new Uint8Array(this.#leaves.length / 4)] as const;
  readonly #carry = new Uint8Array(UNIT_BYTES);
  #carried = 0;
  #units = 0;
  /** Units until the batch in hand ends at an aligned place. */
  #room: number;

  constructor(stack: NodeStack, hashPairs: HashPairs, firstUnit: number) {
    this.#stack = stack;
    this.#hashPairs = hashPairs;
    this.#room = BATCH_UNITS - (firstUnit % BATCH_UNITS);
  }

  update(bytes: Uint8Array): void {
    let offset = 0;
    if (this.#carried > 0) {
      offset = Math.min(bytes.length, UNIT_BYTES - this.#carried);
      this.#carry.set(bytes.subarray(0, offset), this.#carried);
      this.#carried += offset;
      if (this.#carried < UNIT_BYTES) return;
      this.#carried = 0;
      this.#pad(this.#carry, 0, 1);
    }
    while (bytes.length - offset >= UNIT_BYTES) {
      const units = Math.min(Math.floor((bytes.length - offset) / UNIT_BYTES), this.#room - this.#units);
      this.#pad(bytes, offset, units);
      offset += units * UNIT_BYTES;
    }
    this.#carry.set(bytes.subarray(offset));
    this.#carried = bytes.length - offset;
  }

  /** Hands on the units of an unfinished batch. */
  flush(): void {
    const whole = this.#units === BATCH_UNITS;
    const level = whole ? BATCH_LEVEL : UNIT_LEVEL;
    const nodes = this.#foldBy(level);
    for (let at = 0; at < nodes.length; at += NODE_BYTES) this.#stack.push(level, nodes.slice(at, at + NODE_BYTES));
    this.#units = 0;
    this.#room = BATCH_UNITS;
  }

  #pad(bytes: Uint8Array, sourceOffset: number, units: number): void {
    padUnits(bytes, this.#leafWords, { sourceOffset, targetUnit: this.#units, units });
    this.#units += units;
    if (this.#units === this.#room) this.flush();
  }

  #foldBy(levels: number): Uint8Array {
    let nodes: Uint8Array = this.#leaves.subarray(0, this.#units * PADDED_UNIT_BYTES);
    for (let level = 0; level < levels && nodes.length > 0; level += 1) {
      const next = this.#scratch[level % 2 === 0 ? 0 : 1].subarray(0, nodes.length / 2);
      hashLayer(this.#hashPairs, nodes, next);
      nodes = next;
    }
    return nodes;
  }
}

/** Nodes from left to right, of which each pair of one level becomes a node of the next: a binary counter. */
export class NodeStack {
  readonly #hashPairs: HashPairs;
  readonly #nodes: { level: number; node: Uint8Array }[] = [];

  constructor(hashPairs: HashPairs) {
    this.#hashPairs = hashPairs;
  }

  push(level: number, node: Uint8Array): void {
    let top = { level, node };
    for (let last = this.#nodes.at(-1); last?.level === top.level; last = this.#nodes.at(-1)) {
      top = { level: top.level + 1, node: joinNodes(this.#hashPairs, last.node, top.node) };
      this.#nodes.pop();
    }
    this.#nodes.push(top);
  }

  /** The one node that all of it folded to. */
  root(height: number): Uint8Array {
    const [root] = this.#nodes;
    if (this.#nodes.length === 1 && root?.level === height) return root.node;
    throw new Error(`${this.#nodes.length} nodes are left where one of level ${height} is due`);
  }
}

/** The roots over nothing but zeros. */
export class ZeroRoots {
  readonly #hashPairs: HashPairs;
  readonly #roots: Uint8Array[] = [new Uint8Array(NODE_BYTES)];

  constructor(hashPairs: HashPairs) {
    this.#hashPairs = hashPairs;
  }

  at(level: number): Uint8Array {
    const known = this.#roots[level];
    if (known !== undefined) return known;
    const below = this.at(level - 1);
    const root = joinNodes(this.#hashPairs, below, below);
    this.#roots[level] = root;
    return root;
  }
}

function joinNodes(hashPairs: HashPairs, left: Uint8Array, right: Uint8Array): Uint8Array {
  const pair = new Uint8Array(2 * NODE_BYTES);
  pair.set(left);
  pair.set(right, NODE_BYTES);
  const node = new Uint8Array(NODE_BYTES);
  hashLayer(hashPairs, pair, node);
  return node;
}

function hashLayer(hashPairs: HashPairs, pairs: Uint8Array, nodes: Uint8Array): void {
  hashPairs(pairs, nodes);
  for (let at = NODE_BYTES - 1; at < nodes.length; at += NODE_BYTES) nodes[at] = (nodes[at] ?? 0) & TOP_BYTE_MASK;
}
