import type { Kysely } from 'kysely';
import { createFastCommp, machineHashPairs } from '../../hashing/commp-engine.ts';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import { carV1Header, openCar } from '../../filecoin/car.ts';
import { parseCid } from '../../filecoin/cid.ts';
import { joinNodes, SubtreeStack, zeroRoot } from '../../filecoin/commp/tree.ts';
import {
  bytesBelow,
  foldSubtrees,
  subtreesOver,
  surroundingsOf,
  type InclusionPath,
  type NodePlace,
  type RunPlace,
} from '../../filecoin/inclusion-path.ts';
import type { InclusionProof } from '../../filecoin/inclusion-proof.ts';
import { pieceCidV1 } from '../../filecoin/piece.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { CHUNK_BYTES, chunkLevel, listChunkRoots } from '../seal/chunks.ts';
import type { PlacedRun } from './placed-runs.ts';
import { openVirtualCar, type VirtualCar } from './virtual-car.ts';

/** The root of a subtree of an aggregate's piece. */
export type SubtreeRoot = (place: NodePlace, signal: AbortSignal) => Promise<Uint8Array>;

export interface ProveDeps {
  db: Kysely<DB>;
  store: ObjectStore;
  /** Only for tests: as the chunks of the aggregate were hashed. */
  chunkBytes?: number;
}

/** A proof without the deals, which another stage knows. */
export type RunProof = Omit<InclusionProof, 'deals'>;

/**
 * An aggregate of 32 GiB in blocks of 256 KiB has 131,000. With more than this, the list is longer than what a client can
 * hold well (30 MB).
 */
export const MAX_LISTED_BLOCKS = 500_000;

/** Padded bytes of a leaf of the tree. */
const LEAF_BYTES = 32;

/**
 * The proof that a run lies in its piece, made from chunk roots and at most the bytes of the chunks at the run's edges.
 * What is over the run is folded with it: a proof that does not lead to the piece CID is never handed out.
 * Throws `PIECE_DAMAGED` then, and what the store throws.
 */
export async function proveRun(deps: ProveDeps, run: PlacedRun, signal: AbortSignal): Promise<RunProof> {
  const car = openVirtualCar(deps, run.outline);
  const sources = { subtreeRoot: await rootsFromChunks(deps, run, car), signal };
  const { start, end, pieceBytes, pieceCid, root, selector, outline } = run;
  const path = await findPath(car, { start, end, pieceSize: pieceBytes }, sources);
  await checkPath(pieceCid, path, sources);
  return { ...path, pieceCid, root, selector, batchRootCid: outline.batchRoot };
}

/** Roots of large subtrees from their chunks' stored roots; smaller ones, and chunks without, from the bytes. */
async function rootsFromChunks(deps: ProveDeps, { outline }: PlacedRun, car: VirtualCar): Promise<SubtreeRoot> {
  const { db, chunkBytes = CHUNK_BYTES } = deps;
  const known = await listChunkRoots(db, outline.id);
  const fromBytes = rootsFromBytes(car);
  const chunkHeight = chunkLevel(chunkBytes);
  const chunkCount = Math.ceil(car.carBytes / chunkBytes);
  return async (place, signal) => {
    if (place.level < chunkHeight) return fromBytes(place, signal);
    const width = 2 ** (place.level - chunkHeight);
    const stack = new SubtreeStack(machineHashPairs());
    const end = Math.min((place.index + 1) * width, chunkCount);
    for (let index = place.index * width; index < end; index += 1) {
      const root = known.get(index) ?? (await fromBytes({ level: chunkHeight, index }, signal));
      // PostgreSQL's driver gives Buffers, which are not what a proof is made of.
      stack.push({ level: chunkHeight, root: new Uint8Array(root) });
    }
    return stack.rootAt(place.level);
  };
}

/** Roots by reading all bytes below a place. What lies behind the CAR's end is zeros and is not read. */
export function rootsFromBytes(car: VirtualCar): SubtreeRoot {
  return async ({ level, index }, signal) => {
    const { start, end } = bytesBelow({ level, index });
    if (start >= car.carBytes) return zeroRoot(level);
    const hashPairs = machineHashPairs();
    const commp = createFastCommp();
    const bytes = car.readRange(start, Math.min(end, car.carBytes), signal, { passing: true });
    for await (const chunk of bytes) commp.update(chunk);
    const { root, paddedBytes } = commp.digest();
    let node = root;
    // A subtree that the CAR fills only at its start: zeros follow.
    for (let at = Math.log2(Number(paddedBytes) / LEAF_BYTES); at < level; at += 1) {
      node = joinNodes(hashPairs, node, zeroRoot(at));
    }
    return node;
  };
}

export interface PathSources {
  subtreeRoot: SubtreeRoot;
  signal: AbortSignal;
}

/** What stands beside a run, up to the root of the piece. */
export async function findPath(car: VirtualCar, place: RunPlace, sources: PathSources): Promise<InclusionPath> {
  const { start, end, pieceSize } = place;
  const surroundings = surroundingsOf(place);
  const { headBytes, tailBytes } = surroundings;
  const head = await readBytes(car, { offset: start - headBytes, length: headBytes }, sources.signal);
  const tail = await readBytes(car, { offset: end, length: tailBytes }, sources.signal);
  // From left to right: the higher a node stands on the left, and the lower on the right, the earlier its bytes come.
  const left = (await nodesAt(surroundings.left.toReversed(), sources)).toReversed();
  const behindCar = surroundings.right.findIndex((node) => node && bytesBelow(node).start >= car.carBytes);
  const right = await nodesAt(surroundings.right.slice(0, behindCar === -1 ? undefined : behindCar), sources);
  while (right.at(-1) === null) right.pop();
  return { start, end, pieceSize, head, tail, left, right };
}

async function nodesAt(
  places: readonly (NodePlace | undefined)[],
  { subtreeRoot, signal }: PathSources,
): Promise<(Uint8Array | null)[]> {
  const nodes: (Uint8Array | null)[] = [];
  for (const place of places) nodes.push(place === undefined ? null : await subtreeRoot(place, signal));
  return nodes;
}

/** `length` bytes from `offset`, zeros behind the end of the CAR. */
async function readBytes(
  car: VirtualCar,
  { offset, length }: { offset: number; length: number },
  signal: AbortSignal,
): Promise<Uint8Array> {
  const bytes = new Uint8Array(length);
  let filled = 0;
  for await (const chunk of car.readRange(offset, Math.min(offset + length, car.carBytes), signal)) {
    bytes.set(chunk, filled);
    filled += chunk.length;
  }
  return bytes;
}

/**
 * Folds the roots over the run with the path, as whoever verifies the proof does. A run of many chunks is not read for
 * that: its chunks' roots are as good as those beside it. Throws `PIECE_DAMAGED`.
 */
export async function checkPath(
  pieceCid: string,
  path: InclusionPath,
  { subtreeRoot, signal }: PathSources,
): Promise<void> {
  const roots: Uint8Array[] = [];
  for (const place of subtreesOver(surroundingsOf(path))) roots.push(await subtreeRoot(place, signal));
  const found = pieceCidV1(foldSubtrees(path, roots, machineHashPairs())).toString();
  if (found === pieceCid) return;
  const details = { pieceCid, found };
  throw new LadingError('PIECE_DAMAGED', `the stored bytes make ${found}, not the piece ${pieceCid}`, { details });
}

/** What names the blocks of a run in an aggregate's CAR. */
export type ListedRun = Pick<PlacedRun, 'outline' | 'root' | 'isPart' | 'start' | 'end'>;

/** The CIDs of a run's blocks in its order, as the sections name them. Throws `TOO_MANY_BLOCKS`. */
export async function listRunBlocks(
  deps: Omit<ProveDeps, 'chunkBytes'>,
  run: ListedRun,
  signal: AbortSignal,
): Promise<string[]> {
  const car = openVirtualCar(deps, run.outline);
  const { sections } = await openCar(runAsCar(car, run, signal));
  const cids: string[] = [];
  for await (const { cid } of sections) {
    if (cids.length === MAX_LISTED_BLOCKS) throw tooManyBlocks(run);
    cids.push(cid.toString());
  }
  return cids;
}

/** Sections alone are no CAR: whatever root stands in the header is not looked at. */
async function* runAsCar(car: VirtualCar, run: ListedRun, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  yield carV1Header(parseCid(run.outline.batchRoot));
  yield* car.readRange(run.start, run.end, signal);
}

function tooManyBlocks({ root, isPart }: ListedRun): LadingError {
  const message = isPart
    ? `a part of ${root} has more than ${MAX_LISTED_BLOCKS} blocks: ask with blocks=0`
    : `${root} has more than ${MAX_LISTED_BLOCKS} blocks: ask without blocks=1, and keep the CAR as it was sent`;
  return new LadingError('TOO_MANY_BLOCKS', message, { details: { limit: MAX_LISTED_BLOCKS } });
}
