import { expect, it } from 'vitest';
import { refusesHistory, type UsedProvider } from '../../../src/deals/propose/rule-out.ts';

const now = new Date('2026-03-02T00:00:00Z');

function refused(refusalCode: string, minutesAgo: number): UsedProvider {
  const settledAt = new Date(now.getTime() - minutesAgo * 60_000);
  return { provider: 'f01000', slot: 0, live: false, settledAt, refusalCode, policyVersion: 1 };
}

it('a start that is refused is tried once afresh, and not over and over: the policy has to change', () => {
  const judge = (policyVersion: number, ...past: UsedProvider[]) => refusesHistory({ past, policyVersion, now });
  const first = refused('start_too_soon', 2);
  expect(judge(1, first)).toBeUndefined();
  expect(judge(1, first, refused('start_too_soon', 1))).toEqual({
    code: 'refused_before',
    reason: "the policy's start_delay does not suit it: start_too_soon",
  });
  expect(judge(2, first, refused('start_too_soon', 1))).toBeUndefined();
  expect(judge(1, first, refused('collateral_too_low', 1))).toBeUndefined();
});
