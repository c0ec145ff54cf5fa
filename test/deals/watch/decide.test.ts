import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { canMove, dealStates, isLive, isOnChain, isOver, type DealState } from '../../../src/deals/deal-states.ts';
import { applyStep, type At, type Seen, type Step, type WatchedDeal } from '../../../src/deals/watch/deal-step.ts';
import { decide, decideAll, MAX_STEPS } from '../../../src/deals/watch/decide.ts';

const START = 1_000;
const END = 2_000;
const ID = 7n;

function dealIn(state: DealState, fields: Partial<WatchedDeal> = {}): WatchedDeal {
  const onChain = isOnChain(state);
  const inSector = ['active', 'expired', 'slashed'].includes(state);
  return {
    state,
    startEpoch: START,
    endEpoch: END,
    settled: isOver(state) && state !== 'failed',
    chainDealId: onChain ? ID : null,
    publishMessage: onChain ? 'bafypublish' : null,
    publishedEpoch: onChain ? 500 : null,
    sectorNumber: inSector ? 3n : null,
    sectorStartEpoch: inSector ? 600 : null,
    ...fields,
  };
}

function asOf(epoch: number, fields: Partial<At> = {}): At {
  return { epoch, tipset: [`bafyt${epoch}`], finalizedEpoch: epoch - 20, discoveredEpoch: epoch, ...fields };
}

type Present = Extract<Seen, { kind: 'present' }>;

function presentWith(fields: Partial<Present> = {}): Present {
  return { kind: 'present', chainDealId: ID, sectorNumber: 0n, sectorStartEpoch: -1, slashEpoch: -1, ...fields };
}

const unproven = presentWith();
const proven = presentWith({ sectorNumber: 3n, sectorStartEpoch: 600 });
const slashed = presentWith({ sectorNumber: 3n, sectorStartEpoch: 600, slashEpoch: 700 });
const absent: Seen = { kind: 'absent' };
const terminated: Seen = { kind: 'absent', terminated: { epoch: 700, message: 'bafyterminate' } };
const vanished: Seen = { kind: 'absent', absentAtFinalized: true };
const taken: Seen = { kind: 'taken', byOurs: false };
const takenByOurs: Seen = { kind: 'taken', byOurs: true };

/** Where a deal ends up, or its own state, and the codes of the way. */
function outcome(deal: WatchedDeal, seen: Seen, at: At): string {
  const steps = decideAll(deal, seen, at);
  const told = steps.flatMap((step) =>
    step.kind === 'advance' ? [`${step.to}:${step.reason.code}`] : step.kind === 'none' ? [] : [step.kind],
  );
  return told.length === 0 ? '-' : told.join(' ');
}

describe('the table of docs/deals.md', () => {
  const reorg = { reorgedAbove: 450 };
  const rows: [state: DealState, seen: Seen, at: At, expected: string, fields?: Partial<WatchedDeal>][] = [
    // Published: the chain holds the deal.
    ['signed', unproven, asOf(800), 'published:found_on_chain'],
    ['sent', unproven, asOf(800), 'published:found_on_chain'],
    ['accepted', unproven, asOf(800), 'published:found_on_chain'],
    ['published', unproven, asOf(800), '-'],
    ['accepted', proven, asOf(800), 'published:found_on_chain active:sector_active'],
    // The chain wins.
    ['rejected', unproven, asOf(800), 'published:found_on_chain'],
    ['failed', unproven, asOf(800), 'published:found_on_chain'],
    ['abandoned', proven, asOf(800), 'published:found_on_chain active:sector_active'],
    // Active: a sector, not slashed, before the end.
    ['published', proven, asOf(800), 'active:sector_active'],
    ['published', proven, asOf(1_500), 'active:sector_active'],
    ['active', proven, asOf(1_999), '-'],
    // Expired: at or past the end, in the state or not.
    ['active', proven, asOf(2_000), 'expired:term_over'],
    ['active', absent, asOf(2_000), 'expired:term_over'],
    ['published', proven, asOf(2_000), 'expired:term_over'],
    ['expired', proven, asOf(2_100), '-'],
    ['expired', absent, asOf(2_100), '-'],
    // Slashed: an event, a slash epoch, or absent at a finalized tipset.
    ['active', terminated, asOf(800), 'slashed:sector_terminated'],
    ['active', slashed, asOf(800), 'slashed:slashed'],
    ['published', slashed, asOf(800), 'slashed:slashed'],
    ['active', vanished, asOf(800), 'slashed:vanished'],
    ['active', vanished, asOf(800, { finalizedEpoch: 600 }), '-'],
    ['active', vanished, asOf(800, { finalizedEpoch: 601 }), 'slashed:vanished'],
    ['active', absent, asOf(800), '-'],
    ['active', { ...terminated, terminated: { epoch: 2_050, message: 'm' } }, asOf(2_100), 'expired:term_over'],
    ['slashed', absent, asOf(800), '-'],
    // Missed: never active, and a finalized tipset is past the start.
    ['published', unproven, asOf(1_020), '-'],
    ['published', unproven, asOf(1_021), 'missed:not_proven'],
    ['published', unproven, asOf(1_001, { finalizedEpoch: 5_000 }), 'missed:not_proven'],
    ['published', unproven, asOf(1_000, { finalizedEpoch: 5_000 }), '-'],
    ['published', absent, asOf(1_020), '-'],
    ['published', absent, asOf(1_021), 'missed:not_proven'],
    ['missed', unproven, asOf(1_500), '-'],
    ['missed', absent, asOf(1_500), '-'],
    // Abandoned: the start is final, and discovery is complete up to it.
    ['signed', absent, asOf(1_021), 'abandoned:not_published'],
    ['sent', absent, asOf(1_021), 'abandoned:not_published'],
    ['accepted', absent, asOf(1_021), 'abandoned:not_published'],
    ['accepted', absent, asOf(1_020), '-'],
    ['accepted', absent, asOf(1_021, { discoveredEpoch: 1_000 }), '-'],
    ['accepted', absent, asOf(1_021, { discoveredEpoch: 1_001 }), 'abandoned:not_published'],
    ['failed', absent, asOf(1_021), 'settle'],
    ['failed', absent, asOf(1_020), '-'],
    ['rejected', absent, asOf(1_021), '-'],
    ['abandoned', absent, asOf(1_021), '-'],
    // A reorg undoes.
    ['published', absent, asOf(800), '-'],
    ['published', absent, asOf(800, reorg), 'accepted:reorg'],
    ['published', absent, asOf(800, { reorgedAbove: 500 }), '-'],
    ['active', absent, asOf(800, reorg), 'accepted:reorg'],
    ['active', unproven, asOf(800), 'published:reorg'],
    ['active', unproven, asOf(1_021), 'published:reorg missed:not_proven'],
    ['slashed', proven, asOf(800), 'active:sector_active'],
    ['slashed', unproven, asOf(800), 'published:reorg'],
    ['missed', proven, asOf(1_500), 'active:sector_active'],
    ['missed', slashed, asOf(1_500), 'published:reorg slashed:slashed'],
    // An id that is another deal's now.
    ['published', taken, asOf(800), '-'],
    ['published', taken, asOf(800, reorg), 'accepted:reorg'],
    ['published', takenByOurs, asOf(800), 'accepted:reorg'],
    ['active', takenByOurs, asOf(800), 'accepted:reorg'],
    ['slashed', takenByOurs, asOf(1_500), 'accepted:reorg abandoned:not_published'],
    ['accepted', taken, asOf(800), '-'],
    // Published anew under another id.
    ['published', { ...unproven, chainDealId: 9n }, asOf(800), 'accepted:reorg published:found_on_chain'],
    [
      'active',
      { ...proven, chainDealId: 9n },
      asOf(800),
      'accepted:reorg published:found_on_chain active:sector_active',
    ],
    // The same state, and something else about it.
    ['active', { ...proven, sectorNumber: 4n }, asOf(800), 'update'],
    ['published', { ...unproven, published: { epoch: 501, message: 'bafypublish' } }, asOf(800), 'update'],
    ['published', { ...unproven, published: { epoch: 500, message: 'bafypublish' } }, asOf(800), '-'],
  ];

  test.each(rows.map((row, at) => [at, ...row] as const))('row %i: %s', (...row) => {
    const [, state, seen, at, expected, fields] = row;
    expect(outcome(dealIn(state, fields), seen, at)).toBe(expected);
  });
});

test('publishing records id, message and height; proving records the sector; undoing forgets them', () => {
  const published = { epoch: 500, message: 'bafypublish' };
  const [first, second] = decideAll(dealIn('accepted'), { ...proven, published }, asOf(800));
  expect(first).toEqual({
    kind: 'advance',
    to: 'published',
    fields: {
      chainDealId: 7n,
      publishMessage: 'bafypublish',
      publishedEpoch: 500,
      sectorNumber: null,
      sectorStartEpoch: null,
    },
    reason: { code: 'found_on_chain', text: 'published as chain deal 7' },
    epoch: 800,
    evidence: {
      epoch: 800,
      tipset: ['bafyt800'],
      finalizedEpoch: 780,
      chainDealId: 7,
      sectorNumber: 3,
      sectorStartEpoch: 600,
      slashEpoch: -1,
      message: 'bafypublish',
      messageEpoch: 500,
    },
  });
  expect(second).toMatchObject({ to: 'active', fields: { sectorNumber: 3n, sectorStartEpoch: 600 } });
  const [undone] = decideAll(dealIn('active'), absent, asOf(800, { reorgedAbove: 1 }));
  expect(undone).toMatchObject({
    fields: {
      chainDealId: null,
      publishMessage: null,
      publishedEpoch: null,
      sectorNumber: null,
      sectorStartEpoch: null,
    },
  });
});

test('a termination names its message', () => {
  expect(decide(dealIn('active'), terminated, asOf(800))).toMatchObject({
    reason: { text: 'its sector was terminated at epoch 700, before its end' },
    evidence: { message: 'bafyterminate', messageEpoch: 700, chainDealId: 7 },
  });
});

const epoch = fc.integer({ min: 0, max: 2_500 });
const message = fc.record({ epoch, message: fc.constantFrom('bafy1', 'bafy2') });
const seenAnything: fc.Arbitrary<Seen> = fc.oneof(
  fc.record(
    {
      kind: fc.constant('present' as const),
      chainDealId: fc.constantFrom(7n, 8n),
      sectorNumber: fc.constantFrom(0n, 3n),
      sectorStartEpoch: fc.oneof(fc.constant(-1), epoch),
      slashEpoch: fc.oneof(fc.constant(-1), epoch),
      published: message,
      activated: message,
    },
    { requiredKeys: ['kind', 'chainDealId', 'sectorNumber', 'sectorStartEpoch', 'slashEpoch'] },
  ),
  fc.record(
    { kind: fc.constant('absent' as const), terminated: message, absentAtFinalized: fc.boolean() },
    { requiredKeys: ['kind'] },
  ),
  fc.record({ kind: fc.constant('taken' as const), byOurs: fc.boolean() }),
);
const atAnything: fc.Arbitrary<At> = fc.record(
  { epoch, tipset: fc.constant(['bafyt']), finalizedEpoch: epoch, discoveredEpoch: epoch, reorgedAbove: epoch },
  { requiredKeys: ['epoch', 'tipset', 'finalizedEpoch', 'discoveredEpoch'] },
);
const history = fc.array(fc.tuple(seenAnything, atAnything), { minLength: 1, maxLength: 12 });
const startState = fc.constantFrom(...dealStates);

/** The laws that PostgreSQL holds a deal to, in our words. */
function brokenLaws(deal: WatchedDeal, step: Step): string[] {
  const broken: string[] = [];
  if (isOnChain(deal.state) !== (deal.chainDealId !== null)) broken.push('deals_on_chain_has_id');
  if (['active', 'expired', 'slashed'].includes(deal.state) && deal.sectorStartEpoch === null)
    broken.push('deals_active_has_sector');
  if (isLive(deal.state) && deal.settled) broken.push('deals_live_is_unsettled');
  if (isOver(deal.state) && deal.state !== 'failed' && !deal.settled) broken.push('deals_dead_is_settled');
  if (step.kind === 'advance' && (step.reason.code === '' || step.reason.text === ''))
    broken.push('deals_end_has_reason');
  return broken;
}

test('whatever the chain shows, every step is in the table and keeps the laws', () => {
  fc.assert(
    fc.property(startState, history, (state, sights) => {
      let deal = dealIn(state);
      for (const [seen, at] of sights) {
        for (const step of decideAll(deal, seen, at)) {
          if (step.kind === 'advance') expect(canMove(deal.state, step.to), `${deal.state} → ${step.to}`).toBe(true);
          deal = applyStep(deal, step);
          expect(brokenLaws(deal, step)).toEqual([]);
        }
      }
    }),
    { numRuns: 1_000 },
  );
});

test('the same sight again says nothing new', () => {
  fc.assert(
    fc.property(startState, history, seenAnything, atAnything, (state, sights, seen, at) => {
      const fold = (deal: WatchedDeal, [next, when]: [Seen, At]) => decideAll(deal, next, when).reduce(applyStep, deal);
      const deal = [...sights, [seen, at] as [Seen, At]].reduce(fold, dealIn(state));
      expect(decideAll(deal, seen, at)).toEqual([]);
    }),
    { numRuns: 1_000 },
  );
});

test('active is never concluded but from a sector that the chain shows, unslashed, before the end', () => {
  fc.assert(
    fc.property(startState, seenAnything, atAnything, (state, seen, at) => {
      const becomes = decideAll(dealIn(state), seen, at).some(
        (step) => step.kind === 'advance' && step.to === 'active',
      );
      if (!becomes) return;
      expect(seen).toMatchObject({ kind: 'present', slashEpoch: -1 });
      expect(seen.kind === 'present' && seen.sectorStartEpoch).toBeGreaterThanOrEqual(0);
      expect(at.epoch).toBeLessThan(END);
    }),
    { numRuns: 1_000 },
  );
});

test('a deal comes to rest in few steps', () => {
  expect(MAX_STEPS).toBeLessThanOrEqual(5);
  for (const from of dealStates) expect(canMove(from, from)).toBe(false);
});
