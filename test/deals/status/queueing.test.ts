import { expect, test } from 'vitest';
import type { Stage } from '../../../src/deals/status/history-of-stages.ts';
import { etaOf, queueing, type QueueingFacts } from '../../../src/deals/status/queueing.ts';
import type { Outlook } from '../../../src/deals/status/remaining-time.ts';

const rules = {
  pieceBytes: 8_388_608n,
  minPieceBytes: 1_048_576n,
  minFillBytes: 4_000_000n,
  maxAgeMs: 12 * 3_600_000,
  forceAgeMs: 48 * 3_600_000,
  openAggregates: 3,
};
const now = {
  rules,
  now: new Date('2024-05-01T01:00:00Z'),
  outlooks: new Map<Stage, Outlook>(),
  chainFault: false,
};
const nothing: QueueingFacts = {
  state: 'waiting',
  missing: undefined,
  failure: null,
  position: undefined,
  aggregate: undefined,
  lastRefusal: undefined,
  proposingPaused: false,
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
  const answer = queueing({ ...nothing, state: 'incomplete', missing }, now);
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
  const answer = queueing({ ...nothing, state: 'failed', missing, failure: 'no more parts came' }, now);
  expect(answer).toMatchObject({ reason: 'failed', missing, failure: 'no more parts came' });
});

test('waiting has its place in the queue', () => {
  expect(queueing({ ...nothing, position: 7 }, now)).toMatchObject({ reason: 'waiting_for_aggregate', position: 7 });
});

test('an aggregate that fills up says how full it is and when it is sealed at the latest', () => {
  const stowed = { ...nothing, state: 'stowed' as const };
  expect(queueing({ ...stowed, aggregate: open }, now)).toEqual({
    reason: 'aggregate_filling',
    position: 5,
    aggregateFill: 0.25,
    sealsBy: '2024-05-03T00:00:00.000000+00:00',
    etaActive: unknown,
  });
  const full = { ...open, lengthBytes: 4_000_000n };
  expect(queueing({ ...stowed, aggregate: full }, now)).toMatchObject({
    aggregateFill: 0.5,
    sealsBy: '2024-05-01T12:00:00.000000+00:00',
  });
  const sealing = { ...open, state: 'sealing' as const };
  expect(queueing({ ...stowed, aggregate: sealing }, now)).toMatchObject({ reason: 'sealing', sealsBy: null });
});

test('a sealed aggregate whose bytes are gone waits for nobody', () => {
  const aggregate = { ...open, state: 'sealed' as const, released: true };
  expect(queueing({ ...nothing, state: 'stowed', aggregate }, now)).toMatchObject({ reason: 'bytes_released' });
});

test('a sealed aggregate without deals waits for a provider, in the last words of the one that refused', () => {
  const stowed = { ...nothing, state: 'stowed' as const, aggregate: { ...open, state: 'sealed' as const } };
  expect(queueing(stowed, now)).toMatchObject({ reason: 'waiting_for_provider', aggregateFill: null });
  expect(queueing(stowed, now)).not.toHaveProperty('lastRefusal');
  const lastRefusal = {
    miner: 'f01000',
    text: 'miner is not accepting online storage deals',
    at: new Date('2024-05-04T00:00:00Z'),
  };
  expect(queueing({ ...stowed, lastRefusal }, now)).toMatchObject({
    lastRefusal: { ...lastRefusal, at: '2024-05-04T00:00:00.000000+00:00' },
  });
});

test('a cut upload says how many of its parts lie in an aggregate, and why the last of them waits', () => {
  const parts = { placed: 1, total: 4 };
  expect(queueing({ ...nothing, position: 3, parts }, now)).toEqual({
    reason: 'waiting_for_aggregate',
    position: 3,
    aggregateFill: null,
    sealsBy: null,
    etaActive: unknown,
    parts,
  });
  const all = { placed: 4, total: 4 };
  expect(queueing({ ...nothing, state: 'stowed', aggregate: open, parts: all }, now)).toMatchObject({
    reason: 'aggregate_filling',
    parts: all,
  });
  expect(queueing({ ...nothing, position: 3 }, now)).not.toHaveProperty('parts');
});

test('enough for a piece is closed by its age alone', () => {
  const full = { ...open, lengthBytes: 4_000_000n };
  expect(queueing({ ...nothing, state: 'stowed', aggregate: full }, now)).toMatchObject({ reason: 'waiting_for_age' });
});

test('who waits is sealed by its own age at the latest, and is not told a time that is past', () => {
  const waiting = { ...nothing, position: 1, acceptedAt: new Date('2024-05-01T00:30:00Z') };
  expect(queueing(waiting, now)).toMatchObject({ sealsBy: '2024-05-03T00:30:00.000000+00:00' });
  const late = new Date('2024-05-03T00:30:00Z');
  expect(queueing(waiting, { ...now, now: late })).toMatchObject({ reason: 'waiting_for_aggregate', sealsBy: null });
});

const sealed = { ...open, state: 'sealed' as const };

test.each([
  [[], 'waiting_for_provider'],
  [['price', 'resting'], 'waiting_for_provider'],
  [['price', 'datacap'], 'waiting_for_datacap'],
  [['escrow', 'unreachable'], 'waiting_for_escrow'],
  [['client_unknown'], 'waiting_for_escrow'],
])('a last decision that refused for %j is %s', (codes, reason) => {
  const aggregate = { ...sealed, lastChoice: { refused: codes.map((code) => ({ code, providers: 2 })) } };
  const answer = queueing({ ...nothing, state: 'stowed', aggregate }, now);
  expect(answer.reason).toBe(reason);
  expect(answer.why?.map(({ code }) => code).toSorted() ?? []).toEqual(codes.toSorted());
});

test('why is told in words of ours, the reason of the most providers first, and names nobody', () => {
  const refused = [
    { code: 'price', providers: 1 },
    { code: 'resting', providers: 4 },
    { code: 'of_a_later_version', providers: 2 },
  ];
  const aggregate = { ...sealed, lastChoice: { refused } };
  expect(queueing({ ...nothing, state: 'stowed', aggregate }, now).why).toEqual([
    { code: 'resting', providers: 4, text: 'rests after a failure, and is asked again' },
    { code: 'of_a_later_version', providers: 2, text: 'of_a_later_version' },
    { code: 'price', providers: 1, text: 'asks for more than the policy pays' },
  ]);
});

const PAUSED = { code: 'proposing_off', providers: 0, text: 'nothing is proposed now: the operator has paused it' };

test('while all proposing is paused everybody is told, and nobody when it will be active', () => {
  const outlooks = new Map<Stage, Outlook>([
    ['sealed', () => 7_200_000],
    ['filling', () => 7_200_000],
    ['waiting', () => 7_200_000],
  ]);
  const since = new Date('2024-05-01T00:00:00Z');
  const told = (facts: Partial<typeof nothing>, chainFault = false) =>
    queueing({ ...nothing, ...facts, proposingPaused: true }, { ...now, outlooks, chainFault });
  const inAggregate = { state: 'stowed' as const };
  const filling = { ...open, standing: { stage: 'filling' as const, since } };
  expect(told({ ...inAggregate, aggregate: filling })).toMatchObject({
    reason: 'aggregate_filling',
    etaActive: unknown,
    why: [PAUSED],
  });
  expect(told({ position: 1, acceptedAt: since })).toMatchObject({
    reason: 'waiting_for_aggregate',
    etaActive: unknown,
    why: [PAUSED],
  });
  // Whatever the last decision says, which was made before the pause, or in another one.
  const refused = [
    { code: 'resting', providers: 4 },
    { code: 'escrow', providers: 1 },
    { code: 'proposing_off', providers: 1 },
  ];
  const waiting = { ...sealed, lastChoice: { refused }, standing: { stage: 'sealed' as const, since } };
  for (const chainFault of [false, true]) {
    const answer = told({ ...inAggregate, aggregate: waiting }, chainFault);
    expect(answer).toMatchObject({ reason: 'proposing_paused', etaActive: unknown });
    expect(answer.why?.filter(({ code }) => code === 'proposing_off')).toEqual([PAUSED]);
  }
  const released = told({ ...inAggregate, aggregate: { ...sealed, released: true } });
  expect(released).toMatchObject({ reason: 'bytes_released', why: [PAUSED] });
  expect(told({ state: 'failed', failure: 'x', missing: { count: 1, first: 'b' } })).not.toHaveProperty('why');
  // Once resumed, what the last decision said in the pause is told no more.
  const resumed = queueing({ ...nothing, ...inAggregate, aggregate: waiting }, now);
  expect(resumed).toMatchObject({ reason: 'waiting_for_escrow' });
  expect(resumed.why?.map(({ code }) => code)).toEqual(['resting', 'escrow']);
});

test('while the chain cannot be read a sealed aggregate waits for it, for a time that nobody measured', () => {
  const outlooks = new Map<Stage, Outlook>([['sealed', () => 7_200_000]]);
  const standing = { stage: 'sealed' as const, since: new Date('2024-05-01T00:00:00Z') };
  const facts = { ...nothing, state: 'stowed' as const, aggregate: { ...sealed, standing } };
  expect(queueing(facts, { ...now, outlooks, chainFault: true })).toMatchObject({
    reason: 'waiting_for_chain',
    etaActive: unknown,
  });
  expect(queueing(facts, { ...now, outlooks }).etaActive.p50).toBe('2024-05-01T02:00:00+00:00');
});

test('the time until active goes by the stage and how long it lasts already', () => {
  const asked: [number, number][] = [];
  const outlook: Outlook = (elapsedMs, share) => {
    asked.push([elapsedMs, share]);
    return share === 0.5 ? elapsedMs + 1 : undefined;
  };
  const outlooks = new Map<Stage, Outlook>([['published', outlook]]);
  const standing = { stage: 'published' as const, since: new Date('2024-05-01T00:00:00.700Z') };
  const facts = { ...nothing, state: 'stowed' as const, aggregate: { ...sealed, standing } };
  expect(etaOf(facts, { ...now, outlooks })).toEqual({ p50: '2024-05-01T01:00:01+00:00', p95: null });
  expect(asked).toEqual([
    [3_599_300, 0.5],
    [3_599_300, 0.95],
  ]);
  // A clock that lags behind the one that wrote the row.
  expect(etaOf(facts, { now: new Date('2024-04-30T00:00:00Z'), outlooks }).p50).toBe('2024-05-01T00:00:01+00:00');
  expect(etaOf({ ...facts, state: 'failed' }, { ...now, outlooks })).toEqual(unknown);
  expect(etaOf({ ...facts, aggregate: sealed }, { ...now, outlooks })).toEqual(unknown);
});
