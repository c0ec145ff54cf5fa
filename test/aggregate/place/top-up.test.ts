import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { emptyAggregate, withUpload, type SealRules } from '../../../src/aggregate/place/placement-rules.ts';
import { missingBytes, planTopUp, type TopUpCandidate } from '../../../src/aggregate/place/top-up.ts';
import { batchTreeReserve } from '../../../src/aggregate/seal/batch-tree-reserve.ts';

const MIB = 2n ** 20n;
const SECTION = 65_575;
const START = new Date('2026-01-01T00:00:00Z');

const rules: SealRules = {
  pieceBytes: 8n * MIB,
  minPieceBytes: 4n * MIB,
  minFillBytes: 4n * MIB,
  maxAgeMs: 1,
  forceAgeMs: 2,
  openAggregates: 3,
};
const topUpRules = { minPieceBytes: rules.minPieceBytes, fillerSectionBytes: SECTION };
/** The smallest CAR that pads to the smallest piece. */
const WANTED = (rules.minPieceBytes / 256n) * 127n + 1n;

function holding(runBytes: bigint) {
  const one = { id: 1n, root: 'bafy', runBytes, acceptedAt: START };
  return withUpload(emptyAggregate(1n, rules), one);
}

function candidate(uploadId: bigint, runBytes: bigint, replicas: number): TopUpCandidate {
  return { uploadId, root: `b${uploadId}`, runBytes, replicas, aggregateId: 9n };
}

describe('topping up', () => {
  test('adds nothing to what is large enough', () => {
    expect(missingBytes({ lengthBytes: WANTED }, rules.minPieceBytes)).toBe(0n);
    expect(missingBytes({ lengthBytes: WANTED - 1n }, rules.minPieceBytes)).toBe(1n);
    expect(planTopUp(holding(WANTED), [candidate(2n, 500n, 0)], topUpRules)).toEqual({
      runs: [],
      fillerBytes: 0n,
      isReached: true,
    });
  });

  test('takes the least replicated first, and filler only for what is missing then', () => {
    const given = [candidate(2n, MIB, 3), candidate(3n, MIB / 2n, 0), candidate(4n, MIB / 2n, 1)];
    const { runs, fillerBytes } = planTopUp(holding(100n), given, topUpRules);
    expect(runs.map(({ uploadId }) => uploadId)).toEqual([3n, 4n, 2n]);
    expect(fillerBytes).toBe(0n);
    const less = planTopUp(holding(100n), given.slice(1), topUpRules);
    expect(less.runs.map(({ uploadId }) => uploadId)).toEqual([3n, 4n]);
    expect(less.fillerBytes).toBe(16n * BigInt(SECTION));
  });

  test('leaves filler out where one section of it would be too much, or no filler can reach the size', () => {
    const tiny = emptyAggregate(1n, { ...rules, pieceBytes: 65_536n });
    const little = { ...tiny, entryCount: 1, lengthBytes: 200n, oldestAcceptedAt: START };
    const none = { runs: [], fillerBytes: 0n, isReached: false };
    expect(planTopUp(little, [], { ...topUpRules, minPieceBytes: 32_768n })).toEqual(none);
    expect(planTopUp(little, [candidate(2n, 100n, 0)], topUpRules)).toEqual(none);
  });

  test('never over capacity, the size reached for sure, least replicated first, nothing twice, always the same', () => {
    const candidates = fc.array(fc.tuple(fc.bigInt(2n, 40n), fc.bigInt(37n, 3n * MIB), fc.nat({ max: 4 })), {
      maxLength: 60,
    });
    fc.assert(
      fc.property(fc.bigInt(37n, 7n * MIB), candidates, (own, list) => {
        const given = list.map(([id, bytes, replicas]) => candidate(id, bytes, replicas));
        const aggregate = holding(own);
        const { runs, fillerBytes, isReached } = planTopUp(aggregate, given, topUpRules);
        const lengthBytes = runs.reduce((sum, { runBytes }) => sum + runBytes, aggregate.lengthBytes);
        expect(isReached).toBe(true);
        expect(lengthBytes + fillerBytes).toBeGreaterThanOrEqual(WANTED);
        const most = lengthBytes + fillerBytes + BigInt(batchTreeReserve(1 + runs.length));
        expect(most).toBeLessThanOrEqual(aggregate.capacityBytes);
        if (fillerBytes > 0n) expect(lengthBytes + fillerBytes - BigInt(SECTION)).toBeLessThan(WANTED);
        expect(new Set(runs.map(({ uploadId }) => uploadId)).size).toBe(runs.length);
        const replicas = runs.map((one) => one.replicas);
        expect(replicas).toEqual(replicas.toSorted((a, b) => a - b));
        expect(planTopUp(aggregate, given, topUpRules)).toEqual({ runs, fillerBytes, isReached });
      }),
      { numRuns: 300 },
    );
  });
});
