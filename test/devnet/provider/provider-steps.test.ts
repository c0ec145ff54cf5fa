import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CHECKPOINTS, type DealProgress } from '../../../src/devnet/provider/provider-deals.ts';
import { nextProviderStep, type SeenOnChain } from '../../../src/devnet/provider/provider-steps.ts';
import { PublishBatch } from '../../../src/devnet/provider/publish-batch.ts';

const seen = fc.record<SeenOnChain>({
  headEpoch: fc.nat(50),
  startEpoch: fc.nat(50),
  proveEpochs: fc.nat(5),
  receipt: fc.option(
    fc.record({
      height: fc.nat(50),
      exitCode: fc.constantFrom(0, 16),
      dealId: fc.option(fc.bigInt(1n, 3n), { nil: undefined }),
    }),
    { nil: undefined },
  ),
  sectorStartEpoch: fc.option(fc.integer({ min: -1, max: 50 }), { nil: undefined }),
});

const progress = fc.record<DealProgress>({
  checkpoint: fc.constantFrom(...CHECKPOINTS),
  error: fc.constant(''),
  publishCid: fc.constant('bafy'),
  chainDealId: fc.bigInt(1n, 3n),
  isProven: fc.boolean(),
});

describe('nextProviderStep', () => {
  it('never goes back, and says Complete only with a reason', () => {
    fc.assert(
      fc.property(progress, seen, (deal, chain) => {
        const step = nextProviderStep(deal, chain);
        if (step.kind !== 'advance' || step.change.checkpoint === undefined) return;
        expect(CHECKPOINTS.indexOf(step.change.checkpoint)).toBeGreaterThan(CHECKPOINTS.indexOf(deal.checkpoint));
        if (step.change.checkpoint === 'Complete') expect(step.change.error).not.toBe('');
      }),
    );
  });

  it('proves only a deal that the chain holds unproven, and not before its time', () => {
    fc.assert(
      fc.property(progress, seen, (deal, chain) => {
        const step = nextProviderStep(deal, chain);
        if (step.kind !== 'prove') return;
        expect(chain.sectorStartEpoch).toBe(-1);
        expect(step.dealId).toBe(chain.receipt?.dealId);
        expect(chain.headEpoch).toBeGreaterThanOrEqual((chain.receipt?.height ?? 0) + chain.proveEpochs);
      }),
    );
  });

  it('comes to rest: what it has said once, it does not say again', () => {
    fc.assert(
      fc.property(progress, seen, (start, chain) => {
        let deal = start;
        for (let i = 0; i < 10; i += 1) {
          const step = nextProviderStep(deal, chain);
          if (step.kind !== 'advance') return;
          deal = { ...deal, ...step.change };
        }
        expect.fail('the steps go on for ever');
      }),
    );
  });
});

describe('PublishBatch', () => {
  it('gives every deal out once, in order, never more at once than the limit', () => {
    fc.assert(
      fc.property(fc.array(fc.nat(3), { maxLength: 40 }), fc.integer({ min: 1, max: 8 }), (additions, maxDeals) => {
        const batch = new PublishBatch<number>();
        const out: number[] = [];
        let next = 0;
        for (const [epoch, count] of additions.entries()) {
          for (let i = 0; i < count; i += 1) batch.add(next++, epoch);
          const taken = batch.takeDue(epoch, { maxDeals, maxEpochs: 4 });
          expect(taken.length).toBeLessThanOrEqual(maxDeals);
          out.push(...taken);
        }
        expect(out).toEqual(Array.from({ length: out.length }, (_, i) => i));
        expect(out.length + batch.size).toBe(next);
      }),
    );
  });

  it('waits for more, but not too long', () => {
    const batch = new PublishBatch<string>();
    batch.add('a', 10);
    expect(batch.takeDue(13, { maxDeals: 8, maxEpochs: 4 })).toEqual([]);
    expect(batch.takeDue(14, { maxDeals: 8, maxEpochs: 4 })).toEqual(['a']);
    expect(batch.takeDue(99, { maxDeals: 8, maxEpochs: 4 })).toEqual([]);
  });
});
