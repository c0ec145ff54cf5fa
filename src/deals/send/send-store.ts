import type { Kysely } from 'kysely';
import type { DB, DealState, Json } from '../../db/tables.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import { moveDeal } from '../move-deal.ts';
import { findSealedPiece, type SealedPiece } from '../propose/proposal-store.ts';

/** What sending one proposal needs, read in one query. */
export interface DealToSend {
  id: string;
  aggregateId: bigint;
  provider: string;
  state: DealState;
  attempts: number;
  maybeReceived: boolean;
  /** Nobody sends before. */
  nextAttemptAt: Date | undefined;
  startEpoch: number;
  signedProposal: Uint8Array;
  fastRetrieval: boolean;
  /** Its provider brings the bytes in by hand. */
  offline: boolean;
  piece: SealedPiece;
}

export async function findDealToSend(db: Kysely<DB>, id: string): Promise<DealToSend | undefined> {
  const row = await db
    .selectFrom('deals')
    .innerJoin('policies', 'policies.version', 'deals.policy_version')
    .selectAll('deals')
    .select('policies.fast_retrieval')
    .where('deals.id', '=', id)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const piece = await findSealedPiece(db, row.aggregate_id);
  if (piece === undefined) return undefined;
  return {
    id: row.id,
    aggregateId: row.aggregate_id,
    provider: row.provider_id,
    state: row.state,
    attempts: row.attempts,
    maybeReceived: row.maybe_received,
    nextAttemptAt: row.next_attempt_at ?? undefined,
    startEpoch: Number(row.start_epoch),
    signedProposal: row.signed_proposal,
    fastRetrieval: row.fast_retrieval,
    offline: row.offline,
    piece,
  };
}

/**
 * Commits the intent to send: state sent, one attempt more, and that bytes may arrive. False when another process
 * changed the deal since it was read. The sweep leaves the deal alone until `leaseUntil`.
 */
export async function beginAttempt(
  db: Kysely<DB>,
  deal: DealToSend,
  { at, leaseUntil }: { at: Date; leaseUntil: Date },
): Promise<boolean> {
  const columns = { attempts: deal.attempts + 1, maybe_received: true, next_attempt_at: leaseUntil };
  if (deal.state === 'signed') {
    return await db
      .transaction()
      .execute((trx) =>
        moveDeal(trx, { id: deal.id, from: 'signed', to: 'sent', at, ifAttempts: deal.attempts, columns }),
      );
  }
  const { numUpdatedRows } = await db
    .updateTable('deals')
    .set(columns)
    .where('id', '=', deal.id)
    .where('state', '=', deal.state)
    .where('attempts', '=', deal.attempts)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Leaves the deal in sent, to be tried again at `nextAttemptAt`, with the job that does it. */
export async function postponeAttempt(
  trx: Kysely<DB>,
  jobs: Jobs,
  next: { dealId: string; attempts: number; maybeReceived: boolean; nextAttemptAt: Date },
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('deals')
    .set({
      next_attempt_at: next.nextAttemptAt,
      maybe_received: next.maybeReceived,
      // What cannot be resent any more can still be asked about.
      ...(next.maybeReceived && { next_status_at: next.nextAttemptAt }),
    })
    .where('id', '=', next.dealId)
    .where('state', '=', 'sent')
    .where('attempts', '=', next.attempts)
    .executeTakeFirst();
  if (numUpdatedRows > 0n) await jobs.send(trx, 'send', { dealId: next.dealId }, { startAfter: next.nextAttemptAt });
}

/** Leaves a proposal whose start has passed to the watch: the sweep looks at it again at `until`, should a reorg give it time. */
export async function restPastStart(db: Kysely<DB>, dealId: string, until: Date): Promise<void> {
  await db
    .updateTable('deals')
    .set({ next_attempt_at: until })
    .where('id', '=', dealId)
    .where('state', 'in', ['signed', 'sent'])
    .execute();
}

/** signed → abandoned: nothing of it ever left, so nothing can come of it, and its slot is proposed anew. False when it did leave. */
export async function callOffUnsent(
  { db, jobs }: { db: Kysely<DB>; jobs: Jobs },
  deal: DealToSend,
  { text, at }: { text: string; at: Date },
): Promise<boolean> {
  const reason = { code: 'called_off', text };
  return await db.transaction().execute(async (trx) => {
    if (!(await moveDeal(trx, { id: deal.id, from: 'signed', to: 'abandoned', at, reason }))) return false;
    await jobs.send(trx, 'propose', { aggregateId: deal.aggregateId.toString() });
    return true;
  });
}

/** An SP's definite answer to a sent proposal. `text` is the provider's own words. */
export interface DealAnswer {
  dealId: string;
  /** Of the attempt that this answers, itself included. */
  attempts: number;
  to: 'accepted' | 'rejected';
  reasonCode?: string;
  text: string;
  evidence: Json;
}

/**
 * sent → accepted or rejected, with its event; false when the deal is not in sent any more (the chain was faster). A yes
 * is a yes, whatever else is out; a no ends nothing while a later attempt, whose bytes the provider may take, is out.
 */
export async function settleAnswer(trx: Kysely<DB>, answer: DealAnswer, at: Date): Promise<boolean> {
  const { dealId: id, to, attempts, text, evidence } = answer;
  const reason = { code: answer.reasonCode ?? null, text };
  return await moveDeal(trx, {
    id,
    from: 'sent',
    to,
    at,
    reason,
    evidence,
    ...(to === 'rejected' && { ifAttempts: attempts }),
  });
}

/** Before all ids. */
const FIRST_UUID = '00000000-0000-0000-0000-000000000000';

/** Proposals that are due to be sent, by id after the given one: for the sweep that re-sends lost jobs. */
export async function listDealsToSend(
  db: Kysely<DB>,
  now: Date,
  { limit, afterId = FIRST_UUID }: { limit: number; afterId?: string | undefined },
): Promise<string[]> {
  const rows = await db
    .selectFrom('deals')
    .select('id')
    .where('state', 'in', ['signed', 'sent'])
    .where((eb) => eb.or([eb('next_attempt_at', 'is', null), eb('next_attempt_at', '<=', now)]))
    .where('id', '>', afterId)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
