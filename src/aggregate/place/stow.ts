import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { isSerializationFailure, isUniqueViolation } from '../../db/sqlstate.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import type { Log } from '../../log/log.ts';
import { unreachable } from '../../errors.ts';
import { CHUNK_BYTES, endOfSettledChunks } from '../seal/chunks.ts';
import {
  largestPlaceable,
  nextSealTime,
  sealReason,
  withUpload,
  type OpenAggregate,
  type SealRules,
  type WaitingUpload,
} from './placement-rules.ts';
import { findAggregate, listOpen } from '../aggregate-rows.ts';
import { listWaiting, type WaitingCursor } from './waiting-queue.ts';
import { DirectoryCounts } from './crowded-directories.ts';
import { beginPass, planPlacements, withOpened, type Pass, type Plan } from './plan-placements.ts';
import { insertAggregate, LostRace } from '../aggregate-steps.ts';
import { advanceByPlacements, type Filling } from './place-runs.ts';
import { sendToSealing } from './send-to-sealing.ts';

export interface StowDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  clock: Clock;
  rules: SealRules;
  log: Log;
  /** Kept from call to call where the caller has one: counting anew reads all entries of a large aggregate. */
  directories?: DirectoryCounts;
}

/** Waiting uploads read at once, and placed by one transaction: some tens of milliseconds. */
const UPLOADS_PER_PAGE = 500;
/** Placements before ages are looked at again, so that a never-ending stream of uploads cannot delay a seal for long. */
const PLACEMENTS_PER_PASS = 5_000;
/** By how much a job may come before its time. */
const EARLY_WAKE_MS = 2_000;
/** Losses in a row to other processes before the job gives up for a while; each one means that another got on. */
const MAX_LOST_RACES = 100;

/**
 * The handler of queue 'stow': places all waiting uploads, oldest first, and sends to sealing what is full or of age.
 * Many processes may run it at once; every change is a compare-and-set, and who loses looks again.
 */
export async function stow(deps: StowDeps, signal: AbortSignal): Promise<void> {
  const turn: Turn = { deps, signal, lostInARow: 0, told: new Set() };
  for (let moved = true; moved; ) {
    const placed = await placeWaiting(turn);
    const sealed = await sealDue(deps, signal);
    moved = placed || sealed;
  }
  await wakeForWhatIsAlmostDue(deps);
}

/** One call of the handler. */
interface Turn {
  deps: StowDeps;
  signal: AbortSignal;
  lostInARow: number;
  /** Uploads that were told to be cut, or that nothing helps. */
  told: Set<bigint>;
}

/** The job for a seal time may come a moment early where two clocks differ: then one more is sent, or it would be lost. */
async function wakeForWhatIsAlmostDue({ db, jobs, clock, rules }: StowDeps): Promise<void> {
  for (const aggregate of await listOpen(db)) {
    const dueAt = nextSealTime(aggregate, rules);
    if (dueAt === undefined || dueAt.getTime() - clock.now().getTime() > EARLY_WAKE_MS) continue;
    await jobs.send(db, 'stow', {}, { startAfter: dueAt });
  }
}

/** One pass over the waiting uploads; tells whether anything moved, here or in another process. */
async function placeWaiting(turn: Turn): Promise<boolean> {
  try {
    const moved = await placePages(turn);
    turn.lostInARow = 0;
    return moved;
  } catch (error) {
    if (!isLostRace(error) || ++turn.lostInARow > MAX_LOST_RACES) throw error;
    return true;
  }
}

/** Did another process get on instead of this one? Nothing of the transaction is left then. */
function isLostRace(error: unknown): boolean {
  return error instanceof LostRace || isUniqueViolation(error, 'placements_once') || isSerializationFailure(error);
}

async function placePages({ deps, signal, told }: Turn): Promise<boolean> {
  const { db, rules, directories = new DirectoryCounts() } = deps;
  let pass = beginPass(await listOpen(db));
  let after: WaitingCursor | undefined;
  let moves = 0;
  while (moves < PLACEMENTS_PER_PASS) {
    signal.throwIfAborted();
    const maxRunBytes = largestPlaceable(pass.open, rules);
    pass = { ...pass, open: await directories.look(db, pass.open) };
    const { uploads, next } = await listWaiting(db, { after, maxRunBytes, limit: UPLOADS_PER_PAGE });
    for (let rest = uploads; rest.length > 0; ) {
      signal.throwIfAborted();
      const plan = planPlacements(rest, pass, rules);
      pass = await carryOut(deps, plan);
      moves += movesOf(plan);
      await tellHopeless(deps, plan, told);
      // The next pass begins with the oldest.
      if (plan.end.kind === 'overtaking') return true;
      rest = rest.slice(plan.taken);
    }
    if (next === undefined) break;
    after = next;
  }
  return moves > 0;
}

function movesOf({ placements, end }: Plan): number {
  return placements.length + (end.kind === 'open-new' || end.kind === 'seal-first' ? 1 : 0);
}

/** All placements in one transaction, then the step that ended the plan in one of its own. */
async function carryOut(deps: StowDeps, { placements, fillings, pass, end }: Plan): Promise<Pass> {
  if (placements.length > 0) {
    await deps.db.transaction().execute(async (trx) => {
      await advanceByPlacements(trx, { fillings, placements, at: deps.clock.now() });
      for (const filling of fillings) await wakeNext(deps, trx, filling);
    });
  }
  switch (end.kind) {
    case 'done':
    case 'overtaking':
      return pass;
    case 'open-new':
      return withOpened(pass, await openWith(deps, end.upload), end.upload);
    case 'seal-first':
      await sendToSealing(deps, end.aggregate, 'full');
      return { ...pass, open: pass.open.filter(({ id }) => id !== end.aggregate.id) };
    default:
      return unreachable(end);
  }
}

async function openWith(deps: StowDeps, upload: WaitingUpload): Promise<OpenAggregate> {
  return await deps.db.transaction().execute(async (trx) => {
    const at = deps.clock.now();
    const before = await insertAggregate(trx, deps.rules, at);
    const after = withUpload(before, upload);
    const place = { aggregateId: before.id, seq: before.entryCount, offsetBytes: before.lengthBytes, upload };
    await advanceByPlacements(trx, { fillings: [{ before, after }], placements: [place], at });
    await wakeNext(deps, trx, { before, after });
    return after;
  });
}

/** Wakes hashing for chunks that are settled now, and stowing for the time at which age makes the aggregate due. */
async function wakeNext({ jobs, rules }: StowDeps, trx: Kysely<DB>, { before, after }: Filling): Promise<void> {
  if (endOfSettledChunks(after.lengthBytes, CHUNK_BYTES) > endOfSettledChunks(before.lengthBytes, CHUNK_BYTES)) {
    await jobs.send(trx, 'hash', { aggregateId: after.id.toString() });
  }
  const dueAt = nextSealTime(after, rules);
  // The job of an earlier placement covers the time that it knew: only an earlier one needs another.
  if (dueAt !== undefined && dueAt < (nextSealTime(before, rules) ?? new Date(8.64e15))) {
    await jobs.send(trx, 'stow', {}, { startAfter: dueAt });
  }
}

/** Has what is larger than an aggregate cut, once a call; the job changes nothing where that is done or under way. */
async function tellHopeless({ db, jobs, log }: StowDeps, plan: Plan, told: Set<bigint>): Promise<void> {
  for (const { id, root, runBytes, cut } of [...plan.tooLarge, ...plan.unplaceable]) {
    if (told.has(id)) continue;
    told.add(id);
    const fields = { uploadId: id.toString(), root, runBytes: runBytes.toString(), cut: cut?.number };
    const isPartlyPlaced = cut !== undefined && cut.heldBy.size > 0;
    // A piece size that became smaller: cuts of which some are placed stay as they are.
    if (isPartlyPlaced || plan.unplaceable.some((one) => one.id === id)) log.warn(fields, 'upload.unplaceable');
    else await jobs.send(db, 'cut', { uploadId: id.toString() });
  }
}

/** Sends to sealing what needs no further upload to be due; tells whether there was any. */
async function sealDue(deps: StowDeps, signal: AbortSignal): Promise<boolean> {
  let moved = false;
  for (const aggregate of await listOpen(deps.db)) {
    signal.throwIfAborted();
    const reason = sealReason(aggregate, deps.rules, deps.clock.now());
    if (reason === undefined) continue;
    await sendToSealing(deps, aggregate, reason).catch(ignoreLostRace);
    moved = true;
  }
  return moved;
}

/** Another process sent it to sealing first, which is as good. */
function ignoreLostRace(error: unknown): void {
  if (!(error instanceof LostRace)) throw error;
}

export type SealNowOutcome =
  | { kind: 'sealing' }
  | { kind: 'unknown' }
  | { kind: 'empty' }
  | { kind: 'not-open'; state: string };

/** Seals an open aggregate on an operator's word, whatever its fill and age. */
export async function sealNow(
  deps: StowDeps,
  aggregateId: bigint,
  alongside?: (trx: Kysely<DB>) => Promise<void>,
): Promise<SealNowOutcome> {
  const found = await findAggregate(deps.db, aggregateId);
  if (found === undefined) return { kind: 'unknown' };
  if (found.state !== 'open') return { kind: 'not-open', state: found.state };
  if (found.filling.entryCount === 0) return { kind: 'empty' };
  try {
    await sendToSealing(deps, found.filling, 'operator', alongside);
  } catch (error) {
    if (error instanceof LostRace) return await sealNow(deps, aggregateId, alongside);
    throw error;
  }
  return { kind: 'sealing' };
}
