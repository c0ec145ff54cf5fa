import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { LostRace, mustChange } from '../aggregate-steps.ts';
import type { OpenAggregate } from './placement-rules.ts';
import type { TopUpCandidate } from './top-up.ts';

/** Aggregates looked into, and runs taken from all of them: a bound of time, and of the tree that lists them. */
const SOURCE_AGGREGATES = 64;
const MAX_CANDIDATES = 10_000;

interface CandidateQuery {
  /** The aggregate to be topped up: no run that it holds. */
  aggregateId: bigint;
  maxRunBytes: bigint;
}

/** Whole runs of the sealed aggregates that are kept worst, of those whose bytes are here. */
export async function listTopUpCandidates(
  db: Kysely<DB>,
  { aggregateId, maxRunBytes }: CandidateQuery,
): Promise<TopUpCandidate[]> {
  const { rows } = await sql<TopUpCandidate>`
    with replicas as materialized (select aggregate_id, live_replicas from aggregate_replicas),
    sources as materialized (
      select a.id, r.live_replicas from aggregates a join replicas r on r.aggregate_id = a.id
      where a.state = 'sealed' and a.released_at is null
      order by r.live_replicas, a.id limit ${SOURCE_AGGREGATES}
    ), held as materialized (
      select s.id as aggregate_id, p.upload_id, p.length_bytes from sources s cross join lateral (
        select p.seq, p.upload_id, p.length_bytes from placements p
        where p.aggregate_id = s.id and p.cut is null and p.length_bytes <= ${maxRunBytes}::bigint and not exists (
          select from placements own where own.aggregate_id = ${aggregateId}::bigint and own.upload_id = p.upload_id)
        order by p.seq limit ${MAX_CANDIDATES}) p
      order by s.live_replicas, s.id, p.seq limit ${MAX_CANDIDATES}
    )
    select h.upload_id as "uploadId", min(h.aggregate_id) as "aggregateId", h.length_bytes as "runBytes", u.root,
      k.replicas
    from held h join uploads u on u.id = h.upload_id
    join (
      select q.upload_id, sum(r.live_replicas)::integer as replicas
      from (select distinct upload_id from held) d
      join placements q on q.upload_id = d.upload_id join replicas r on r.aggregate_id = q.aggregate_id
      group by q.upload_id) k on k.upload_id = h.upload_id
    where u.state = 'stowed'
      and (exists (select from upload_owners o where o.upload_id = u.id and o.ended_at is null)
        or not exists (select from upload_owners o where o.upload_id = u.id))
    group by h.upload_id, h.length_bytes, u.root, k.replicas`.execute(db);
  return rows;
}

/** Runs that others hold already, and filler, behind what an aggregate holds. */
export interface Addition {
  runs: readonly { uploadId: bigint; aggregateId: bigint; runBytes: bigint }[];
  fillerBytes: bigint;
}

/**
 * Tops up an open aggregate that goes to sealing in this transaction. Throws `LostRace` if it is not as given any more,
 * or if an aggregate that keeps one of the runs was released.
 */
export async function advanceByTopUp(
  trx: Kysely<DB>,
  aggregate: OpenAggregate,
  { runs, fillerBytes }: Addition,
  at: Date,
): Promise<void> {
  const changed = await trx
    .updateTable('aggregates')
    .set({
      length_bytes: runs.reduce((sum, { runBytes }) => sum + runBytes, aggregate.lengthBytes),
      entry_count: aggregate.entryCount + runs.length,
      filler_bytes: fillerBytes,
      changed_at: at,
    })
    .where('id', '=', aggregate.id)
    .where('state', '=', 'open')
    .where('length_bytes', '=', aggregate.lengthBytes)
    .where('entry_count', '=', aggregate.entryCount)
    .executeTakeFirst();
  mustChange(changed.numUpdatedRows, `aggregate ${aggregate.id}`);
  if (runs.length === 0) return;
  await lockKept(trx, [...new Set(runs.map(({ aggregateId }) => aggregateId))]);
  await sql`
    insert into placements (aggregate_id, seq, upload_id, offset_bytes, length_bytes, topped_up)
    select ${aggregate.id}::bigint, ${aggregate.entryCount}::integer + at - 1, upload_id,
      (${aggregate.lengthBytes}::bigint + sum(run_bytes) over (order by at) - run_bytes)::bigint, run_bytes, true
    from unnest(${runs.map(({ uploadId }) => uploadId)}::bigint[], ${runs.map(({ runBytes }) => runBytes)}::bigint[])
      with ordinality as given (upload_id, run_bytes, at)`.execute(trx);
}

/** The bytes of these aggregates stay until the end of the transaction; from then on the new placements keep them. */
async function lockKept(trx: Kysely<DB>, ids: readonly bigint[]): Promise<void> {
  const { rows } = await sql`select from (
    select released_at from aggregates where id = any(${ids}::bigint[]) order by id for share) locked
    where released_at is null`.execute(trx);
  if (rows.length !== ids.length) throw new LostRace('an aggregate was released meanwhile');
}
