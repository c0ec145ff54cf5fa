import { describe, expect, it } from 'vitest';
import { statusWaitMs } from '../../../src/deals/send/back-off.ts';
import { decideSaid, saidText, type SaidOfDeal } from '../../../src/deals/send/decide-status.ts';
import type { StatusAnswer } from '../../../src/deals/transport/transport.ts';

const UUID = '5a3f0c2e-8f7b-4a0e-9a51-0d2a64b0a111';
const known = (status: string, error = ''): StatusAnswer => ({ kind: 'known', status, error });
const none = (error: string): StatusAnswer => ({ kind: 'none', error });
const failed = (text: string, code: 'provider_failed' | 'provider_cancelled' = 'provider_failed') => ({
  kind: 'failed',
  code,
  text,
});

const proven =
  'deal proposal must be proven on chain by deal proposal start epoch 5000, but it has expired: current chain height: 5001';

/** What providers say, by filecoin-protocol.md 4.1. */
const table: [who: string, answer: StatusAnswer, said: SaidOfDeal | { kind: string }][] = [
  ['Boost', known('Accepted'), { kind: 'under-way' }],
  ['Boost', known('Transferred'), { kind: 'under-way' }],
  ['Boost', known('Published'), { kind: 'under-way' }],
  ['Boost', known('PublishConfirmed'), { kind: 'under-way' }],
  ['Boost', known('AddedPiece'), { kind: 'under-way' }],
  ['Boost', known('IndexedAndAnnounced'), { kind: 'under-way' }],
  ['Boost, paused', known('Accepted', 'failed to fetch deal data: connection refused'), { kind: 'paused' }],
  ['Boost, paused', known('AddedPiece', 'indexing: out of space'), { kind: 'paused' }],
  ['Boost', known('Complete', 'commp mismatch'), failed('commp mismatch')],
  ['Boost', known('Complete', 'Cancelled'), failed('Cancelled', 'provider_cancelled')],
  ['Boost', known('Complete'), failed('it ended the deal (Complete) without a reason')],
  ['Curio', known('Processing'), { kind: 'under-way' }],
  ['Curio, finished: the chain has it or not', known('Sealed'), { kind: 'under-way' }],
  ['Curio', known('Processing', proven), failed(proven)],
  ['Curio', known('Sealed', proven), failed(proven)],
  ['software we do not know', known('Thinking', 'hm'), { kind: 'paused' }],
  ['Boost', none(`no storage deal found with deal UUID ${UUID}`), { kind: 'unheard' }],
  ['Curio, unknown or failed early', none('failed to get sealed deal status'), { kind: 'unheard' }],
  ['Boost', none('signature verification failed'), { kind: 'unanswered' }],
  ['Boost', none('getting sector status from sealer: not found'), { kind: 'unanswered' }],
  ['Boost', none('failed to fetch deal status'), { kind: 'unanswered' }],
  ['nobody', { kind: 'unknown', why: 'no reply' }, { kind: 'unanswered' }],
  ['nobody', { kind: 'not-connected', why: 'refused' }, { kind: 'unanswered' }],
];

describe('the word of a provider on a deal', () => {
  it.each(table)('%s: %j', (_, answer, said) => {
    expect(decideSaid(answer)).toEqual(said);
  });

  it('is never that a deal is published or active', () => {
    for (const [, answer] of table) expect(decideSaid(answer).kind).not.toMatch(/published|active/);
  });

  it('is shown with its fault', () => {
    expect(saidText(known('Accepted'))).toBe('Accepted');
    expect(saidText(known('Complete', 'Cancelled'))).toBe('Complete: Cancelled');
    expect(saidText(none('no'))).toBe('no');
    expect(saidText({ kind: 'unknown', why: 'reset' })).toBeUndefined();
  });
});

describe('the next question', () => {
  const MINUTE = 60_000;
  it('comes after minutes at first, then after half the age of the deal, and within two hours', () => {
    expect(statusWaitMs(0, 0)).toBe(2 * MINUTE);
    expect(statusWaitMs(10 * MINUTE, 0)).toBe(5 * MINUTE);
    expect(statusWaitMs(1_000_000 * MINUTE, 0)).toBe(120 * MINUTE);
    expect(statusWaitMs(10 * MINUTE, 1)).toBe(3.75 * MINUTE);
  });
});
