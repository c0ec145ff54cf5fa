import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { liveStates } from '../deal-states.ts';

/** What one bit of transfers.served stands for: coarse enough that a 32 GiB piece takes 512 small commits. */
export const SERVED_RANGE_BYTES = 64 * 2 ** 20;

/** Bits that stand for a whole CAR. */
export function servedRanges(carBytes: number): number {
  return Math.ceil(carBytes / SERVED_RANGE_BYTES);
}

/**
 * Notes that bytes of this range are about to leave, before the first of them does. False: the deal was called off or
 * ended meanwhile, and nothing may leave. Holds the deal's row as calling off does, so that one of both sees the other.
 */
export async function beginRange(
  db: Kysely<DB>,
  { dealId, range, ranges }: { dealId: string; range: number; ranges: number },
  at: Date,
): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const deal = await trx
      .selectFrom('deals')
      .select('id')
      .where('id', '=', dealId)
      .where('state', 'in', liveStates)
      .where('called_off_at', 'is', null)
      .forNoKeyUpdate()
      .executeTakeFirst();
    if (deal === undefined) return false;
    const none = Buffer.alloc(Math.ceil(ranges / 8));
    const first = Buffer.from(none);
    // As set_bit counts: from the lowest bit of a byte on.
    first[range >> 3] = 1 << (range & 7);
    await trx
      .insertInto('transfers')
      .values({ deal_id: dealId, served: first, served_bytes: 0n, begun_at: at, moved_at: at })
      .onConflict((conflict) =>
        conflict.column('deal_id').doUpdateSet({
          served: sql`set_bit(transfers.served, ${range}, 1)`,
          // The clock of another process may be ahead.
          moved_at: sql<Date>`greatest(transfers.moved_at, ${at}::timestamptz)`,
        }),
      )
      .execute();
    return true;
  });
}

/** Points of a curve for a piece that is fetched once, and of any at all: a piece that is fetched again and again. */
const CURVE_POINTS = 64;
const MAX_CURVE_POINTS = 256;
/** As bytes are noted: finer steps would see no more. */
const MIN_CURVE_STEP_BYTES = 16 * 2 ** 20;
/** Of a bit for each range a byte stands for eight. */
const STEP_BYTES_PER_BITMAP_BYTE = (8 * SERVED_RANGE_BYTES) / CURVE_POINTS;

/** Adds bytes that left, and a point to the curve where they pass one of its steps; repetitions count too. */
export async function noteServed(db: Kysely<DB>, dealId: string, bytes: number, at: Date): Promise<void> {
  const served = sql<bigint>`(served_bytes + ${BigInt(bytes)}::bigint)`;
  const movedAt = sql<Date>`greatest(moved_at, ${at}::timestamptz)`;
  const step = sql`greatest(${MIN_CURVE_STEP_BYTES}::bigint, octet_length(served) * ${STEP_BYTES_PER_BITMAP_BYTE}::bigint)`;
  const isPoint = sql<boolean>`${served} / ${step} > served_bytes / ${step} and cardinality(curve_at) < ${MAX_CURVE_POINTS}`;
  await db
    .updateTable('transfers')
    .set({
      served_bytes: served,
      moved_at: movedAt,
      curve_at: sql<Date[]>`case when ${isPoint} then curve_at || ${movedAt} else curve_at end`,
      curve_bytes: sql<bigint[]>`case when ${isPoint} then curve_bytes || ${served} else curve_bytes end`,
    })
    .where('deal_id', '=', dealId)
    .execute();
}

/** What a deal's provider was sent of its piece. */
export interface Transfer {
  servedBytes: bigint;
  /** Ranges of SERVED_RANGE_BYTES of which any byte was sent, and how many there are. */
  servedRanges: number;
  ranges: number;
  begunAt: Date;
  movedAt: Date;
  /** How many bytes had left by when, between these two times. */
  curve: { at: Date; bytes: bigint }[];
}

/** How a proposal fares between its acceptance and the chain. */
export interface Delivery {
  offline: boolean;
  /** Undefined: nothing was ever fetched. */
  transfer: Transfer | undefined;
  calledOffAt: Date | undefined;
  /** The provider's own words, when it was last asked. */
  said: { status: string; at: Date; publishMessage: string | undefined } | undefined;
}

export async function findDelivery(db: Kysely<DB>, dealId: string): Promise<Delivery | undefined> {
  const row = await db
    .selectFrom('deals as d')
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .leftJoin('transfers as t', 't.deal_id', 'd.id')
    .select([
      't.served_bytes',
      't.begun_at',
      't.moved_at',
      'a.car_bytes',
      sql<bigint | null>`bit_count(t.served)`.as('served'),
    ])
    .select(['t.curve_at', 't.curve_bytes'])
    .select(['d.offline', 'd.called_off_at', 'd.said_status', 'd.said_at', 'd.said_publish_message'])
    .where('d.id', '=', dealId)
    .executeTakeFirst();
  if (row === undefined) return undefined;
  const { begun_at: begunAt, moved_at: movedAt, served_bytes: servedBytes, said_status: status, said_at: at } = row;
  const isBegun = begunAt !== null && movedAt !== null && servedBytes !== null;
  const ranges = servedRanges(Number(row.car_bytes ?? 0n));
  const curve = curveOf(row.curve_at ?? [], row.curve_bytes ?? []);
  const transfer = isBegun && { servedBytes, servedRanges: Number(row.served ?? 0n), ranges, begunAt, movedAt, curve };
  return {
    offline: row.offline,
    transfer: transfer || undefined,
    calledOffAt: row.called_off_at ?? undefined,
    said:
      status === null || at === null
        ? undefined
        : { status, at, publishMessage: row.said_publish_message ?? undefined },
  };
}

/** The constraint transfers_curve_sane says that both are as long. */
function curveOf(times: readonly Date[], bytes: readonly bigint[]): Transfer['curve'] {
  return times.map((at, index) => ({ at, bytes: bytes[index] ?? 0n }));
}
