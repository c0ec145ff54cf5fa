import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import type { Jobs } from '../../jobs.ts';
import { isLive, isOver, type DealState } from '../deal-states.ts';
import { moveDeal, settleFailed, type MovedColumns } from '../move-deal.ts';
import { applyStep, type At, type ChainFields, type Seen, type Step } from './deal-step.ts';
import { decideAll } from './decide.ts';
import { claimDeals, type DealRecord } from './watch-store.ts';

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

type ToldStep = Extract<Step, { kind: 'update' | 'advance' }>;

function toColumns(fields: Partial<ChainFields>): MovedColumns {
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
async function freeGeneration(trx: Kysely<DB>, { id, aggregateId }: DealRecord): Promise<MovedColumns> {
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
function isShown(step: ToldStep): boolean {
  return step.kind === 'advance' || step.fields.sectorStartEpoch !== undefined;
}

async function tellMove(trx: Kysely<DB>, deal: DealRecord, step: ToldStep, now: Date): Promise<Change> {
  const { reason, epoch, evidence } = step;
  const to = step.kind === 'advance' ? step.to : deal.state;
  const revives = isOver(deal.state) && isLive(to);
  const columns = { ...toColumns(step.fields), ...(revives && (await freeGeneration(trx, deal))) };
  const move = { id: deal.id, from: deal.state, to, at: now, columns, reason, epoch, evidence, shown: isShown(step) };
  if (!(await moveDeal(trx, move))) throw new Error(`deal ${deal.id} is not ${deal.state}, though it is held`);
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
    await settleFailed(trx, deal.id, now);
    return undefined;
  }
  await checkIdFree(trx, step, deal.id);
  // A slot that has just become free is proposed anew.
  if (step.kind === 'advance' && isLive(deal.state) && isOver(step.to)) {
    await jobs.send(trx, 'propose', { aggregateId: deal.aggregateId.toString() });
  }
  return tellMove(trx, deal, step, now);
}

/**
 * Brings deals to what the chain showed of them, in the given transaction and in the order of the list: their rows are
 * held, decided on as they are now, and changed with one event a step. The same sightings again change nothing.
 */
export async function settleSightings(deps: SettleDeps, sightings: readonly Sighting[]): Promise<Change[]> {
  const held = await claimDeals(
    deps.trx,
    sightings.map(({ dealId }) => dealId),
  );
  const changes: Change[] = [];
  for (const { dealId, seen, at } of sightings) {
    let deal = held.get(dealId);
    if (deal === undefined) throw new Error(`there is no deal ${dealId}`);
    for (const step of decideAll(deal, seen, at)) {
      const change = await takeStep(deps, deal, step);
      if (change !== undefined) changes.push(change);
      deal = { ...deal, ...applyStep(deal, step) };
    }
    held.set(dealId, deal);
  }
  return changes;
}
