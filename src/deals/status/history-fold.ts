import { sql, type Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';

interface FoldDeps {
  kysely: Kysely<DB>;
  clock: Clock;
}

/** Of a step: the work of a tenth of a second. */
const EVENTS_PER_STEP = 20_000;
/** Who comes sooner has nothing to do: another process has just done it. One with a clock that is further ahead has not. */
const FRESH_MS = 45_000;

/**
 * Folds the next events into aggregate_times, in the order in which they are safe to read; true while there are more.
 * One process at a time, whichever comes first. As of when all is folded: now, or the first event that an open
 * transaction holds back.
 */
export async function foldHistory({ kysely, clock }: FoldDeps, limit = EVENTS_PER_STEP): Promise<boolean> {
  const now = clock.now();
  const [staleBefore, aheadAfter] = [-FRESH_MS, FRESH_MS].map((ms) => new Date(now.getTime() + ms));
  return await kysely.transaction().execute(async (trx) => {
    const { rows } = await sql<{ xid: string; position: bigint }>`
      select xid::text, position from history_cursor where as_of is null or as_of not between ${staleBefore} and ${aheadAfter}
      for update skip locked`.execute(trx);
    const [cursor] = rows;
    if (cursor === undefined) return false;
    const folded = await sql<{ events: bigint }>`
      with told as materialized (
        select e.xid, e.position, e.at, e.to_state, e.deal_id, coalesce(e.aggregate_id, d.aggregate_id) as aggregate_id
        from (select * from outbox where (xid, position) > (${cursor.xid}::xid8, ${cursor.position}::bigint)
          order by xid, position limit ${limit}) as e
        left join deals d on d.id = e.deal_id
      ), last as (
        select xid, position from told order by xid desc, position desc limit 1
      ), times as (
        insert into aggregate_times as t (aggregate_id, closed_at, signed_at, accepted_at, published_at, active_at)
        select aggregate_id,
          min(at) filter (where deal_id is null),
          min(at) filter (where deal_id is not null),
          min(at) filter (where to_state in ('accepted', 'published', 'active')),
          min(at) filter (where to_state in ('published', 'active')),
          min(at) filter (where to_state = 'active')
        from told
        where aggregate_id is not null and (deal_id is null) = (to_state = 'sealing')
          and to_state in ('sealing', 'signed', 'sent', 'accepted', 'published', 'active')
        group by aggregate_id
        on conflict (aggregate_id) do update set
          closed_at = least(t.closed_at, excluded.closed_at), signed_at = least(t.signed_at, excluded.signed_at),
          accepted_at = least(t.accepted_at, excluded.accepted_at),
          published_at = least(t.published_at, excluded.published_at),
          active_at = least(t.active_at, excluded.active_at)
      )
      update history_cursor c set xid = coalesce((select xid from last), c.xid),
        position = coalesce((select position from last), c.position),
        as_of = case when (select count(*) from told) = ${limit} then c.as_of else greatest(least(c.as_of, ${now}), least(${now}::timestamptz,
          (select at from events where xid >= pg_snapshot_xmin(pg_current_snapshot()) order by xid, position limit 1))) end
      returning (select count(*) from told) as events`.execute(trx);
    return Number(folded.rows[0]?.events ?? 0) === limit;
  });
}
