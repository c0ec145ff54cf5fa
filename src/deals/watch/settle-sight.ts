import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import type { Jobs } from '../../jobs/jobs.ts';
import { isLive, isOver, type DealState } from '../deal-states.ts';
import { moveDeal, settleFailed, type MovedColumns } from '../move-deal.ts';
import { applyStep, type At, type ChainFields, type Seen, type Step } from './deal-step.ts';
import { decideAll } from './decide.ts';
import { makeRoom } from './revive.ts';
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

export interface SettleDeps {
  trx: Kysely<DB>;
  jobs: Jobs;
  now: Date;
}

interface Told {
  deal: DealRecord;
  step: ToldStep;
}

type Held = Map<string, DealRecord>;

/** What was called off for this deal is so for the rest of the pass, too. */
async function columnsOf(deps: SettleDeps, held: Held, { deal, step }: Told): Promise<MovedColumns> {
  const columns = toColumns(step.fields);
  if (step.kind !== 'advance' || !isOver(deal.state) || !isLive(step.to)) return columns;
  const room = await makeRoom(deps, deal);
  for (const id of room.calledOff) {
    const rival = held.get(id);
    if (rival !== undefined) held.set(id, { ...rival, state: 'abandoned', settled: true });
  }
  return { ...columns, ...room.columns };
}

async function tellMove(deps: SettleDeps, held: Held, told: Told): Promise<Change> {
  const { deal, step } = told;
  const { reason, epoch, evidence } = step;
  const to = step.kind === 'advance' ? step.to : deal.state;
  const columns = await columnsOf(deps, held, told);
  const shown = isShown(step);
  const move = { id: deal.id, from: deal.state, to, at: deps.now, columns, reason, epoch, evidence, shown };
  if (!(await moveDeal(deps.trx, move))) throw new Error(`deal ${deal.id} is not ${deal.state}, though it is held`);
  return { dealId: deal.id, from: deal.state, to, code: reason.code, text: reason.text, epoch };
}

async function takeStep(deps: SettleDeps, held: Held, deal: DealRecord, step: Step): Promise<Change | undefined> {
  const { trx, jobs, now } = deps;
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
  return tellMove(deps, held, { deal, step });
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
      const change = await takeStep(deps, held, deal, step);
      if (change !== undefined) changes.push(change);
      deal = { ...deal, ...applyStep(deal, step) };
    }
    held.set(dealId, deal);
  }
  return changes;
}
