import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choose, type Candidate, type ChooseInput, type UsedProvider } from '../../../src/deals/propose/choose.ts';
import type { Policy } from '../../../src/deals/propose/policy.ts';

const now = new Date('2026-03-01T00:00:00Z');
const policy: Policy = {
  version: 2,
  replicas: 3,
  verified: true,
  maxPrice: 0n,
  maxVerifiedPrice: 0n,
  durationEpochs: 1_468_800,
  startDelayEpochs: 11_520,
  fastRetrieval: true,
};
const MIB = 2n ** 20n;

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
    ...change,
  };
}

function used(provider: string, change: Partial<UsedProvider> = {}): UsedProvider {
  return { provider, live: false, settledAt: now, refusalCode: undefined, policyVersion: 2, ...change };
}

function input(change: Partial<ChooseInput>): ChooseInput {
  return { policy, slotsWanted: [0], candidates: [], used: [], pieceBytes: MIB, now, random: () => 0.5, ...change };
}

const reasonOf = (change: Partial<ChooseInput>) => choose(input(change)).refused[0]?.reason;

describe('choose', () => {
  it.each<[Partial<Candidate>, RegExp]>([
    [{ state: 'paused' }, /paused/],
    [{ state: 'removed' }, /removed/],
    [{ peerId: undefined, resolveError: 'actor not found' }, /no peer id or address is known: actor not found/],
    [{ multiaddrs: [] }, /no peer id or address/],
    [{ sectorBytes: undefined }, /sector size is not known/],
    [{ sectorBytes: MIB / 2n }, /larger than its sectors/],
    [{ retryAt: new Date(now.getTime() + 1) }, /rests until/],
  ])('refuses a candidate with %o and says why', (change, reason) => {
    const choice = choose(input({ candidates: [candidate('f01', change)] }));
    expect(choice.chosen).toEqual([]);
    expect(choice.refused).toEqual([{ provider: 'f01', reason: expect.stringMatching(reason) }]);
  });

  it('takes a provider whose rest is over, and a piece that just fits its sectors', () => {
    const rested = candidate('f01', { retryAt: now, sectorBytes: MIB });
    expect(choose(input({ candidates: [rested] })).chosen).toEqual([{ slot: 0, provider: 'f01' }]);
  });

  it('never takes a provider with a deal of this aggregate that may live', () => {
    const candidates = [candidate('f01')];
    expect(reasonOf({ candidates, used: [used('f01', { live: true, settledAt: undefined })] })).toMatch(/may live/);
    expect(reasonOf({ candidates, used: [used('f01', { settledAt: undefined })] })).toMatch(/may live/);
  });

  it('leaves a provider alone that refused for good, until the policy changes or a week is over', () => {
    const candidates = [candidate('f01')];
    const refusal = used('f01', { refusalCode: 'price_too_low' });
    const weekAgo = new Date(now.getTime() - 7 * 24 * 3_600_000);
    expect(reasonOf({ candidates, used: [refusal] })).toMatch(/refused this aggregate: price_too_low/);
    expect(reasonOf({ candidates, used: [{ ...refusal, policyVersion: 1 }] })).toBeUndefined();
    expect(reasonOf({ candidates, used: [{ ...refusal, settledAt: weekAgo }] })).toBeUndefined();
  });

  it('asks again after a passing refusal, but not more than three times a day', () => {
    const candidates = [candidate('f01')];
    const busy = used('f01', { refusalCode: 'provider_busy' });
    expect(reasonOf({ candidates, used: [busy, busy] })).toBeUndefined();
    expect(reasonOf({ candidates, used: [busy, busy, busy] })).toMatch(/3 times within a day/);
  });

  it('prefers owners that have no deal of this aggregate yet, and does without when there are none', () => {
    const candidates = [
      candidate('f01', { ownerId: 'a' }),
      candidate('f02', { ownerId: 'a' }),
      candidate('f03', { ownerId: 'a' }),
      candidate('f04', { ownerId: 'b' }),
    ];
    const choice = choose(
      input({ candidates, slotsWanted: [1, 2], used: [used('f01', { live: true, settledAt: undefined })] }),
    );
    expect(choice.chosen[0]).toEqual({ slot: 1, provider: 'f04' });
    expect(['f02', 'f03']).toContain(choice.chosen[1]?.provider);
  });

  it('prefers a provider that was not asked before', () => {
    const candidates = [candidate('f01'), candidate('f02')];
    const choice = choose(input({ candidates, used: [used('f01', { refusalCode: 'provider_busy' })] }));
    expect(choice.chosen).toEqual([{ slot: 0, provider: 'f02' }]);
  });

  it('obeys reasons found outside', () => {
    expect(reasonOf({ candidates: [candidate('f01')], ruledOut: new Map([['f01', 'too dear']]) })).toBe('too dear');
  });

  it('breaks ties by the injected random alone', () => {
    const candidates = [candidate('f01'), candidate('f02')];
    const draw = (draws: number[]) =>
      choose(input({ candidates, random: () => draws.shift() ?? 0 })).chosen[0]?.provider;
    expect(draw([0.1, 0.9])).toBe('f01');
    expect(draw([0.9, 0.1])).toBe('f02');
  });

  it('gives every slot at most one provider, every provider at most one slot, and a word to each other one', () => {
    const anyCandidate = fc.record({
      owner: fc.integer({ min: 0, max: 2 }),
      state: fc.constantFrom('enabled', 'paused', 'removed'),
      live: fc.boolean(),
    });
    fc.assert(
      fc.property(fc.array(anyCandidate, { maxLength: 8 }), fc.integer({ min: 0, max: 5 }), (all, slots) => {
        const candidates = all.map(({ owner, state }, at) => candidate(`f0${at}`, { state, ownerId: `o${owner}` }));
        const past = all.flatMap(({ live }, at) =>
          live ? [used(`f0${at}`, { live: true, settledAt: undefined })] : [],
        );
        const choice = choose(input({ candidates, used: past, slotsWanted: [...Array(slots).keys()] }));
        const able = all.filter(({ state, live }) => state === 'enabled' && !live).length;
        expect(choice.chosen).toHaveLength(Math.min(able, slots));
        expect(new Set(choice.chosen.map(({ provider }) => provider)).size).toBe(choice.chosen.length);
        expect(choice.chosen.map(({ slot }) => slot)).toEqual([...Array(choice.chosen.length).keys()]);
        expect(choice.refused).toHaveLength(all.length - able);
      }),
    );
  });
});
