import { expect, test } from 'vitest';

import { liveLife } from './live-life.ts';

/** Of so many simulated days: `LADING_LIFE_DAYS=2000 npx vitest run test/scenario/long-life…` is the long form. */
const DAYS = Number(process.env['LADING_LIFE_DAYS'] ?? 540);
const SEED = process.env['LADING_SEED'] ?? 'a long life';
/** A minute alone on a core, for the 540 days; busy machines take several times that. */
const TIMEOUT_MS = 120_000 + 1_000 * DAYS;
/** Of nodes that answer at all, by which two of three agree. */
const sick: readonly object[] = [
  { http500: 0.4 },
  { html: 0.4 },
  { truncated: 0.3, empty: 0.2 },
  { wrongId: 0.4 },
  { nullResult: 0.4 },
  { http429: 0.4, retryAfterSeconds: 3 },
  { behind: 20 },
  { behind: 3 },
  { gateway: true },
  { eventsDisabled: true },
  { refuse: ['GetActorEventsRaw'] },
  { refuse: ['ChainGetFinalizedTipSet'] },
  { maxEvents: 1 },
  { ahead: 50_000 },
  { fork: 20 },
];

test(`a life of ${DAYS} days: what we say of every deal is what the ledger says, or we say that we cannot know`, {
  timeout: TIMEOUT_MS,
}, async () => {
  const { states, degraded, right } = await liveLife({ days: DAYS, seed: SEED, sick });
  expect(states, 'all of it happened').toEqual(
    expect.arrayContaining(['published', 'active', 'missed', 'slashed', 'expired', 'abandoned']),
  );
  expect(degraded, 'the faults were there').toBeGreaterThan(0);
  expect(right, 'and mostly they did no harm').toBeGreaterThan(degraded);
});
