import type { Kysely } from 'kysely';
import type { DB } from '../../../db/tables.ts';
import { LadingError } from '../../../errors.ts';
import type { InclusionPath } from '../../../filecoin/inclusion-path.ts';
import type { ObjectStore } from '../../../storage/store.ts';
import type { SealedAggregate } from '../../aggregate-rows.ts';
import { checkPath, findPath, listRunBlocks } from '../../bytes/prove.ts';
import { openVirtualCar } from '../../bytes/virtual-car.ts';
import { CHUNK_BYTES, listChunkRoots } from '../../seal/chunks.ts';
import { EdgeChunks } from './edge-chunks.ts';
import { ProofsWriter } from './proofs-file.ts';
import { listKeptRuns, type KeptRun } from './release-store.ts';

interface WriteDeps {
  db: Kysely<DB>;
  store: ObjectStore;
  /** Only for tests: as the chunks of the aggregate were hashed. */
  chunkBytes?: number;
}

/**
 * Writes the proofs of all runs of a sealed aggregate as one object, each verified against the piece CID first; answers
 * its key. One pass: chunks at the edges of runs are read once, others only to list blocks whose order is no CAR's.
 * Doing it again makes the same bytes.
 * Throws `PIECE_DAMAGED`, and what the store throws.
 */
export async function writeProofs(deps: WriteDeps, aggregate: SealedAggregate, signal: AbortSignal): Promise<string> {
  const key = `proofs/${aggregate.id}-${aggregate.pieceCid}`;
  const staged = await deps.store.stage(key);
  try {
    const writer = new ProofsWriter(staged, aggregate.entryCount);
    const edges = await openEdges(deps, aggregate, signal);
    const sources = { subtreeRoot: edges.subtreeRoot, signal };
    for await (const run of listKeptRuns(deps.db, aggregate.id)) {
      signal.throwIfAborted();
      const path = await findPath(edges, { ...run, pieceSize: Number(aggregate.pieceBytes) }, sources);
      await checkPath(aggregate.pieceCid, path, sources);
      const blocks = await listBlocks(deps, aggregate, { run, signal });
      await writer.add({ ...proofOf(aggregate, run, path), ...blocks });
    }
    await writer.commit();
  } finally {
    // Nothing to abort once it was committed.
    await staged.abort();
  }
  return key;
}

async function openEdges(deps: WriteDeps, aggregate: SealedAggregate, signal: AbortSignal): Promise<EdgeChunks> {
  const { chunkBytes = CHUNK_BYTES } = deps;
  // A piece smaller than a chunk has no roots of chunks, and is one chunk by itself.
  const payloadBytes = (Number(aggregate.pieceBytes) / 128) * 127;
  const known = await listChunkRoots(deps.db, aggregate.id);
  const car = openVirtualCar(deps, aggregate);
  return new EdgeChunks({ car, chunkBytes: Math.min(chunkBytes, payloadBytes), known, signal });
}

/**
 * The order of the blocks where it is no CAR's: without it nobody can lay the run out once its bytes are gone. A run with
 * more blocks than anybody is told goes without, as it did before.
 */
async function listBlocks(deps: WriteDeps, aggregate: SealedAggregate, given: { run: KeptRun; signal: AbortSignal }) {
  const { run, signal } = given;
  if (!run.isPart && !run.cameInParts) return {};
  try {
    return { blocks: await listRunBlocks(deps, { ...run, outline: aggregate }, signal) };
  } catch (error) {
    if (error instanceof LadingError && error.code === 'TOO_MANY_BLOCKS') return {};
    throw error;
  }
}

/** Without deals, which come and go: whoever hands the proof out adds them. */
function proofOf({ pieceCid, batchRoot }: SealedAggregate, { root, selector }: KeptRun, path: InclusionPath) {
  return { ...path, pieceCid, root, selector, batchRootCid: batchRoot, deals: [] };
}
