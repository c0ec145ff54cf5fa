import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { startJobs } from '../../src/jobs/jobs.ts';
import { listQueues, listTroubledJobs, redriveJobs } from '../../src/jobs/job-troubles.ts';
import { silentLog } from '../../src/log/log.ts';
import { testDatabase } from '../support/database.ts';

const act = () => ({ by: 'operator', reason: 'mended', at: new Date() });

test('a job that was given up, and one that waits an hour for its next try, are worked at once when redriven', async () => {
  await using database = await testDatabase();
  const { kysely } = database;
  await using jobs = await startJobs({ url: database.url, clock: systemClock, log: silentLog });
  await kysely.transaction().execute(async (trx) => {
    await jobs.send(trx, 'seal', { aggregateId: '1' });
    await jobs.send(trx, 'seal', { aggregateId: '2' });
  });
  // The first has no try but one; the second is tried again, in an hour.
  await sql`update pgboss.job set retry_limit = case data ->> 'aggregateId' when '1' then 0 else 9 end,
    retry_delay = 3600, retry_backoff = false where name = 'seal'`.execute(kysely);
  let broken = true;
  const done: string[] = [];
  await jobs.work('seal', async ([job]) => {
    if (broken) throw new Error(`no space for ${job?.aggregateId}`);
    done.push(job?.aggregateId ?? '');
  });
  const troubled = () => listTroubledJobs(kysely, { limit: 10 });
  await expect.poll(async () => (await troubled()).length, { timeout: 15_000 }).toBe(2);
  const found = (await troubled()).toSorted((a, b) => a.error.localeCompare(b.error));
  expect(found).toMatchObject([
    { queue: 'seal', data: { aggregateId: '1' }, state: 'failed', tries: 1, error: 'no space for 1', nextAt: null },
    { queue: 'seal', data: { aggregateId: '2' }, state: 'retry', tries: 1, error: 'no space for 2' },
  ]);
  expect((found[1]?.nextAt?.getTime() ?? 0) - Date.now()).toBeGreaterThan(3_000_000);
  expect((await listQueues(kysely)).find(({ queue }) => queue === 'seal')).toMatchObject({ failed: 1, retry: 1 });

  // Still broken: it is given up once more, and not for ever.
  expect(await redriveJobs(kysely, { ids: [found[0]?.id ?? ''] }, act())).toBe(1);
  await expect
    .poll(async () => (await troubled()).find(({ tries }) => tries === 2)?.state, { timeout: 15_000 })
    .toBe('failed');
  broken = false;
  expect(await redriveJobs(kysely, { queue: 'seal' }, act())).toBe(2);
  await expect.poll(() => done.toSorted().join(), { timeout: 15_000 }).toBe('1,2');
  await expect.poll(async () => await troubled(), { timeout: 15_000 }).toEqual([]);
  expect(await redriveJobs(kysely, {}, act())).toBe(0);
});
