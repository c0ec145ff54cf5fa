import { expect, it } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { startJobs } from '../../src/jobs/jobs.ts';
import { silentLog } from '../../src/log/log.ts';
import { sweepJobs } from '../../src/running/sweep.ts';
import { insertSealedAggregate } from '../deals/sealed-aggregate.ts';
import { testDatabase } from '../support/database.ts';

const rules = {
  pieceBytes: 8n * 2n ** 20n,
  minPieceBytes: 2n ** 20n,
  minFillBytes: 2n ** 20n,
  maxAgeMs: 3_600_000,
  forceAgeMs: 7_200_000,
  openAggregates: 3,
};

it('sends the job of every row that is due and has none, once', async () => {
  await using db = await testDatabase();
  await using jobs = await startJobs({ url: db.url, clock: systemClock, log: silentLog });
  const { kysely } = db;
  const deps = { kysely, jobs, clock: systemClock, rules };
  expect(await sweepJobs(deps)).toMatchObject({ stow: 0, seal: 0, propose: 0, send: 0 });

  const at = new Date();
  await kysely
    .insertInto('uploads')
    .values({
      root: 'bafkqaaa',
      state: 'waiting',
      run_bytes: 37n,
      dag_bytes: 1n,
      block_count: 1n,
      created_at: at,
      changed_at: at,
    })
    .execute();
  const id = await insertSealedAggregate(kysely, 1, at);
  expect(await sweepJobs(deps)).toMatchObject({ stow: 1, seal: 0, propose: 1, send: 0 });
  expect(await jobs.pending('propose')).toBe(1);
  expect(await jobs.missing('propose', [{ aggregateId: id.toString() }])).toEqual([]);
  expect(await sweepJobs(deps), 'what has its job gets no second one').toMatchObject({ stow: 0, propose: 0 });
});

it('goes on behind rows that are stuck, and begins anew after the last', async () => {
  await using db = await testDatabase();
  await using jobs = await startJobs({ url: db.url, clock: systemClock, log: silentLog });
  const deps = { kysely: db.kysely, jobs, clock: systemClock, rules };
  const at = new Date();
  const row = { state: 'waiting' as const, run_bytes: 2n ** 24n, dag_bytes: 1n, block_count: 1n };
  const roots = ['bafkqaaa', 'bafkqaab', 'bafkqaac', 'bafkqaad', 'bafkqaae'];
  await db.kysely
    .insertInto('uploads')
    .values(roots.map((root) => ({ ...row, root, created_at: at, changed_at: at })))
    .execute();
  const cursors = {};
  const sent: number[] = [];
  for (let sweep = 0; sweep < 3; sweep++) sent.push((await sweepJobs(deps, cursors, 2)).cut);
  expect(sent).toEqual([2, 2, 1]);
  expect(cursors).toEqual({});
  expect(await jobs.pending('cut')).toBe(5);
  expect((await sweepJobs(deps, cursors, 2)).cut, 'from the first on').toBe(0);
});
