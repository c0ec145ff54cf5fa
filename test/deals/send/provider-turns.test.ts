import { expect, it } from 'vitest';
import { ProviderTurns } from '../../../src/deals/send/provider-turns.ts';
import { settableClock } from '../scripted-world.ts';

const start = new Date('2026-03-01T00:00:00Z');

it('lets a few attempts at one provider go side by side, whatever the others do', async () => {
  const turns = new ProviderTurns(settableClock(start).clock);
  const { promise, resolve } = Promise.withResolvers<void>();
  const under: Promise<void>[] = [];
  while (turns.waitMs('f01') === 0) under.push(turns.during('f01', () => promise));
  expect(under).toHaveLength(4);
  expect(turns.waitMs('f01')).toBe(1_000);
  expect(turns.waitMs('f02')).toBe(0);
  resolve();
  await Promise.all(under);
  expect(turns.waitMs('f01')).toBe(0);
});

it('lets nothing more go to a provider that keeps one attempt waiting, until that ends, even by a fault', async () => {
  const { clock, advance } = settableClock(start);
  const turns = new ProviderTurns(clock);
  const { promise, reject } = Promise.withResolvers<void>();
  const attempt = turns.during('f01', () => promise);
  advance(3_000);
  expect(turns.waitMs('f01')).toBe(0);
  advance(1);
  expect(turns.waitMs('f01')).toBe(10_000);
  reject(new Error('timeout'));
  await expect(attempt).rejects.toThrow('timeout');
  expect(turns.waitMs('f01')).toBe(0);
});
