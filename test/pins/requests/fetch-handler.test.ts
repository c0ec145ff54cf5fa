import { expect, test } from 'vitest';
import { BadInput, LadingError } from '../../../src/errors.ts';
import { decideRequest, originsInTurn, waitAfter } from '../../../src/pins/requests/fetch-handler.ts';

test('waits double up to an hour, a fifth more or less', () => {
  const seconds = (attempts: number, draw: number) => waitAfter(attempts, () => draw) / 1_000;
  expect([0, 1, 2, 3, 8, 9, 100].map((attempts) => seconds(attempts, 0.5))).toEqual([
    10, 20, 40, 80, 2_560, 3_600, 3_600,
  ]);
  expect([seconds(0, 0), seconds(0, 0.999)]).toEqual([8, expect.closeTo(12, 1)]);
});

test.each([
  [{ complete: true } as const, 0, { to: 'pinned' }],
  [{ complete: false, faults: [] } as const, 0, { to: 'queued', detail: 'no source has it' }],
  [{ complete: false, faults: ['a: slow', 'b: gone'] } as const, 999, { to: 'queued', detail: 'a: slow; b: gone' }],
  [{ complete: false, faults: ['a: slow'] } as const, 1_000, { to: 'failed', detail: 'a: slow' }],
  [{ error: new BadInput('UNKNOWN_CODEC', 'no such codec') }, 0, { to: 'failed', detail: 'no such codec' }],
  [{ error: new LadingError('STORE_FULL', 'full', { retry: 'later' }) }, 0, { to: 'queued', detail: 'full' }],
  [{ error: new LadingError('STORE_FULL', 'full', { retry: 'later' }) }, 1_000, { to: 'failed', detail: 'full' }],
  [{ error: new Error('a fault of ours') }, 0, { to: 'queued', detail: 'a fault of ours' }],
])('%j after %i ms without a block', (fetched, idleMs, outcome) => {
  expect(decideRequest(fetched, { idleMs, giveUpMs: 1_000 })).toEqual(outcome);
});

test('nobody who names many origins keeps those of another from being asked', () => {
  const many = Array.from({ length: 30 }, (_, at) => ({ owner: 'many', origins: [`m${at}`, 'same'] }));
  const found = originsInTurn([...many, { owner: 'few', origins: ['f0', 'same', 'f1'] }]);
  expect(found.slice(0, 5)).toEqual(['m0', 'f0', 'same', 'm1', 'f1']);
  expect(new Set(found).size).toBe(found.length);
  const most = Array.from({ length: 1_000 }, (_, at) => ({ owner: 'most', origins: [`m${at}`] }));
  expect(originsInTurn(most)).toHaveLength(100);
  expect(originsInTurn([])).toEqual([]);
});
