import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import { fromKysely, PgBoss, type Job, type WorkOptions } from 'pg-boss';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { describeError } from '../errors.ts';
import { createFaultLog } from './job-faults.ts';
import { QUEUE_NAMES, QUEUES, type JobData, type QueueName } from './job-queues.ts';
import type { Log } from '../log/log.ts';
import { openStory, within, type Story } from '../log/story.ts';

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

export interface ManyJobs extends Jobs {
  /** As send, for many that are due now, in one statement or two. */
  sendAll<Q extends QueueName>(trx: Kysely<DB>, queue: Q, data: readonly JobData[Q][]): Promise<void>;
}

export interface JobEngine extends ManyJobs, AsyncDisposable {
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

/** One batch of a queue that its handler is through with. */
export interface JobRun {
  queue: QueueName;
  failed: boolean;
  ms: number;
}

export interface JobOptions {
  url: string;
  clock: Clock;
  log: Log;
  /** Told of each batch. */
  onRun?: (run: JobRun) => void;
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

interface WaitingJobs {
  queue: QueueName;
  wanted: readonly object[];
  waitSeconds: number;
}

/** Makes those that wait due no later than the wanted ones; answers which do. What is being taken right now is passed over. */
async function mergeWaiting(trx: Kysely<DB>, { queue, wanted, waitSeconds }: WaitingJobs): Promise<Set<string>> {
  const sql = `update pgboss.job set start_after = least(start_after, now() + $3::float * interval '1 second')
    where name = $1 and id in (select id from pgboss.job
      where name = $1 and state = 'created' and data = any(select jsonb_array_elements($2::jsonb))
      for update skip locked) returning data`;
  const { rows } = await fromKysely(trx).executeSql(sql, [queue, JSON.stringify(wanted), waitSeconds]);
  return new Set(rows.map(({ data }: { data: object }) => JSON.stringify(data)));
}

/** A job that did nothing for so long is worth a line. */
const SLOW_MS = 1_000;

/** What lines of a job's handler are found by: the ids that it carries, or of a batch how many jobs it is. */
function idsOf(queue: QueueName, jobs: readonly Job[]): Record<string, unknown> {
  const [first] = jobs;
  if (first === undefined || jobs.length > 1) return { queue, jobs: jobs.length };
  return { queue, jobId: first.id, tries: first.retryCount + 1, ...first.data };
}

class BossEngine implements JobEngine {
  readonly #boss: PgBoss;
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #onRun: JobOptions['onRun'];
  readonly #inHand = new Set<Promise<void>>();
  #stopping: Promise<void> | undefined;

  constructor(boss: PgBoss, { clock, log, onRun }: JobOptions) {
    this.#boss = boss;
    this.#clock = clock;
    this.#log = log;
    this.#onRun = onRun;
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
    if (QUEUES[queue].mergesWaiting) {
      const merged = await mergeWaiting(trx, { queue, wanted: [data], waitSeconds: wait });
      if (merged.size > 0) return;
    }
    await this.#boss.send(queue, data, { db: fromKysely(trx), ...(waitSeconds > 0 && { startAfter: waitSeconds }) });
  }

  async sendAll<Q extends QueueName>(trx: Kysely<DB>, queue: Q, data: readonly JobData[Q][]): Promise<void> {
    if (data.length === 0) return;
    const waiting = QUEUES[queue].mergesWaiting
      ? await mergeWaiting(trx, { queue, wanted: data, waitSeconds: 0 })
      : undefined;
    const missing = data.filter((one) => waiting?.has(JSON.stringify(one)) !== true);
    if (missing.length === 0) return;
    await this.#boss.insert(
      queue,
      missing.map((one) => ({ data: one })),
      { db: fromKysely(trx) },
    );
  }

  async work<Q extends QueueName>(queue: Q, handler: JobHandler<Q>): Promise<void> {
    const { localConcurrency, ...options } = QUEUES[queue].work;
    for (let worker = 0; worker < localConcurrency; worker += 1) await this.#addWorker(queue, options, handler);
  }

  /**
   * One that goes on as long as it finds jobs. pg-boss's own does so where a batch is larger than one job, and else
   * waits for its next poll, so that a crowd of jobs would be worked by a worker a second each.
   */
  async #addWorker<Q extends QueueName>(queue: Q, options: WorkOptions, handler: JobHandler<Q>): Promise<void> {
    let id: string | undefined;
    id = await this.#boss.work<JobData[Q]>(queue, options, async (jobs) => {
      const [first] = jobs;
      if (first === undefined) return;
      const story = openStory(idsOf(queue, jobs));
      const run = this.#run(queue, story, () =>
        handler(
          jobs.map(({ data }) => data),
          first.signal,
        ),
      );
      this.#inHand.add(run);
      await run.finally(() => this.#inHand.delete(run));
      if (id !== undefined) this.#boss.notifyWorker(id);
    });
  }

  async #run(queue: QueueName, story: Story, handle: () => Promise<void>): Promise<void> {
    const begun = performance.now();
    const tell = (failed: boolean) => {
      const ms = performance.now() - begun;
      this.#onRun?.({ queue, failed, ms });
      return { ...story.ids, ms: Math.round(ms), ...story.notes };
    };
    try {
      await within(story, handle);
      const line = tell(false);
      // Wake-ups that found nothing to do are many, and say nothing.
      const isQuiet = Object.keys(story.notes).length === 0 && line.ms < SLOW_MS;
      this.#log[isQuiet ? 'debug' : 'info'](line, 'job.done');
    } catch (error) {
      const fields = { ...tell(true), err: describeError(error) };
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
export async function openJobSender(options: JobOptions): Promise<ManyJobs & AsyncDisposable> {
  const boss = createBoss(options.url, false);
  boss.on('error', createFaultLog(options.log, options.clock));
  await boss.start();
  const engine = new BossEngine(boss, options);
  return {
    send: (trx, queue, data, when) => engine.send(trx, queue, data, when),
    sendAll: (trx, queue, data) => engine.sendAll(trx, queue, data),
    [Symbol.asyncDispose]: () => boss.stop({ graceful: false }),
  };
}
