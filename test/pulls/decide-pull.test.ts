import { expect, test } from 'vitest';
import { LadingError, type Retry } from '../../src/errors.ts';
import { afterFault } from '../../src/pulls/decide-pull.ts';

const HOUR = 3_600_000;

function after(code: string, retry: Retry, more: Partial<Parameters<typeof afterFault>[0]> = {}) {
  const error = new LadingError(code, 'words', { retry });
  const usual = { resumed: false, cameBytes: 0, keeps: true, attempts: 0, failingMs: 0, random: 0 };
  return afterFault({ error, ...usual, ...more });
}

test('waits longer each time, up to an hour', () => {
  const waits = [0, 1, 2, 7, 8, 1_000].map((attempts) => {
    const next = after('ORIGIN_FAILED', 'later', { attempts });
    return next.kind === 'again' ? next.waitMs : next.kind;
  });
  expect(waits).toEqual([15_000, 30_000, 60_000, 1_920_000, HOUR, HOUR]);
});

test('gives up after a day without a step forward', () => {
  expect(after('ORIGIN_FAILED', 'later', { failingMs: 24 * HOUR - 1 }).kind).toBe('again');
  expect(after('ORIGIN_FAILED', 'later', { failingMs: 24 * HOUR })).toEqual({ kind: 'failed' });
});

test('a step forward is one only where the next attempt begins behind it', () => {
  const long = { failingMs: 24 * HOUR, attempts: 9, cameBytes: 1024 ** 2 };
  expect(after('ORIGIN_BROKEN', 'later', long)).toMatchObject({ kind: 'again', isForward: true, waitMs: 15_000 });
  expect(after('ORIGIN_BROKEN', 'later', { ...long, keeps: false })).toEqual({ kind: 'failed' });
  expect(after('ORIGIN_CHANGED', 'later', long)).toEqual({ kind: 'failed' });
  // An origin that hangs up after a little each time would be asked for ever.
  for (const cameBytes of [0, 1, 1024 ** 2 - 1])
    expect(after('ORIGIN_BROKEN', 'later', { ...long, cameBytes })).toEqual({ kind: 'failed' });
});

test('what is bad is bad, unless it was put together from two attempts', () => {
  expect(after('HASH_MISMATCH', 'never')).toEqual({ kind: 'failed' });
  expect(after('HASH_MISMATCH', 'never', { resumed: true })).toMatchObject({
    kind: 'again',
    waitMs: 0,
    fromStart: true,
  });
  for (const code of ['ORIGIN_REFUSED', 'ORIGIN_TOO_LONG', 'ADDRESS_NOT_PUBLIC', 'URL_REFUSED'])
    expect(after(code, 'never', { resumed: true })).toEqual({ kind: 'failed' });
});
