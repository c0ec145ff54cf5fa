import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { VirtualCar } from '../../src/aggregate/bytes/virtual-car.ts';
import { createPieceLimits } from '../../src/api/pieces/piece-limits.ts';
import { serveDeal, type ServeDeps } from '../../src/api/pieces/serve-range.ts';
import { callOff } from '../../src/deals/send/call-off.ts';
import { findDelivery, SERVED_RANGE_BYTES } from '../../src/deals/send/transfer-store.ts';
import { silentLog } from '../../src/log/log.ts';
import { settableClock } from '../deals/scripted-world.ts';
import { openWatch } from '../support/watch-fixture.ts';

const HOUR = 3_600_000;
const MIB = 2 ** 20;
const signal = new AbortController().signal;
/** Two ranges, and a byte of a third. */
const CAR_BYTES = 2 * SERVED_RANGE_BYTES + 1;
const chunk = Buffer.alloc(MIB);

/** A piece whose bytes cost nothing. */
const piece: VirtualCar = {
  carBytes: CAR_BYTES,
  async *readRange(start, end) {
    for (let at = start; at < end; at += MIB) yield chunk.subarray(0, Math.min(MIB, end - at));
  },
};

let watched: Awaited<ReturnType<typeof openWatch>>;
let clock: ReturnType<typeof settableClock>;
let deps: ServeDeps;
let dealId: string;
let seeds = 0;

beforeAll(async () => {
  watched = await openWatch({ rpcUrl: 'http://127.0.0.1:9' });
});
afterAll(() => watched[Symbol.asyncDispose]());

beforeEach(async () => {
  seeds += 1;
  clock = settableClock(new Date('2026-01-01T00:00:00Z'));
  const limits = createPieceLimits({ bytesPerSecond: undefined });
  deps = { kysely: watched.kysely, clock: clock.clock, log: silentLog, limits };
  const deal = await watched.seed({ piece: seeds, provider: `f0${5_000 + seeds}` });
  dealId = deal.id;
  const bytes = BigInt(CAR_BYTES);
  const sizes = { car_bytes: bytes, length_bytes: bytes - 100n, capacity_bytes: bytes, piece_bytes: 2n ** 28n };
  await watched.kysely.updateTable('aggregates').set(sizes).where('id', '=', deal.aggregateId).execute();
});

const transferNow = async () => (await findDelivery(watched.kysely, dealId))?.transfer;

async function serve(start: number, end: number, onChunk?: (sent: number) => Promise<void>): Promise<number> {
  let sent = 0;
  for await (const bytes of serveDeal(deps, { piece, start, end, dealId }, signal)) {
    sent += bytes.length;
    await onChunk?.(sent);
  }
  return sent;
}

const callOffNow = () =>
  callOff({ db: watched.kysely, jobs: watched.jobs, clock: clock.clock, random: () => 0, log: silentLog }, dealId);

describe('serving the provider of a deal', () => {
  it('commits a range before the first byte of it leaves', async () => {
    const seen: (number | undefined)[] = [];
    await serve(SERVED_RANGE_BYTES - MIB, SERVED_RANGE_BYTES + MIB, async () => {
      seen.push((await transferNow())?.servedRanges);
    });
    expect(seen).toEqual([1, 2]);
  });

  it('counts bytes, repetitions too, and a range once', async () => {
    expect(await serve(0, 3 * MIB)).toBe(3 * MIB);
    clock.advance(HOUR);
    expect(await serve(MIB, 2 * MIB + 5)).toBe(MIB + 5);
    expect(await transferNow()).toMatchObject({
      servedBytes: BigInt(4 * MIB + 5),
      servedRanges: 1,
      ranges: 3,
      begunAt: new Date('2026-01-01T00:00:00Z'),
      movedAt: new Date('2026-01-01T01:00:00Z'),
    });
  });

  it('counts the whole piece over five connections at once', async () => {
    const part = Math.floor(CAR_BYTES / 5);
    const parts = [0, 1, 2, 3, 4].map((at) => serve(at * part, at === 4 ? CAR_BYTES : (at + 1) * part));
    expect((await Promise.all(parts)).reduce((sum, bytes) => sum + bytes)).toBe(CAR_BYTES);
    expect(await transferNow()).toMatchObject({ servedBytes: BigInt(CAR_BYTES), servedRanges: 3 });
    clock.advance(100 * HOUR);
    expect(await callOffNow()).toBe(false);
  });

  it('breaks at the next range when the deal is called off meanwhile', async () => {
    let sent = 0;
    const serving = serve(0, CAR_BYTES, async (bytes) => {
      sent = bytes;
      if (bytes !== MIB) return;
      clock.advance(7 * HOUR);
      expect(await callOffNow()).toBe(true);
    });
    await expect(serving).rejects.toThrow('its token opens nothing any more');
    expect(sent).toBe(SERVED_RANGE_BYTES);
    expect(await transferNow()).toMatchObject({ servedRanges: 1, servedBytes: BigInt(SERVED_RANGE_BYTES) });
  });

  it('moves while bytes leave, however slowly', async () => {
    await serve(0, 4 * MIB, async () => {
      clock.advance(10_000);
    });
    expect((await transferNow())?.movedAt).toEqual(new Date('2026-01-01T00:00:40Z'));
  });
});
