import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { judgeAsk } from '../../../src/deals/propose/judge-ask.ts';
import { costOf, fitFunds, pricePerEpoch } from '../../../src/deals/propose/money.ts';

const GIB = 2n ** 30n;
const none = { escrow: 0n, datacapBytes: 0n };

describe('pricePerEpoch', () => {
  it('is the ask for the piece, never below what the SP computes', () => {
    expect(pricePerEpoch(5n, 2n * GIB)).toBe(10n);
    expect(pricePerEpoch(1n, 128n)).toBe(1n);
    expect(pricePerEpoch(0n, GIB)).toBe(0n);
    fc.assert(
      fc.property(fc.bigInt(0n, 10n ** 20n), fc.integer({ min: 7, max: 36 }), (ask, height) => {
        const piece = 2n ** BigInt(height);
        const ours = pricePerEpoch(ask, piece);
        const theirs = (ask * piece) / GIB;
        expect(ours - theirs).toBeGreaterThanOrEqual(0n);
        expect(ours - theirs).toBeLessThanOrEqual(1n);
      }),
    );
  });
});

describe('fitFunds', () => {
  const deal = (escrow: bigint, datacapBytes: bigint) => ({ cost: { escrow, datacapBytes } });

  it('takes what fits, less what is reserved, and says what is short', () => {
    const deals = [deal(10n, 0n), deal(10n, 0n), deal(10n, 0n)];
    const fit = fitFunds(deals, { freeEscrow: 25n, datacapBytes: undefined }, { escrow: 5n, datacapBytes: 0n });
    expect(fit.fitting).toHaveLength(2);
    expect(fit.short).toMatch(/market balance is short: 0 attoFIL are free, 10 are needed/);
  });

  it('counts DataCap for verified deals alone', () => {
    const funds = { freeEscrow: 0n, datacapBytes: 2n * GIB };
    expect(fitFunds([deal(0n, GIB), deal(0n, GIB)], funds, none).short).toBeUndefined();
    expect(fitFunds([deal(0n, GIB)], funds, { escrow: 0n, datacapBytes: GIB + 1n }).short).toMatch(/DataCap is short/);
    expect(fitFunds([deal(0n, GIB)], { freeEscrow: 0n, datacapBytes: undefined }, none).short).toMatch(/no DataCap/);
  });

  it('lets a deal that costs nothing pass, even with an overdrawn balance', () => {
    expect(fitFunds([deal(0n, 0n)], { freeEscrow: -1n, datacapBytes: undefined }, none).fitting).toHaveLength(1);
  });

  it('never commits more than there is', () => {
    const amount = fc.bigInt(0n, 100n);
    const costs = fc.array(fc.record({ escrow: amount, datacapBytes: amount }), { maxLength: 10 });
    fc.assert(
      fc.property(costs, amount, amount, (all, freeEscrow, datacapBytes) => {
        const { fitting, short } = fitFunds(
          all.map((cost) => ({ cost })),
          { freeEscrow, datacapBytes },
          none,
        );
        const total = (key: 'escrow' | 'datacapBytes') => fitting.reduce((sum, { cost }) => sum + cost[key], 0n);
        expect(total('escrow')).toBeLessThanOrEqual(freeEscrow);
        expect(total('datacapBytes')).toBeLessThanOrEqual(datacapBytes);
        expect(short === undefined).toBe(fitting.length === all.length);
      }),
    );
  });
});

describe('costOf', () => {
  it('takes escrow for a price, in verified deals too', () => {
    const terms = { pricePerEpoch: 3n, durationEpochs: 10, pieceBytes: GIB };
    expect(costOf({ ...terms, verified: true })).toEqual({ escrow: 30n, datacapBytes: GIB });
    expect(costOf({ ...terms, verified: false })).toEqual({ escrow: 30n, datacapBytes: 0n });
  });
});

describe('judgeAsk', () => {
  const ask = { miner: 'f01000', price: 9n, verifiedPrice: 2n, minPieceBytes: GIB, maxPieceBytes: 4n * GIB };
  const policy = {
    replicas: 1,
    verified: true,
    maxPrice: 9n,
    maxVerifiedPrice: 2n,
    durationEpochs: 518_400,
    startDelayEpochs: 1,
    fastRetrieval: true,
  };
  const judge = (change: object, terms: object = {}, pieceBytes = 2n * GIB) =>
    judgeAsk({ ask: { ...ask, ...change }, policy: { ...policy, ...terms }, provider: 'f01000', pieceBytes });

  it('offers the ask for the kind of deal', () => {
    expect(judge({})).toEqual({ kind: 'fine', pricePerEpoch: 4n });
    expect(judge({}, { verified: false })).toEqual({ kind: 'fine', pricePerEpoch: 18n });
  });

  it.each([
    [{ miner: 'f01001' }, {}, 2n * GIB, /for another provider, f01001/],
    [{}, {}, GIB / 2n, /no pieces under/],
    [{}, {}, 8n * GIB, /no pieces over/],
    [{ verifiedPrice: 3n }, {}, 2n * GIB, /asks 3 attoFIL .* more than the policy's 2/],
    [{}, { verified: false, maxPrice: 8n }, 2n * GIB, /asks 9 attoFIL/],
  ])('refuses %o %o', (change, terms, pieceBytes, reason) => {
    expect(judge(change, terms, pieceBytes)).toEqual({ kind: 'refused', reason: expect.stringMatching(reason) });
  });

  it('offers nothing to a provider without an ask', () => {
    const verdict = judgeAsk({ ask: undefined, policy, provider: 'f01000', pieceBytes: GIB });
    expect(verdict).toEqual({ kind: 'fine', pricePerEpoch: 0n });
  });
});
