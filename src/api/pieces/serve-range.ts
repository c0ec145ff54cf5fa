import type { Kysely } from 'kysely';
import type { VirtualCar } from '../../aggregate/bytes/virtual-car.ts';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { beginRange, noteServed, SERVED_RANGE_BYTES, servedRanges } from '../../deals/send/transfer-store.ts';
import { describeError, LadingError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';
import type { PieceLimits } from './piece-limits.ts';

export interface ServeDeps {
  kysely: Kysely<DB>;
  clock: Clock;
  log: Log;
  limits: PieceLimits;
  /** Told of bytes that left. */
  onPieceBytes?(bytes: number): void;
}

export interface Served {
  piece: VirtualCar;
  start: number;
  /** Exclusive. */
  end: number;
}

/** How far the count of what left may lag behind: a stall is told by hours. */
const NOTE_BYTES = 16 * 2 ** 20;
const NOTE_MS = 10_000;

/** Counts the bytes of one connection into the deal's transfer, now and then. */
function createTally({ kysely, clock, log }: ServeDeps, dealId: string) {
  let bytes = 0;
  let since = clock.now().getTime();
  const flush = async () => {
    const noted = bytes;
    bytes = 0;
    since = clock.now().getTime();
    if (noted > 0) await noteServed(kysely, dealId, noted, clock.now());
  };
  return {
    async add(count: number) {
      bytes += count;
      if (bytes >= NOTE_BYTES || clock.now().getTime() - since >= NOTE_MS) await flush();
    },
    /** A count that is lost spoils no transfer. */
    end: () => flush().catch((error: unknown) => log.warn({ dealId, err: describeError(error) }, 'piece.not_counted')),
  };
}

/** Bytes for a caller with a token of ours: nobody keeps what it was sent. A chunk holds until the next is asked for. */
export async function* serveBytes(deps: ServeDeps, { piece, start, end }: Served, signal: AbortSignal) {
  const { limits } = deps;
  for await (const chunk of piece.readRange(start, end, signal, { passing: true })) {
    if (limits.slows) await limits.take(chunk.length, signal);
    const { length } = chunk;
    yield chunk;
    deps.onPieceBytes?.(length);
  }
}

/**
 * Bytes for the provider of a deal. Each 64 MiB of the piece is committed as served before its first byte leaves; where
 * the deal was called off meanwhile this throws, and the connection breaks.
 */
export async function* serveDeal(
  deps: ServeDeps,
  { piece, start, end, dealId }: Served & { dealId: string },
  signal: AbortSignal,
) {
  const ranges = servedRanges(piece.carBytes);
  const tally = createTally(deps, dealId);
  try {
    for (let at = start; at < end; ) {
      const range = Math.floor(at / SERVED_RANGE_BYTES);
      if (!(await beginRange(deps.kysely, { dealId, range, ranges }, deps.clock.now()))) throw calledOff(dealId);
      const stop = Math.min(end, (range + 1) * SERVED_RANGE_BYTES);
      for await (const chunk of serveBytes(deps, { piece, start: at, end: stop }, signal)) {
        yield chunk;
        await tally.add(chunk.length);
      }
      at = stop;
    }
  } finally {
    await tally.end();
  }
}

function calledOff(dealId: string): LadingError {
  return new LadingError('FORBIDDEN', `deal ${dealId} ended or was called off: its token opens nothing any more`);
}
