import { performance } from 'node:perf_hooks';
import { expect, test } from 'vitest';
import { RecentMap } from '../src/recent-map.ts';

test('keeps the last half of what it may hold, and what was set again since', () => {
  const map = new RecentMap<number, string>(10);
  const keys = Array.from({ length: 100 }, (_, at) => at);
  for (const key of keys) {
    map.set(key, `value ${key}`);
    map.set(0, 'again');
  }
  const kept = keys.filter((key) => map.get(key) !== undefined);
  expect(kept.length).toBeGreaterThanOrEqual(5);
  expect(kept.length).toBeLessThanOrEqual(10);
  expect([map.get(0), map.get(99), map.get(1)]).toEqual(['again', 'value 99', undefined]);
  map.delete(99);
  expect(map.get(99)).toBeUndefined();
  map.clear();
  expect(map.get(0)).toBeUndefined();
});

test('a flood of new keys costs each of them next to nothing', () => {
  const map = new RecentMap<number, number>(100_000);
  for (let key = 0; key < 100_000; key += 1) map.set(key, key);
  const begun = performance.now();
  for (let key = 0; key < 100_000; key += 1) map.set(-key, key);
  // A Map whose oldest key goes with each new one takes some ten seconds.
  expect(performance.now() - begun).toBeLessThan(2_000);
});
