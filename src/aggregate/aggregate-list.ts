import type { Kysely } from 'kysely';
import type { AggregateState, DB } from '../db/tables.ts';

/** An aggregate as the API shows it. Sizes are bytes; what is null is known once it is sealed. */
export interface ListedAggregate {
  id: bigint;
  state: AggregateState;
  capacityBytes: bigint;
  lengthBytes: bigint;
  entryCount: number;
  pieceCid: string | null;
  pieceBytes: bigint | null;
  carBytes: bigint | null;
  batchRoot: string | null;
  sealReason: string | null;
  openedAt: Date;
  oldestAcceptedAt: Date | null;
  sealedAt: Date | null;
}

function aggregateQuery(kysely: Kysely<DB>) {
  return kysely
    .selectFrom('aggregates')
    .select([
      'id',
      'state',
      'capacity_bytes as capacityBytes',
      'length_bytes as lengthBytes',
      'entry_count as entryCount',
    ])
    .select(['piece_cid as pieceCid', 'piece_bytes as pieceBytes', 'car_bytes as carBytes', 'batch_root as batchRoot'])
    .select(['seal_reason as sealReason', 'opened_at as openedAt', 'oldest_accepted_at as oldestAcceptedAt'])
    .select(['sealed_at as sealedAt']);
}

export async function findListedAggregate(kysely: Kysely<DB>, id: bigint): Promise<ListedAggregate | undefined> {
  return aggregateQuery(kysely).where('id', '=', id).executeTakeFirst();
}

export interface AggregateFilter {
  state?: AggregateState;
  /** Only aggregates older than this one. */
  afterId?: bigint;
  limit: number;
}

/** Newest first. */
export async function listAggregates(
  kysely: Kysely<DB>,
  { state, afterId, limit }: AggregateFilter,
): Promise<ListedAggregate[]> {
  let query = aggregateQuery(kysely);
  if (state !== undefined) query = query.where('state', '=', state);
  if (afterId !== undefined) query = query.where('id', '<', afterId);
  return query.orderBy('id', 'desc').limit(limit).execute();
}
