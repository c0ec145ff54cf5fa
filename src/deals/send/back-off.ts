/** A growing wait: `firstMs` after the first failure, doubled with each further one, at most `maxMs`. */
export interface BackOff {
  firstMs: number;
  maxMs: number;
}

/** Resending one proposal: soon after a lost answer, and not more often than SPs find polite later on. */
export const RESEND_BACK_OFF: BackOff = { firstMs: 2_000, maxMs: 600_000 };

/** A provider that refuses for now or cannot be reached: Curio's hourly limits are over within the largest wait. */
export const PROVIDER_BACK_OFF: BackOff = { firstMs: 15_000, maxMs: 6 * 3_600_000 };

/** A provider that refuses everything we may offer: an operator of either side has to act, so once a day is enough. */
export const PROVIDER_REST_MS = 24 * 3_600_000;

/** The exponent is bounded, so that the power stays a safe number; the wait has long reached its maximum by then. */
const MAX_DOUBLINGS = 30;

/**
 * Milliseconds to wait after `failures` failures in a row (≥ 1). `random` in [0, 1) takes off up to a quarter, so that
 * what failed together does not come back together.
 */
export function backOffMs({ firstMs, maxMs }: BackOff, failures: number, random: number): number {
  const doublings = Math.min(Math.max(failures - 1, 0), MAX_DOUBLINGS);
  return Math.round(Math.min(firstMs * 2 ** doublings, maxMs) * (1 - random / 4));
}

/** The first wait between two questions for a deal's status, and the longest: providers publish within an hour or two. */
const STATUS_WAIT: BackOff = { firstMs: 2 * 60_000, maxMs: 2 * 3_600_000 };

/** Milliseconds until a deal's status is asked next: half its age, so that an old deal costs next to nothing. */
export function statusWaitMs(ageMs: number, random: number): number {
  const { firstMs, maxMs } = STATUS_WAIT;
  return Math.round(Math.min(Math.max(ageMs / 2, firstMs), maxMs) * (1 - random / 4));
}
