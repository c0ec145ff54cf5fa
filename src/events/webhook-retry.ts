/** A receiver that was restarted is up again in seconds. */
const FIRST_WAIT_MS = 1_000;
/** One that was down for days is found within the hour. */
const LONGEST_WAIT_MS = 3_600_000;
/** Many receivers behind one proxy that failed do not all come back at once. */
const JITTER = 0.1;
const MAX_DOUBLINGS = 20;

/** Pure: how long to wait after so many failed attempts. `random` from 0 up to 1. */
export function webhookWaitMs(attempts: number, random: number): number {
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** Math.min(attempts - 1, MAX_DOUBLINGS), LONGEST_WAIT_MS);
  return Math.round(waitMs * (1 + JITTER * (2 * random - 1)));
}

/** What a receiver says of the call, not of itself: the very same one will not be taken later either. */
const REFUSALS = [400, 413, 422];
/** Long enough to be cut down to the one change that is refused, and to mend a receiver that refuses too much. */
const REFUSED_FOR_MS = 3_600_000;
const GONE = 410;

/** Pure: a call that is refused for what it holds comes again with the first half of its changes. */
export function isRefusal(status: number | undefined): boolean {
  return status !== undefined && REFUSALS.includes(status);
}

/** Pure: the receiver says that it wants no more calls, ever. */
export function isGone(status: number | undefined): boolean {
  return status === GONE;
}

/** Pure: a call that has failed for all of `retryForMs` is a dead letter; one that is refused for what it holds sooner. */
export function isDead(call: { failingMs: number; retryForMs: number; status?: number | undefined }): boolean {
  const { failingMs, retryForMs, status } = call;
  return failingMs >= (isRefusal(status) ? Math.min(REFUSED_FOR_MS, retryForMs) : retryForMs);
}
