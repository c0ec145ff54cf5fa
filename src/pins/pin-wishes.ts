import { sql, type Kysely } from 'kysely';
import { dropped } from '../aggregate/keep/drop-pin.ts';
import type { OnComplete } from '../aggregate/receive/receive.ts';
import type { DB } from '../db/tables.ts';
import type { Jobs } from '../jobs/jobs.ts';

/** Of uploads that are complete, and that somebody sent just now: in the transaction that makes them so. */
export function wantPinsOnCompletion(jobs: Pick<Jobs, 'send'>): OnComplete {
  return async (trx, uploadIds) => {
    await wantPins(trx, uploadIds);
    await jobs.send(trx, 'pin', {});
  };
}

/**
 * A new pin is given to the cluster; one that fails is given anew at once, and any other is looked at. One that waits to
 * be given is left alone: somebody may be at it.
 */
async function wantPins(trx: Kysely<DB>, uploadIds: readonly bigint[]): Promise<void> {
  await sql`
    insert into pins (upload_id, status, step, due_at, changed_at)
    select id, 'queued', 'give', clock_timestamp(), clock_timestamp()
    from (select distinct unnest(${uploadIds}::bigint[]) as id order by id) as given
    on conflict (upload_id) do update set
      wish = pins.wish + 1,
      step = case when pins.status in ('failed', 'unpinned') or pins.failing_since is not null then 'give' else pins.step end,
      status = case when pins.status in ('failed', 'unpinned') then 'queued' else pins.status end,
      changed_at = case when pins.status in ('failed', 'unpinned') then clock_timestamp() else pins.changed_at end,
      due_at = clock_timestamp(), acted = false, failing_since = null, error = null
    where not (pins.status = 'queued' and pins.step = 'give' and pins.failing_since is null)`.execute(trx);
}

export interface ReconcileCursor {
  afterId: bigint;
}

/**
 * Looks at the next `limit` uploads, by id: wants pins of complete ones that have none, as when a cluster is configured
 * later, and drops those that nobody owns. What the cluster knows already is looked up before it is given. Moves the
 * cursor on; true: there are more uploads.
 */
export async function reconcilePins(db: Kysely<DB>, cursor: ReconcileCursor, limit: number): Promise<boolean> {
  const { rows } = await sql<{ last: bigint | null; looked: bigint }>`
    with batch as (
      select u.id, u.state, exists (select from upload_owners o where o.upload_id = u.id and o.ended_at is null) as owned
      from uploads u where u.id > ${cursor.afterId} order by u.id limit ${limit}
    ), wanted as (
      insert into pins (upload_id, status, step, due_at, changed_at)
      select id, 'queued', 'look', clock_timestamp(), clock_timestamp() from batch
      where owned and state in ('waiting', 'stowed') and not exists (select from pins p where p.upload_id = batch.id)
      on conflict do nothing
    ), dropped as (
      update pins set ${dropped}
      from batch where pins.upload_id = batch.id and not batch.owned and pins.status <> 'unpinned'
    )
    select max(id) as last, count(*) as looked from batch`.execute(db);
  const { last, looked } = rows[0] ?? { last: null, looked: 0n };
  const hasMore = looked === BigInt(limit) && last !== null;
  cursor.afterId = hasMore ? last : 0n;
  return hasMore;
}
