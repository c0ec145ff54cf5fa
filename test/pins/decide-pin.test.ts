import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  decideLook,
  decideRefused,
  decideTaken,
  pinTimes,
  type PinSight,
  type PinStanding,
} from '../../src/pins/decide-pin.ts';

const MINUTE = 60_000;
const DAY = 86_400_000;
const rules = { times: pinTimes, random: () => 0.5 };
const fresh: PinStanding = { status: 'queued', acted: false, failingMs: undefined, ageMs: 0 };
const error: PinSight = { kind: 'error', error: 'pin_error: context canceled' };
const lost: PinSight = { kind: 'lost', error: 'unpinned' };

test('the word of the cluster is told', () => {
  expect(decideLook(fresh, { kind: 'queued' }, rules)).toMatchObject({ status: 'queued', step: 'look' });
  expect(decideLook(fresh, { kind: 'pinning' }, rules)).toMatchObject({ status: 'pinning', step: 'look' });
  expect(decideLook(fresh, { kind: 'pinned' }, rules)).toEqual({
    status: 'pinned',
    step: 'look',
    waitMs: 6 * 60 * MINUTE,
    acted: false,
    failure: 'none',
  });
});

test('an error is pinning while it is young, and failed from the end of the grace period on', () => {
  const at = (failingMs: number | undefined) => decideLook({ ...fresh, status: 'pinning', failingMs }, error, rules);
  expect(at(undefined)).toMatchObject({ status: 'pinning', step: 'recover', waitMs: 0 });
  expect(at(10 * MINUTE - 1)).toMatchObject({ status: 'pinning', step: 'recover' });
  expect(at(10 * MINUTE)).toMatchObject({ status: 'failed', step: 'give', failure: { error: error.error } });
});

test('each failure costs one act a wait, and the waits double from a minute to a day', () => {
  const waits: number[] = [];
  for (let failingMs = 0; failingMs < 30 * DAY; ) {
    const pin = { ...fresh, status: 'failed' as const, failingMs };
    const act = decideLook(pin, error, rules);
    expect(act).toMatchObject({ waitMs: 0, acted: false });
    expect(decideTaken(pin, 'give', rules)).toMatchObject({ step: 'look', acted: true, status: 'failed' });
    const rest = decideLook({ ...pin, acted: true }, error, rules);
    expect(rest).toMatchObject({ step: 'look', acted: false });
    waits.push(rest.waitMs);
    failingMs += Math.max(rest.waitMs, 1);
  }
  expect(waits[0]).toBe(MINUTE);
  expect(Math.max(...waits)).toBe(DAY);
  // Doubling, not counting days in minutes.
  expect(waits.length).toBeLessThan(50);
});

test('a look falls on the end of the grace period, so that failed is told when it is true', () => {
  const pin = { ...fresh, status: 'pinning' as const, acted: true, failingMs: 9 * MINUTE };
  expect(decideLook(pin, error, rules)).toMatchObject({ step: 'look', waitMs: MINUTE });
});

test('what the cluster does not know is given: at once when it is new, and as a failure when it was there', () => {
  expect(decideLook(fresh, lost, rules)).toEqual({
    status: 'queued',
    step: 'give',
    waitMs: 0,
    acted: false,
    failure: 'same',
  });
  const pinned = { ...fresh, status: 'pinned' as const };
  expect(decideLook(pinned, lost, rules)).toMatchObject({
    status: 'queued',
    step: 'give',
    waitMs: 0,
    failure: { error: 'unpinned' },
  });
  // Given a moment ago, and unknown still: no second CAR right behind the first.
  expect(decideLook({ ...pinned, status: 'pinning', acted: true }, lost, rules)).toMatchObject({
    step: 'look',
    waitMs: MINUTE,
  });
  expect(decideLook({ ...pinned, status: 'queued', failingMs: DAY }, lost, rules)).toMatchObject({
    status: 'failed',
    step: 'give',
  });
});

test('a refusal keeps what is told until it is old, and is tried again ever later', () => {
  expect(decideRefused(fresh, 'give', 'not enough peers', rules)).toMatchObject({
    status: 'queued',
    step: 'give',
    waitMs: MINUTE,
  });
  const old = { ...fresh, failingMs: 3 * DAY };
  expect(decideRefused(old, 'give', 'no', rules)).toMatchObject({ status: 'failed', step: 'give', waitMs: DAY });
  expect(decideRefused({ ...old, status: 'unpinned' }, 'unpin', 'no', rules)).toMatchObject({
    status: 'unpinned',
    step: 'unpin',
  });
});

test('while it is being pinned looks come ever less often', () => {
  const at = (ageMs: number) => decideLook({ ...fresh, status: 'pinning', ageMs }, { kind: 'pinning' }, rules).waitMs;
  expect([at(0), at(8_000), at(MINUTE), at(DAY)]).toEqual([1_000, 2_000, 15_000, 5 * MINUTE]);
});

const standing = fc.record({
  status: fc.constantFrom<PinStanding['status'][]>('queued', 'pinning', 'pinned', 'failed'),
  acted: fc.boolean(),
  failingMs: fc.option(fc.double({ min: 0, max: 1e10, noNaN: true }), { nil: undefined }),
  ageMs: fc.double({ min: 0, max: 1e10, noNaN: true }),
});
const sight = fc.constantFrom<PinSight[]>({ kind: 'pinned' }, { kind: 'pinning' }, { kind: 'queued' }, error, lost);

test('never better than the cluster says, and never at rest', () => {
  fc.assert(
    fc.property(standing, sight, fc.double({ min: 0, max: 0.999, noNaN: true }), (pin, seen, draw) => {
      const move = decideLook(pin, seen, { times: pinTimes, random: () => draw });
      expect(move.status === 'pinned').toBe(seen.kind === 'pinned');
      if (move.status === 'failed') expect(pin.failingMs ?? 0).toBeGreaterThanOrEqual(pinTimes.graceMs);
      expect(move.step).toBeDefined();
      expect(move.waitMs).toBeLessThanOrEqual(1.1 * DAY);
      if (move.step === 'look') expect(move.waitMs).toBeGreaterThan(0);
    }),
  );
});
