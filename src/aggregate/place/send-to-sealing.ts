import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { FILLER_SECTION_BYTES } from '../bytes/filler.ts';
import { advanceToSealing } from '../aggregate-steps.ts';
import { roomBytes, type OpenAggregate, type SealReason } from './placement-rules.ts';
import type { StowDeps } from './stow.ts';
import { advanceByTopUp, listTopUpCandidates } from './top-up-store.ts';
import { missingBytes, planTopUp, type TopUp } from './top-up.ts';

/**
 * open → sealing, topped up to the smallest piece size, and what goes `alongside` in the same transaction. Throws
 * `LostRace` if the aggregate is not as given any more.
 */
export async function sendToSealing(
  deps: StowDeps,
  aggregate: OpenAggregate,
  reason: SealReason,
  alongside?: (trx: Kysely<DB>) => Promise<void>,
): Promise<void> {
  const { db, jobs, clock } = deps;
  const topUp = await findTopUp(deps, aggregate);
  await db.transaction().execute(async (trx) => {
    const at = clock.now();
    if (topUp !== undefined) await advanceByTopUp(trx, aggregate, topUp, at);
    await advanceToSealing(trx, aggregate.id, { reason, at, toppedUp: topUp && whatWasAdded(topUp) });
    await jobs.send(trx, 'seal', { aggregateId: aggregate.id.toString() });
    // Its place is free now: what waited for one has its turn.
    if (reason === 'operator') await jobs.send(trx, 'stow', {});
    await alongside?.(trx);
  });
  tellSealing(deps, { aggregate, reason, topUp });
}

async function findTopUp({ db, rules }: StowDeps, aggregate: OpenAggregate): Promise<TopUp | undefined> {
  const { minPieceBytes } = rules;
  if (aggregate.entryCount === 0 || missingBytes(aggregate, minPieceBytes) === 0n) return undefined;
  const candidates = await listTopUpCandidates(db, { aggregateId: aggregate.id, maxRunBytes: roomBytes(aggregate) });
  return planTopUp(aggregate, candidates, { minPieceBytes, fillerSectionBytes: FILLER_SECTION_BYTES });
}

function whatWasAdded({ runs, fillerBytes }: TopUp) {
  return { runs: runs.length, runBytes: runs.reduce((sum, { runBytes }) => sum + runBytes, 0n), fillerBytes };
}

interface Sealing {
  aggregate: OpenAggregate;
  reason: SealReason;
  topUp: TopUp | undefined;
}

function tellSealing({ log, rules }: StowDeps, { aggregate, reason, topUp }: Sealing): void {
  const aggregateId = aggregate.id.toString();
  const added = topUp && { toppedUp: topUp.runs.length, fillerBytes: topUp.fillerBytes.toString() };
  log.info({ aggregateId, reason, ...added }, 'aggregate.sealing');
  if (topUp === undefined || topUp.isReached) return;
  log.warn({ aggregateId, minPieceBytes: rules.minPieceBytes.toString() }, 'aggregate.below_min_piece');
}
