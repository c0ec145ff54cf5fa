import type { Kysely } from 'kysely';
import { processThreads, type CommpThreads } from '../../hashing/commp-threads.ts';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { CHUNK_BYTES, chunkLevel, endOfSettledChunks, hasChunk, insertChunks, listChunkRoots } from './chunks.ts';
import { findAggregate } from '../aggregate-rows.ts';
import { openVirtualCar, type VirtualCar } from '../bytes/virtual-car.ts';

/** What hashing by chunks needs; both have the process's defaults. */
export interface ChunkHashing {
  threads?: CommpThreads;
  /** Only for tests: small chunks make small aggregates of many. */
  chunkBytes?: number;
}

export interface HashDeps extends ChunkHashing {
  db: Kysely<DB>;
  store: ObjectStore;
  /** From 0 to 1: where several workers begin, so that they seldom meet. */
  random: () => number;
}

/** Chunks hashed side by side for one aggregate; the threads of the process bound all of them together. */
const CHUNKS_AT_ONCE = 4;

/**
 * The handler of queue 'hash': keeps the roots of all chunks of an open aggregate that are settled. Each is a row by
 * itself, so a worker that dies loses one chunk's work, and workers side by side do each other's no harm.
 */
export async function hashChunks(deps: HashDeps, aggregateId: bigint, signal: AbortSignal): Promise<void> {
  const { db, chunkBytes = CHUNK_BYTES } = deps;
  for (;;) {
    const found = await findAggregate(db, aggregateId);
    // Once it seals, sealing hashes what is missing.
    if (found?.state !== 'open') return;
    const end = endOfSettledChunks(found.filling.lengthBytes, chunkBytes);
    const missing = await listMissing(db, aggregateId, { from: 1, end });
    if (missing.length === 0) return;
    const car = openOpenCar(deps, aggregateId, end * chunkBytes);
    await forEachAtOnce(turned(missing, deps.random), signal, async (index, each) => {
      if (await hasChunk(db, aggregateId, index)) return;
      const root = await chunkRoot(deps, car, index, each);
      await insertChunks(db, aggregateId, new Map([[index, root]]));
    });
  }
}

/** The chunks from `from` to `end`, exclusive, whose roots are not known. */
export async function listMissing(
  db: Kysely<DB>,
  aggregateId: bigint,
  { from, end }: { from: number; end: number },
): Promise<number[]> {
  const known = await listChunkRoots(db, aggregateId);
  return Array.from({ length: Math.max(0, end - from) }, (_, at) => from + at).filter((index) => !known.has(index));
}

/** An open aggregate's CAR up to `endBytes`: its header is not known, so nothing may read before the first run. */
function openOpenCar(deps: HashDeps, id: bigint, endBytes: number): VirtualCar {
  return openVirtualCar(deps, { id, batchRoot: '', lengthBytes: endBytes, fillerBytes: 0, treeKey: '', treeBytes: 0 });
}

/** The same list, begun at a random place. */
function turned(indexes: readonly number[], random: () => number): number[] {
  const start = Math.floor(random() * indexes.length);
  return [...indexes.slice(start), ...indexes.slice(0, start)];
}

/**
 * The root over one chunk of a CAR, the last one filled with zeros, hashed in a thread. Throws what the store throws,
 * and `CAR_BYTES_DIFFER` when it gave another number of bytes.
 */
export async function chunkRoot(
  { threads = processThreads(), chunkBytes = CHUNK_BYTES }: ChunkHashing,
  car: VirtualCar,
  index: number,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const start = index * chunkBytes;
  const end = Math.min(start + chunkBytes, car.carBytes);
  const bytes = car.readRange(start, end, signal, { passing: true });
  const { root, rawBytes } = await threads.hash(bytes, chunkLevel(chunkBytes));
  mustBe(rawBytes, end - start);
  return root;
}

export function mustBe(rawBytes: bigint, expectedBytes: number): void {
  if (rawBytes === BigInt(expectedBytes)) return;
  throw new LadingError('CAR_BYTES_DIFFER', `read ${rawBytes} of ${expectedBytes} bytes`, { retry: 'later' });
}

/** Does `act` for each item, a few at once; the first fault stops the others, and is thrown when they have stopped. */
export async function forEachAtOnce<T>(
  items: readonly T[],
  signal: AbortSignal,
  act: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const fault = new AbortController();
  const either = AbortSignal.any([signal, fault.signal]);
  const rest = items.values();
  const lane = async (): Promise<void> => {
    try {
      for (const item of rest) {
        either.throwIfAborted();
        await act(item, either);
      }
    } catch (error) {
      fault.abort(error);
    }
  };
  await Promise.all(Array.from({ length: CHUNKS_AT_ONCE }, lane));
  signal.throwIfAborted();
  if (fault.signal.aborted) throw fault.signal.reason;
}
