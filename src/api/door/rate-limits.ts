import { isIP, isIPv6 } from 'node:net';
import ipaddr from 'ipaddr.js';
import { LadingError } from '../../errors.ts';
import type { AccessSettings, Rate } from '../../access-settings.ts';
import { RecentMap } from '../../recent-map.ts';

/** One kind of caller, each counted by itself. */
export interface Limiter {
  /** Milliseconds until there is room again; 0: there is, and it is taken. */
  take(key: string): number;
}

/** Of requests of one token, of requests without one of one address, of wrong tokens of one address. */
export type RateSettings = AccessSettings['rateLimits'];

/** Callers remembered at once; of more, those longest unseen begin anew. About 100 bytes each. */
const MAX_KEYS = 100_000;

/**
 * Pure, the virtual schedule of GCRA: `due` is when all that was taken would have been due at an even pace, and the most
 * it may lie ahead is one window. So a whole window's worth may come at once, and comes back evenly.
 */
export function schedule(due: number | undefined, nowMs: number, { count, windowMs }: Rate) {
  const start = Math.max(due ?? nowMs, nowMs);
  const next = start + windowMs / count;
  const waitMs = next - nowMs - windowMs;
  // Sums of fractions are a little off: a hundredth of a millisecond is not waited for.
  return waitMs > 0.01 ? { waitMs } : { waitMs: 0, next };
}

const unlimited: Limiter = { take: () => 0 };

/** In the memory of this process: several processes let as many times more through. */
export function createLimiter(rate: Rate | undefined, monotonicMs: () => number): Limiter {
  if (rate === undefined) return unlimited;
  const dues = new RecentMap<string, number>(MAX_KEYS);
  return {
    take(key) {
      const { waitMs, next } = schedule(dues.get(key), monotonicMs(), rate);
      if (next !== undefined) dues.set(key, next);
      return waitMs;
    },
  };
}

function formatNetwork(parts: readonly number[]): string {
  const half = parts.slice(0, 4).map((part) => part.toString(16));
  return half.join(':');
}

/**
 * Whom an address counts as: an IPv6 network of 64 bits is one customer's, who may use any address of it. What a proxy
 * hands on that is no address, of any length, counts as one caller.
 */
export function addressKey(address: string): string {
  if (isIP(address) === 0) return 'no address';
  if (!isIPv6(address) || !ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6 ? formatNetwork(parsed.parts) : parsed.toString();
}

export function tooMany(what: string, waitMs: number): LadingError {
  const retryAfter = Math.max(1, Math.ceil(waitMs / 1_000));
  return new LadingError('RATE_LIMITED', `too many ${what}; try again in ${retryAfter} s`, {
    retry: 'later',
    details: { retryAfter },
  });
}
