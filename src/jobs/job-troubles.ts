import { sql, type Kysely } from 'kysely';
import type { DB, Json } from '../db/tables.ts';
import { writeAudit, type Act } from '../deals/audit.ts';
import { QUEUE_NAMES, type QueueName } from './job-queues.ts';

/** How one queue stands. */
export interface QueueStanding {
  queue: QueueName;
  /** Due now, and taken by nobody yet. */
  waiting: number;
  /** Due at a later time. */
  deferred: number;
  /** Failed, and tried again at a later time. */
  retry: number;
  active: number;
  /** Given up: only a redrive brings them back. */
  failed: number;
  /** Since when the one that is due longest is due; null: none is. */
  oldestDueAt: Date | null;
}

type Counted = Omit<QueueStanding, 'queue'> & { queue: string };

/** All queues, those without jobs too. */
export async function listQueues(db: Kysely<DB>): Promise<QueueStanding[]> {
  const { rows } = await sql<Counted>`
    select name as queue,
      count(*) filter (where state = 'created' and start_after <= now())::float8 as waiting,
      count(*) filter (where state = 'created' and start_after > now())::float8 as deferred,
      count(*) filter (where state = 'retry')::float8 as retry,
      count(*) filter (where state = 'active')::float8 as active,
      count(*) filter (where state = 'failed')::float8 as failed,
      min(start_after) filter (where state in ('created', 'retry') and start_after <= now()) as "oldestDueAt"
    from pgboss.job where name = any(${QUEUE_NAMES}) and state not in ('completed', 'cancelled') group by name`.execute(
    db,
  );
  const known = new Map(rows.map((row) => [row.queue, row]));
  const none = { waiting: 0, deferred: 0, retry: 0, active: 0, failed: 0, oldestDueAt: null };
  return QUEUE_NAMES.map((queue) => ({ ...none, ...known.get(queue), queue }));
}

/** A job that failed when it was last tried: it waits for its next try, or was given up. */
export interface TroubledJob {
  id: string;
  queue: QueueName;
  /** The ids that it carries. */
  data: Json;
  state: 'retry' | 'failed';
  tries: number;
  error: string;
  createdAt: Date;
  /** When it is tried again; null: it was given up. */
  nextAt: Date | null;
}

interface Wanted {
  queue?: QueueName | undefined;
  after?: { createdAt: Date; id: string } | undefined;
  limit: number;
}

/** As exact as a JavaScript time, so that the place of a page is the place of its last row. */
const made = sql`date_trunc('milliseconds', created_on)`;

/** Those that were made first, first. */
export async function listTroubledJobs(db: Kysely<DB>, { queue, after, limit }: Wanted): Promise<TroubledJob[]> {
  const queues = queue === undefined ? QUEUE_NAMES : [queue];
  const place = after && sql`and (${made}, id) > (${after.createdAt}::timestamptz, ${after.id}::uuid)`;
  const { rows } = await sql<TroubledJob>`
    select id, name as queue, data, state::text as state, retry_count + 1 as tries,
      coalesce(output ->> 'message', output -> 'value' ->> 'message', output::text, '') as error,
      ${made} as "createdAt",
      case when state = 'retry' then start_after end as "nextAt"
    from pgboss.job where name = any(${queues}) and state in ('retry', 'failed') ${place ?? sql``}
    order by ${made}, id limit ${limit}`.execute(db);
  return rows;
}

/** Ids that an audit row names; how many there were it always says. */
const MAX_TOLD = 100;

/** Which of them: by id, of one queue, or all. */
export interface Chosen {
  ids?: readonly string[] | undefined;
  queue?: QueueName | undefined;
}

/** Makes jobs that failed due now; one that was given up is tried once more. Answers which there were. */
async function makeDue(trx: Kysely<DB>, { ids, queue }: Chosen): Promise<string[]> {
  const queues = queue === undefined ? QUEUE_NAMES : [queue];
  const { rows } = await sql<{ id: string }>`
    update pgboss.job set state = 'retry', start_after = now(), completed_on = null,
      retry_limit = greatest(retry_limit, retry_count + 1)
    where name = any(${queues}) and state in ('retry', 'failed') and (${ids === undefined} or id = any(${ids ?? []}::uuid[]))
    returning id`.execute(trx);
  return rows.map(({ id }) => id);
}

/** Tries jobs that failed again now, with its audit row; answers how many there were. */
export async function redriveJobs(db: Kysely<DB>, chosen: Chosen, act: Act & { at: Date }): Promise<number> {
  const { by: actor, reason, at } = act;
  return await db.transaction().execute(async (trx) => {
    const jobs = await makeDue(trx, chosen);
    if (jobs.length === 0) return 0;
    const subject = chosen.queue === undefined ? 'jobs' : `jobs ${chosen.queue}`;
    const detail = { redriven: jobs.length, jobs: jobs.slice(0, MAX_TOLD) };
    await writeAudit(trx, { actor, action: 'job.redrive', subject, reason, detail, at });
    return jobs.length;
  });
}
