import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { startJobs } from '../../src/jobs/jobs.ts';
import { silentLog } from '../../src/log/log.ts';
import { testDatabase } from '../support/database.ts';

const WORKER = fileURLToPath(new URL('jobs-worker.ts', import.meta.url));
/** A heartbeat and two looks at it, on a busy machine. */
const TAKEN_OVER_MS = 60_000;

it('a job in the hands of a worker that was killed is taken over by another', {
  timeout: 2 * TAKEN_OVER_MS,
}, async () => {
  await using db = await testDatabase();
  await using jobs = await startJobs({ url: db.url, clock: systemClock, log: silentLog });
  await db.kysely.transaction().execute((trx) => jobs.send(trx, 'propose', { aggregateId: '42' }));
  const worker = spawn(process.execPath, [WORKER, db.url], { stdio: ['ignore', 'pipe', 'inherit'] });
  await once(worker.stdout, 'data');
  worker.kill('SIGKILL');
  await once(worker, 'exit');
  const takenOver = Promise.withResolvers<string | undefined>();
  await jobs.work('propose', async ([job]) => takenOver.resolve(job?.aggregateId));
  const startedAt = Date.now();
  expect(await takenOver.promise).toBe('42');
  expect(Date.now() - startedAt).toBeLessThan(TAKEN_OVER_MS);
});
