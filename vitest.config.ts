import { defineConfig } from 'vitest/config';

const DATABASE = 'test/**/*.db.test.ts';
const SCENARIO = 'test/**/*.scenario.test.ts';
const postgres = './test/support/postgres-setup.ts';

/** Plain tests are pure and fast, and start no server; `vitest run --project unit` is part of `npm run check`. */
export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [DATABASE, SCENARIO],
          // None takes more than two seconds alone; a machine whose cores are busy is no fault of the code.
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'db',
          include: [DATABASE],
          globalSetup: postgres,
          // A clone of the template takes 150-330 ms on a busy machine, and a test may need several.
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'scenario',
          include: [SCENARIO],
          globalSetup: postgres,
          // Whole services as child processes: one file at a time, or they starve each other.
          fileParallelism: false,
          testTimeout: 240_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
