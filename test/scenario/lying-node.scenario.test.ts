import { expect, test } from 'vitest';

import { liveLife } from './live-life.ts';

/** Too short for a deal to expire; `LADING_LIFE_DAYS` lengthens it. Five seconds each alone on a core. */
const DAYS = Number(process.env['LADING_LIFE_DAYS'] ?? 60);
const SEED = process.env['LADING_SEED'] ?? 'a long life';
const TIMEOUT_MS = 120_000 + 1_000 * DAYS;

test.each([
  { lie: 'fakeActive', told: 'deals are active that are not' },
  { lie: 'hideDeals', told: 'deals are gone that are not' },
])('a node that agrees on tipsets and says that $told is outvoted ($lie)', { timeout: TIMEOUT_MS }, async ({ lie }) => {
  const { life, states, degraded, right } = await liveLife({
    days: DAYS,
    seed: SEED,
    sick: [{ [lie]: 1 }, { [lie]: 0.3 }],
  });
  expect(states).toEqual(expect.arrayContaining(['published', 'active']));
  expect(right, 'two honest nodes of three are enough').toBeGreaterThan(degraded);
  const { kysely } = life.watched;
  const rows = await kysely.selectFrom('chain_differences').select(['kind', 'detail']).execute();
  const [told] = rows.filter(({ kind }) => kind === 'nodes_disagree');
  for (const url of life.chain.rpcUrls.slice(0, 2)) expect(told?.detail).toContain(new URL(url).host);
});

test('a node that hides events, as one whose index has holes, hides nothing from us while others tell', {
  timeout: TIMEOUT_MS,
}, async () => {
  const sick = [{ hideEvents: 1 }, { hideEvents: 0.5 }];
  const { states, degraded, right } = await liveLife({ days: DAYS, seed: SEED, sick });
  expect(states).toEqual(expect.arrayContaining(['published', 'active']));
  expect(right, 'two honest nodes of three are enough').toBeGreaterThan(degraded);
});
