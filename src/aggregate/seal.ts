import type { Kysely } from 'kysely';
import { encodeSectionHead } from '../filecoin/car.ts';
import { parseCid } from '../filecoin/cid.ts';
import type { PieceDigest } from '../filecoin/commp/commp.ts';
import { pieceCidV1 } from '../filecoin/piece.ts';
import type { Block } from '../filecoin/unixfs.ts';
import type { Clock } from '../clock.ts';
import { createFastCommp } from '../commp-engine.ts';
import type { DB } from '../db/tables.ts';
import { LadingError } from '../errors.ts';
import type { Jobs } from '../jobs.ts';
import type { Log } from '../log.ts';
import type { ObjectStore } from '../storage/store.ts';
import { BATCH_DESCRIPTION } from './batch-manifest.ts';
import { buildBatchTree, type BatchTree } from './batch-tree.ts';
import type { OpenAggregate } from './sealing.ts';
import { findAggregate, listBatch, type BatchRow } from './store.ts';
import { advanceSelectors, advanceToSealed, LostRace, type Seal } from './transitions.ts';
import { openVirtualCar, type VirtualCar } from './virtual-car.ts';

export interface SealDeps {
  db: Kysely<DB>;
  store: ObjectStore;
  jobs: Jobs;
  clock: Clock;
  log: Log;
}

/** Placements read at once. */
const ENTRIES_PER_PAGE = 5_000;
/** Tree sections are gathered to writes of this size: most blocks are a few hundred bytes. */
const WRITE_BYTES = 256 * 1024;

/**
 * The handler of queue 'seal': gives an aggregate its batch tree, its piece CID and its selectors. All of it follows
 * from the placements alone, so a repetition after a crash at any point comes to the same bytes and the same row.
 */
export async function seal(deps: SealDeps, aggregateId: bigint, signal: AbortSignal): Promise<void> {
  const found = await findAggregate(deps.db, aggregateId);
  if (found?.state !== 'sealing') return;
  const entries = await listWholeBatch(deps.db, aggregateId, signal);
  const tree = buildBatchTree(entries.map(batchEntry), BATCH_DESCRIPTION);
  const sealed = await hashAggregate(deps, found.filling, tree, signal);
  signal.throwIfAborted();
  await commitSeal(deps, aggregateId, { sealed, entries, tree });
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

function batchEntry({ root, dagBytes, blockCount }: BatchRow) {
  return { cid: parseCid(root), dagBytes: Number(dagBytes ?? 0), nodeCount: Number(blockCount ?? 0) };
}

async function hashAggregate(
  deps: SealDeps,
  filling: OpenAggregate,
  tree: BatchTree,
  signal: AbortSignal,
): Promise<Seal> {
  const batchRoot = tree.root.toString();
  const treeKey = `trees/${filling.id}-${batchRoot}`;
  await storeTree(deps.store, treeKey, tree, signal);
  const outline = {
    id: filling.id,
    batchRoot,
    lengthBytes: Number(filling.lengthBytes),
    treeKey,
    treeBytes: tree.sectionBytes,
  };
  const car = openVirtualCar(deps, outline);
  if (BigInt(car.carBytes) > filling.capacityBytes) throw overCapacity(filling, car.carBytes);
  const { root, paddedBytes } = await hashCar(car, signal);
  const pieceCid = pieceCidV1(root).toString();
  return {
    batchRoot,
    treeKey,
    treeBytes: tree.sectionBytes,
    carBytes: car.carBytes,
    pieceCid,
    pieceBytes: paddedBytes,
  };
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
async function storeTree(store: ObjectStore, key: string, tree: BatchTree, signal: AbortSignal): Promise<void> {
  if ((await store.size(key)) === tree.sectionBytes) return;
  const staged = await store.stage();
  try {
    for (const bytes of gather(tree.blocks)) {
      signal.throwIfAborted();
      await staged.write(bytes);
    }
    await staged.commit(key);
  } finally {
    await staged.abort();
  }
}

/** The CAR sections of the blocks, gathered to larger writes. */
function* gather(blocks: Iterable<Block>): Generator<Uint8Array> {
  let pending: Uint8Array[] = [];
  let pendingBytes = 0;
  for (const { cid, bytes } of blocks) {
    const head = encodeSectionHead(cid, bytes.length);
    pending.push(head, bytes);
    pendingBytes += head.length + bytes.length;
    if (pendingBytes < WRITE_BYTES) continue;
    yield Buffer.concat(pending);
    pending = [];
    pendingBytes = 0;
  }
  if (pendingBytes > 0) yield Buffer.concat(pending);
}

async function hashCar(car: VirtualCar, signal: AbortSignal): Promise<PieceDigest> {
  const commp = createFastCommp();
  for await (const chunk of car.readRange(0, car.carBytes, signal)) commp.update(chunk);
  const digest = commp.digest();
  if (digest.rawBytes !== BigInt(car.carBytes)) {
    throw new LadingError('CAR_BYTES_DIFFER', `read ${digest.rawBytes} of ${car.carBytes} bytes`, { retry: 'later' });
  }
  return digest;
}

interface SealResult {
  sealed: Seal;
  entries: readonly BatchRow[];
  tree: BatchTree;
}

/** sealing → sealed, all selectors and the next stage's job in one transaction; nothing if another process was first. */
async function commitSeal(deps: SealDeps, aggregateId: bigint, { sealed, entries, tree }: SealResult): Promise<void> {
  const at = deps.clock.now();
  try {
    await deps.db.transaction().execute(async (trx) => {
      await advanceToSealed(trx, aggregateId, sealed, at);
      await advanceSelectors(trx, aggregateId, entries, tree.paths);
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
