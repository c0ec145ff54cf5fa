import { expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { tellEvent } from '../../src/db/tell-event.ts';
import { startJobs } from '../../src/jobs/jobs.ts';
import { createLog } from '../../src/log/log.ts';
import { insertSealedAggregate } from '../deals/sealed-aggregate.ts';
import { testDatabase } from '../support/database.ts';

test('a job closes with one line that has its ids and what it changed; a quiet one is told at debug alone', async () => {
  await using database = await testDatabase();
  const lines: Record<string, unknown>[] = [];
  const log = createLog('debug', { write: (line) => lines.push(JSON.parse(line)) });
  await using jobs = await startJobs({ url: database.url, clock: systemClock, log });
  const { kysely } = database;
  const at = new Date();
  const id = await insertSealedAggregate(kysely, 1, at);
  let failing = true;
  await jobs.work('seal', async ([job]) => {
    log.info({}, 'aggregate.sealed');
    if (job?.aggregateId !== id.toString()) return;
    await kysely
      .transaction()
      .execute((trx) => tellEvent(trx, { aggregate: id }, { at, from: 'sealed', to: 'sealed' }));
    if (failing) {
      failing = false;
      throw new Error('the disk is full');
    }
  });
  await kysely.transaction().execute(async (trx) => {
    await jobs.send(trx, 'seal', { aggregateId: id.toString() });
    await jobs.send(trx, 'seal', { aggregateId: '999' });
  });
  const closing = () => lines.filter(({ event }) => String(event).startsWith('job.'));
  await expect.poll(() => closing().length, { timeout: 15_000 }).toBe(3);
  const of = (aggregateId: string) => closing().filter((line) => line['aggregateId'] === aggregateId);
  const changes = [`aggregate ${id} sealed→sealed`];
  expect(of(id.toString())).toMatchObject([
    { event: 'job.failed', level: 50, queue: 'seal', tries: 1, err: 'the disk is full', changes },
    { event: 'job.done', level: 30, queue: 'seal', tries: 2, changes, ms: expect.any(Number) },
  ]);
  expect(of('999')).toMatchObject([{ event: 'job.done', level: 20, tries: 1 }]);
  // One id leads to all lines of a job, its handler's own too.
  const [first] = of(id.toString());
  const own = lines.filter(({ jobId }) => jobId === first?.['jobId']).map(({ event }) => event);
  expect(own).toEqual(['aggregate.sealed', 'job.failed', 'aggregate.sealed', 'job.done']);
});
