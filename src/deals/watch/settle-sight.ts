import type { Kysely, UpdateObject } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import type { Jobs } from '../../jobs.ts';
import { isLive, isOver, type DealState } from '../deal-states.ts';
import { applyStep, type At, type ChainFields, type Seen, type Step } from './deal-step.ts';
import { decideAll } from './decide.ts';
import { claimDeal, type DealRecord } from './watch-store.ts';

/** What the chain showed of one of our deals. */
export interface Sighting {
  dealId: string;
  seen: Seen;
  at: At;
}

/** A change that was made, for the log. */
export interface Change {
  dealId: string;
  from: DealState;
  to: DealState;
  code: string;
  text: string;
  epoch: number;
}

type DealUpdate = UpdateObject<DB, 'deals'>;
type ToldStep = Extract<Step, { kind: 'update' | 'advance' }>;

function toColumns(fields: Partial<ChainFields>): DealUpdate {
  const big = (value: number | null) => (value === null ? null : BigInt(value));
  return {
    ...(fields.chainDealId !== undefined && { chain_deal_id: fields.chainDealId }),
    ...(fields.publishMessage !== undefined && { publish_message: fields.publishMessage }),
    ...(fields.publishedEpoch !== undefined && { published_epoch: big(fields.publishedEpoch) }),
    ...(fields.sectorNumber !== undefined && { sector_number: fields.sectorNumber }),
    ...(fields.sectorStartEpoch !== undefined && { sector_start_epoch: big(fields.sectorStartEpoch) }),
  };
}

/**
 * Where a deal goes that comes back to life: its own place, or, when a replacement took its slot or its provider has
 * another proposal for the piece, a generation of its own. Both are then real, and both are shown.
 */
async function freeGeneration(trx: Kysely<DB>, { id, aggregateId }: DealRecord): Promise<DealUpdate> {
  const own = await trx
    .selectFrom('deals')
    .select(['slot', 'provider_id', 'generation'])
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  const others = await trx
    .selectFrom('deals')
    .select(['slot', 'provider_id', 'generation', 'settled_at'])
    .where('aggregate_id', '=', aggregateId)
    .where('id', '!=', id)
    .execute();
  const taken = others.some(
    (other) =>
      other.settled_at === null &&
      other.generation === own.generation &&
      (other.slot === own.slot || other.provider_id === own.provider_id),
  );
  return taken ? { generation: Math.max(...others.map(({ generation }) => generation)) + 1 } : {};
}

/** Two deals cannot have one chain id: whoever lost it is settled first, or nothing of this sight is kept. */
async function checkIdFree(trx: Kysely<DB>, step: ToldStep, id: string): Promise<void> {
  const { chainDealId } = step.fields;
  if (chainDealId === undefined || chainDealId === null) return;
  const holder = await trx.selectFrom('deals').select('id').where('chain_deal_id', '=', chainDealId).executeTakeFirst();
  if (holder === undefined || holder.id === id) return;
  throw new LadingError(
    'WATCH_ID_CLASH',
    `chain deal ${chainDealId} is deal ${id}, but deal ${holder.id} still has that id`,
    { retry: 'later' },
  );
}

/** What `/check` shows of a deal changed: its state, text or sector. */
function isTold(step: ToldStep): boolean {
  return step.kind === 'advance' || step.fields.sectorStartEpoch !== undefined;
}

async function updateDeal(trx: Kysely<DB>, deal: DealRecord, step: ToldStep, now: Date): Promise<void> {
  const to = step.kind === 'advance' ? step.to : deal.state;
  const ended = isOver(to);
  const state: DealUpdate = {
    state: to,
    reason_code: ended ? step.reason.code : null,
    reason_text: ended ? step.reason.text : null,
    settled_at: ended ? now : null,
    next_attempt_at: null,
    ...(isOver(deal.state) && !ended && (await freeGeneration(trx, deal))),
  };
  await trx
    .updateTable('deals')
    .set({ ...toColumns(step.fields), ...(step.kind === 'advance' && state), ...(isTold(step) && { changed_at: now }) })
    .where('id', '=', deal.id)
    .where('state', '=', deal.state)
    .execute();
}

async function tellEvent(trx: Kysely<DB>, deal: DealRecord, step: ToldStep, now: Date): Promise<Change> {
  const { reason, epoch, evidence } = step;
  const to = step.kind === 'advance' ? step.to : deal.state;
  await trx
    .insertInto('events')
    .values({
      at: now,
      deal_id: deal.id,
      from_state: deal.state,
      to_state: to,
      reason_code: reason.code,
      detail: reason.text,
      epoch: BigInt(epoch),
      evidence,
    })
    .execute();
  return { dealId: deal.id, from: deal.state, to, code: reason.code, text: reason.text, epoch };
}

export interface SettleDeps {
  trx: Kysely<DB>;
  jobs: Jobs;
  now: Date;
}

async function takeStep({ trx, jobs, now }: SettleDeps, deal: DealRecord, step: Step): Promise<Change | undefined> {
  if (step.kind === 'none') return undefined;
  if (step.kind === 'settle') {
    await trx.updateTable('deals').set({ settled_at: now }).where('id', '=', deal.id).execute();
    return undefined;
  }
  await checkIdFree(trx, step, deal.id);
  await updateDeal(trx, deal, step, now);
  // A slot that has just become free is proposed anew.
  if (step.kind === 'advance' && isLive(deal.state) && isOver(step.to)) {
    await jobs.send(trx, 'propose', { aggregateId: deal.aggregateId.toString() });
  }
  return tellEvent(trx, deal, step, now);
}

/**
 * Brings one deal to what the chain showed of it, in the given transaction: the row is held, decided on as it is now,
 * and changed with one event a step. The same sighting again changes nothing.
 */
export async function settleSighting(deps: SettleDeps, { dealId, seen, at }: Sighting): Promise<Change[]> {
  let deal = await claimDeal(deps.trx, dealId);
  const changes: Change[] = [];
  for (const step of decideAll(deal, seen, at)) {
    const change = await takeStep(deps, deal, step);
    if (change !== undefined) changes.push(change);
    deal = { ...deal, ...applyStep(deal, step) };
  }
  return changes;
}
