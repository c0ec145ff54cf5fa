import { Type } from 'typebox';
import type { Delivery } from '../../deals/send/transfer-store.ts';
import { formatOffsetTime } from '../../deals/status/time-format.ts';
import { exactly, nullableText } from '../answers/schemas.ts';

const transferSchema = exactly({
  servedBytes: Type.Number(),
  /** Of the piece, by ranges of 64 MiB that were begun: 1 when the provider was sent all of it. */
  servedShare: Type.Number(),
  begun: Type.String(),
  moved: Type.String(),
  bytesPerSecond: Type.Integer(),
  stalled: Type.Boolean(),
  curve: Type.Array(exactly({ at: Type.String(), bytes: Type.Number() }), {
    description: 'how many bytes had left by when, at each 64th of the piece',
  }),
});

/** How a proposal fares between its acceptance and the chain: what was fetched, and what its provider says. */
export const deliverySchema = exactly({
  offline: Type.Boolean(),
  calledOff: nullableText,
  saidStatus: nullableText,
  saidAt: nullableText,
  saidPublishMessage: nullableText,
  transfer: Type.Union([transferSchema, Type.Null()]),
});

/** As Boost counts a stalled transfer. */
const STALL_MS = 5 * 60_000;

function timeText(at: Date | undefined): string | null {
  return at === undefined ? null : formatOffsetTime(at, 'microseconds');
}

/** Pure; undefined stands for a deal without any of it. */
export function deliveryAnswer(delivery: Delivery | undefined, { state, now }: { state: string; now: Date }) {
  const { offline = false, calledOffAt, said, transfer } = delivery ?? {};
  const isOpen = state === 'accepted' && (transfer === undefined || transfer.servedRanges < transfer.ranges);
  return {
    offline,
    calledOff: timeText(calledOffAt),
    saidStatus: said?.status ?? null,
    saidAt: timeText(said?.at),
    saidPublishMessage: said?.publishMessage ?? null,
    transfer:
      transfer === undefined
        ? null
        : {
            servedBytes: Number(transfer.servedBytes),
            servedShare: transfer.ranges === 0 ? 0 : transfer.servedRanges / transfer.ranges,
            begun: formatOffsetTime(transfer.begunAt, 'microseconds'),
            moved: formatOffsetTime(transfer.movedAt, 'microseconds'),
            bytesPerSecond: rateOf(transfer),
            stalled: isOpen && now.getTime() - transfer.movedAt.getTime() > STALL_MS,
            curve: transfer.curve.map(({ at, bytes }) => ({
              at: formatOffsetTime(at, 'microseconds'),
              bytes: Number(bytes),
            })),
          },
  };
}

/** Over the whole time in which it moved. A transfer of one moment has no rate. */
function rateOf({ servedBytes, begunAt, movedAt }: { servedBytes: bigint; begunAt: Date; movedAt: Date }): number {
  const ms = movedAt.getTime() - begunAt.getTime();
  return ms <= 0 ? 0 : Math.round((Number(servedBytes) / ms) * 1_000);
}
