import type { Kysely } from 'kysely';
import { naturalPieceBytes, pieceCidV1 } from '../../filecoin/piece.ts';
import type { Clock } from '../../clock.ts';
import { machineHashPairs } from '../../hashing/commp-engine.ts';
import { processThreads } from '../../hashing/commp-threads.ts';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { BATCH_DESCRIPTION } from './batch-manifest.ts';
import { buildTreeAside, selectorAt, type PlainTree } from './batch-tree-thread.ts';
import { CHUNK_BYTES, endOfSettledChunks, foldChunks, insertChunks, listChunkRoots } from './chunks.ts';
import { chunkRoot, forEachAtOnce, mustBe, type ChunkHashing } from './hash-chunks.ts';
import type { OpenAggregate } from '../place/placement-rules.ts';
import { findAggregate } from '../aggregate-rows.ts';
import { listBatch, type BatchRow } from '../entries.ts';
import { advanceSelectors, advanceToSealed, LostRace, type Seal } from '../aggregate-steps.ts';
import { openVirtualCar, type VirtualCar } from '../bytes/virtual-car.ts';

export interface SealDeps extends ChunkHashing {
  db: Kysely<DB>;
  store: ObjectStore;
  jobs: Jobs;
  clock: Clock;
  log: Log;
}

/** Placements read at once: their rows take a few milliseconds of the event loop. */
const ENTRIES_PER_PAGE = 1_000;
/** Tree sections are gathered to writes of this size: those of a small tree are a few hundred bytes. */
const WRITE_BYTES = 256 * 1024;

/**
 * The handler of queue 'seal': gives an aggregate its batch tree, its piece CID and its selectors. All of it follows
 * from the placements alone, so a repetition after a crash at any point comes to the same bytes and the same row. Of the
 * runs it reads only chunks whose roots are not known yet.
 */
export async function seal(deps: SealDeps, aggregateId: bigint, signal: AbortSignal): Promise<void> {
  const found = await findAggregate(deps.db, aggregateId);
  if (found?.state !== 'sealing') return;
  const entries = await listWholeBatch(deps.db, aggregateId, signal);
  const tree = await buildTreeAside(entries.map(treeEntry), BATCH_DESCRIPTION, signal);
  const { sealed, chunkRoots } = await hashAggregate(deps, found, tree, signal);
  signal.throwIfAborted();
  await commitSeal(deps, aggregateId, { sealed, chunkRoots, entries, tree });
}

async function listWholeBatch(db: Kysely<DB>, aggregateId: bigint, signal: AbortSignal): Promise<BatchRow[]> {
  const entries: BatchRow[] = [];
  for (;;) {
    signal.throwIfAborted();
    const page = await listBatch(db, aggregateId, { afterSeq: entries.at(-1)?.seq, limit: ENTRIES_PER_PAGE });
    entries.push(...page);
    if (page.length < ENTRIES_PER_PAGE) return entries;
  }
}

function treeEntry({ root, dagBytes, blockCount }: BatchRow) {
  return { root, dagBytes: Number(dagBytes ?? 0), nodeCount: Number(blockCount ?? 0) };
}

async function hashAggregate(
  deps: SealDeps,
  { filling, fillerBytes }: { filling: OpenAggregate; fillerBytes: number },
  tree: PlainTree,
  signal: AbortSignal,
): Promise<{ sealed: Seal; chunkRoots: ChunkRoots }> {
  const { batchRoot } = tree;
  const treeKey = `trees/${filling.id}-${batchRoot}`;
  await storeTree(deps.store, treeKey, tree, signal);
  const outline = {
    id: filling.id,
    batchRoot,
    lengthBytes: Number(filling.lengthBytes),
    fillerBytes,
    treeKey,
    treeBytes: tree.sectionBytes,
  };
  const car = openVirtualCar(deps, outline);
  if (BigInt(car.carBytes) > filling.capacityBytes) throw overCapacity(filling, car.carBytes);
  const { root, chunkRoots } = await hashCar(deps, filling, car, signal);
  const pieceCid = pieceCidV1(root).toString();
  const pieceBytes = naturalPieceBytes(BigInt(car.carBytes));
  const sealed = { batchRoot, treeKey, treeBytes: tree.sectionBytes, carBytes: car.carBytes, pieceCid, pieceBytes };
  return { sealed, chunkRoots };
}

/** The reserve for the tree was too small: a fault of ours, which must not become a piece nobody can take. */
function overCapacity({ id, capacityBytes }: OpenAggregate, carBytes: number): LadingError {
  const details = { aggregateId: id.toString(), carBytes, capacityBytes: capacityBytes.toString() };
  return new LadingError(
    'AGGREGATE_OVER_CAPACITY',
    `aggregate ${id} has ${carBytes} bytes, more than ${capacityBytes}`,
    {
      details,
    },
  );
}

/** Writes the tree's sections as one object, unless an earlier attempt has done so. */
async function storeTree(store: ObjectStore, key: string, tree: PlainTree, signal: AbortSignal): Promise<void> {
  if ((await store.size(key)) === tree.sectionBytes) return;
  const staged = await store.stage(key);
  try {
    for (const bytes of gather(tree.sections)) {
      signal.throwIfAborted();
      await staged.write(bytes);
    }
    await staged.commit();
  } finally {
    await staged.abort();
  }
}

/** Buffers gathered to larger writes. */
function* gather(sections: Iterable<Uint8Array>): Generator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for (const bytes of sections) {
    pending.push(bytes);
    pendingBytes += bytes.length;
    if (pendingBytes < WRITE_BYTES) continue;
    yield Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
  }
  if (pendingBytes > 0) yield Buffer.concat(pending);
}

/** Roots by chunk. */
type ChunkRoots = ReadonlyMap<number, Uint8Array>;

/** The root of the whole piece, and the roots of those chunks that only the batch tree has settled. */
async function hashCar(
  deps: SealDeps,
  filling: OpenAggregate,
  car: VirtualCar,
  signal: AbortSignal,
): Promise<{ root: Uint8Array; chunkRoots: ChunkRoots }> {
  const { threads = processThreads(), chunkBytes = CHUNK_BYTES } = deps;
  if (car.carBytes <= chunkBytes) {
    const { root, rawBytes } = await threads.hash(car.readRange(0, car.carBytes, signal, { passing: true }));
    mustBe(rawBytes, car.carBytes);
    return { root, chunkRoots: new Map() };
  }
  const { roots, chunkRoots } = await hashOpenChunks(deps, filling, car, signal);
  const pieceBytes = naturalPieceBytes(BigInt(car.carBytes));
  return { root: foldChunks(roots, { chunkBytes, pieceBytes, hashPairs: machineHashPairs() }), chunkRoots };
}

/**
 * The roots of all chunks in order: those that are known, and the others hashed. Of these the ones without header and
 * batch tree are kept at once, so that a seal that dies has not hashed them for nothing.
 */
async function hashOpenChunks(
  deps: SealDeps,
  { id, lengthBytes }: OpenAggregate,
  car: VirtualCar,
  signal: AbortSignal,
): Promise<{ roots: Uint8Array[]; chunkRoots: ChunkRoots }> {
  const { chunkBytes = CHUNK_BYTES } = deps;
  const known = await listChunkRoots(deps.db, id);
  const settledEnd = endOfSettledChunks(lengthBytes, chunkBytes);
  const indexes = Array.from({ length: Math.ceil(car.carBytes / chunkBytes) }, (_, index) => index);
  const found = new Map<number, Uint8Array>();
  const hashOne = async (index: number, each: AbortSignal): Promise<void> => {
    const root = await chunkRoot(deps, car, index, each);
    found.set(index, root);
    if (index > 0 && index < settledEnd) await insertChunks(deps.db, id, new Map([[index, root]]));
  };
  await forEachAtOnce(
    indexes.filter((index) => !known.has(index)),
    signal,
    hashOne,
  );
  const roots = indexes.flatMap((index) => known.get(index) ?? found.get(index) ?? []);
  return { roots, chunkRoots: found };
}

interface SealResult {
  sealed: Seal;
  chunkRoots: ChunkRoots;
  entries: readonly BatchRow[];
  tree: PlainTree;
}

/** sealing → sealed, all selectors and the next stage's job in one transaction; nothing if another process was first. */
async function commitSeal(deps: SealDeps, aggregateId: bigint, result: SealResult): Promise<void> {
  const { sealed, chunkRoots, entries, tree } = result;
  const at = deps.clock.now();
  try {
    await deps.db.transaction().execute(async (trx) => {
      await advanceToSealed(trx, aggregateId, sealed, at);
      await insertChunks(trx, aggregateId, chunkRoots);
      await advanceSelectors(trx, aggregateId, entries, (place) => selectorAt(tree, place));
      await deps.jobs.send(trx, 'propose', { aggregateId: aggregateId.toString() });
    });
  } catch (error) {
    if (error instanceof LostRace) return;
    throw error;
  }
  const { pieceCid, carBytes } = sealed;
  deps.log.info(
    { aggregateId: aggregateId.toString(), pieceCid, carBytes, entries: entries.length },
    'aggregate.sealed',
  );
}
