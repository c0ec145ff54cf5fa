import { sql, type Kysely } from 'kysely';
import { countRows, type RowCount } from '../../db/count-rows.ts';
import { fromMicroseconds, toMicroseconds } from '../../db/microseconds.ts';
import type { DB, DealState } from '../../db/tables.ts';
import { liveStates } from '../deal-states.ts';
import { publicDealStates, type DealRow } from './deal-object.ts';

/** A deal as operators see it, whatever its state. */
export interface ListedDeal extends DealRow {
  id: string;
  aggregateId: bigint;
  slot: number;
  generation: number;
  attempts: number;
  proposalCid: string;
  createdAt: Date;
  /** When it was made, in microseconds: with its id the place in the list. */
  age: bigint;
}

export interface DealFilter {
  state?: DealState | undefined;
  provider?: string | undefined;
  aggregateId?: bigint | undefined;
  /** Only active deals that end by this epoch. */
  endsBy?: number | undefined;
}

export interface DealPage {
  /** By their end, in place of the newest first. */
  soonestFirst?: boolean;
  /** Only deals older than this one. */
  after?: { age: bigint; id: string } | undefined;
  limit: number;
}

function dealQuery(kysely: Kysely<DB>) {
  return kysely
    .selectFrom('deals as d')
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .select([
      'd.id',
      'd.aggregate_id',
      'd.slot',
      'd.generation',
      'd.attempts',
      'd.proposal_cid',
      'd.created_at',
      'd.state',
    ])
    .select([
      'd.provider_id',
      'd.changed_at',
      'd.start_epoch',
      'd.end_epoch',
      'd.chain_deal_id',
      'd.sector_start_epoch',
    ])
    .select(['d.reason_code', 'd.reason_text', 'a.piece_cid', 'a.batch_root'])
    .select(toMicroseconds('d.created_at').as('age'));
}

type Row = Awaited<ReturnType<ReturnType<typeof dealQuery>['execute']>>[number];

function toDeal(row: Row): ListedDeal {
  if (row.piece_cid === null || row.batch_root === null)
    throw new Error('a deal stands on an aggregate that has no piece');
  return {
    id: row.id,
    aggregateId: row.aggregate_id,
    slot: row.slot,
    generation: row.generation,
    attempts: row.attempts,
    proposalCid: row.proposal_cid,
    createdAt: row.created_at,
    age: row.age,
    state: row.state,
    providerId: row.provider_id,
    changedAt: row.changed_at,
    startEpoch: Number(row.start_epoch),
    endEpoch: Number(row.end_epoch),
    chainDealId: row.chain_deal_id,
    sectorStartEpoch: row.sector_start_epoch === null ? null : Number(row.sector_start_epoch),
    reasonCode: row.reason_code,
    reasonText: row.reason_text,
    pieceCid: row.piece_cid,
    batchRoot: row.batch_root,
    selector: null,
  };
}

function matching(kysely: Kysely<DB>, { state, provider, aggregateId, endsBy }: DealFilter) {
  let query = dealQuery(kysely);
  if (state !== undefined) query = query.where('d.state', '=', state);
  if (provider !== undefined) query = query.where('d.provider_id', '=', provider);
  if (aggregateId !== undefined) query = query.where('d.aggregate_id', '=', aggregateId);
  if (endsBy === undefined) return query;
  return query.where('d.state', '=', 'active').where('d.end_epoch', '<=', BigInt(endsBy));
}

/** Deals in any state, newest first unless the page says otherwise. */
export async function listDeals(kysely: Kysely<DB>, filter: DealFilter, page: DealPage): Promise<ListedDeal[]> {
  const { soonestFirst = false, after, limit } = page;
  const rows = await matching(kysely, filter)
    .$if(after !== undefined, (query) =>
      query.where(sql<boolean>`(d.created_at, d.id) < (${fromMicroseconds(after?.age ?? 0n)}, ${after?.id}::uuid)`),
    )
    .$if(soonestFirst, (query) => query.orderBy('d.end_epoch'))
    .orderBy('d.created_at', 'desc')
    .orderBy('d.id', 'desc')
    .limit(limit)
    .execute();
  return rows.map(toDeal);
}

export async function countDeals(kysely: Kysely<DB>, filter: DealFilter): Promise<RowCount> {
  return countRows(kysely, matching(kysely, filter));
}

export async function findDeal(kysely: Kysely<DB>, id: string): Promise<ListedDeal | undefined> {
  const row = await dealQuery(kysely).where('d.id', '=', id).executeTakeFirst();
  return row && toDeal(row);
}

/** The deals of a piece that have a public status, oldest change first. */
export async function listPublicDeals(kysely: Kysely<DB>, pieceCid: string): Promise<ListedDeal[]> {
  const rows = await dealQuery(kysely)
    .where('a.piece_cid', '=', pieceCid)
    .where('d.state', 'in', publicDealStates)
    .orderBy('d.changed_at')
    .orderBy('d.id')
    .execute();
  return rows.map(toDeal);
}

export interface DealEvent {
  at: Date;
  from: string | null;
  to: string;
  reasonCode: string | null;
  detail: string | null;
  epoch: number | null;
}

/** A deal has a dozen states and few reorgs; a longer history is cut here. */
const MAX_EVENTS = 1_000;

/** Oldest first. */
export async function listDealEvents(kysely: Kysely<DB>, dealId: string): Promise<DealEvent[]> {
  const rows = await kysely
    .selectFrom('events')
    .select(['at', 'from_state', 'to_state', 'reason_code', 'detail', 'epoch'])
    .where('deal_id', '=', dealId)
    .orderBy('position')
    .limit(MAX_EVENTS)
    .execute();
  return rows.map((row) => ({
    at: row.at,
    from: row.from_state,
    to: row.to_state,
    reasonCode: row.reason_code,
    detail: row.detail,
    epoch: row.epoch === null ? null : Number(row.epoch),
  }));
}

/** What a deal's provider may fetch now. */
export interface Fetchable {
  pieceCid: string;
  provider: string;
}

/** Undefined once the deal ended or was called off, so that it stays dead. */
export async function findFetchablePiece(kysely: Kysely<DB>, dealId: string): Promise<Fetchable | undefined> {
  const row = await kysely
    .selectFrom('deals as d')
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .select(['a.piece_cid', 'd.provider_id'])
    .where('d.id', '=', dealId)
    .where('d.state', 'in', liveStates)
    .where('d.called_off_at', 'is', null)
    .executeTakeFirst();
  if (row === undefined || row.piece_cid === null) return undefined;
  return { pieceCid: row.piece_cid, provider: row.provider_id };
}
