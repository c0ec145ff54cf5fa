import { Uncuttable, type BlockIndex } from './cut-index.ts';

/** Which block leads to each: one path from the root to every block, and a shortest one. */
export interface DagPaths {
  root: number;
  /** By number: the block before it on its path. -1 for the root; the root for blocks that no link leads to. */
  parents: Int32Array;
  /** By number: its place level by level from the root, so that a block comes after what leads to it. */
  ranks: Int32Array;
  /** The blocks in this order. */
  ranked: Int32Array;
}

/** A run of its own: numbers of blocks in the order of its sections. */
export interface Cut {
  /** The root, then what else leads to the cut's own blocks, then these in stored order. */
  blocks: Int32Array;
  ancestorCount: number;
  runBytes: number;
}

const NONE = -1;
/** Blocks between two pauses of a long walk: a few milliseconds. */
const BLOCKS_PER_TURN = 5_000;
/** A cut that is this full takes what comes next, and ends with the first block that finds no room. */
const FULL_PERCENT = 94;
/** Below that, smaller blocks among so many that come later are taken before their turn. */
const LOOK_AHEAD_BLOCKS = 1_000;
/** Ancestors are repeated in each cut; a DAG so deep that this makes many uploads of one is not worth its space. */
const MAX_GROWTH = 4;

/** Finds the paths, giving the caller a chance to do other things now and then. */
export function* findPaths(index: BlockIndex, root: number): Generator<void, DagPaths> {
  const parents = new Int32Array(index.blockCount).fill(root);
  const ranks = new Int32Array(index.blockCount).fill(NONE);
  const ranked = new Int32Array(index.blockCount);
  parents[root] = NONE;
  ranks[root] = 0;
  ranked[0] = root;
  for (let at = 0, found = 1; at < found; at += 1) {
    if (at % BLOCKS_PER_TURN === 0) yield;
    const id = ranked[at] ?? NONE;
    for (const link of index.linksOf(id)) {
      if (ranks[link] !== NONE) continue;
      parents[link] = id;
      ranks[link] = found;
      ranked[found] = link;
      found += 1;
    }
  }
  return { root, parents, ranks, ranked };
}

/**
 * Pure: cuts an upload into runs of at most `roomBytes`, as full as they can be. Each begins with the root and what leads
 * from it to the cut's own blocks; what one cut has in either way no later one has as its own. Throws `Uncuttable` when
 * a block and what leads to it find no room together, or when repetitions would make the upload many times as large.
 * Between the cuts come pauses (undefined), in which the caller may do other things.
 */
export function* planCuts(index: BlockIndex, paths: DagPaths, roomBytes: number): Generator<Cut | undefined> {
  const draft = new CutDraft(index, paths, roomBytes);
  const covered = new Uint8Array(index.blockCount);
  const uploadBytes = index.lengths.reduce((sum, length) => sum + length, 0);
  let cutBytes = 0;
  for (let from = 0; from < index.blockCount; ) {
    const cut = yield* fillCut(draft, { index, covered, from });
    for (const id of cut.blocks) covered[id] = 1;
    cutBytes += cut.runBytes;
    if (cutBytes > Math.max(uploadBytes, roomBytes) * MAX_GROWTH) throw tooRepetitive();
    yield cut;
    while (from < index.blockCount && covered[index.order[from] ?? 0] === 1) from += 1;
  }
}

interface Progress {
  index: BlockIndex;
  covered: Uint8Array;
  /** The first in stored order that no cut has. */
  from: number;
}

function* fillCut(draft: CutDraft, { index, covered, from }: Progress): Generator<undefined, Cut> {
  draft.begin();
  let passedOver = 0;
  for (let at = from; at < index.blockCount; at += 1) {
    if (at % BLOCKS_PER_TURN === 0) yield undefined;
    const id = index.order[at] ?? 0;
    if (covered[id] === 1 || draft.has(id) || draft.add(id)) continue;
    if (at === from) throw draft.tooDeep(id);
    passedOver += 1;
    if (draft.isFull() || passedOver > LOOK_AHEAD_BLOCKS) break;
  }
  return draft.finish();
}

/** A cut that is being filled. The arrays are made once: a mark counts only with the number of the cut. */
class CutDraft {
  readonly #index: BlockIndex;
  readonly #paths: DagPaths;
  readonly #roomBytes: number;
  readonly #memberOf: Int32Array;
  readonly #ancestorIn: Int32Array;
  #cut = 0;
  #members: number[] = [];
  #bytes = 0;

  constructor(index: BlockIndex, paths: DagPaths, roomBytes: number) {
    this.#index = index;
    this.#paths = paths;
    this.#roomBytes = roomBytes;
    this.#memberOf = new Int32Array(index.blockCount);
    this.#ancestorIn = new Int32Array(index.blockCount);
  }

  begin(): void {
    const { root } = this.#paths;
    this.#cut += 1;
    this.#members = [];
    this.#bytes = 0;
    if (this.#lengthOf(root) > this.#roomBytes) throw this.tooDeep(root);
    this.#take(root);
    this.#ancestorIn[root] = this.#cut;
  }

  has(id: number): boolean {
    return this.#memberOf[id] === this.#cut;
  }

  /** Takes a block with all that leads to it and is not there; false when there is no room for that. */
  add(id: number): boolean {
    const { parents } = this.#paths;
    const room = this.#roomBytes - this.#bytes;
    const path: number[] = [];
    let needed = this.#lengthOf(id);
    let above = parents[id] ?? NONE;
    for (; above !== NONE && !this.has(above); above = parents[above] ?? NONE) {
      needed += this.#lengthOf(above);
      path.push(above);
      if (needed > room) return false;
    }
    if (needed > room) return false;
    // One that the cut has as its own leads on from here.
    if (above !== NONE) this.#ancestorIn[above] = this.#cut;
    for (const ancestor of path) {
      this.#take(ancestor);
      this.#ancestorIn[ancestor] = this.#cut;
    }
    this.#take(id);
    return true;
  }

  isFull(): boolean {
    return this.#bytes * 100 >= this.#roomBytes * FULL_PERCENT;
  }

  finish(): Cut {
    const { ranks, ranked } = this.#paths;
    const isAncestor = (id: number) => this.#ancestorIn[id] === this.#cut;
    const ancestorRanks = Int32Array.from(this.#members.filter(isAncestor), (id) => ranks[id] ?? 0).toSorted();
    // Blocks come in stored order, but for those that came as ancestors.
    const own = this.#members.filter((id) => !isAncestor(id));
    const blocks = new Int32Array(this.#members.length);
    blocks.set(ancestorRanks.map((rank) => ranked[rank] ?? 0));
    blocks.set(own, ancestorRanks.length);
    return { blocks, ancestorCount: ancestorRanks.length, runBytes: this.#bytes };
  }

  tooDeep(id: number): Uncuttable {
    const { parents } = this.#paths;
    let needed = 0;
    for (let at = id; at !== NONE; at = parents[at] ?? NONE) needed += this.#lengthOf(at);
    const isMostlyItself = this.#lengthOf(id) * 2 > needed;
    const advice = isMostlyItself ? 'make its blocks smaller' : 'make its DAG flatter (wider nodes, shorter paths)';
    return new Uncuttable(
      `it is larger than an aggregate, and one of its blocks takes ${needed} bytes with all blocks that lead to it from ` +
        `the root, but a part has room for ${this.#roomBytes}: ${advice}, or have the operator raise PIECE_SIZE, and ` +
        `send it again`,
    );
  }

  #take(id: number): void {
    this.#memberOf[id] = this.#cut;
    this.#members.push(id);
    this.#bytes += this.#lengthOf(id);
  }

  #lengthOf(id: number): number {
    return this.#index.lengths[id] ?? 0;
  }
}

function tooRepetitive(): Uncuttable {
  return new Uncuttable(
    `it is larger than an aggregate, and its parts would take more than ${MAX_GROWTH} times its bytes, because each ` +
      `repeats all blocks that lead to its own: make its DAG flatter (wider nodes, shorter paths), and send it again`,
  );
}
