import type { LadingError } from '../errors.ts';

/** What becomes of a pull whose attempt failed. */
export type AfterFault =
  | { kind: 'failed' }
  /** `isForward`: the next attempt begins well further on than this one did. `fromStart`: and what is here goes. */
  | { kind: 'again'; waitMs: number; isForward: boolean; fromStart: boolean };

interface Attempt {
  error: LadingError;
  /** Whether it went on from bytes of an earlier attempt. */
  resumed: boolean;
  /** Bytes that came in this attempt, and whether the next one may go on behind them. */
  cameBytes: number;
  keeps: boolean;
  /** How often it failed since its last step forward, before this; and for how long. */
  attempts: number;
  failingMs: number;
  /** Uniform in [0, 1). */
  random: number;
}

/** Whoever restarts a server is through with it in a minute. */
const FIRST_WAIT_MS = 15_000;
const LONGEST_WAIT_MS = 3_600_000;
/** A host that was away for longer is asked by whoever wants it. */
const GIVE_UP_MS = 24 * 3_600_000;
/** What brings less each time never ends. */
const STEP_BYTES = 1024 ** 2;
const JITTER = 0.1;
const MAX_DOUBLINGS = 20;

/** Pure. */
export function afterFault(attempt: Attempt): AfterFault {
  const { error, resumed, cameBytes, keeps, attempts, failingMs, random } = attempt;
  if (error.retry === 'never') {
    // Bytes of before may be of another state of the thing, or damaged: only a whole one shows that it is bad itself.
    const isContent = resumed && !/^(ORIGIN|URL|ADDRESS|TOKEN)_/.test(error.code);
    return isContent ? { kind: 'again', waitMs: 0, isForward: false, fromStart: true } : { kind: 'failed' };
  }
  const isForward = cameBytes >= STEP_BYTES && keeps && error.code !== 'ORIGIN_CHANGED';
  if (!isForward && failingMs >= GIVE_UP_MS) return { kind: 'failed' };
  const doublings = isForward ? 0 : Math.min(attempts, MAX_DOUBLINGS);
  const waitMs = Math.min(FIRST_WAIT_MS * 2 ** doublings, LONGEST_WAIT_MS) * (1 + JITTER * random);
  return { kind: 'again', waitMs: Math.round(waitMs), isForward, fromStart: false };
}
