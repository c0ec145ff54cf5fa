import { hashPairsPortably } from './hash-pairs.ts';
import type { HashPairs } from './pair-hashing.ts';

export const NODE_BYTES = 32;
/** The last byte of a node keeps 6 bits, so that the node is an element of the 254-bit field. */
const TOP_BYTE_MASK = 0x3f;
/** A tree of 2^40 leaves is a piece of 32 TiB: no sector comes near. */
const MAX_LEVEL = 40;

/** The root of a subtree whose lowest nodes are 2^level leaves of 32 bytes. */
export interface Subtree {
  level: number;
  root: Uint8Array;
}

/** Hashes one layer of a tree into the next: one native call, then the mask. `nodes` is half as long as `pairs`. */
export function hashLayer(hashPairs: HashPairs, pairs: Uint8Array, nodes: Uint8Array): void {
  hashPairs(pairs, nodes);
  for (let at = NODE_BYTES - 1; at < nodes.length; at += NODE_BYTES) nodes[at] = (nodes[at] ?? 0) & TOP_BYTE_MASK;
}

/** The node over two others, as 32 bytes of its own. */
export function joinNodes(hashPairs: HashPairs, left: Uint8Array, right: Uint8Array): Uint8Array {
  const pair = new Uint8Array(2 * NODE_BYTES);
  pair.set(left);
  pair.set(right, NODE_BYTES);
  const node = new Uint8Array(NODE_BYTES);
  hashLayer(hashPairs, pair, node);
  return node;
}

const zeroRoots: Uint8Array[] = [new Uint8Array(NODE_BYTES)];

/** The root over 2^level zero leaves: a constant, so padding is never hashed. Callers do not write to it. */
export function zeroRoot(level: number): Uint8Array {
  if (level > MAX_LEVEL) throw new RangeError(`a tree of 2^${level} leaves is larger than any piece`);
  for (let next = zeroRoots.length; next <= level; next++) {
    const below = zeroRoots[next - 1] ?? new Uint8Array(NODE_BYTES);
    zeroRoots.push(joinNodes(hashPairsPortably, below, below));
  }
  return zeroRoots[level] ?? new Uint8Array(NODE_BYTES);
}

/** Folds the nodes of one layer to the root `levels` above it, by a call for each layer. Keeps two scratch buffers. */
export class LayerFolder {
  readonly #hashPairs: HashPairs;
  readonly #scratch: [Uint8Array, Uint8Array];

  /** `maxNodes`: the most nodes `fold` is given at once. */
  constructor(hashPairs: HashPairs, maxNodes: number) {
    this.#hashPairs = hashPairs;
    // An odd layer grows by one zero node, so each buffer has room for one more.
    const half = Math.ceil(maxNodes / 2) + 1;
    this.#scratch = [new Uint8Array(half * NODE_BYTES), new Uint8Array((Math.ceil(half / 2) + 1) * NODE_BYTES)];
  }

  /**
   * The root `levels` above `count` nodes that are roots of subtrees of `level`; what is missing to 2^levels nodes are
   * zero subtrees. `nodes` has room for one more node after an odd count, and is overwritten there.
   */
  fold(nodes: Uint8Array, { count, level, levels }: { count: number; level: number; levels: number }): Subtree {
    let current = nodes;
    let left = count;
    for (let up = 0; up < levels; up++) {
      if (left % 2 === 1) current.set(zeroRoot(level + up), left++ * NODE_BYTES);
      const next = this.#scratch[up % 2 === 0 ? 0 : 1];
      hashLayer(this.#hashPairs, current.subarray(0, left * NODE_BYTES), next.subarray(0, (left / 2) * NODE_BYTES));
      current = next;
      left /= 2;
    }
    return { level: level + levels, root: current.slice(0, NODE_BYTES) };
  }
}

/**
 * Subtrees of a stream from left to right, of which each pair of equal level is one of the next: a binary counter, so
 * at most one root a level is kept. Whatever hashed the subtrees, a stream or workers by chunks, this joins them.
 */
export class SubtreeStack {
  readonly #hashPairs: HashPairs;
  readonly #subtrees: Subtree[] = [];

  constructor(hashPairs: HashPairs) {
    this.#hashPairs = hashPairs;
  }

  copy(): SubtreeStack {
    const copy = new SubtreeStack(this.#hashPairs);
    copy.#subtrees.push(...this.#subtrees);
    return copy;
  }

  /** Adds the next subtree to the right; it is no higher than the one before it. */
  push(subtree: Subtree): void {
    let { level, root } = subtree;
    for (let last = this.#subtrees.at(-1); last?.level === level; last = this.#subtrees.at(-1)) {
      root = joinNodes(this.#hashPairs, last.root, root);
      level += 1;
      this.#subtrees.pop();
    }
    const last = this.#subtrees.at(-1);
    if (last !== undefined && last.level < level) throw new RangeError('subtrees must not grow from left to right');
    this.#subtrees.push({ level, root });
  }

  /** The root of the tree of 2^level leaves that these subtrees begin and zeros fill. The stack stays as it is. */
  rootAt(level: number): Uint8Array {
    const rest = this.copy();
    for (let last = rest.#subtrees.at(-1); last !== undefined; last = rest.#subtrees.at(-1)) {
      if (last.level === level && rest.#subtrees.length === 1) return last.root;
      if (last.level >= level) throw new RangeError(`the subtrees do not fit into a tree of 2^${level} leaves`);
      rest.push({ level: last.level, root: zeroRoot(last.level) });
    }
    return zeroRoot(level);
  }
}
