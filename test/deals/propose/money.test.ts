import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { freshAsk, offeredPrice, priceRefusal, sizeRefusal } from '../../../src/deals/propose/judge-ask.ts';
import { anyTerms } from './any-policy.ts';
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

describe('asks', () => {
  const at = new Date('2026-03-01T00:00:00Z');
  const ask = { price: 9n, verifiedPrice: 2n, minPieceBytes: GIB, maxPieceBytes: 4n * GIB, at };
  const policy = { ...anyTerms, maxPrice: 9n, maxVerifiedPrice: 2n };

  it('are met by the offer for the kind of deal, and a missing one by nothing', () => {
    expect(offeredPrice(ask, policy, 2n * GIB)).toBe(4n);
    expect(offeredPrice(ask, { ...policy, verified: false }, 2n * GIB)).toBe(18n);
    expect(offeredPrice(undefined, policy, GIB)).toBe(0n);
  });

  it('are refused above the cap of their kind, and for pieces that they do not take', () => {
    expect(priceRefusal(ask, policy)).toBeUndefined();
    expect(priceRefusal({ ...ask, verifiedPrice: 3n }, policy)).toMatch(/asks 3 attoFIL .* more than the policy's 2/);
    expect(priceRefusal(ask, { ...policy, verified: false, maxPrice: 8n })).toMatch(/asks 9 attoFIL/);
    expect([GIB, 4n * GIB].map((bytes) => sizeRefusal(ask, bytes))).toEqual([undefined, undefined]);
    expect(sizeRefusal(ask, GIB / 2n)).toMatch(/no pieces under/);
    expect(sizeRefusal(ask, 8n * GIB)).toMatch(/no pieces over/);
  });

  it('are gone by for an hour', () => {
    const after = (ms: number) => freshAsk(ask, new Date(at.getTime() + ms));
    expect(after(3_600_000)).toBe(ask);
    expect(after(3_600_001)).toBeUndefined();
  });
});
