import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { orgOf, regionOf, type Candidate } from '../../../src/deals/propose/candidate.ts';
import { choose } from '../../../src/deals/propose/choose.ts';
import type { ChooseInput, Want, WantedSlot } from '../../../src/deals/propose/filling.ts';
import type { Policy } from '../../../src/deals/propose/policy.ts';
import type { UsedProvider } from '../../../src/deals/propose/rule-out.ts';
import { anyPolicy } from './any-policy.ts';

const now = new Date('2026-03-01T00:00:00Z');
const MIB = 2n ** 20n;
const DAY_MS = 86_400_000;

function candidate(id: string, change: Partial<Candidate> = {}): Candidate {
  return {
    id,
    state: 'enabled',
    peerId: `peer-${id}`,
    multiaddrs: ['/ip4/192.0.2.1/tcp/24001'],
    sectorBytes: 32n * 1024n * MIB,
    ownerId: `owner-${id}`,
    resolveError: undefined,
    retryAt: undefined,
    org: undefined,
    region: undefined,
    ask: undefined,
    inFlightBytes: 0n,
    proposalsLastHour: 0,
    successes: 0,
    failures: 0,
    lastOutcomeAt: undefined,
    activeEpochsBeforeStart: undefined,
    ...change,
  };
}

const proven = (id: string, change: Partial<Candidate> = {}) =>
  candidate(id, { successes: 100, lastOutcomeAt: now, ...change });

function ask(change: Partial<NonNullable<Candidate['ask']>> = {}): NonNullable<Candidate['ask']> {
  return { price: 0n, verifiedPrice: 0n, minPieceBytes: 128n, maxPieceBytes: 2n ** 40n, at: now, ...change };
}

function used(provider: string, change: Partial<UsedProvider> = {}): UsedProvider {
  return { provider, slot: 9, live: false, settledAt: now, refusalCode: undefined, policyVersion: 2, ...change };
}

const live = (provider: string, slot: number) => used(provider, { slot, live: true, settledAt: undefined });

function emptySlots(count: number): WantedSlot[] {
  return Array.from({ length: count }, (_, slot) => ({ slot, generation: 0 }));
}

interface OneWant extends Partial<Omit<Want, 'slots'>>, Partial<Omit<ChooseInput, 'policy' | 'wants'>> {
  slots?: number | WantedSlot[];
  policy?: Partial<Policy>;
}

function chooseOne(given: OneWant) {
  const { slots = 1, used: past = [], pieceBytes = MIB, aggregateId = 1n, policy, ...rest } = given;
  const wanted = typeof slots === 'number' ? emptySlots(slots) : slots;
  const input: ChooseInput = {
    policy: { ...anyPolicy, ...policy },
    candidates: [],
    wants: [{ aggregateId, pieceBytes, slots: wanted, used: past }],
    now,
    seed: 1,
    ...rest,
  };
  const [choice] = choose(input);
  if (choice === undefined) throw new Error('no choice for the only want');
  return { ...choice, providers: choice.chosen.map(({ provider }) => provider) };
}

const reasonOf = (given: OneWant) => chooseOne(given).refused[0]?.reason;

describe('who is out of question', () => {
  it.each<[Partial<Candidate>, RegExp]>([
    [{ state: 'paused' }, /paused/],
    [{ peerId: undefined, resolveError: 'actor not found' }, /no peer id or address is known: actor not found/],
    [{ multiaddrs: [] }, /no peer id or address/],
    [{ sectorBytes: undefined }, /sector size is not known/],
    [{ sectorBytes: MIB / 2n }, /larger than its sectors/],
    [{ retryAt: new Date(now.getTime() + 1) }, /rests until/],
    [{ ask: ask({ verifiedPrice: 5_000_001n }) }, /asks 5000001 attoFIL .* more than the policy's 5000000/],
    [{ ask: ask({ minPieceBytes: 2n * MIB }) }, /no pieces under 2 MiB/],
    [{ ask: ask({ maxPieceBytes: MIB / 2n }) }, /no pieces over 512 KiB/],
  ])('a candidate with %o, and why', (change, reason) => {
    const choice = chooseOne({ candidates: [candidate('f01', change)] });
    expect(choice.chosen).toEqual([]);
    expect(choice.refused).toEqual([
      { provider: 'f01', code: expect.any(String), reason: expect.stringMatching(reason) },
    ]);
  });

  it('one that was removed, without a word', () => {
    expect(chooseOne({ candidates: [candidate('f01', { state: 'removed' })] })).toMatchObject({
      chosen: [],
      refused: [],
    });
  });

  it('one that the policy denies, or does not allow', () => {
    const candidates = [candidate('f01'), candidate('f02')];
    expect(chooseOne({ candidates, slots: 2, policy: { denyProviders: ['f01'] } }).providers).toEqual(['f02']);
    expect(chooseOne({ candidates, slots: 2, policy: { allowProviders: ['f01'] } }).providers).toEqual(['f01']);
  });

  it('not one whose rest is over, whose sectors just hold the piece, or whose high ask is old', () => {
    const change = { retryAt: now, sectorBytes: MIB };
    expect(chooseOne({ candidates: [candidate('f01', change)] }).providers).toEqual(['f01']);
    const old = ask({ verifiedPrice: 10n ** 12n, at: new Date(now.getTime() - DAY_MS) });
    expect(chooseOne({ candidates: [candidate('f01', { ask: old })] }).providers).toEqual(['f01']);
  });

  it('one with a deal of this aggregate that may live', () => {
    const candidates = [candidate('f01')];
    expect(reasonOf({ candidates, used: [live('f01', 3)] })).toMatch(/may live/);
    expect(reasonOf({ candidates, used: [used('f01', { settledAt: undefined })] })).toMatch(/may live/);
  });

  it('one that refused for good, until the policy changes or a week is over', () => {
    const candidates = [candidate('f01')];
    const refusal = used('f01', { refusalCode: 'price_too_low' });
    const weekAgo = new Date(now.getTime() - 7 * DAY_MS);
    expect(reasonOf({ candidates, used: [refusal] })).toMatch(/refused this aggregate: price_too_low/);
    expect(reasonOf({ candidates, used: [{ ...refusal, policyVersion: 1 }] })).toBeUndefined();
    expect(reasonOf({ candidates, used: [{ ...refusal, settledAt: weekAgo }] })).toBeUndefined();
  });

  it('one that refused three times a day, however passing its reasons', () => {
    const candidates = [candidate('f01')];
    const busy = used('f01', { refusalCode: 'provider_busy' });
    expect(reasonOf({ candidates, used: [busy, busy] })).toBeUndefined();
    expect(reasonOf({ candidates, used: [busy, busy, busy] })).toMatch(/3 times within a day/);
  });

  it('one that has enough of us for now', () => {
    const policy = { maxInFlightBytes: 3n * MIB, maxProposalsPerHour: 2 };
    const full = candidate('f01', { inFlightBytes: 2n * MIB + 1n });
    expect(reasonOf({ candidates: [full], policy })).toMatch(/on their way to it/);
    const asked = candidate('f01', { proposalsLastHour: 2 });
    expect(reasonOf({ candidates: [asked], policy })).toMatch(/2 proposals within the hour/);
    const room = candidate('f01', { inFlightBytes: 2n * MIB, proposalsLastHour: 1 });
    expect(chooseOne({ candidates: [room], policy }).providers).toEqual(['f01']);
  });

  it('one for a reason found outside', () => {
    const ruledOut = new Map([['f01', { code: 'unreachable' as const, reason: 'no answer' }]]);
    expect(reasonOf({ candidates: [candidate('f01')], ruledOut })).toBe('no answer');
  });
});

describe('who goes first', () => {
  it('the surest: many good deals before few, fresh evidence before old', () => {
    const candidates = [
      proven('f01', { successes: 12, failures: 3 }),
      proven('f02', { successes: 200, failures: 2 }),
      proven('f03', { successes: 200, lastOutcomeAt: new Date(now.getTime() - 120 * DAY_MS) }),
    ];
    expect(chooseOne({ candidates, slots: 2, policy: { replicas: 1 } }).providers).toEqual(['f02', 'f01']);
  });

  it('of equals the cheaper, then the quicker', () => {
    const dear = proven('f01', { ask: ask({ verifiedPrice: 2n }) });
    const cheap = proven('f02', { ask: ask({ verifiedPrice: 1n }) });
    expect(chooseOne({ candidates: [dear, cheap] }).providers).toEqual(['f02']);
    const slow = proven('f01', { activeEpochsBeforeStart: 1_000 });
    const quick = proven('f02', { activeEpochsBeforeStart: 10_000 });
    expect(chooseOne({ candidates: [slow, quick] }).providers).toEqual(['f02']);
  });

  it('another org than those that hold the aggregate, and the same when there is none', () => {
    const candidates = ['f01', 'f02', 'f03'].map((id) => proven(id, { ownerId: 'a', successes: 900 }));
    candidates.push(proven('f04', { ownerId: 'b', successes: 15, failures: 5 }));
    const choice = chooseOne({ candidates, slots: 2, used: [live('f01', 5)] });
    expect(choice.providers[0]).toBe('f04');
    expect(['f02', 'f03']).toContain(choice.providers[1]);
  });

  it('one that was not asked for this aggregate before', () => {
    const candidates = [proven('f01', { successes: 900 }), proven('f02', { successes: 15, failures: 5 })];
    expect(chooseOne({ candidates, used: [used('f01', { refusalCode: 'provider_busy' })] }).providers).toEqual(['f02']);
  });

  it('in one slot, one of which little is known, until an aggregate has such a one', () => {
    const candidates = [1, 2, 3, 4].map((at) => proven(`f0${at}`)).concat(candidate('f05'));
    const choice = chooseOne({ candidates, slots: 3 });
    expect(choice.providers.slice(0, 2)).not.toContain('f05');
    expect(choice.chosen[2]).toMatchObject({
      provider: 'f05',
      reasons: expect.arrayContaining([expect.stringMatching(/exploration/)]) as string[],
    });
    const more = [...candidates, candidate('f06')];
    expect(chooseOne({ candidates: more, slots: 2, used: [live('f05', 2)] }).providers).not.toContain('f06');
    expect(chooseOne({ candidates, slots: 3, policy: { replicas: 1 } }).providers).not.toContain('f05');
  });

  it('of equals each in its turn, over many aggregates', () => {
    const candidates = Array.from({ length: 10 }, (_, at) => proven(`f0${at + 10}`));
    const wants = Array.from({ length: 1_000 }, (_, at) => ({
      aggregateId: BigInt(at),
      pieceBytes: MIB,
      slots: emptySlots(1),
      used: [],
    }));
    const choices = choose({ policy: anyPolicy, candidates, wants, now, seed: 7 });
    const counts = candidates.map(({ id }) => choices.filter(({ chosen }) => chosen[0]?.provider === id).length);
    expect(Math.min(...counts)).toBeGreaterThan(60);
    expect(Math.max(...counts)).toBeLessThan(140);
  });
});

describe('renewal', () => {
  const renewal: WantedSlot = { slot: 0, generation: 1, renews: 'f01' };

  it('stays with the provider that holds the piece, though it fills its org already', () => {
    const candidates = [proven('f01', { successes: 15, failures: 5 }), proven('f02')];
    const choice = chooseOne({ candidates, slots: [renewal], used: [live('f01', 0)], policy: { maxPerOrg: 1 } });
    expect(choice.chosen).toMatchObject([{ slot: 0, generation: 1, provider: 'f01' }]);
  });

  it('goes to another one when the holder is out of question, within the caps', () => {
    const candidates = [
      candidate('f01', { state: 'paused' }),
      proven('f02', { ownerId: 'owner-f03' }),
      proven('f03'),
      proven('f04'),
    ];
    const past = [live('f01', 0), live('f03', 1)];
    const choice = chooseOne({ candidates, slots: [renewal], used: past, policy: { maxPerOrg: 1 } });
    expect(choice.providers).toEqual(['f04']);
  });

  it('never gives two slots to one provider', () => {
    const slots = [renewal, { slot: 1, generation: 0 }];
    const candidates = [candidate('f01', { state: 'paused' }), proven('f02')];
    expect(chooseOne({ candidates, slots, used: [live('f01', 0)] }).providers).toEqual(['f02']);
  });
});

describe('caps', () => {
  it('exchanges the best provider for two others where only that fills the slots', () => {
    const candidates = [
      proven('f01', { successes: 900, org: 'a', region: 'x' }),
      proven('f02', { org: 'a', region: 'y' }),
      proven('f03', { org: 'b', region: 'x' }),
    ];
    const policy = { maxPerOrg: 1, maxPerRegion: 1 };
    expect(chooseOne({ candidates, slots: 2, policy }).providers.toSorted()).toEqual(['f02', 'f03']);
  });

  it('says which cap stands in the way', () => {
    const candidates = [proven('f01', { org: 'a' }), proven('f02', { org: 'a', region: 'y' })];
    const { refused } = chooseOne({ candidates, slots: 2, policy: { maxPerOrg: 1 } });
    expect(refused).toMatchObject([{ code: 'org_cap' }]);
    expect(
      chooseOne({ candidates: [proven('f01'), proven('f02')], slots: 2, policy: { maxPerRegion: 1 } }).refused,
    ).toMatchObject([{ code: 'region_cap' }]);
  });
});

const anyCandidate = fc.record({
  org: fc.constantFrom('a', 'b', 'c', 'd'),
  region: fc.constantFrom('x', 'y', 'z', undefined),
  state: fc.constantFrom('enabled' as const, 'enabled' as const, 'enabled' as const, 'paused' as const),
  successes: fc.integer({ min: 0, max: 30 }),
  failures: fc.integer({ min: 0, max: 10 }),
  live: fc.constantFrom(true, false, false, false),
  inFlightBytes: fc.constantFrom(0n, 0n, 2n * MIB),
});

const anyCase = fc.record({
  all: fc.array(anyCandidate, { maxLength: 10 }),
  slots: fc.integer({ min: 0, max: 6 }),
  maxPerOrg: fc.constantFrom(undefined, 1, 2),
  maxPerRegion: fc.constantFrom(undefined, 1, 2),
  maxInFlightBytes: fc.constantFrom(undefined, 2n * MIB),
  denied: fc.integer({ min: 0, max: 9 }),
  seed: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
});
type Case = typeof anyCase extends fc.Arbitrary<infer T> ? T : never;

function inputOf({ all, slots, seed, denied, ...caps }: Case, count = all.length) {
  const some = all.slice(0, count);
  const candidates = some.map(({ live: _live, ...rest }, at) =>
    candidate(`f0${at}`, { ...rest, lastOutcomeAt: rest.successes + rest.failures > 0 ? now : undefined }),
  );
  const past = some.flatMap((one, at) => (one.live ? [live(`f0${at}`, 10 + at)] : []));
  return { candidates, used: past, slots, seed, policy: { ...caps, denyProviders: [`f0${denied}`] } };
}

/** The most slots that any set of providers fills, by trying every set. */
function mostPossible(input: ReturnType<typeof inputOf>): number {
  const holders = new Set(input.used.map(({ provider }) => provider));
  const { maxPerOrg = 99, maxPerRegion = 99, maxInFlightBytes } = input.policy;
  const able = input.candidates.filter(
    ({ id, state, inFlightBytes }) =>
      state === 'enabled' &&
      !holders.has(id) &&
      !input.policy.denyProviders.includes(id) &&
      (maxInFlightBytes === undefined || inFlightBytes + MIB <= maxInFlightBytes),
  );
  const within = (set: Candidate[], key: (one: Candidate) => string, cap: number) =>
    set.every((one) => {
      const kept = input.candidates.filter(({ id }) => holders.has(id));
      return [...kept, ...set].filter((other) => key(other) === key(one)).length <= cap;
    });
  let most = 0;
  for (let bits = 0; bits < 2 ** able.length; bits += 1) {
    const set = able.filter((_, at) => (bits >> at) & 1);
    if (
      set.length > most &&
      set.length <= input.slots &&
      within(set, orgOf, maxPerOrg) &&
      within(set, regionOf, maxPerRegion)
    )
      most = set.length;
  }
  return most;
}

describe('for any providers and any caps', () => {
  it('fills as many slots as any choice within the rules can, each provider once, and never breaks a rule', () => {
    fc.assert(
      fc.property(anyCase, (one) => {
        const input = inputOf(one);
        const choice = chooseOne(input);
        expect(choice.chosen).toHaveLength(mostPossible(input));
        expect(new Set(choice.providers).size).toBe(choice.providers.length);
        const by = new Map(input.candidates.map((each) => [each.id, each]));
        const kept = [...choice.providers, ...input.used.map(({ provider }) => provider)].flatMap(
          (id) => by.get(id) ?? [],
        );
        const count = (key: (each: Candidate) => string, value: string) =>
          kept.filter((each) => key(each) === value).length;
        for (const id of choice.providers) {
          const chosen = by.get(id) ?? candidate('f0');
          expect(input.policy.denyProviders).not.toContain(id);
          expect(chosen.state).toBe('enabled');
          expect(count(orgOf, orgOf(chosen))).toBeLessThanOrEqual(one.maxPerOrg ?? 99);
          expect(count(regionOf, regionOf(chosen))).toBeLessThanOrEqual(one.maxPerRegion ?? 99);
          expect(chosen.inFlightBytes + MIB <= (one.maxInFlightBytes ?? 99n * MIB)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  it('chooses the same for the same seed', () => {
    fc.assert(
      fc.property(anyCase, (one) => {
        expect(chooseOne(inputOf(one))).toEqual(chooseOne(inputOf(one)));
      }),
    );
  });

  it('never fills fewer slots because there is one provider more', () => {
    fc.assert(
      fc.property(anyCase, (one) => {
        const last = one.all.at(-1);
        fc.pre(last !== undefined && !last.live);
        const fewer = chooseOne(inputOf(one, one.all.length - 1)).chosen.length;
        expect(chooseOne(inputOf(one)).chosen.length).toBeGreaterThanOrEqual(fewer);
      }),
    );
  });

  it('keeps to what a provider has room for over all aggregates together', () => {
    const candidates = ['f01', 'f02'].map((id) => proven(id));
    const wants = Array.from({ length: 20 }, (_, at) => ({
      aggregateId: BigInt(at),
      pieceBytes: MIB,
      slots: emptySlots(2),
      used: [],
    }));
    const policy = { ...anyPolicy, maxInFlightBytes: 5n * MIB, maxProposalsPerHour: 7 };
    const given = choose({ policy, candidates, wants, now, seed: 3 }).flatMap(({ chosen }) => chosen);
    expect(given.filter(({ provider }) => provider === 'f01')).toHaveLength(5);
    expect(given).toHaveLength(10);
  });
});
