import { setImmediate } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { carV1Header, encodeSectionHead, openCar } from '../../filecoin/car.ts';
import { parseCid } from '../../filecoin/cid.ts';
import { pieceCapacity } from '../../filecoin/piece.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import type { ObjectStore } from '../../storage/store.ts';
import { readExtents, RunLayout } from './cut-extents.ts';
import { BlockIndex, Uncuttable } from './cut-index.ts';
import { findPaths, planCuts, type DagPaths } from './cut-plan.ts';
import { deleteCuts } from '../delete-of-upload.ts';
import {
  failUncuttable,
  findCuttable,
  insertCut,
  insertCutEvent,
  listRunOfUpload,
  lockCuttable,
  nextCutNumber,
  sumCuts,
  type CuttableUpload,
  type StoredPart,
} from './cut-store.ts';
import { emptyRoomBytes, type SealRules } from './placement-rules.ts';

export interface CutDeps {
  db: Kysely<DB>;
  store: ObjectStore;
  jobs: Pick<Jobs, 'send'>;
  clock: Clock;
  rules: Pick<SealRules, 'pieceBytes'>;
  log: Log;
}

/**
 * The handler of queue 'cut': cuts an upload that is larger than an aggregate, all of it in one transaction, and wakes
 * stowing. The cuts follow from the stored bytes and the piece size alone. Cuts that a smaller piece size has made too
 * large are made anew while none is placed. An upload that no cutting helps fails, with what to do about it.
 */
export async function cutUpload(deps: CutDeps, uploadId: bigint, signal: AbortSignal): Promise<void> {
  const upload = await findCuttable(deps.db, uploadId);
  const room = emptyRoomBytes(pieceCapacity(deps.rules.pieceBytes));
  if (upload === undefined || BigInt(upload.runBytes) <= room) return;
  if (!(await mayCut(deps, uploadId, room))) return;
  try {
    const parts = await listRunOfUpload(deps.db, uploadId);
    const index = await indexRun(deps, upload, parts, signal);
    const paths = await findPathsInTurns(index, index.numberOf(parseCid(upload.root)), signal);
    await commitCuts(deps, upload, { index, paths, parts, room, signal });
  } catch (error) {
    if (!(error instanceof Uncuttable)) throw error;
    await fail(deps, upload, error.message);
  }
}

/** True unless its cuts are there already and of use, or placed. */
async function mayCut({ db, log }: Pick<CutDeps, 'db' | 'log'>, uploadId: bigint, room: bigint): Promise<boolean> {
  const { count, maxBytes, placed } = await sumCuts(db, uploadId);
  if (count === 0) return true;
  if (maxBytes <= room) return false;
  if (placed > 0) log.warn({ uploadId: uploadId.toString(), placed, count }, 'upload.cuts_too_large');
  return placed === 0;
}

/** One sequential read of the stored sections; memory: the index and a block. */
async function indexRun(
  { store }: CutDeps,
  { root, blockCount }: CuttableUpload,
  parts: readonly StoredPart[],
  signal: AbortSignal,
): Promise<BlockIndex> {
  const index = new BlockIndex(blockCount);
  // Sections alone are no CAR.
  const header = carV1Header(parseCid(root));
  const { sections } = await openCar(readExtents(store, { before: header, extents: parts, signal }));
  for await (const { cid, bytes, offset } of sections) {
    const sectionBytes = encodeSectionHead(cid, bytes.length).length + bytes.length;
    index.add({ cid, bytes, offset: offset - header.length, sectionBytes });
  }
  return index;
}

/** Walks millions of blocks without holding up what else the process does. */
async function findPathsInTurns(index: BlockIndex, root: number, signal: AbortSignal): Promise<DagPaths> {
  const steps = findPaths(index, root);
  for (;;) {
    signal.throwIfAborted();
    const step = steps.next();
    if (step.done === true) return step.value;
    await setImmediate();
  }
}

interface Plan {
  index: BlockIndex;
  paths: DagPaths;
  parts: readonly StoredPart[];
  room: bigint;
  signal: AbortSignal;
}

/** Nothing if the upload does not wait any more, if another process has cut it, or if its run lies elsewhere by now. */
async function commitCuts(deps: CutDeps, upload: CuttableUpload, plan: Plan): Promise<void> {
  const layout = new RunLayout(plan.parts);
  const found = await deps.db.transaction().execute(async (trx) => {
    if (!(await lockCuttable(trx, upload)) || !(await mayCut({ db: trx, log: deps.log }, upload.id, plan.room))) {
      return undefined;
    }
    // Removed and sent again while it was read: the sweep of jobs has the new run cut.
    if (!isDeepStrictEqual(await listRunOfUpload(trx, upload.id), plan.parts)) return undefined;
    await deleteCuts(trx, upload.id);
    const first = await nextCutNumber(trx, upload.id);
    let [cut, cutBytes] = [first, 0];
    for (const planned of planCuts(plan.index, plan.paths, Number(plan.room))) {
      plan.signal.throwIfAborted();
      if (planned === undefined) await setImmediate();
      if (planned === undefined) continue;
      const { blocks, runBytes } = planned;
      const extents = layout.extentsOf(plan.index, blocks);
      await insertCut(trx, { uploadId: upload.id, cut, runBytes, blockCount: blocks.length, extents });
      cut += 1;
      cutBytes += runBytes;
    }
    await insertCutEvent(trx, upload.id, { at: deps.clock.now(), cuts: cut - first, cutBytes });
    await deps.jobs.send(trx, 'stow', {});
    return { cuts: cut - first, cutBytes };
  });
  if (found === undefined) return;
  deps.log.info({ uploadId: upload.id.toString(), ...found, runBytes: upload.runBytes }, 'upload.cut');
}

async function fail(deps: CutDeps, upload: CuttableUpload, failure: string): Promise<void> {
  const failed = await deps.db
    .transaction()
    .execute(async (trx) => await failUncuttable(trx, upload, { failure, at: deps.clock.now() }));
  if (failed) deps.log.warn({ uploadId: upload.id.toString(), root: upload.root, failure }, 'upload.not_cuttable');
}
