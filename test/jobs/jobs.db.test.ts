import { setTimeout as delay } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import type { JobData, QueueName } from '../../src/jobs/job-queues.ts';
import { startJobs } from '../../src/jobs/jobs.ts';
import { silentLog, type Log } from '../../src/log/log.ts';
import { testDatabase } from '../support/database.ts';

async function until(what: () => boolean | Promise<boolean>, withinMs = 25_000): Promise<void> {
  for (const startedAt = Date.now(); Date.now() - startedAt < withinMs; ) {
    if (await what()) return;
    await delay(10);
  }
  throw new Error(`it did not come within ${withinMs} ms`);
}

/** A database with a job engine on it. */
async function engineOn(log: Log = silentLog) {
  const db = await testDatabase();
  const jobs = await startJobs({ url: db.url, clock: systemClock, log });
  const dispose = async () => {
    await jobs.stop();
    await db[Symbol.asyncDispose]();
  };
  const send = <Q extends QueueName>(queue: Q, data: JobData[Q], options?: { startAfter?: Date }) =>
    db.kysely.transaction().execute((trx) => jobs.send(trx, queue, data, options));
  return { ...db, jobs, send, [Symbol.asyncDispose]: dispose };
}

describe('jobs', () => {
  it('exist if their transaction commits, and not if it rolls back', async () => {
    await using db = await engineOn();
    const { kysely, jobs } = db;
    const lost = kysely.transaction().execute(async (trx) => {
      await jobs.send(trx, 'seal', { aggregateId: '1' });
      throw new Error('changed my mind');
    });
    await expect(lost).rejects.toThrow('changed my mind');
    expect(await jobs.pending('seal')).toBe(0);
    await kysely.transaction().execute((trx) => jobs.send(trx, 'seal', { aggregateId: '2' }));
    expect(await jobs.pending('seal')).toBe(1);
  });

  it('wake their handler at the commit, sooner than polling could find them', async () => {
    await using db = await engineOn();
    const { jobs, send } = db;
    const seen: string[] = [];
    await jobs.work('seal', async ([job]) => void seen.push(job?.aggregateId ?? ''));
    const startedAt = Date.now();
    for (let id = 1; id <= 20; id += 1) {
      const aggregateId = String(id);
      await send('seal', { aggregateId });
      await until(() => seen.includes(aggregateId));
    }
    // Two workers that look once a second would take about ten.
    expect(Date.now() - startedAt).toBeLessThan(6_600);
    await until(async () => (await jobs.pending('seal')) === 0);
  });

  it('are all worked at once where many wait, by few workers that take one each', async () => {
    await using db = await engineOn();
    const { jobs, kysely } = db;
    const deals = Array.from({ length: 48 }, (_, at) => ({ dealId: String(at) }));
    await kysely.transaction().execute((trx) => jobs.sendAll(trx, 'send', deals));
    const startedAt = Date.now();
    const seen: string[] = [];
    await jobs.work('send', async ([job]) => void seen.push(job?.dealId ?? ''));
    await until(() => seen.length === deals.length);
    // Eight workers that look once a second would take five.
    expect(Date.now() - startedAt).toBeLessThan(3_300);
    expect(new Set(seen).size).toBe(deals.length);
  });

  it('sent together are there once each, and make those that wait for later due', async () => {
    await using db = await engineOn();
    const { jobs, kysely, send } = db;
    await send('propose', { aggregateId: '1' }, { startAfter: new Date(Date.now() + 3_600_000) });
    const wanted = ['1', '2', '3'].map((aggregateId) => ({ aggregateId }));
    await kysely.transaction().execute((trx) => jobs.sendAll(trx, 'propose', wanted));
    await kysely.transaction().execute((trx) => jobs.sendAll(trx, 'propose', wanted));
    await kysely.transaction().execute((trx) => jobs.sendAll(trx, 'propose', []));
    const seen: string[] = [];
    await jobs.work('propose', async (batch) => void seen.push(...batch.map(({ aggregateId }) => aggregateId)));
    await until(async () => (await jobs.pending('propose')) === 0);
    expect(seen.toSorted()).toEqual(['1', '2', '3']);
  });

  it('come in batches where one call drains what is due', async () => {
    await using db = await engineOn();
    const { jobs, send } = db;
    for (let count = 0; count < 20; count += 1) await send('stow', {});
    const batches: number[] = [];
    await jobs.work('stow', async (batch) => void batches.push(batch.length));
    await until(async () => (await jobs.pending('stow')) === 0);
    expect(batches).toEqual([20]);
  });

  it('wait for the time that they start after, by the clock of the service', async () => {
    await using db = await engineOn();
    const { jobs, send } = db;
    const seenAt: number[] = [];
    await jobs.work('propose', async () => void seenAt.push(Date.now()));
    const startAfter = new Date(Date.now() + 1_500);
    await send('propose', { aggregateId: '1' }, { startAfter });
    await send('propose', { aggregateId: '2' }, { startAfter: new Date(0) });
    await until(() => seenAt.length === 1);
    await until(() => seenAt.length === 2);
    // The database's clock and ours are read a few milliseconds apart.
    expect(seenAt[1]).toBeGreaterThanOrEqual(startAfter.getTime() - 50);
    expect(seenAt[1]).toBeLessThan(startAfter.getTime() + 3_000);
  });

  it('are tried again after a fault, which is logged, without a limit on how often', async () => {
    const error = vi.fn();
    await using db = await engineOn({ ...silentLog, debug: vi.fn(), info: vi.fn(), warn: vi.fn(), error });
    let calls = 0;
    await db.jobs.work('propose', async () => {
      calls += 1;
      if (calls === 1) throw new Error('no provider answers', { cause: new Error('timeout') });
    });
    await db.send('propose', { aggregateId: '1' });
    await until(() => calls === 2);
    expect(error).toHaveBeenCalledWith(
      expect.objectContaining({ queue: 'propose', aggregateId: '1', tries: 1, err: 'no provider answers: timeout' }),
      'job.failed',
    );
    const { rows } = await db.pool.query(
      'select name, retry_limit, retry_backoff, policy, heartbeat_seconds > 0 as heartbeat from pgboss.queue order by name',
    );
    for (const row of rows) {
      expect(row).toMatchObject({
        retry_limit: 2_147_483_647,
        retry_backoff: true,
        policy: 'standard',
        heartbeat: true,
      });
    }
    expect(rows).toHaveLength(11);
  });

  it('are not folded together: each commit has its own', async () => {
    await using db = await engineOn();
    const { jobs, send } = db;
    await Promise.all([send('seal', { aggregateId: '1' }), send('seal', { aggregateId: '1' })]);
    expect(await jobs.pending('seal')).toBe(2);
  });

  it('of proposing are folded into one that waits, due at the earliest time', async () => {
    await using db = await engineOn();
    const { jobs, send, pool, kysely } = db;
    const inSeconds = (seconds: number) => ({ startAfter: new Date(Date.now() + seconds * 1_000) });
    await send('propose', { aggregateId: '1' }, inSeconds(60));
    await send('propose', { aggregateId: '1' }, inSeconds(90));
    await send('propose', { aggregateId: '2' }, inSeconds(60));
    await send('propose', { aggregateId: '1' }, inSeconds(30));
    expect(await jobs.pending('propose')).toBe(2);
    const waits = await pool.query<{ wait: number }>(
      `select extract(epoch from start_after - now())::float as wait from pgboss.job where name = 'propose' order by 1`,
    );
    expect(waits.rows.map(({ wait }) => Math.round(wait / 10))).toEqual([3, 6]);

    // What a transaction makes due early is due late again when it rolls back.
    const lost = kysely.transaction().execute(async (trx) => {
      await jobs.send(trx, 'propose', { aggregateId: '1' });
      throw new Error('changed my mind');
    });
    await expect(lost).rejects.toThrow('changed my mind');
    const runs: string[] = [];
    await jobs.work('propose', async (batch) => {
      for (const { aggregateId } of batch) {
        runs.push(aggregateId);
        // As proposing does when slots are left: the job in hand does not stand for the next one.
        await send('propose', { aggregateId }, inSeconds(60));
      }
    });
    await send('propose', { aggregateId: '1' });
    await until(() => runs.length === 1);
    await until(async () => (await jobs.pending('propose')) === 2);
    expect(runs).toEqual(['1']);
  });

  it('tell which rows have none', async () => {
    await using db = await engineOn();
    const { jobs, send } = db;
    await send('seal', { aggregateId: '1' });
    await send('seal', { aggregateId: '3' }, { startAfter: new Date(Date.now() + 60_000) });
    await send('propose', { aggregateId: '2' });
    const wanted = ['1', '2', '3', '4'].map((aggregateId) => ({ aggregateId }));
    expect(await jobs.missing('seal', wanted)).toEqual([{ aggregateId: '2' }, { aggregateId: '4' }]);
    expect(await jobs.missing('stow', [{}])).toEqual([{}]);
    // A timer for later does not stand for a wake-up that was lost; a retry put off by back-off does.
    const startAfter = new Date(Date.now() + 3_600_000);
    await send('stow', {}, { startAfter });
    await send('propose', { aggregateId: '7' }, { startAfter });
    expect(await jobs.missing('stow', [{}])).toEqual([{}]);
    expect(await jobs.missing('propose', [{ aggregateId: '7' }])).toEqual([]);
    await send('stow', {});
    expect(await jobs.missing('stow', [{}])).toEqual([]);
  });

  it('in the hands of the dead are waiting again as soon as the sole owner of the database says so', async () => {
    await using db = await engineOn();
    const { jobs, send, pool, url } = db;
    await send('seal', { aggregateId: '1' });
    await using dead = await startJobs({ url, clock: systemClock, log: silentLog });
    let release = () => undefined as void;
    const held = new Promise<void>((resolve) => (release = resolve));
    let taken = false;
    await dead.work('seal', () => {
      taken = true;
      return held;
    });
    await until(() => taken);
    const stateOf = async () => (await pool.query(`select state from pgboss.job where name = 'seal'`)).rows[0]?.state;
    expect(await stateOf()).toBe('active');
    expect(await jobs.requeueActive()).toBe(1);
    const seen: string[] = [];
    await jobs.work('seal', async ([job]) => void seen.push(job?.aggregateId ?? ''));
    await until(() => seen.length === 1);
    await until(async () => (await stateOf()) === 'completed');
    release();
  });

  it('in hand are finished when the engine stops', async () => {
    await using db = await engineOn();
    const { jobs, send, pool } = db;
    let started = false;
    let aborted: boolean | undefined;
    await jobs.work('seal', async (_, signal) => {
      started = true;
      await delay(1_000);
      aborted = signal.aborted;
    });
    await send('seal', { aggregateId: '1' });
    await until(() => started);
    await jobs.stop();
    expect(aborted).toBe(false);
    const { rows } = await pool.query(`select state from pgboss.job where name = 'seal'`);
    expect(rows).toEqual([{ state: 'completed' }]);
  });

  it('that do not end are aborted when the time to stop is over, and wait for the next start', async () => {
    await using db = await engineOn();
    const { jobs, send, pool } = db;
    let started = false;
    await jobs.work('seal', async (_, signal) => {
      started = true;
      await new Promise((resolve) => signal.addEventListener('abort', resolve));
      signal.throwIfAborted();
    });
    await send('seal', { aggregateId: '1' });
    await until(() => started);
    const startedAt = Date.now();
    await jobs.stop();
    expect(Date.now() - startedAt).toBeLessThan(9_500);
    const { rows } = await pool.query(`select state from pgboss.job where name = 'seal'`);
    expect(rows).toEqual([{ state: 'retry' }]);
  });

  it('survive the loss of their connections', async () => {
    await using db = await engineOn();
    const { jobs, send, pool } = db;
    const seen: string[] = [];
    await jobs.work('seal', async ([job]) => void seen.push(job?.aggregateId ?? ''));
    await pool.query(
      `select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'lading jobs' and datname = current_database()`,
    );
    await send('seal', { aggregateId: '9' });
    await until(() => seen.length === 1);
  });
});
