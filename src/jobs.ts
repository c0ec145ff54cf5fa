import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { fromKysely, PgBoss } from 'pg-boss';
import type { Clock } from './clock.ts';
import type { DB } from './db/tables.ts';
import { describeError } from './errors.ts';
import { createFaultLog } from './job-faults.ts';
import { QUEUE_NAMES, QUEUES, type JobData, type QueueName } from './job-queues.ts';
import type { Log } from './log.ts';

export type JobHandler<Q extends QueueName> = (jobs: JobData[Q][], signal: AbortSignal) => Promise<void>;

export interface Jobs {
  /** Inserts the job in the given transaction: it exists once, and only if, that commits. */
  send<Q extends QueueName>(
    trx: Kysely<DB>,
    queue: Q,
    data: JobData[Q],
    options?: { startAfter?: Date },
  ): Promise<void>;
}

export interface JobEngine extends Jobs, AsyncDisposable {
  /** From now on this process takes jobs of the queue. A handler that throws is logged, and its batch retried with back-off. */
  work<Q extends QueueName>(queue: Q, handler: JobHandler<Q>): Promise<void>;
  /** How many jobs of the queue are not done: waiting, deferred, to be retried, or in hand. */
  pending(queue: QueueName): Promise<number>;
  /** Those of `wanted` for which no job waits or runs: what a sweep has to send again. */
  missing<Q extends QueueName>(queue: Q, wanted: readonly JobData[Q][]): Promise<JobData[Q][]>;
  /** Makes jobs in hand waiting again, at once. Only for the sole user of a database, before `work`: their workers are dead. */
  requeueActive(): Promise<number>;
  /** Takes no new jobs, lets handlers finish what is in hand, and aborts those that do not within `STOP_LIMIT_MS`. */
  stop(): Promise<void>;
}

/** Connections for taking and settling jobs; handlers have the service's own pool. One more listens. */
const MAX_CONNECTIONS = 4;
/** Half a minute to take over a dead worker's job: heartbeat, then the next look at it. */
const SUPERVISE_SECONDS = 10;
/** The service has 10 s to stop, and other things to close after this. */
const STOP_LIMIT_MS = 7_000;
/** For handlers to come back after their signal was aborted. */
const ABORT_LIMIT_MS = 1_000;
const UNDONE = ['created', 'retry', 'active'];

export interface JobOptions {
  url: string;
  clock: Clock;
  log: Log;
}

function createBoss(url: string, supervise: boolean): PgBoss {
  return new PgBoss({
    connectionString: url,
    application_name: 'lading jobs',
    max: MAX_CONNECTIONS,
    // No cron: what is due at a time is a row, or a job with startAfter.
    schedule: false,
    supervise,
    superviseIntervalSeconds: SUPERVISE_SECONDS,
    monitorIntervalSeconds: SUPERVISE_SECONDS,
    useListenNotify: supervise,
    registerInstance: false,
    openTelemetry: { enabled: false },
  });
}

async function declareQueues(boss: PgBoss): Promise<void> {
  for (const name of QUEUE_NAMES) {
    const { queue } = QUEUES[name];
    // The first call makes the queue, and the second brings one that an older version made to today's rules.
    await boss.createQueue(name, queue);
    await boss.updateQueue(name, queue);
  }
}

/** Makes pg-boss's schema and our queues in a database, and works nothing: `lading migrate`, templates of tests. */
export async function installJobs(url: string): Promise<void> {
  const boss = createBoss(url, false);
  boss.on('error', () => undefined);
  await boss.start();
  try {
    await declareQueues(boss);
  } finally {
    await boss.stop({ graceful: false });
  }
}

/** Starts the job engine on a migrated database. Faults of its own loops are logged: polling goes on, and nothing is lost. */
export async function startJobs(options: JobOptions): Promise<JobEngine> {
  const { url, log } = options;
  const boss = createBoss(url, true);
  boss.on('error', createFaultLog(log, options.clock));
  boss.on('warning', (warning) => log.warn({ warning: warning.message, data: warning.data }, 'jobs.warning'));
  try {
    await boss.start();
    await declareQueues(boss);
  } catch (error) {
    await boss.stop({ graceful: false }).catch(() => undefined);
    throw error;
  }
  return new BossEngine(boss, options);
}

interface WaitingJob {
  queue: QueueName;
  data: object;
  waitSeconds: number;
}

/** True when an equal job waits, and is now due no later than this one. One that is being taken right now is passed over. */
async function mergeWaiting(trx: Kysely<DB>, { queue, data, waitSeconds }: WaitingJob): Promise<boolean> {
  const sql = `update pgboss.job set start_after = least(start_after, now() + $3::float * interval '1 second')
    where name = $1 and id in (select id from pgboss.job
      where name = $1 and state = 'created' and data = $2::jsonb for update skip locked) returning id`;
  const { rows } = await fromKysely(trx).executeSql(sql, [queue, JSON.stringify(data), waitSeconds]);
  return rows.length > 0;
}

class BossEngine implements JobEngine {
  readonly #boss: PgBoss;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #inHand = new Set<Promise<void>>();
  #stopping: Promise<void> | undefined;

  constructor(boss: PgBoss, { clock, log }: JobOptions) {
    this.#boss = boss;
    this.#clock = clock;
    this.#log = log;
  }

  async send<Q extends QueueName>(
    trx: Kysely<DB>,
    queue: Q,
    data: JobData[Q],
    options: { startAfter?: Date } = {},
  ): Promise<void> {
    const { startAfter } = options;
    // A wait, not a time: the service's clock and the database's need not agree.
    const waitSeconds = startAfter === undefined ? 0 : (startAfter.getTime() - this.#clock.now().getTime()) / 1_000;
    const wait = Math.max(waitSeconds, 0);
    if (QUEUES[queue].mergesWaiting && (await mergeWaiting(trx, { queue, data, waitSeconds: wait }))) return;
    await this.#boss.send(queue, data, { db: fromKysely(trx), ...(waitSeconds > 0 && { startAfter: waitSeconds }) });
  }

  async work<Q extends QueueName>(queue: Q, handler: JobHandler<Q>): Promise<void> {
    await this.#boss.work<JobData[Q]>(queue, QUEUES[queue].work, async (jobs) => {
      const [first] = jobs;
      if (first === undefined) return;
      const run = this.#run(queue, () =>
        handler(
          jobs.map(({ data }) => data),
          first.signal,
        ),
      );
      this.#inHand.add(run);
      await run.finally(() => this.#inHand.delete(run));
    });
  }

  async #run(queue: QueueName, handle: () => Promise<void>): Promise<void> {
    try {
      await handle();
    } catch (error) {
      const fields = { queue, err: describeError(error) };
      if (this.#stopping === undefined) this.#log.error(fields, 'job.failed');
      else this.#log.info(fields, 'job.interrupted');
      throw error;
    }
  }

  async pending(queue: QueueName): Promise<number> {
    const sql = 'select count(*)::integer as count from pgboss.job where name = $1 and state::text = any($2)';
    const { rows } = await this.#boss.getDb().executeSql(sql, [queue, UNDONE]);
    return Number(rows[0]?.count);
  }

  async missing<Q extends QueueName>(queue: Q, wanted: readonly JobData[Q][]): Promise<JobData[Q][]> {
    const sql = `select w.data from jsonb_array_elements($2::jsonb) as w (data) where not exists (
      select from pgboss.job j where j.name = $1 and j.state::text = any($3) and j.data = w.data
        and (not $4 or j.state <> 'created' or j.start_after <= now()))`;
    const values = [queue, JSON.stringify(wanted), UNDONE, QUEUES[queue].hasTimers ?? false];
    const { rows } = await this.#boss.getDb().executeSql(sql, values);
    return rows.map((row: { data: JobData[Q] }) => row.data);
  }

  async requeueActive(): Promise<number> {
    // What pg-boss itself does with a lost heartbeat, but without waiting for one.
    const sql = `update pgboss.job set state = 'retry', start_after = now(), heartbeat_on = null
      where name = any($1) and state = 'active' returning id`;
    const { rows } = await this.#boss.getDb().executeSql(sql, [QUEUE_NAMES]);
    return rows.length;
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop();
    return this.#stopping;
  }

  async #stop(): Promise<void> {
    await this.#boss.stop({ graceful: true, timeout: STOP_LIMIT_MS });
    const limit = new AbortController();
    await Promise.race([Promise.allSettled(this.#inHand), delay(ABORT_LIMIT_MS, undefined, { signal: limit.signal })]);
    limit.abort();
    if (this.#inHand.size > 0) this.#log.warn({ handlers: this.#inHand.size }, 'jobs.abandoned');
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stop();
  }
}

/** For commands that wake a stage of a service which runs elsewhere: sends jobs, and works none. */
export async function openJobSender(options: JobOptions): Promise<Jobs & AsyncDisposable> {
  const boss = createBoss(options.url, false);
  boss.on('error', createFaultLog(options.log, options.clock));
  await boss.start();
  const engine = new BossEngine(boss, options);
  return {
    send: (trx, queue, data, when) => engine.send(trx, queue, data, when),
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
  };
}
