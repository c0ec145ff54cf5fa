import { describe, expect, it } from 'vitest';
import { createPieceLimits } from '../../src/api/pieces/piece-limits.ts';

const signal = new AbortController().signal;

/** Limits with a clock that only waiting moves. */
function limited(bytesPerSecond: number | undefined, maxConnections?: number) {
  let now = 0;
  const waits: number[] = [];
  const wait = (waitMs: number): Promise<void> => {
    waits.push(waitMs);
    now += waitMs;
    return Promise.resolve();
  };
  const options = { bytesPerSecond, now: () => now, wait, ...(maxConnections !== undefined && { maxConnections }) };
  return { limits: createPieceLimits(options), waits, time: () => now };
}

describe('connections of a provider', () => {
  it('are counted, each provider on its own, and given back once', () => {
    const { limits } = limited(undefined, 2);
    const first = limits.connect('f01');
    limits.connect('f01');
    limits.connect('f02');
    expect(() => limits.connect('f01')).toThrow('f01 has 2 connections open');
    first();
    first();
    limits.connect('f01');
    expect(() => limits.connect('f01')).toThrow('f01 has 2 connections open');
  });
});

describe('the bandwidth cap', () => {
  it('is none when none is set', async () => {
    const { limits, waits } = limited(undefined);
    await limits.take(10_000_000, signal);
    expect([limits.slows, waits]).toEqual([false, []]);
  });

  it('holds a connection to the rate', async () => {
    const { limits, time } = limited(4_000_000);
    for (let chunk = 0; chunk < 100; chunk += 1) await limits.take(400_000, signal);
    // The first chunk leaves at once, the others a tenth of a second after each other.
    expect(time()).toBeCloseTo(9_900, 0);
  });

  it('leaves every connection its floor, whatever the cap', async () => {
    const { limits, time } = limited(1_250_000);
    for (let chunk = 0; chunk < 100; chunk += 1) await limits.take(500_000, signal);
    expect((100 * 500_000) / (time() / 1_000)).toBeGreaterThan(1_250_000);
  });
});
