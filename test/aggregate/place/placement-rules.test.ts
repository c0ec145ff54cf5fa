import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batchTreeReserve, MAX_ROOT_CHARS } from '../../../src/aggregate/seal/batch-tree-reserve.ts';
import {
  emptyAggregate,
  emptyRoomBytes,
  largestPlaceable,
  nextSealTime,
  placeUpload,
  roomBytes,
  sealReason,
  withUpload,
  type OpenAggregate,
  type SealReason,
  type SealRules,
  type WaitingUpload,
} from '../../../src/aggregate/place/placement-rules.ts';

const KIB = 1024n;
const HOUR_MS = 3_600_000;
const EPOCH = new Date('2026-01-01T00:00:00Z');

const rules: SealRules = {
  pieceBytes: 1024n * KIB,
  minPieceBytes: 512n * KIB,
  minFillBytes: 512n * KIB,
  maxAgeMs: 12 * HOUR_MS,
  forceAgeMs: 48 * HOUR_MS,
  openAggregates: 3,
};
const capacity = 127n * 8n * KIB;

function at(ms: number): Date {
  return new Date(EPOCH.getTime() + ms);
}

function upload(runBytes: bigint, acceptedMs = 0, id = 1n): WaitingUpload {
  return { id, root: 'bafy', runBytes, acceptedAt: at(acceptedMs) };
}

function holding(runBytes: bigint, acceptedMs = 0, id = 1n): OpenAggregate {
  return withUpload(emptyAggregate(id, rules), upload(runBytes, acceptedMs));
}

describe('placing', () => {
  test('takes the first open aggregate with room', () => {
    const open = [holding(900n * KIB, 0, 1n), holding(500n * KIB, 0, 2n), holding(1n, 0, 3n)];
    expect(placeUpload(upload(400n * KIB), open, rules)).toMatchObject({ kind: 'into', aggregate: { id: 2n } });
  });

  test('opens one while places are left', () => {
    expect(placeUpload(upload(100n), [], rules)).toEqual({ kind: 'open-new' });
    expect(placeUpload(upload(600n * KIB), [holding(600n * KIB)], rules)).toEqual({ kind: 'open-new' });
  });

  test('seals a full one first, and lets one that is not full wait for smaller uploads', () => {
    const halfFull = [1n, 2n, 3n].map((id) => holding(600n * KIB, 0, id));
    expect(placeUpload(upload(600n * KIB), halfFull, rules)).toEqual({ kind: 'wait' });
    const full = holding((capacity * 95n) / 100n, 0, 7n);
    expect(placeUpload(upload(600n * KIB), [...halfFull, full], rules)).toMatchObject({
      kind: 'seal-first',
      aggregate: { id: 7n },
    });
  });

  test('knows what no aggregate can hold', () => {
    const most = emptyRoomBytes(capacity);
    expect(placeUpload(upload(most), [], rules)).toEqual({ kind: 'open-new' });
    expect(placeUpload(upload(most + 1n), [], rules)).toEqual({ kind: 'too-large' });
    expect(placeUpload({ ...upload(1n), root: 'b'.repeat(MAX_ROOT_CHARS + 1) }, [], rules)).toEqual({
      kind: 'unplaceable',
    });
  });

  test('asks for no upload that it would only let wait', () => {
    const runs = fc.bigInt({ min: 37n, max: capacity });
    fc.assert(
      fc.property(fc.array(runs, { maxLength: 4 }), runs, (held, runBytes) => {
        const open = held.map((bytes, id) => holding(bytes < emptyRoomBytes(capacity) ? bytes : 37n, 0, BigInt(id)));
        const most = largestPlaceable(open, rules);
        const { kind } = placeUpload(upload(runBytes), open, rules);
        expect(most !== undefined && runBytes > most).toBe(
          kind === 'wait' || (kind === 'too-large' && most !== undefined),
        );
      }),
    );
  });
});

describe('sealing by itself', () => {
  const small = holding(10n);
  const filled = holding(600n * KIB);

  test('by age once the smallest fill is reached, by force whatever the fill', () => {
    expect(sealReason(filled, rules, at(12 * HOUR_MS - 1))).toBeUndefined();
    expect(sealReason(filled, rules, at(12 * HOUR_MS))).toBe('age');
    expect(sealReason(small, rules, at(48 * HOUR_MS - 1))).toBeUndefined();
    expect(sealReason(small, rules, at(48 * HOUR_MS))).toBe('force_age');
  });

  test('when not even an empty block would fit', () => {
    const aggregate = emptyAggregate(1n, rules);
    const room = roomBytes(withUpload(aggregate, upload(0n)));
    expect(sealReason(withUpload(aggregate, upload(room - 37n)), rules, EPOCH)).toBeUndefined();
    expect(sealReason(withUpload(aggregate, upload(room - 36n)), rules, EPOCH)).toBe('full');
  });

  test('never an empty one', () => {
    expect(sealReason(emptyAggregate(1n, rules), rules, at(1_000 * HOUR_MS))).toBeUndefined();
    expect(nextSealTime(emptyAggregate(1n, rules), rules)).toBeUndefined();
  });

  test('age counts from the acceptance of the oldest upload, however late it was placed', () => {
    const late = withUpload(holding(10n, 5 * HOUR_MS), upload(10n, 2 * HOUR_MS));
    expect(late.oldestAcceptedAt).toEqual(at(2 * HOUR_MS));
    expect(withUpload(late, upload(10n, 9 * HOUR_MS)).oldestAcceptedAt).toEqual(at(2 * HOUR_MS));
  });

  test('is due exactly from the next seal time on', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 37n, max: emptyRoomBytes(capacity) - KIB }), (runBytes) => {
        const aggregate = holding(runBytes);
        const due = nextSealTime(aggregate, rules);
        if (due === undefined) throw new Error('it holds an upload');
        expect(sealReason(aggregate, rules, new Date(due.getTime() - 1))).toBeUndefined();
        expect(sealReason(aggregate, rules, due)).toMatch(/age/);
      }),
    );
  });
});

interface Sealed {
  reason: SealReason;
  aggregate: OpenAggregate;
  uploads: WaitingUpload[];
  at: Date;
}

/** The life of a stow stage in simulated time: what `stow` does, over arrays instead of rows. */
class Simulation {
  readonly sealed: Sealed[] = [];
  readonly refused: WaitingUpload[] = [];
  waiting: WaitingUpload[] = [];
  open: { aggregate: OpenAggregate; uploads: WaitingUpload[] }[] = [];
  #nextId = 1n;

  seal(id: bigint, reason: SealReason, now: Date): void {
    this.sealed.push(
      ...this.open.filter(({ aggregate }) => aggregate.id === id).map((one) => ({ ...one, reason, at: now })),
    );
    this.open = this.open.filter(({ aggregate }) => aggregate.id !== id);
  }

  settle(one: WaitingUpload, now: Date): void {
    const step = placeUpload(
      one,
      this.open.map(({ aggregate }) => aggregate),
      rules,
    );
    if (step.kind === 'too-large') this.refused.push(one);
    else if (step.kind === 'wait') this.waiting.push(one);
    else if (step.kind === 'seal-first') {
      this.seal(step.aggregate.id, 'full', now);
      this.settle(one, now);
    } else {
      if (step.kind === 'open-new') this.open.push({ aggregate: emptyAggregate(this.#nextId++, rules), uploads: [] });
      const into =
        step.kind === 'into' ? this.open.find(({ aggregate }) => aggregate.id === step.aggregate.id) : this.open.at(-1);
      if (into === undefined) throw new Error('placed into nothing');
      into.aggregate = withUpload(into.aggregate, one);
      into.uploads.push(one);
    }
  }

  stow(now: Date): void {
    for (let moved = true; moved; ) {
      const before = this.waiting.length;
      const queue = this.waiting;
      this.waiting = [];
      for (const one of queue) this.settle(one, now);
      moved = this.waiting.length < before;
      for (const { aggregate } of this.open) {
        const reason = sealReason(aggregate, rules, now);
        if (reason === undefined) continue;
        this.seal(aggregate.id, reason, now);
        moved = true;
      }
    }
  }

  nextDue(): Date | undefined {
    const due = this.open.map(({ aggregate }) => nextSealTime(aggregate, rules)).filter((time) => time !== undefined);
    return due.toSorted((a, b) => a.getTime() - b.getTime())[0];
  }

  run(arrivals: readonly WaitingUpload[]): void {
    for (const arrival of arrivals) {
      for (let due = this.nextDue(); due !== undefined && due <= arrival.acceptedAt; due = this.nextDue())
        this.stow(due);
      this.waiting.push(arrival);
      this.stow(arrival.acceptedAt);
    }
    for (let due = this.nextDue(); due !== undefined; due = this.nextDue()) this.stow(due);
  }
}

describe('over any sequence of uploads', () => {
  const size = fc.oneof(
    { weight: 4, arbitrary: fc.bigInt({ min: 37n, max: 60n * KIB }) },
    { weight: 2, arbitrary: fc.bigInt({ min: 37n, max: 1_100n * KIB }) },
  );
  const arrivals = fc
    .array(fc.record({ size, gapMs: fc.nat({ max: 6 * HOUR_MS }) }), { minLength: 1, maxLength: 80 })
    .map((list) => {
      let ms = 0;
      return list.map((one, index) => upload(one.size, (ms += one.gapMs), BigInt(index)));
    });

  test('nothing exceeds its capacity, nothing is lost or placed twice, nothing waits past its time', () => {
    fc.assert(
      fc.property(arrivals, (list) => {
        const simulation = new Simulation();
        simulation.run(list);
        expect(simulation.waiting).toEqual([]);
        expect(simulation.open).toEqual([]);
        const placed = simulation.sealed.flatMap(({ uploads }) => uploads);
        const known = [...placed, ...simulation.refused].map(({ id }) => id);
        expect(known).toHaveLength(list.length);
        expect(new Set(known).size).toBe(list.length);
        for (const { aggregate, uploads, reason, at: sealedAt } of simulation.sealed) {
          const taken = aggregate.lengthBytes + BigInt(batchTreeReserve(aggregate.entryCount));
          expect(taken).toBeLessThanOrEqual(capacity);
          for (const one of uploads)
            expect(sealedAt.getTime() - one.acceptedAt.getTime()).toBeLessThanOrEqual(rules.forceAgeMs);
          if (reason === 'full') expect(Number((taken * 100n) / capacity)).toBeGreaterThanOrEqual(94);
          if (reason === 'age') expect(aggregate.lengthBytes).toBeGreaterThanOrEqual(rules.minFillBytes);
        }
      }),
      { numRuns: 200 },
    );
  });
});
