import { describe, expect, it } from 'vitest';
import { silentLog } from '../../src/log/log.ts';
import { backOffMs, runLoop } from '../../src/jobs/run-loop.ts';

interface Script {
  /** What each call of the step does, in order; the loop is stopped when it is through. */
  steps: (boolean | Error)[];
  everyMs?: number;
  jitter?: number;
  random?: () => number;
}

/** Runs a loop on a clock of its own; returns 'step' for each step and the milliseconds of each wait, in order. */
async function play({ steps, everyMs = 1_000, jitter = 0, random = () => 0.5 }: Script) {
  const seen: (string | number)[] = [];
  const stop = new AbortController();
  const wait = async (waitMs: number) => void seen.push(waitMs);
  await runLoop({ name: 'test', everyMs, jitter, signal: stop.signal, log: silentLog, random, wait }, async () => {
    seen.push('step');
    const outcome = steps.shift();
    if (steps.length === 0) stop.abort();
    if (outcome instanceof Error) throw outcome;
    return outcome === true;
  });
  return seen;
}

describe('runLoop', () => {
  it('goes on at once after a step that did something, and waits after one that did not', async () => {
    expect(await play({ steps: [true, true, false, false] })).toEqual(['step', 'step', 'step', 1_000, 'step']);
  });

  it('backs off twice as long after each fault in a row, and forgets them after a good round', async () => {
    const bad = new Error('database is down');
    expect(await play({ steps: [bad, bad, false, bad, false] })).toEqual([
      'step',
      2_000,
      'step',
      4_000,
      'step',
      1_000,
      'step',
      2_000,
      'step',
    ]);
  });

  it('never backs off longer than a minute, or than its own interval', () => {
    expect(backOffMs(1_000, 100)).toBe(60_000);
    expect(backOffMs(3_600_000, 5)).toBe(3_600_000);
  });

  it('jitters waits by the given share, up and down', async () => {
    expect(await play({ steps: [false, false], jitter: 0.2, random: () => 0 })).toEqual(['step', 800, 'step']);
    expect(await play({ steps: [false, false], jitter: 0.2, random: () => 1 })).toEqual(['step', 1_200, 'step']);
  });

  it('waits in between even when the step always finds more', async () => {
    const seen = await play({ steps: Array.from({ length: 1_500 }, () => true) });
    expect(seen.indexOf(1_000)).toBe(1_000);
  });

  it('ends at once while waiting, when it is stopped', async () => {
    const stop = new AbortController();
    const startedAt = Date.now();
    const loop = runLoop(
      { name: 'test', everyMs: 60_000, jitter: 0, signal: stop.signal, log: silentLog },
      async () => false,
    );
    setTimeout(() => stop.abort(), 20);
    await loop;
    expect(Date.now() - startedAt).toBeLessThan(5_000);
  });

  it('does not start when it is already stopped', async () => {
    let called = false;
    await runLoop(
      { name: 'test', everyMs: 1, jitter: 0, signal: AbortSignal.abort(), log: silentLog },
      async () => (called = true),
    );
    expect(called).toBe(false);
  });
});
