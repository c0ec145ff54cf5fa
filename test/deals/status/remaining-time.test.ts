import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MIN_LIVES, outlookOf, type Life } from '../../../src/deals/status/remaining-time.ts';

const life = (end: number, changes: Partial<Life> = {}): Life => ({ from: 0, left: end, end, done: true, ...changes });
const upTo = (count: number) => Array.from({ length: count }, (_, index) => life(index + 1));

describe('what is known of a handful of lives', () => {
  it('is nothing of fewer than 19, and of 19 the last one is the time that 95 of 100 stay below', () => {
    const short = outlookOf(upTo(MIN_LIVES - 1));
    expect([short(0, 0.5), short(0, 0.95)]).toEqual([undefined, undefined]);
    const enough = outlookOf(upTo(MIN_LIVES));
    expect([enough(0, 0.5), enough(0, 0.9), enough(0, 0.95)]).toEqual([10, 18, 19]);
    expect(enough(0, 0.96)).toBeUndefined();
    expect(outlookOf([])(0, 0.5)).toBeUndefined();
  });

  it('goes by those that were in the stage as long, so that it is never past', () => {
    const outlook = outlookOf(upTo(99));
    expect([outlook(0, 0.5), outlook(49.5, 0.5), outlook(80, 0.95)]).toEqual([50, 75, 99]);
    expect(outlook(81, 0.5)).toBeUndefined();
  });

  it('leaves out who had left the stage by then, whenever it became active', () => {
    const quick = Array.from({ length: 50 }, (_, index) => life(100 + index, { left: 1 }));
    const slow = Array.from({ length: 19 }, (_, index) => life(1_000 + index, { left: 900 }));
    expect(outlookOf([...quick, ...slow])(0, 0.5)).toBeLessThan(150);
    expect(outlookOf([...quick, ...slow])(2, 0.5)).toBe(1_009);
  });

  it('takes no hope from lives whose end nobody saw', () => {
    const running = Array.from({ length: 40 }, () => life(5, { done: false }));
    const outlook = outlookOf([...upTo(19), ...running]);
    // Of 60 with the one asked about, four were done before the 40 were lost from sight, and one in that moment.
    expect([outlook(0, 0.05), outlook(0, 0.08)]).toEqual([3, 5]);
    // Then 15 of the 55/60 in all are left, one of them the one asked about: each takes its 1/15 of that.
    expect(outlook(0, 0.5)).toBe(5 + 7);
    const stuck = Array.from({ length: 20 }, () => life(100, { done: false }));
    expect(outlookOf([...upTo(19), ...stuck])(0, 0.95)).toBeUndefined();
  });

  it('counts a life from when it was looked at', () => {
    // Of those that became active before the time that counts only the slow were seen: they say nothing of the start.
    const late = Array.from({ length: 30 }, (_, index) => life(200 + index, { from: 150 }));
    const outlook = outlookOf([...upTo(19), ...late]);
    expect(outlook(0, 0.5)).toBe(10);
  });
});

/** Kaplan and Meier as the textbook has it, by counting anew at each time. */
function plainCurve(lives: readonly Life[], elapsedMs: number, share: number): number | undefined {
  const alike = lives.filter(({ left }) => left > elapsedMs);
  if (alike.length < 19) return undefined;
  let waiting = 1;
  for (const at of [...new Set(alike.filter(({ done }) => done).map(({ end }) => end))].sort((a, b) => a - b)) {
    const seen = alike.filter(({ from, end }) => Math.max(from, elapsedMs) < at && end >= at).length;
    const over = alike.filter(({ end, done }) => done && end === at).length;
    waiting *= 1 - over / (seen + 1);
    if (1 - waiting >= share - 1e-9) return at;
  }
  return undefined;
}

it('is the textbook curve, whatever the lives', () => {
  const lives = fc.array(
    fc
      .record({ a: fc.nat(30), b: fc.nat(30), c: fc.nat(30), done: fc.boolean() })
      .map(({ a, b, c, done }): Life => ({ from: a, left: a + b, end: a + b + c + 1, done })),
    { minLength: 10, maxLength: 80 },
  );
  fc.assert(
    fc.property(
      lives,
      fc.array(fc.nat(60), { minLength: 1 }),
      fc.constantFrom(0.1, 0.5, 0.9, 0.95),
      (all, times, share) => {
        const outlook = outlookOf(all);
        for (const elapsedMs of times) {
          const at = outlook(elapsedMs, share);
          expect(at).toBe(plainCurve(all, elapsedMs, share));
          expect(at ?? Number.POSITIVE_INFINITY).toBeGreaterThan(elapsedMs);
        }
      },
    ),
    { numRuns: 300 },
  );
});

/** Mulberry32: a small seeded generator, uniform in (0, 1). */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return (((mixed ^ (mixed >>> 14)) >>> 0) + 0.5) / 2 ** 32;
  };
}

type Draw = (random: () => number) => number;
const normal: Draw = (random) => Math.sqrt(-2 * Math.log(random())) * Math.cos(2 * Math.PI * random());
/** Days, each with a mean or middle of one or two. */
const shapes: Record<string, Draw> = {
  even: (random) => 2 * random(),
  exponential: (random) => -Math.log(random()),
  'log-normal': (random) => Math.exp(normal(random)),
  'quick or slow': (random) => (random() < 0.6 ? 0.5 : 3) + 0.3 * random(),
  'all alike': (random) => 2 + 0.01 * random(),
  'with a heavy tail': (random) => 0.5 * random() ** (-1 / 1.5),
};

interface World {
  draw: Draw;
  /** Factor of all times, by day. */
  pace?: (day: number) => number;
  /** Share of those that never become active. */
  never?: number;
  perDay?: number;
  windowDays?: number;
  /** The first day of all; forecasts are asked for at these. */
  begins?: number;
  moments?: number[];
}

const DAYS = 100;
const NEVER = 10_000;
const SEEDS = [1, 2, 3, 4, 5, 6];

/** A stage that something really was in, in days: entered, left, and active. */
interface Stay {
  entered: number;
  left: number;
  active: number;
}

/** The two stages of each life. */
function simulate({ draw, pace = () => 1, never = 0, perDay = 20, begins = 0 }: World, random: () => number) {
  const first = Array.from({ length: (DAYS - begins) * perDay }, (): Stay => {
    const entered = begins + (DAYS - begins) * random();
    const left = entered + draw(random) * pace(entered);
    return { entered, left, active: random() < never ? NEVER : left + draw(random) * pace(left) };
  });
  return [first, first.map(({ left, active }): Stay => ({ entered: left, left: active, active }))];
}

/** What is known of a stage at a moment, from some days before it on. */
function seenAt(now: number, { windowDays = 14 }: World, stays: readonly Stay[]): Life[] {
  const since = now - windowDays;
  return stays
    .filter(({ entered, active }) => entered < now && active > since)
    .map(({ entered, left, active }) => {
      const end = Math.min(active, now) - entered;
      return { from: Math.max(0, since - entered), left: Math.min(left - entered, end), end, done: active <= now };
    });
}

/** Those that were under way at some moments, with what was forecast of each. */
function forecasts(world: World, share: number, known = (lives: Life[]) => lives) {
  return SEEDS.flatMap((seed) => {
    const stages = simulate(world, seeded(seed));
    return (world.moments ?? [70, 78, 86, 94]).flatMap((now) =>
      stages.flatMap((stays) => {
        const outlook = outlookOf(known(seenAt(now, world, stays)));
        const underWay = stays.filter(({ entered, left }) => entered < now && left > now);
        return underWay.map(({ entered, active }) => ({ took: active - entered, said: outlook(now - entered, share) }));
      }),
    );
  });
}

/** Of those with a forecast: the share that was active by then. */
function kept(world: World, share: number): number {
  const told = forecasts(world, share).flatMap(({ took, said }) => (said === undefined ? [] : [took <= said]));
  expect(told.length).toBeGreaterThan(50);
  return told.filter(Boolean).length / told.length;
}

describe('of what was said to be active by then, as many are', () => {
  it.each(Object.keys(shapes))('times %s', (name) => {
    const world = { draw: shapes[name] ?? Math.random };
    expect(Math.abs(kept(world, 0.5) - 0.5)).toBeLessThan(0.04);
    expect(Math.abs(kept(world, 0.9) - 0.9)).toBeLessThan(0.025);
    expect(Math.abs(kept(world, 0.95) - 0.95)).toBeLessThan(0.025);
  });

  it.each([
    ['slower', 'exponential', (day: number) => 1 + day / 100],
    ['slower', 'even', (day: number) => 1 + day / 100],
    ['quicker', 'log-normal', (day: number) => 2 - day / 100],
  ])('while all becomes %s, times %s', (_way, name, pace) => {
    const world = { draw: shapes[name] ?? Math.random, pace };
    expect(Math.abs(kept(world, 0.5) - 0.5)).toBeLessThan(0.08);
    expect(Math.abs(kept(world, 0.9) - 0.9)).toBeLessThan(0.06);
  });

  it('where one in twenty never becomes active', () => {
    const world = { draw: shapes['quick or slow'] ?? Math.random, never: 0.05 };
    expect(Math.abs(kept(world, 0.5) - 0.5)).toBeLessThan(0.04);
    expect(Math.abs(kept(world, 0.9) - 0.9)).toBeLessThan(0.04);
  });

  it('where there is one a day, by a season of them', () => {
    const world = { draw: shapes['log-normal'] ?? Math.random, perDay: 1, windowDays: 90 };
    expect(Math.abs(kept(world, 0.5) - 0.5)).toBeLessThan(0.13);
    expect(kept(world, 0.9)).toBeGreaterThan(0.83);
  });

  it('on the third day of a service, when the slow ones are still under way', () => {
    const world = { draw: shapes['quick or slow'] ?? Math.random, perDay: 200, begins: 95, moments: [98] };
    expect(Math.abs(kept(world, 0.5) - 0.5)).toBeLessThan(0.05);
    // A time that few lives have lasted yet is not known, rather than thought to be that of the quick ones.
    const most = forecasts(world, 0.9);
    expect(most.filter(({ said }) => said === undefined).length / most.length).toBeGreaterThan(0.3);
    // What the curve is for: by those alone that are done, most would be late.
    const byTheDone = forecasts(world, 0.9, (lives) => lives.filter(({ done }) => done));
    expect(byTheDone.filter(({ took, said = 0 }) => took <= said).length / byTheDone.length).toBeLessThan(0.6);
  });
});
