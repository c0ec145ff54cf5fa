import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';
import { WORKERS } from './test/support/workers.ts';

const DATABASE = 'test/**/*.db.test.ts';
const SCENARIO = 'test/**/*.scenario.test.ts';
/** The packages that a test installs for itself have tests of their own. */
const NOT_OURS = '**/node_modules/**';
const postgres = './test/support/postgres-setup.ts';

/** For every project: inline projects inherit nothing. */
const always = {
  // A wait for what will come: the default of a second is over before a machine whose cores are busy has turned round.
  expect: { poll: { timeout: 25_000, interval: 20 } },
  maxWorkers: WORKERS,
};

/** The longest of their storeys, which wait for leases and epochs: begun last, one of them would be all that runs at the end. */
const LONG = [
  'long-life.scenario',
  'deal-making-killed',
  'deal-making.scenario',
  'kill.scenario',
  'real-cluster',
  'pages.scenario',
  'watch-ledger',
  'alerts.scenario',
  'killed-receiver',
  'jobs-takeover',
  'jobs.db',
];

function rank({ moduleId }: TestSpecification): number {
  const at = LONG.findIndex((name) => moduleId.includes(`/${name}.`));
  return at < 0 ? LONG.length : at;
}

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    return (await super.sort(files)).toSorted((one, other) => rank(one) - rank(other));
  }
}

/** Plain tests are pure and fast, and start no server; `vitest run --project unit` is part of `npm run check`. */
export default defineConfig({
  test: {
    sequence: { sequencer: LongestFirst },
    projects: [
      {
        test: {
          ...always,
          name: 'unit',
          include: ['test/**/*.test.ts'],
          exclude: [NOT_OURS, DATABASE, SCENARIO],
          // Nothing of ours has state in a module: loading all of them anew for each file takes longer than the tests.
          isolate: false,
          // None takes more than two seconds alone; a machine whose cores are busy is no fault of the code.
          testTimeout: 30_000,
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          ...always,
          name: 'db',
          include: [DATABASE],
          exclude: [NOT_OURS],
          globalSetup: postgres,
          isolate: false,
          // A clone of the template takes 40-330 ms, by the file system and how busy it is, and a test may need several.
          testTimeout: 30_000,
          hookTimeout: 30_000,
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          ...always,
          name: 'scenario',
          include: [SCENARIO],
          exclude: [NOT_OURS],
          globalSetup: postgres,
          // Whole services as child processes, which wait for epochs and leases most of the time: two at once, no more.
          testTimeout: 240_000,
          hookTimeout: 60_000,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
