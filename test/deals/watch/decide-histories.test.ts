import fc from 'fast-check';
import { expect, test } from 'vitest';
import { canMove, type DealState } from '../../../src/deals/deal-states.ts';
import { applyStep, type At, type Seen, type WatchedDeal } from '../../../src/deals/watch/deal-step.ts';
import { decideAll } from '../../../src/deals/watch/decide.ts';
import { unreachable } from '../../../src/errors.ts';

const START = 1_000;
const END = 2_000;
const FINALITY = 30;

/** What the chain has of one deal; heights of the tipsets with the messages. */
interface Ledger {
  id: bigint;
  publishedAt?: number;
  provedAt?: number;
  terminatedAt?: number;
}

/** The oracle: what the deal is as of an epoch, from the ledger alone. */
function truth({ publishedAt, provedAt, terminatedAt }: Ledger, epoch: number, finalized: number): DealState {
  const startIsFinal = Math.min(epoch, finalized) > START;
  if (publishedAt === undefined || publishedAt >= epoch) return startIsFinal ? 'abandoned' : 'accepted';
  if (provedAt === undefined || provedAt >= epoch) return startIsFinal ? 'missed' : 'published';
  if (terminatedAt !== undefined && terminatedAt < epoch) return 'slashed';
  return epoch < END ? 'active' : 'expired';
}

type Present = Extract<Seen, { kind: 'present' }>;

function presentAt(ledger: Ledger, epoch: number): Present {
  const { id, publishedAt = 0, provedAt } = ledger;
  const proved = provedAt !== undefined && provedAt < epoch ? provedAt : -1;
  return {
    kind: 'present',
    chainDealId: id,
    sectorNumber: proved < 0 ? 0n : 3n,
    sectorStartEpoch: proved,
    slashEpoch: -1,
    published: { epoch: publishedAt, message: `bafypublish${id}` },
  };
}

/** What a look shows, as the discovery and the reads of the watch hand it on: each with as of when. */
function sightsOf(ledger: Ledger, deal: WatchedDeal, at: At): [Seen, At][] {
  const { publishedAt, terminatedAt } = ledger;
  if (publishedAt === undefined || publishedAt >= at.epoch) return [[{ kind: 'absent' }, at]];
  if (terminatedAt === undefined || terminatedAt >= at.epoch) return [[presentAt(ledger, at.epoch), at]];
  const gone: Seen = { kind: 'absent', terminated: { epoch: terminatedAt, message: 'bafyterminate' } };
  const before: [Seen, At] = [presentAt(ledger, terminatedAt), { ...at, epoch: terminatedAt }];
  const knownActive = deal.state === 'active' && deal.chainDealId === ledger.id;
  const over = deal.state === 'slashed' && deal.chainDealId === ledger.id;
  return knownActive || over ? [[gone, at]] : [before, [gone, at]];
}

interface World {
  deal: WatchedDeal;
  ledger: Ledger;
  head: number;
  finalized: number;
  reorged: number | undefined;
}

type Happening =
  | { kind: 'grow'; epochs: number }
  | { kind: 'publish' | 'prove' | 'terminate' }
  | { kind: 'reorg'; depth: number }
  | { kind: 'look' };

/** The chain goes on; what cannot happen does not. */
function happen(world: World, happening: Happening): World {
  const { ledger, head } = world;
  const { publishedAt, provedAt, terminatedAt } = ledger;
  switch (happening.kind) {
    case 'grow':
      return { ...world, head: head + happening.epochs };
    case 'publish':
      if (publishedAt !== undefined || head > START) return world;
      return { ...world, ledger: { id: ledger.id + 1n, publishedAt: head } };
    case 'prove':
      if (publishedAt === undefined || provedAt !== undefined || head <= publishedAt || head > START) return world;
      return { ...world, ledger: { ...ledger, provedAt: head } };
    case 'terminate':
      if (provedAt === undefined || terminatedAt !== undefined || head <= provedAt || head >= END) return world;
      return { ...world, ledger: { ...ledger, terminatedAt: head } };
    case 'reorg': {
      const root = Math.max(world.finalized, head - happening.depth);
      const kept = Object.fromEntries(
        Object.entries(ledger).filter(([key, height]) => key === 'id' || Number(height) <= root),
      );
      return { ...world, ledger: { id: ledger.id, ...kept }, reorged: world.reorged ?? world.finalized };
    }
    case 'look':
      return world;
    default:
      return unreachable(happening);
  }
}

const deal: WatchedDeal = {
  state: 'accepted',
  startEpoch: START,
  endEpoch: END,
  settled: false,
  chainDealId: null,
  publishMessage: null,
  publishedEpoch: null,
  sectorNumber: null,
  sectorStartEpoch: null,
};

const happenings: fc.Arbitrary<Happening[]> = fc.array(
  fc.oneof(
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constant('grow' as const), epochs: fc.integer({ min: 1, max: 200 }) }),
    },
    {
      weight: 3,
      arbitrary: fc.record({ kind: fc.constantFrom('publish' as const, 'prove' as const, 'terminate' as const) }),
    },
    {
      weight: 1,
      arbitrary: fc.record({ kind: fc.constant('reorg' as const), depth: fc.integer({ min: 1, max: 60 }) }),
    },
    { weight: 3, arbitrary: fc.constant({ kind: 'look' as const }) },
  ),
  { minLength: 5, maxLength: 60 },
);

interface Told {
  from: DealState;
  to: DealState;
  reorged: boolean;
}

/** One look: finality moves on, what the ledger shows is decided on, and the deal is what the oracle says. */
function look(world: World, told: Told[]): World {
  const epoch = world.head;
  const finalized = Math.max(world.finalized, epoch - FINALITY);
  const { reorged } = world;
  const base = { epoch, tipset: [`bafyt${epoch}`], finalizedEpoch: finalized, discoveredEpoch: epoch };
  const at: At = reorged === undefined ? base : { ...base, reorgedAbove: reorged };
  let now = world.deal;
  for (const [seen, when] of sightsOf(world.ledger, now, at)) {
    for (const step of decideAll(now, seen, when)) {
      if (step.kind === 'advance') {
        expect(canMove(now.state, step.to), `${now.state} → ${step.to}`).toBe(true);
        told.push({ from: now.state, to: step.to, reorged: reorged !== undefined });
      }
      now = applyStep(now, step);
    }
  }
  expect(now.state).toBe(truth(world.ledger, epoch, finalized));
  return { ...world, deal: now, finalized, reorged: undefined };
}

const world: World = { deal, ledger: { id: 0n }, head: 100, finalized: 70, reorged: undefined };
const rank: Partial<Record<DealState, number>> = { accepted: 0, published: 1, active: 2 };

test('after every look of a random history with reorgs a deal is what the ledger says, by ways that the table has', () => {
  fc.assert(
    fc.property(happenings, (history) => {
      const told: Told[] = [];
      let now = world;
      for (const happening of [...history, { kind: 'look' as const }]) {
        now = happening.kind === 'look' ? look(now, told) : happen(now, happening);
      }
      // Where no reorg took anything back, nothing goes back.
      for (const { from, to, reorged } of told) {
        if (!reorged) expect((rank[to] ?? 3) > (rank[from] ?? 3), `${from} → ${to}`).toBe(true);
      }
    }),
    { numRuns: 2_000 },
  );
});

test('the evidence of one tipset leads to the same deal in any order', () => {
  fc.assert(
    fc.property(happenings, fc.boolean(), (history, flip) => {
      let now = world;
      for (const happening of history) now = happening.kind === 'look' ? look(now, []) : happen(now, happening);
      if (now.reorged !== undefined || now.ledger.publishedAt === undefined || now.ledger.publishedAt >= now.head)
        return;
      const at: At = {
        epoch: now.head,
        tipset: ['bafyt'],
        finalizedEpoch: Math.max(now.finalized, now.head - FINALITY),
        discoveredEpoch: now.head,
      };
      if (now.ledger.terminatedAt !== undefined && now.ledger.terminatedAt < at.epoch) return;
      const byEvent = presentAt(now.ledger, at.epoch);
      const byRead: Present = { ...byEvent };
      delete byRead.published;
      const activated: Seen = { ...byRead, activated: { epoch: at.epoch - 1, message: 'bafyprove' } };
      const sights: Seen[] = [byEvent, byRead, activated];
      const fold = (order: Seen[]) =>
        order.reduce((before, seen) => decideAll(before, seen, at).reduce(applyStep, before), now.deal);
      const reversed = sights.toReversed();
      expect(fold(flip ? reversed : [byRead, byEvent, activated])).toEqual(fold(sights));
    }),
    { numRuns: 1_000 },
  );
});
