import { setTimeout as delay } from 'node:timers/promises';
import { LadingError } from '../../errors.ts';

/** Boost runs 20 transfers of 5 connections side by side, and no provider needs more. */
export const MAX_CONNECTIONS_PER_PROVIDER = 100;
/** Curio hangs up on a connection that moves less than 10 Mbit/s in four seconds: slowed ones get a fifth more. */
const FLOOR_BYTES_PER_SECOND = 1_500_000;
/** What was sent above the cap, because connections have their floor, is not made up for later than this. */
const MAX_DEBT_MS = 1_000;

/** Who fetches, and how fast: one for all connections of this process. */
export interface PieceLimits {
  /** Takes a connection of the provider; the answer gives it back. Throws TOO_MANY_CONNECTIONS, which is answered 503. */
  connect(provider: string): () => void;
  /** Waits until so many bytes may leave on one connection. */
  take(bytes: number, signal: AbortSignal): Promise<void>;
  /** False: there is no cap, and nobody needs to ask. */
  readonly slows: boolean;
}

export interface PieceLimitOptions {
  /** All connections together; undefined: no cap. */
  bytesPerSecond: number | undefined;
  maxConnections?: number;
  /** Milliseconds, rising. */
  now?: () => number;
  wait?: (waitMs: number, signal: AbortSignal) => Promise<void>;
}

const sleep = (waitMs: number, signal: AbortSignal): Promise<void> => delay(waitMs, undefined, { signal });

export function createPieceLimits(options: PieceLimitOptions): PieceLimits {
  const { bytesPerSecond, maxConnections = MAX_CONNECTIONS_PER_PROVIDER } = options;
  const { now = () => performance.now(), wait = sleep } = options;
  const open = new Map<string, number>();
  let freeAt = 0;
  return {
    slows: bytesPerSecond !== undefined,
    connect(provider) {
      const count = open.get(provider) ?? 0;
      if (count >= maxConnections) {
        const message = `${provider} has ${count} connections open: try again when one has ended`;
        throw new LadingError('TOO_MANY_CONNECTIONS', message, { retry: 'later' });
      }
      open.set(provider, count + 1);
      let isOpen = true;
      return () => {
        if (!isOpen) return;
        isOpen = false;
        const left = (open.get(provider) ?? 1) - 1;
        if (left === 0) open.delete(provider);
        else open.set(provider, left);
      };
    },
    async take(bytes, signal) {
      if (bytesPerSecond === undefined) return;
      const at = now();
      const turn = Math.max(at, freeAt);
      freeAt = Math.min(turn + (bytes / bytesPerSecond) * 1_000, at + MAX_DEBT_MS);
      const waitMs = Math.min(turn - at, (bytes / FLOOR_BYTES_PER_SECOND) * 1_000);
      if (waitMs >= 1) await wait(waitMs, signal);
    },
  };
}
