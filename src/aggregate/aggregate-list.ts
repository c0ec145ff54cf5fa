import type { Kysely } from 'kysely';
import { countRows, type RowCount } from '../db/count-rows.ts';
import type { AggregateState, DB } from '../db/tables.ts';

/** An aggregate as the API shows it. Sizes are bytes; what is null is known once it is sealed. */
export interface ListedAggregate {
  id: bigint;
  state: AggregateState;
  capacityBytes: bigint;
  lengthBytes: bigint;
  /** Zeros that bring a small aggregate to the smallest piece that providers take. */
  fillerBytes: bigint;
  entryCount: number;
  pieceCid: string | null;
  pieceBytes: bigint | null;
  carBytes: bigint | null;
  batchRoot: string | null;
  sealReason: string | null;
  openedAt: Date;
  oldestAcceptedAt: Date | null;
  sealedAt: Date | null;
  /** Its bytes are not kept from then on. */
  releasedAt: Date | null;
}

function aggregateQuery(kysely: Kysely<DB>) {
  return kysely
    .selectFrom('aggregates')
    .select([
      'id',
      'state',
      'capacity_bytes as capacityBytes',
      'length_bytes as lengthBytes',
      'filler_bytes as fillerBytes',
      'entry_count as entryCount',
    ])
    .select(['piece_cid as pieceCid', 'piece_bytes as pieceBytes', 'car_bytes as carBytes', 'batch_root as batchRoot'])
    .select(['seal_reason as sealReason', 'opened_at as openedAt', 'oldest_accepted_at as oldestAcceptedAt'])
    .select(['sealed_at as sealedAt', 'released_at as releasedAt']);
}

export async function findListedAggregate(kysely: Kysely<DB>, id: bigint): Promise<ListedAggregate | undefined> {
  return aggregateQuery(kysely).where('id', '=', id).executeTakeFirst();
}

export interface AggregateFilter {
  state?: AggregateState | undefined;
  /** Whether its bytes are not kept any more. */
  released?: boolean | undefined;
}

export interface AggregatePage {
  /** Only aggregates older than this one. */
  afterId?: bigint | undefined;
  limit: number;
}

function matching(kysely: Kysely<DB>, { state, released }: AggregateFilter) {
  let query = aggregateQuery(kysely);
  if (state !== undefined) query = query.where('state', '=', state);
  if (released !== undefined) query = query.where('released_at', released ? 'is not' : 'is', null);
  return query;
}

/** Newest first. */
export async function listAggregates(
  kysely: Kysely<DB>,
  filter: AggregateFilter,
  { afterId, limit }: AggregatePage,
): Promise<ListedAggregate[]> {
  let query = matching(kysely, filter);
  if (afterId !== undefined) query = query.where('id', '<', afterId);
  return query.orderBy('id', 'desc').limit(limit).execute();
}

export async function countAggregates(kysely: Kysely<DB>, filter: AggregateFilter): Promise<RowCount> {
  return countRows(kysely, matching(kysely, filter));
}
