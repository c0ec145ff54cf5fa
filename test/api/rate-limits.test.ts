import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readConfig } from '../../src/config.ts';
import { addressKey, createLimiter, schedule } from '../../src/api/door/rate-limits.ts';

function clockedLimiter(rate: { count: number; windowMs: number }) {
  let nowMs = 1_000_000;
  const limiter = createLimiter(rate, () => nowMs);
  return { limiter, pass: (ms: number) => (nowMs += ms) };
}

describe('a rate', () => {
  it('lets a whole window’s worth through at once, then says how long to wait, and is right about it', () => {
    const { limiter, pass } = clockedLimiter({ count: 3, windowMs: 60_000 });
    expect([limiter.take('a'), limiter.take('a'), limiter.take('a')]).toEqual([0, 0, 0]);
    expect(limiter.take('a')).toBe(20_000);
    pass(19_999);
    expect(limiter.take('a')).toBe(1);
    pass(1);
    expect(limiter.take('a')).toBe(0);
    expect(limiter.take('a')).toBe(20_000);
    pass(60_000);
    expect([1, 2, 3, 4].map(() => limiter.take('a') === 0)).toEqual([true, true, true, false]);
  });

  it('counts each caller by itself, and what is refused not at all', () => {
    const { limiter } = clockedLimiter({ count: 1, windowMs: 1_000 });
    expect(limiter.take('a')).toBe(0);
    expect([limiter.take('a'), limiter.take('a')]).toEqual([1_000, 1_000]);
    expect(limiter.take('b')).toBe(0);
  });

  it('is none where none is wanted', () => {
    const limiter = createLimiter(undefined, () => 0);
    expect(Array.from({ length: 1_000 }, () => limiter.take('a')).some((wait) => wait > 0)).toBe(false);
  });

  it('never lets more through in any window than twice its count, nor less than the even pace', () => {
    const rate = { count: 7, windowMs: 700 };
    const gaps = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(gaps, (gapsMs) => {
        let nowMs = 0;
        let due: number | undefined;
        const passed: number[] = [];
        for (const gapMs of gapsMs) {
          nowMs += gapMs;
          const step = schedule(due, nowMs, rate);
          if (step.next === undefined) continue;
          due = step.next;
          passed.push(nowMs);
        }
        // An oracle of its own: counting.
        for (const from of passed) {
          const inWindow = passed.filter((at) => at >= from && at < from + rate.windowMs).length;
          expect(inWindow).toBeLessThanOrEqual(2 * rate.count);
        }
        for (const gapMs of gapsMs) if (gapMs < rate.windowMs / rate.count) return;
        expect(passed).toHaveLength(gapsMs.length);
      }),
    );
  });

  it('forgets those longest unseen, and keeps a bounded number', () => {
    const { limiter } = clockedLimiter({ count: 1, windowMs: 1_000_000 });
    limiter.take('first');
    for (let at = 0; at < 100_001; at += 1) limiter.take(`other ${at}`);
    expect(limiter.take('other 100000')).toBeGreaterThan(0);
    expect(limiter.take('first')).toBe(0);
  });
});

describe('the limit of a token by default', () => {
  it('is never met by an upload service with 16 connections that have two milliseconds for each request', () => {
    const { rateLimits } = readConfig({ API_TOKENS: 'service:upload:upload-token-1' });
    let nowMs = 0;
    const limiter = createLimiter(rateLimits.token, () => nowMs);
    let refused = 0;
    for (; nowMs < 120_000; nowMs += 2) {
      for (let connection = 0; connection < 16; connection += 1) if (limiter.take('service') > 0) refused += 1;
    }
    expect(refused).toBe(0);
  });
});

describe('the key of an address', () => {
  it.each([
    ['192.0.2.1', '192.0.2.1'],
    ['::ffff:192.0.2.1', '192.0.2.1'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2'],
    ['2001:db8:1:2::1', '2001:db8:1:2'],
    ['fe80::1%eth0', 'fe80:0:0:0'],
    ['', 'no address'],
    ['1.2.3.4:5678', 'no address'],
    ['y'.repeat(16_000), 'no address'],
  ])('of %s is %s', (address, key) => {
    expect(addressKey(address)).toBe(key);
  });
});
