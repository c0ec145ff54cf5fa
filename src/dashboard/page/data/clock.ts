/** Milliseconds by which the clock of the service is ahead of this browser's. */
let aheadMs = 0;

/** Less is what the header (whole seconds) and the way of an answer make of two clocks that agree. */
const TOLERANCE_MS = 3_000;

/** Of each answer: what its `Date` header says, and when it was asked for and came by the clock of this browser. */
export function noteServiceTime(header: string | null, askedMs: number, cameMs: number): void {
  const saidMs = Date.parse(header ?? '');
  // Who waited long for it learns little, and nothing that was not known before.
  if (Number.isNaN(saidMs) || cameMs - askedMs > TOLERANCE_MS) return;
  const difference = saidMs - (askedMs + cameMs) / 2;
  aheadMs = Math.abs(difference) > TOLERANCE_MS ? difference : 0;
}

/** Now, by the service that all times on the page come from: a browser whose clock is wrong still says `2 min ago`. */
export function serviceNow(): Date {
  return new Date(Date.now() + aheadMs);
}
