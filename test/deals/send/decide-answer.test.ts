import { describe, expect, it } from 'vitest';
import { backOffMs } from '../../../src/deals/send/back-off.ts';
import {
  decideAnswer,
  decideStatus,
  MAX_UNCONNECTED_ATTEMPTS,
  type Attempted,
} from '../../../src/deals/send/decide-answer.ts';
import type { ProposeAnswer } from '../../../src/deals/transport/transport.ts';

const first: Attempted = { dealId: '6ba7b810-9dad-11d1-80b4-00c04fd430c8', attempts: 1, maybeReceived: false };
const again: Attempted = { ...first, attempts: 2, maybeReceived: true };
const answered = (accepted: boolean, message = ''): ProposeAnswer => ({ kind: 'answered', accepted, message });

describe('decideAnswer', () => {
  it('believes a yes, whatever was before', () => {
    expect(decideAnswer(first, answered(true))).toEqual({ kind: 'accept', text: '' });
    expect(decideAnswer(again, answered(true, 'ok'))).toEqual({ kind: 'accept', text: 'ok' });
  });

  it('takes "duplicate" for our own bytes as a yes', () => {
    const text = `deal proposal is identical to deal ${first.dealId} (proposed at today)`;
    expect(decideAnswer(again, answered(false, text))).toEqual({ kind: 'accept', text });
  });

  it('believes a no to the first copy that ever left', () => {
    expect(decideAnswer(first, answered(false, 'no, thanks'))).toMatchObject({
      kind: 'reject',
      code: 'refused_by_filter',
      text: 'no, thanks',
    });
  });

  it('does not believe a no while an earlier copy may be held, unless it proves that none is', () => {
    expect(decideAnswer(again, answered(false, 'no, thanks'))).toMatchObject({ kind: 'ask-status' });
    expect(decideAnswer(again, answered(false, 'miner is not considering online storage deals'))).toMatchObject({
      kind: 'reject',
    });
  });

  it('leaves an unclear answer open for good', () => {
    const step = decideAnswer({ ...first, attempts: 99 }, { kind: 'unknown', why: 'reset' });
    expect(step).toEqual({ kind: 'later', maybeReceived: true, unreached: false, why: 'reset' });
  });

  it('gives up a provider that was never reached, and no other', () => {
    const unreached: ProposeAnswer = { kind: 'not-connected', why: 'refused' };
    const last = MAX_UNCONNECTED_ATTEMPTS;
    expect(decideAnswer({ ...first, attempts: last - 1 }, unreached)).toEqual({
      kind: 'later',
      maybeReceived: false,
      unreached: true,
      why: 'refused',
    });
    expect(decideAnswer({ ...first, attempts: last }, unreached)).toMatchObject({
      kind: 'reject',
      code: 'unreachable',
    });
    expect(decideAnswer({ ...again, attempts: last }, unreached)).toMatchObject({ kind: 'later', maybeReceived: true });
  });
});

describe('decideStatus', () => {
  const step = decideAnswer(again, answered(false, 'no, thanks'));
  if (step.kind !== 'ask-status') throw new Error('the step must ask for the status');

  it('ends the proposal only when the provider says that it holds none', () => {
    const none = decideStatus(step, { kind: 'none', error: `no storage deal found with deal UUID ${first.dealId}` });
    expect(none).toMatchObject({ kind: 'reject', code: 'refused_by_filter', text: 'no, thanks' });
  });

  it('takes a deal that the provider holds as accepted', () => {
    expect(decideStatus(step, { kind: 'known', status: 'Accepted', error: '' })).toMatchObject({ kind: 'accept' });
  });

  it.each([
    { kind: 'none' as const, error: 'failed to get sealed deal status' },
    { kind: 'unknown' as const, why: 'timeout' },
    { kind: 'not-connected' as const, why: 'refused' },
  ])('stays open after %o', (status) => {
    expect(decideStatus(step, status)).toMatchObject({ kind: 'later', maybeReceived: true });
  });
});

describe('backOffMs', () => {
  const backOff = { firstMs: 1_000, maxMs: 60_000 };

  it('doubles up to its maximum, and never overflows', () => {
    expect([1, 2, 3, 7, 1_000_000].map((failures) => backOffMs(backOff, failures, 0))).toEqual([
      1_000, 2_000, 4_000, 60_000, 60_000,
    ]);
  });

  it('takes off up to a quarter', () => {
    expect(backOffMs(backOff, 1, 0.999)).toBeGreaterThanOrEqual(750);
    expect(backOffMs(backOff, 1, 0.5)).toBe(875);
  });
});
