import { expect, test } from 'vitest';
import { queueing, type QueueingFacts } from '../../../src/deals/status/queueing.ts';

const rules = {
  pieceBytes: 8_388_608n,
  minPieceBytes: 1_048_576n,
  minFillBytes: 4_000_000n,
  maxAgeMs: 12 * 3_600_000,
  forceAgeMs: 48 * 3_600_000,
  openAggregates: 3,
};
const nothing: QueueingFacts = {
  state: 'waiting',
  missing: undefined,
  failure: null,
  position: undefined,
  aggregate: undefined,
  lastRefusal: undefined,
};
const open = {
  id: 1n,
  state: 'open' as const,
  lengthBytes: 2_000_000n,
  capacityBytes: 8_000_000n,
  entryCount: 12,
  oldestAcceptedAt: new Date('2024-05-01T00:00:00Z'),
  seq: 4,
};
const unknown = { p50: null, p95: null };

test('incomplete names what is missing', () => {
  const missing = { count: 3, first: 'bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy' };
  const answer = queueing({ ...nothing, state: 'incomplete', missing }, rules);
  expect(answer).toEqual({
    reason: 'incomplete',
    position: null,
    aggregateFill: null,
    sealsBy: null,
    etaActive: unknown,
    missing,
  });
});

test('failed says why', () => {
  const missing = { count: 1, first: 'bafy' };
  const answer = queueing({ ...nothing, state: 'failed', missing, failure: 'no more parts came' }, rules);
  expect(answer).toMatchObject({ reason: 'failed', missing, failure: 'no more parts came' });
});

test('waiting has its place in the queue', () => {
  expect(queueing({ ...nothing, position: 7 }, rules)).toMatchObject({ reason: 'waiting_for_aggregate', position: 7 });
});

test('an aggregate that fills up says how full it is and when it is sealed at the latest', () => {
  const stowed = { ...nothing, state: 'stowed' as const };
  expect(queueing({ ...stowed, aggregate: open }, rules)).toEqual({
    reason: 'aggregate_filling',
    position: 5,
    aggregateFill: 0.25,
    sealsBy: '2024-05-03T00:00:00.000000+00:00',
    etaActive: unknown,
  });
  const full = { ...open, lengthBytes: 4_000_000n };
  expect(queueing({ ...stowed, aggregate: full }, rules)).toMatchObject({
    aggregateFill: 0.5,
    sealsBy: '2024-05-01T12:00:00.000000+00:00',
  });
  const sealing = { ...open, state: 'sealing' as const };
  expect(queueing({ ...stowed, aggregate: sealing }, rules)).toMatchObject({ reason: 'sealing', sealsBy: null });
});

test('a sealed aggregate whose bytes are gone waits for nobody', () => {
  const aggregate = { ...open, state: 'sealed' as const, released: true };
  expect(queueing({ ...nothing, state: 'stowed', aggregate }, rules)).toMatchObject({ reason: 'bytes_released' });
});

test('a sealed aggregate without deals waits for a provider, in the last words of the one that refused', () => {
  const stowed = { ...nothing, state: 'stowed' as const, aggregate: { ...open, state: 'sealed' as const } };
  expect(queueing(stowed, rules)).toMatchObject({ reason: 'waiting_for_provider', aggregateFill: null });
  expect(queueing(stowed, rules)).not.toHaveProperty('lastRefusal');
  const lastRefusal = {
    miner: 'f01000',
    text: 'miner is not accepting online storage deals',
    at: new Date('2024-05-04T00:00:00Z'),
  };
  expect(queueing({ ...stowed, lastRefusal }, rules)).toMatchObject({
    lastRefusal: { ...lastRefusal, at: '2024-05-04T00:00:00.000000+00:00' },
  });
});

test('a cut upload says how many of its parts lie in an aggregate, and why the last of them waits', () => {
  const parts = { placed: 1, total: 4 };
  expect(queueing({ ...nothing, position: 3, parts }, rules)).toEqual({
    reason: 'waiting_for_aggregate',
    position: 3,
    aggregateFill: null,
    sealsBy: null,
    etaActive: unknown,
    parts,
  });
  const all = { placed: 4, total: 4 };
  expect(queueing({ ...nothing, state: 'stowed', aggregate: open, parts: all }, rules)).toMatchObject({
    reason: 'aggregate_filling',
    parts: all,
  });
  expect(queueing({ ...nothing, position: 3 }, rules)).not.toHaveProperty('parts');
});
