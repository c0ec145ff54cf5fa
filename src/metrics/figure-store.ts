import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { QUEUE_NAMES } from '../jobs/job-queues.ts';

/** Rows of one kind with the same label. */
export interface Figure {
  what:
    | 'upload'
    | 'aggregate'
    | 'deal'
    | 'transfer'
    | 'provider'
    | 'job'
    | 'webhook'
    | 'dead_letter'
    | 'backlog'
    | 'damage'
    | 'difference'
    | 'epoch'
    | 'pull'
    | 'pin_request'
    | 'pin'
    | 'pin_cluster';
  label: string;
  /** Of jobs, which have two labels. */
  state: string | null;
  items: number;
  bytes: number | null;
  oldest: Date | null;
}

/** A provider that fetches takes its next bytes within seconds. */
const MOVING = sql.lit('10 minutes');

/**
 * What is on its way: by partial indexes of its states, or of tables that stay small (aggregates, providers, webhooks,
 * damage). Its cost grows with the work at hand, and not with all that was ever done: 30 ms with a million uploads, a hundred
 * thousand deals (20,000 of them published) and 20,000 waiting jobs.
 */
export async function listFigures(db: Kysely<DB>, now: Date): Promise<Figure[]> {
  const { rows } = await sql<Figure>`
    select 'upload' as what, 'incomplete' as label, null as state, count(*)::float8 as items, null::float8 as bytes,
      min(changed_at) as oldest from uploads where state = 'incomplete'
    union all select 'upload', 'waiting', null, count(*), coalesce(sum(run_bytes), 0)::float8, min(changed_at)
      from uploads where state = 'waiting'
    union all select 'aggregate',
        case when state <> 'sealed' then state::text when released_at is not null then 'released'
          when active_at is not null then 'active' else 'sealed' end as stage,
        null, count(*), sum(coalesce(car_bytes, length_bytes))::float8, min(oldest_accepted_at)
      from aggregates a left join aggregate_times t on t.aggregate_id = a.id group by stage
    union all select 'deal', d.state::text, null, count(*), sum(a.piece_bytes)::float8, min(d.changed_at)
      from deals d join aggregates a on a.id = d.aggregate_id
      where d.state in ('signed', 'sent', 'accepted', 'published') group by d.state
    union all select 'transfer',
        case when t.deal_id is null then 'not_begun' when t.moved_at > ${now}::timestamptz - ${MOVING}::interval
          then 'moving' else 'still' end as moves, null, count(*), null, null
      from deals d left join transfers t on t.deal_id = d.id
      where d.state = 'accepted' and not d.offline and d.called_off_at is null group by moves
    union all select 'provider',
        case when state = 'enabled' and retry_at > ${now} then 'resting' else state::text end as stands,
        null, count(*), null, null from providers group by stands
    union all select 'job', name,
        case when state = 'created' and start_after > now() then 'deferred' when state = 'created' then 'waiting'
          else state::text end as stands,
        count(*), null, min(coalesce(started_on, start_after))
      from pgboss.job where name = any(${QUEUE_NAMES}) and state < 'completed' group by name, stands
    union all select 'webhook', state, null, count(*), null, min(failing_since)
      from ops_webhooks where state <> 'muted' group by state
    union all select 'backlog', 'webhook', null, coalesce(max(backlog_events), 0)::float8, null, null from ops_webhooks
    union all select 'dead_letter', '', null, count(*), null, null from webhook_dead_letters
    union all select 'damage', '', null, count(*), coalesce(sum(length_bytes), 0)::float8, null
      from damage where cleared_at is null
    union all select 'difference', kind, null, count(*), null, null
      from chain_differences where cleared_at is null group by kind
    union all select 'pull', case when failing_since is null then 'waiting' else 'failing' end as goes, null, count(*),
      null, min(created_at) from pulls where state = 'waiting' group by goes
    union all select 'pin_request', state::text, null, count(*), null, min(created_at)
      from pin_requests where state in ('queued', 'pinning') group by state
    union all select 'pin_cluster', 'failing', null, 1, null, failing_since from pin_cluster
      where failing_since is not null
    union all select 'epoch', 'finalized', null, height::float8, null, null
      from chain_cursors where name = 'watch.finalized'`.execute(db);
  return rows;
}

/** All that was ever done, of counts that are kept, so that it costs as little with ten million uploads as with ten. */
export async function listTotals(db: Kysely<DB>): Promise<Figure[]> {
  const { rows } = await sql<Figure>`
    select 'upload' as what, state as label, null as state, uploads::float8 as items, bytes::float8 as bytes,
      null::timestamptz as oldest
      from ops_uploads_by_state where state in ('stowed', 'failed', 'removed')
    union all select 'deal', state, null, deals, bytes::float8, null
      from ops_deals_by_state where state not in ('signed', 'sent', 'accepted', 'published')
    union all select 'pin', status::text, null, count(*), null, min(changed_at)
      from pins where status <> 'unpinned' group by status
    union all select 'job', name, 'failed', count(*), null, min(completed_on)
      from pgboss.job where name = any(${QUEUE_NAMES}) and state = 'failed' group by name`.execute(db);
  return rows;
}
