import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { countOutcomes, speaksFor } from '../../../src/deals/propose/outcomes.ts';
import { isProven, scoreOf, wilsonLowerBound } from '../../../src/deals/propose/score.ts';
import { noEvidence } from '../../../src/deals/propose/candidate.ts';

const now = new Date('2026-03-01T00:00:00Z');
const DAY_MS = 86_400_000;

describe('the lower bound of a share', () => {
  // Wilson's interval at 95 %, computed by hand from its closed form and agreeing with published tables.
  it.each([
    [0, 0, 0],
    [0, 10, 0],
    [1, 1, 0.2065],
    [5, 10, 0.2366],
    [10, 10, 0.7225],
    [81, 263, 0.2553],
    [1_000, 1_000, 0.9962],
  ])('of %i in %i is %f', (successes, total, bound) => {
    expect(wilsonLowerBound(successes, total)).toBeCloseTo(bound, 3);
  });

  it('never exceeds the share, and grows with each success', () => {
    const counts = fc.record({ good: fc.integer({ min: 0, max: 1_000 }), bad: fc.integer({ min: 0, max: 1_000 }) });
    fc.assert(
      fc.property(counts, ({ good, bad }) => {
        const bound = wilsonLowerBound(good, good + bad);
        expect(bound).toBeGreaterThanOrEqual(0);
        expect(bound).toBeLessThanOrEqual(good + bad === 0 ? 0 : good / (good + bad));
        expect(wilsonLowerBound(good + 1, good + bad + 1)).toBeGreaterThan(bound);
        expect(wilsonLowerBound(good, good + bad + 1)).toBeLessThanOrEqual(bound);
      }),
    );
  });
});

describe('the score', () => {
  it('halves with each month that nothing happened in', () => {
    const evidence = { ...noEvidence, successes: 10 };
    const at = (days: number) => scoreOf({ ...evidence, lastOutcomeAt: new Date(now.getTime() - days * DAY_MS) }, now);
    expect(at(30)).toBeCloseTo(at(0) / 2, 10);
    expect(at(60)).toBeCloseTo(at(0) / 4, 10);
    expect(scoreOf(noEvidence, now)).toBe(0);
    expect([9, 10].map((successes) => isProven({ ...evidence, successes }))).toEqual([false, true]);
  });
});

describe('outcomes', () => {
  it.each([
    ['active', undefined, true],
    ['expired', 'term_over', true],
    ['missed', 'not_proven', false],
    ['slashed', 'sector_terminated', false],
    ['failed', 'x', false],
    ['abandoned', 'not_published', false],
    ['abandoned', 'transfer_stalled', false],
    ['abandoned', 'called_off', undefined],
    ['rejected', 'price_too_low', false],
    ['rejected', 'provider_busy', false],
    ['rejected', 'datacap_short', undefined],
    ['rejected', 'start_too_soon', undefined],
    ['accepted', undefined, undefined],
    ['published', undefined, undefined],
  ] as const)('%s (%s) speaks for its provider: %s', (state, reasonCode, verdict) => {
    expect(speaksFor({ state, reasonCode })).toBe(verdict);
  });

  it('are added up by provider, with the youngest and the time to active', () => {
    const one = { provider: 'f01', reasonCode: undefined, lastAt: now, activeEpochsBeforeStart: undefined };
    const earlier = new Date(now.getTime() - DAY_MS);
    const all = countOutcomes([
      { ...one, state: 'active', count: 7, lastAt: earlier, activeEpochsBeforeStart: 500 },
      { ...one, state: 'missed', count: 2 },
      { ...one, state: 'rejected', reasonCode: 'datacap_short', count: 90 },
      { ...one, provider: 'f02', state: 'sent', count: 5 },
    ]);
    expect([...all]).toEqual([
      ['f01', { successes: 7, failures: 2, lastOutcomeAt: now, activeEpochsBeforeStart: 500 }],
    ]);
  });
});
