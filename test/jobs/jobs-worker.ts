// A worker for a test to kill: takes a job of the queue `propose`, says so, and never ends.
import process from 'node:process';
import { systemClock } from '../../src/clock.ts';
import { startJobs } from '../../src/jobs/jobs.ts';
import { silentLog } from '../../src/log/log.ts';

const jobs = await startJobs({ url: process.argv[2] ?? '', clock: systemClock, log: silentLog });
await jobs.work('propose', () => {
  process.stdout.write('taken\n');
  return new Promise(() => undefined);
});
