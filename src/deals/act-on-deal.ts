import type { Kysely } from 'kysely';
import type { Clock } from '../clock.ts';
import type { DB, DealState } from '../db/tables.ts';
import { LadingError } from '../errors.ts';
import type { Jobs } from '../jobs/jobs.ts';
import { writeAudit, type Act } from './audit.ts';
import { isOnChain, isOver } from './deal-states.ts';
import { moveDeal } from './move-deal.ts';
import { leaseEnd } from './send/attempt-lease.ts';
import { callOff } from './send/call-off.ts';
import { storableText } from '../storable-text.ts';

interface ActDeps {
  db: Kysely<DB>;
  jobs: Jobs;
  clock: Clock;
}

interface HeldDeal {
  id: string;
  state: DealState;
  aggregateId: bigint;
}

/** The deal, held until the transaction ends; a LadingError `NOT_FOUND` when there is none. */
async function holdDeal(trx: Kysely<DB>, id: string): Promise<HeldDeal> {
  const row = await trx
    .selectFrom('deals')
    .select(['id', 'state', 'aggregate_id'])
    .where('id', '=', id)
    .forUpdate()
    .executeTakeFirst();
  if (row === undefined) throw new LadingError('NOT_FOUND', `there is no deal ${id}`);
  return { id: row.id, state: row.state, aggregateId: row.aggregate_id };
}

async function wake(trx: Kysely<DB>, jobs: Jobs, { id, state, aggregateId }: HeldDeal, now: Date): Promise<void> {
  if (isOver(state)) return jobs.send(trx, 'propose', { aggregateId: aggregateId.toString() });
  if (state === 'signed' || state === 'sent') {
    // One that is due within a lease's time may be out just now, and comes about by itself.
    await trx
      .updateTable('deals')
      .set({ next_attempt_at: now })
      .where('id', '=', id)
      .where('next_attempt_at', '>', leaseEnd(now))
      .execute();
    return jobs.send(trx, 'send', { dealId: id });
  }
  if (state === 'accepted') {
    await trx.updateTable('deals').set({ next_status_at: now }).where('id', '=', id).execute();
    return jobs.send(trx, 'status', { dealId: id });
  }
  throw new LadingError('DEAL_NOT_OPEN', `deal ${id} is ${state}: the chain has it, and there is nothing to try again`);
}

/**
 * Does now what would be done later: sends a proposal that waits for its next attempt, asks the provider of an accepted
 * one how it stands, proposes for the slot of an ended one. Throws `DEAL_NOT_OPEN` when the chain has the deal.
 */
export async function retryDeal({ db, jobs, clock }: ActDeps, id: string, { by, reason }: Act): Promise<void> {
  const at = clock.now();
  await db.transaction().execute(async (trx) => {
    const deal = await holdDeal(trx, id);
    await wake(trx, jobs, deal, at);
    await writeAudit(trx, { actor: by, action: 'deal.retry', subject: id, reason, detail: { state: deal.state }, at });
  });
}

/**
 * Gives up a proposal that can be no deal any more, and proposes for its slot anew: one of which nothing has left, or an
 * accepted one that is called off, as its provider never held all bytes and gets none from now on. What could still be
 * published stays as it is: `DEAL_NOT_OPEN`.
 */
export async function abandonDeal(deps: ActDeps, id: string, { by, reason }: Act): Promise<void> {
  const at = deps.clock.now();
  const text = storableText(`given up by ${by}${reason === undefined ? '' : `: ${reason}`}`);
  const audit = (state: DealState) => (trx: Kysely<DB>) =>
    writeAudit(trx, { actor: by, action: 'deal.abandon', subject: id, reason, detail: { state }, at });
  const state = await deps.db.transaction().execute(async (trx) => {
    const deal = await holdDeal(trx, id);
    const move = { id, from: 'signed' as const, to: 'abandoned' as const, at, reason: { code: 'called_off', text } };
    if (deal.state !== 'signed' || !(await moveDeal(trx, move))) return deal.state;
    await deps.jobs.send(trx, 'propose', { aggregateId: deal.aggregateId.toString() });
    await audit('signed')(trx);
    return undefined;
  });
  if (state === undefined) return;
  const byHand = { text, alongside: audit('accepted') };
  if (state === 'accepted' && (await callOff({ ...deps, random: () => 0 }, id, byHand))) return;
  throw new LadingError('DEAL_NOT_OPEN', `deal ${id} is ${state}, and cannot be given up: ${whyKept(state)}`);
}

function whyKept(state: DealState): string {
  if (isOver(state)) return 'it has ended already';
  if (isOnChain(state)) return 'the chain has it, and ends it';
  return 'its provider may still publish it, so the chain has to end it';
}
