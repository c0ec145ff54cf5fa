import type { Kysely } from 'kysely';
import type { DB, DealState, Json } from '../../db/tables.ts';
import type { Jobs } from '../../jobs.ts';
import { findSealedPiece, type SealedPiece } from '../propose/proposal-store.ts';

/** What sending one proposal needs, read in one query. */
export interface DealToSend {
  id: string;
  aggregateId: bigint;
  provider: string;
  state: DealState;
  attempts: number;
  maybeReceived: boolean;
  startEpoch: number;
  signedProposal: Uint8Array;
  fastRetrieval: boolean;
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
    startEpoch: Number(row.start_epoch),
    signedProposal: row.signed_proposal,
    fastRetrieval: row.fast_retrieval,
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
  return await db.transaction().execute(async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('deals')
      .set({ attempts: deal.attempts + 1, maybe_received: true, next_attempt_at: leaseUntil })
      .$if(deal.state === 'signed', (update) => update.set({ state: 'sent', changed_at: at }))
      .where('id', '=', deal.id)
      .where('state', '=', deal.state)
      .where('attempts', '=', deal.attempts)
      .executeTakeFirst();
    if (numUpdatedRows === 0n) return false;
    if (deal.state === 'signed') {
      await trx.insertInto('events').values({ at, deal_id: deal.id, from_state: 'signed', to_state: 'sent' }).execute();
    }
    return true;
  });
}

/** Leaves the deal in sent, to be tried again at `nextAttemptAt`, with the job that does it. */
export async function postponeAttempt(
  trx: Kysely<DB>,
  jobs: Jobs,
  next: { dealId: string; attempts: number; maybeReceived: boolean; nextAttemptAt: Date },
): Promise<void> {
  const { numUpdatedRows } = await trx
    .updateTable('deals')
    .set({ next_attempt_at: next.nextAttemptAt, maybe_received: next.maybeReceived })
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
  const reason = 'called_off';
  return await db.transaction().execute(async (trx) => {
    const { numUpdatedRows } = await trx
      .updateTable('deals')
      .set({ state: 'abandoned', reason_code: reason, reason_text: text, settled_at: at, changed_at: at })
      .where('id', '=', deal.id)
      .where('state', '=', 'signed')
      .executeTakeFirst();
    if (numUpdatedRows === 0n) return false;
    await trx
      .insertInto('events')
      .values({ at, deal_id: deal.id, from_state: 'signed', to_state: 'abandoned', reason_code: reason, detail: text })
      .execute();
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
  const rejected = answer.to === 'rejected';
  const { numUpdatedRows } = await trx
    .updateTable('deals')
    .set({ state: answer.to, changed_at: at, next_attempt_at: null })
    .$if(rejected, (update) =>
      update.set({ reason_code: answer.reasonCode ?? null, reason_text: answer.text, settled_at: at }),
    )
    .where('id', '=', answer.dealId)
    .where('state', '=', 'sent')
    .$if(rejected, (update) => update.where('attempts', '=', answer.attempts))
    .executeTakeFirst();
  if (numUpdatedRows === 0n) return false;
  await trx
    .insertInto('events')
    .values({
      at,
      deal_id: answer.dealId,
      from_state: 'sent',
      to_state: answer.to,
      reason_code: answer.reasonCode ?? null,
      detail: answer.text,
      evidence: answer.evidence,
    })
    .execute();
  return true;
}

/** Proposals that are due to be sent, oldest first: for the sweep that re-sends lost jobs. */
export async function listDealsToSend(db: Kysely<DB>, now: Date, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('deals')
    .select('id')
    .where('state', 'in', ['signed', 'sent'])
    .where((eb) => eb.or([eb('next_attempt_at', 'is', null), eb('next_attempt_at', '<=', now)]))
    .orderBy('created_at')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
