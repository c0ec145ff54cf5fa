import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import type { Jobs } from '../../jobs.ts';
import type { Log } from '../../log.ts';
import { unreachable } from '../../errors.ts';
import { CHUNK_BYTES, endOfSettledChunks } from '../seal/chunks.ts';
import {
  largestPlaceable,
  nextSealTime,
  placeUpload,
  sealReason,
  type OpenAggregate,
  type SealReason,
  type SealRules,
  type WaitingUpload,
} from './placement-rules.ts';
import { findAggregate, listOpen } from '../aggregate-rows.ts';
import { listWaiting, type WaitingCursor } from './waiting-queue.ts';
import { advanceByUpload, advanceToSealing, insertAggregate, LostRace } from '../aggregate-steps.ts';

export interface StowDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  clock: Clock;
  rules: SealRules;
  log: Log;
}

/** Waiting uploads read at once. */
const UPLOADS_PER_PAGE = 100;
/** Placements before ages are looked at again, so that a never-ending stream of uploads cannot delay a seal for long. */
const PLACEMENTS_PER_PASS = 1_000;
/** By how much a job may come before its time. */
const EARLY_WAKE_MS = 2_000;
/** Losses in a row to other processes before the job gives up for a while; each one means that another got on. */
const MAX_LOST_RACES = 100;

/**
 * The handler of queue 'stow': places all waiting uploads, oldest first, and sends to sealing what is full or of age.
 * Many processes may run it at once; every change is a compare-and-set, and who loses looks again.
 */
export async function stow(deps: StowDeps, signal: AbortSignal): Promise<void> {
  for (let moved = true; moved; ) {
    const placed = await placeWaiting(deps, signal);
    const sealed = await sealDue(deps, signal);
    moved = placed || sealed;
  }
  await wakeForWhatIsAlmostDue(deps);
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
async function placeWaiting(deps: StowDeps, signal: AbortSignal): Promise<boolean> {
  const turn: Turn = { deps, open: await listOpen(deps.db), moves: 0, lostInARow: 0, passedOver: false };
  let after: WaitingCursor | undefined;
  while (turn.moves < PLACEMENTS_PER_PASS) {
    const maxRunBytes = largestPlaceable(turn.open, deps.rules);
    const page = await listWaiting(deps.db, { after, maxRunBytes, limit: UPLOADS_PER_PAGE });
    for (const upload of page) {
      signal.throwIfAborted();
      if (isOvertaking(turn)) return true;
      await tryToPlace(turn, upload);
    }
    after = page.at(-1)?.cursor;
    if (page.length < UPLOADS_PER_PAGE) break;
  }
  return turn.moves > 0;
}

/** A pass in progress: the open aggregates as this process believes them to be. */
interface Turn {
  deps: StowDeps;
  open: OpenAggregate[];
  moves: number;
  lostInARow: number;
  /** No aggregate could open for a while, so that large uploads may have been left behind. */
  passedOver: boolean;
}

/**
 * A new aggregate could open for the next upload while an older one was passed over: it has the first claim, or a
 * steady stream of smaller ones could keep it waiting for ever. The next pass begins with it.
 */
function isOvertaking(turn: Turn): boolean {
  const mayOpen = largestPlaceable(turn.open, turn.deps.rules) === undefined;
  turn.passedOver ||= !mayOpen;
  return mayOpen && turn.passedOver;
}

/** Places one upload if there is room; if another process was faster, looks anew at what is open. */
async function tryToPlace(turn: Turn, upload: WaitingUpload): Promise<void> {
  try {
    const open = await settle(turn.deps, upload, turn.open);
    if (open !== turn.open) turn.moves += 1;
    turn.open = open;
    turn.lostInARow = 0;
  } catch (error) {
    if (!(error instanceof LostRace) || ++turn.lostInARow > MAX_LOST_RACES) throw error;
    turn.open = await listOpen(turn.deps.db);
    turn.moves += 1;
  }
}

/** Carries out the steps for one upload; returns the open aggregates after them, the same array if nothing moved. */
async function settle(deps: StowDeps, upload: WaitingUpload, open: OpenAggregate[]): Promise<OpenAggregate[]> {
  const step = placeUpload(upload, open, deps.rules);
  switch (step.kind) {
    case 'into': {
      const filled = await placeInto(deps, step.aggregate, upload);
      return open.map((one) => (one.id === filled.id ? filled : one));
    }
    case 'open-new':
      return [...open, await openWith(deps, upload)];
    case 'seal-first':
      await sendToSealing(deps, step.aggregate.id, 'full');
      return await settle(
        deps,
        upload,
        open.filter(({ id }) => id !== step.aggregate.id),
      );
    case 'wait':
      return open;
    case 'too-large':
      deps.log.warn({ uploadId: upload.id.toString(), runBytes: upload.runBytes.toString() }, 'upload.too_large');
      return open;
    default:
      return unreachable(step);
  }
}

async function placeInto(deps: StowDeps, aggregate: OpenAggregate, upload: WaitingUpload): Promise<OpenAggregate> {
  return await deps.db.transaction().execute(async (trx) => await placeWithin(deps, trx, aggregate, upload));
}

async function openWith(deps: StowDeps, upload: WaitingUpload): Promise<OpenAggregate> {
  return await deps.db.transaction().execute(async (trx) => {
    const aggregate = await insertAggregate(trx, deps.rules, deps.clock.now());
    return await placeWithin(deps, trx, aggregate, upload);
  });
}

async function placeWithin(
  deps: StowDeps,
  trx: Kysely<DB>,
  aggregate: OpenAggregate,
  upload: WaitingUpload,
): Promise<OpenAggregate> {
  const filled = await advanceByUpload(trx, aggregate, upload, deps.clock.now());
  const dueAt = nextSealTime(filled, deps.rules);
  if (endOfSettledChunks(filled.lengthBytes, CHUNK_BYTES) > endOfSettledChunks(aggregate.lengthBytes, CHUNK_BYTES)) {
    await deps.jobs.send(trx, 'hash', { aggregateId: aggregate.id.toString() });
  }
  // The job of an earlier placement covers the time that it knew: only an earlier one needs another.
  if (dueAt !== undefined && dueAt < (nextSealTime(aggregate, deps.rules) ?? new Date(8.64e15))) {
    await deps.jobs.send(trx, 'stow', {}, { startAfter: dueAt });
  }
  return filled;
}

/** Sends to sealing what needs no further upload to be due; tells whether there was any. */
async function sealDue(deps: StowDeps, signal: AbortSignal): Promise<boolean> {
  let moved = false;
  for (const aggregate of await listOpen(deps.db)) {
    signal.throwIfAborted();
    const reason = sealReason(aggregate, deps.rules, deps.clock.now());
    if (reason === undefined) continue;
    await sendToSealing(deps, aggregate.id, reason).catch(ignoreLostRace);
    moved = true;
  }
  return moved;
}

/** Another process sent it to sealing first, which is as good. */
function ignoreLostRace(error: unknown): void {
  if (!(error instanceof LostRace)) throw error;
}

async function sendToSealing(deps: StowDeps, id: bigint, reason: SealReason): Promise<void> {
  await deps.db.transaction().execute(async (trx) => {
    await advanceToSealing(trx, id, reason, deps.clock.now());
    await deps.jobs.send(trx, 'seal', { aggregateId: id.toString() });
    // Its place is free now: what waited for one has its turn.
    if (reason === 'operator') await deps.jobs.send(trx, 'stow', {});
  });
  deps.log.info({ aggregateId: id.toString(), reason }, 'aggregate.sealing');
}

export type SealNowOutcome =
  | { kind: 'sealing' }
  | { kind: 'unknown' }
  | { kind: 'empty' }
  | { kind: 'not-open'; state: string };

/** Seals an open aggregate on an operator's word, whatever its fill and age. */
export async function sealNow(deps: StowDeps, aggregateId: bigint): Promise<SealNowOutcome> {
  const found = await findAggregate(deps.db, aggregateId);
  if (found === undefined) return { kind: 'unknown' };
  if (found.state !== 'open') return { kind: 'not-open', state: found.state };
  if (found.filling.entryCount === 0) return { kind: 'empty' };
  try {
    await sendToSealing(deps, aggregateId, 'operator');
  } catch (error) {
    if (error instanceof LostRace) return await sealNow(deps, aggregateId);
    throw error;
  }
  return { kind: 'sealing' };
}
