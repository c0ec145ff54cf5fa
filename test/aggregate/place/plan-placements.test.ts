import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  emptyAggregate,
  emptyRoomBytes,
  nextSealTime,
  sealReason,
  withUpload,
  type OpenAggregate,
  type SealReason,
  type SealRules,
  type WaitingUpload,
} from '../../../src/aggregate/place/placement-rules.ts';
import { beginPass, planPlacements, withOpened } from '../../../src/aggregate/place/plan-placements.ts';
import { planTopUp, type TopUpCandidate } from '../../../src/aggregate/place/top-up.ts';
import { batchTreeReserve } from '../../../src/aggregate/seal/batch-tree-reserve.ts';
import type { Placement } from '../../../src/aggregate/place/place-runs.ts';

const KIB = 1024n;
const HOUR_MS = 3_600_000;
const EPOCH = new Date('2026-01-01T00:00:00Z').getTime();
const SECTION = 4_096;
const BATCH = 7;

const rules: SealRules = {
  pieceBytes: 1024n * KIB,
  minPieceBytes: 512n * KIB,
  minFillBytes: 508n * KIB + 1n,
  maxAgeMs: 12 * HOUR_MS,
  forceAgeMs: 48 * HOUR_MS,
  openAggregates: 3,
};
const capacity = 127n * 8n * KIB;
/** The smallest CAR of the smallest piece. */
const wanted = 254n * KIB + 1n;

interface Sealed {
  aggregate: OpenAggregate;
  reason: SealReason;
  at: number;
  /** Header, runs of its own and added ones, filler; and its entries. */
  filledBytes: bigint;
  entryCount: number;
}

/** The stage without its effects, over a virtual clock: what `stow` does with plans, applied to arrays. */
class Service {
  readonly placements: Placement[] = [];
  readonly sealed: Sealed[] = [];
  open: OpenAggregate[] = [];
  waiting: WaitingUpload[] = [];
  #nextId = 1n;

  run(arrivals: readonly WaitingUpload[]): void {
    for (const arrival of arrivals) {
      this.#passTimeUntil(arrival.acceptedAt.getTime());
      this.waiting.push(arrival);
      this.#stow(arrival.acceptedAt.getTime());
    }
    this.#passTimeUntil(Infinity);
  }

  #passTimeUntil(end: number): void {
    for (;;) {
      const due = Math.min(...this.open.map((one) => nextSealTime(one, rules)?.getTime() ?? Infinity));
      if (due > end || due === Infinity) return;
      this.#stow(due);
    }
  }

  #stow(now: number): void {
    for (let moved = true; moved; ) {
      moved = this.#placeWaiting(now);
      for (const aggregate of this.open) {
        const reason = sealReason(aggregate, rules, new Date(now));
        if (reason === undefined) continue;
        this.#seal(aggregate, reason, now);
        moved = true;
      }
    }
  }

  #placeWaiting(now: number): boolean {
    let pass = beginPass(this.open);
    const before = this.waiting.length + this.sealed.length * 1_000;
    for (let queue = this.waiting.map((one) => this.#withHolders(one)); queue.length > 0; ) {
      const plan = planPlacements(queue.slice(0, BATCH), pass, rules);
      this.#put(plan.placements);
      ({ pass } = plan);
      if (plan.end.kind === 'overtaking') break;
      if (plan.end.kind === 'seal-first') {
        const full = plan.end.aggregate;
        this.#seal(full, 'full', now);
        pass = { ...pass, open: pass.open.filter(({ id }) => id !== full.id) };
      }
      if (plan.end.kind === 'open-new') {
        const empty = emptyAggregate(this.#nextId++, rules);
        const { upload } = plan.end;
        this.#put([{ aggregateId: empty.id, seq: 0, offsetBytes: empty.lengthBytes, upload }]);
        pass = withOpened(pass, withUpload(empty, upload), upload);
      }
      this.open = [...pass.open];
      queue = queue.slice(plan.taken);
    }
    this.open = [...pass.open];
    return this.waiting.length + this.sealed.length * 1_000 !== before;
  }

  #put(placements: readonly Placement[]): void {
    this.placements.push(...placements);
    const keys = new Set(placements.map(({ upload }) => keyOf(upload)));
    this.waiting = this.waiting.filter((one) => !keys.has(keyOf(one)));
  }

  #seal(aggregate: OpenAggregate, reason: SealReason, at: number): void {
    const own = new Set(this.#runsOf(aggregate.id).map(({ upload }) => upload.id));
    const candidates: TopUpCandidate[] = this.placements
      .filter(
        ({ aggregateId, upload }) => this.sealed.some((one) => one.aggregate.id === aggregateId) && !own.has(upload.id),
      )
      .map(({ aggregateId, upload: { id, root, runBytes } }) => ({
        uploadId: id,
        root,
        runBytes,
        replicas: Number(aggregateId) % 3,
        aggregateId,
      }));
    const { runs, fillerBytes } = planTopUp(aggregate, candidates, {
      minPieceBytes: rules.minPieceBytes,
      fillerSectionBytes: SECTION,
    });
    const filledBytes = runs.reduce((sum, { runBytes }) => sum + runBytes, aggregate.lengthBytes + fillerBytes);
    this.sealed.push({ aggregate, reason, at, filledBytes, entryCount: aggregate.entryCount + runs.length });
    this.open = this.open.filter(({ id }) => id !== aggregate.id);
  }

  /** What the database says of the cuts that have a place. */
  #withHolders(one: WaitingUpload): WaitingUpload {
    if (one.cut === undefined) return one;
    const held = this.placements.filter(({ upload }) => upload.id === one.id).map(({ aggregateId }) => aggregateId);
    return { ...one, cut: { ...one.cut, heldBy: new Set(held) } };
  }

  #runsOf(id: bigint): Placement[] {
    return this.placements.filter(({ aggregateId }) => aggregateId === id);
  }
}

function keyOf({ id, cut }: WaitingUpload): string {
  return `${id}/${cut?.number}`;
}

const arrivals = fc
  .array(
    fc.record({
      size: fc.oneof(
        { weight: 4, arbitrary: fc.bigInt(37n, 60n * KIB) },
        { weight: 2, arbitrary: fc.bigInt(37n, emptyRoomBytes(capacity)) },
      ),
      gapMs: fc.nat({ max: 6 * HOUR_MS }),
      cuts: fc.constantFrom(1, 1, 1, 1, 2, 4),
    }),
    { minLength: 1, maxLength: 60 },
  )
  .map((list) => {
    let ms = EPOCH;
    return list.flatMap(({ size, gapMs, cuts }, index): WaitingUpload[] => {
      ms += gapMs;
      const whole = { id: BigInt(index), root: `bafy${index}`, runBytes: size, acceptedAt: new Date(ms) };
      if (cuts === 1) return [whole];
      return Array.from({ length: cuts }, (_, number) => ({
        ...whole,
        cut: { number, isLast: number === cuts - 1, largestBytes: size, heldBy: new Set<bigint>() },
      }));
    });
  });

describe('plans over any stream of uploads, whole and cut', () => {
  test('each run is placed once, behind the one before, and cuts in order, each in an aggregate of its own', () => {
    fc.assert(
      fc.property(arrivals, (list) => {
        const service = new Service();
        service.run(list);
        expect(service.waiting).toEqual([]);
        expect(service.placements.map(({ upload }) => keyOf(upload)).toSorted()).toEqual(list.map(keyOf).toSorted());
        const ends = new Map<bigint, { seq: number; offset: bigint }>();
        for (const { aggregateId, seq, offsetBytes, upload } of service.placements) {
          expect({ seq, offset: offsetBytes }).toEqual(ends.get(aggregateId) ?? { seq: 0, offset: 59n });
          ends.set(aggregateId, { seq: seq + 1, offset: offsetBytes + upload.runBytes });
        }
        const cuts = service.placements.filter(({ upload }) => upload.cut !== undefined);
        for (const { upload } of cuts) {
          const same = cuts.filter((one) => one.upload.id === upload.id);
          expect(same.map((one) => one.upload.cut?.number)).toEqual(same.map((_, at) => at));
          expect(new Set(same.map(({ aggregateId }) => aggregateId)).size).toBe(same.length);
        }
      }),
      { numRuns: 150 },
    );
  });

  test('nothing waits past its time, is over capacity, or is smaller than the smallest piece; what is full is full', () => {
    fc.assert(
      fc.property(arrivals, (list) => {
        const service = new Service();
        service.run(list);
        expect(service.open).toEqual([]);
        for (const { aggregate, reason, at, filledBytes, entryCount } of service.sealed) {
          expect(filledBytes + BigInt(batchTreeReserve(entryCount))).toBeLessThanOrEqual(capacity);
          expect(filledBytes).toBeGreaterThanOrEqual(wanted);
          const taken = aggregate.lengthBytes + BigInt(batchTreeReserve(aggregate.entryCount));
          if (reason === 'full') expect(Number((taken * 100n) / capacity)).toBeGreaterThanOrEqual(94);
          if (reason === 'age') expect(aggregate.lengthBytes).toBeGreaterThanOrEqual(rules.minFillBytes);
          const age = at - (aggregate.oldestAcceptedAt?.getTime() ?? 0);
          const isCut = service.placements.some(
            (one) => one.aggregateId === aggregate.id && one.upload.cut !== undefined,
          );
          // The parts of a cut upload need as many places one after the other.
          if (!isCut && list.every(({ cut }) => cut === undefined)) expect(age).toBeLessThanOrEqual(rules.forceAgeMs);
        }
      }),
      { numRuns: 150 },
    );
  });
});
