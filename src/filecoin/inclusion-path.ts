import { PADDED_UNIT_BYTES, UNIT_BYTES } from './commp/fr32.ts';
import type { HashPairs } from './commp/pair-hashing.ts';
import { FormatError } from './format-error.ts';
import { NODE_BYTES, NodeStack, UNIT_LEVEL, UnitHasher, ZeroRoots } from './node-stack.ts';

/**
 * The arithmetic of inclusion proofs: which nodes of a piece's tree stand beside a run of bytes, and how the run and
 * these nodes fold to the piece's root. Nothing here needs Node: it runs in browsers too.
 */

const NODES_PER_UNIT = PADDED_UNIT_BYTES / NODE_BYTES;
/** A tree of 2^40 leaves is a piece of 32 TiB: no sector comes near, and all its offsets are exact numbers. */
const MAX_HEIGHT = 40;

/** A run of a CAR's bytes, `start` to `end` (exclusive), in a piece of `pieceSize` padded bytes. */
export interface RunPlace {
  start: number;
  end: number;
  pieceSize: number;
}

/** A node of the piece's tree: `level` 0 are the 32-byte leaves, `index` counts from the left. */
export interface NodePlace {
  level: number;
  index: number;
}

/** What a proof needs beside the run itself. */
export interface RunSurroundings {
  /** Levels of the tree above its leaves. */
  height: number;
  /** Units of 127 bytes that the run touches: `firstUnit` to `endUnit` (exclusive). */
  firstUnit: number;
  endUnit: number;
  /** Bytes of the first and of the last unit that are not the run's. */
  headBytes: number;
  tailBytes: number;
  /** The sibling on each level, undefined where that level needs none. */
  left: (NodePlace | undefined)[];
  right: (NodePlace | undefined)[];
}

/** Throws FormatError PROOF_INVALID when no run lies there. */
export function surroundingsOf({ start, end, pieceSize }: RunPlace): RunSurroundings {
  const height = treeHeight(pieceSize);
  const capacity = (pieceSize / PADDED_UNIT_BYTES) * UNIT_BYTES;
  if (!Number.isSafeInteger(start) || !Number.isSafeInteger(end) || start < 0 || start >= end || end > capacity) {
    throw invalid(`no run of bytes ${start} to ${end} lies in a piece of ${pieceSize}`);
  }
  const firstUnit = Math.floor(start / UNIT_BYTES);
  const endUnit = Math.ceil(end / UNIT_BYTES);
  const left: (NodePlace | undefined)[] = [];
  const right: (NodePlace | undefined)[] = [];
  let first = firstUnit * NODES_PER_UNIT;
  let last = endUnit * NODES_PER_UNIT - 1;
  for (let level = 0; level < height; level += 1) {
    left.push(first % 2 === 1 ? { level, index: first - 1 } : undefined);
    right.push(last % 2 === 0 ? { level, index: last + 1 } : undefined);
    first = Math.floor(first / 2);
    last = Math.floor(last / 2);
  }
  const headBytes = start - firstUnit * UNIT_BYTES;
  return { height, firstUnit, endUnit, headBytes, tailBytes: endUnit * UNIT_BYTES - end, left, right };
}

function treeHeight(pieceSize: number): number {
  const height = Math.log2(pieceSize / NODE_BYTES);
  if (!Number.isInteger(height) || height < UNIT_LEVEL || height > MAX_HEIGHT) {
    throw invalid(`${pieceSize} is no padded size of a piece: a power of two, at least ${PADDED_UNIT_BYTES}`);
  }
  return height;
}

/** The bytes of the CAR below a node, `start` to `end` (exclusive), as far as the CAR were endless. */
export function bytesBelow({ level, index }: NodePlace): { start: number; end: number } {
  const width = 2 ** (level - UNIT_LEVEL) * UNIT_BYTES;
  return { start: index * width, end: (index + 1) * width };
}

/** The fewest aligned subtrees that cover the run's units, from left to right. */
export function subtreesOver({ firstUnit, endUnit }: Pick<RunSurroundings, 'firstUnit' | 'endUnit'>): NodePlace[] {
  const places: NodePlace[] = [];
  for (let unit = firstUnit; unit < endUnit; ) {
    let units = 1;
    while (unit % (units * 2) === 0 && unit + units * 2 <= endUnit) units *= 2;
    places.push({ level: UNIT_LEVEL + Math.log2(units), index: unit / units });
    unit += units;
  }
  return places;
}

/** The part of a proof that leads from the run's bytes to the root of the piece. Nodes are 32 bytes. */
export interface InclusionPath extends RunPlace {
  head: Uint8Array;
  tail: Uint8Array;
  /** By level: null where that level needs none; what is missing at the end of `right` are zero subtrees. */
  left: readonly (Uint8Array | null)[];
  right: readonly (Uint8Array | null)[];
}

/** The root of the piece in the making, from the bytes of the run in order. Takes some 260 KiB, however long the run. */
export interface RunFold {
  update(bytes: Uint8Array): void;
  /** Ends the run. Throws FormatError RUN_LENGTH_DIFFERS unless it was as long as the proof says. */
  root(): Uint8Array;
}

/** Throws FormatError PROOF_INVALID when the path has not exactly the bytes and nodes that its place needs. */
export function foldRun(path: InclusionPath, hashPairs: HashPairs): RunFold {
  const { stack, surroundings, finish } = openFold(path, hashPairs);
  const units = new UnitHasher(stack, hashPairs, surroundings.firstUnit);
  units.update(path.head);
  const lengthBytes = path.end - path.start;
  let givenBytes = 0;
  return {
    update(bytes) {
      givenBytes += bytes.length;
      if (givenBytes > lengthBytes) throw lengthDiffers(givenBytes, lengthBytes);
      units.update(bytes);
    },
    root() {
      if (givenBytes !== lengthBytes) throw lengthDiffers(givenBytes, lengthBytes);
      units.update(path.tail);
      units.flush();
      return finish();
    },
  };
}

/** The root of the piece where the roots of `subtreesOver` the run, its edges included, are known already. */
export function foldSubtrees(path: InclusionPath, roots: readonly Uint8Array[], hashPairs: HashPairs): Uint8Array {
  const { stack, surroundings, finish } = openFold(path, hashPairs);
  const places = subtreesOver(surroundings);
  if (roots.length !== places.length) throw invalid(`${roots.length} roots for ${places.length} subtrees`);
  for (const [at, { level }] of places.entries()) stack.push(level, roots[at] ?? new Uint8Array(NODE_BYTES));
  return finish();
}

/** Left of the run all nodes are there at once; `finish` adds those to the right. */
function openFold(path: InclusionPath, hashPairs: HashPairs) {
  const surroundings = checkPath(path);
  const stack = new NodeStack(hashPairs);
  for (const [level, node] of [...path.left.entries()].toReversed()) if (node !== null) stack.push(level, node);
  const finish = (): Uint8Array => {
    const zeros = new ZeroRoots(hashPairs);
    for (const place of surroundings.right) {
      if (place !== undefined) stack.push(place.level, path.right[place.level] ?? zeros.at(place.level));
    }
    return stack.root(surroundings.height);
  };
  return { stack, surroundings, finish };
}

function checkPath(path: InclusionPath): RunSurroundings {
  const surroundings = surroundingsOf(path);
  const { height, headBytes, tailBytes } = surroundings;
  if (path.head.length !== headBytes || path.tail.length !== tailBytes) {
    throw invalid(
      `head and tail have ${path.head.length} and ${path.tail.length} bytes, not ${headBytes} and ${tailBytes}`,
    );
  }
  if (path.left.length !== height || path.right.length > height) {
    throw invalid(`left and right have ${path.left.length} and ${path.right.length} levels, the tree has ${height}`);
  }
  for (const side of ['left', 'right'] as const) {
    for (const [level, node] of path[side].entries()) checkNode(side, level, node, surroundings[side][level]);
  }
  return surroundings;
}

function checkNode(side: string, level: number, node: Uint8Array | null, place: NodePlace | undefined): void {
  if ((node === null) !== (place === undefined)) {
    throw invalid(`level ${level} ${place === undefined ? 'needs no node' : 'needs a node'} to the ${side}`);
  }
  if (node !== null && node.length !== NODE_BYTES) {
    throw invalid(`the node to the ${side} on level ${level} has ${node.length} bytes, not ${NODE_BYTES}`);
  }
}

function invalid(message: string): FormatError {
  return new FormatError('PROOF_INVALID', message);
}

function lengthDiffers(givenBytes: number, lengthBytes: number): FormatError {
  const more = givenBytes > lengthBytes ? 'at least ' : '';
  const message = `the blocks take ${more}${givenBytes} bytes in a CAR, the proof is for ${lengthBytes}`;
  return new FormatError('RUN_LENGTH_DIFFERS', message, { givenBytes, lengthBytes });
}
