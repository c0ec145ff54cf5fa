import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { SeenKeys } from '../../../src/pins/requests/seen-keys.ts';

const keyOf = (n: number) =>
  Buffer.concat([Buffer.from([1, 0x55, 0x12, 32]), createHash('sha256').update(String(n)).digest()]).toString('latin1');

test('knows what was added, and nothing else, through many growths', () => {
  const keys = new SeenKeys();
  for (let n = 0; n < 50_000; n += 1) keys.add(keyOf(n));
  for (let n = 0; n < 50_000; n += 1) if (!keys.has(keyOf(n))) throw new Error(`lost ${n}`);
  for (let n = 50_000; n < 100_000; n += 1) if (keys.has(keyOf(n))) throw new Error(`made up ${n}`);
  expect(keys.isFull).toBe(false);
});

test('takes no more than it may: what is not taken is not known', () => {
  const keys = new SeenKeys(1_024);
  for (let n = 0; n < 600; n += 1) keys.add(keyOf(n));
  expect(keys.isFull).toBe(true);
  expect([0, 511].map((n) => keys.has(keyOf(n)))).toEqual([true, true]);
  expect(keys.has(keyOf(599))).toBe(false);
});

test('a key that ends in zeros is one as any other', () => {
  const keys = new SeenKeys();
  const zeros = '\u0001'.repeat(4) + '\u0000'.repeat(32);
  expect(keys.has(zeros)).toBe(false);
  keys.add(zeros);
  expect(keys.has(zeros)).toBe(true);
});
