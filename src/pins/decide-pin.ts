import type { PinStatus, PinStep } from '../db/tables.ts';
import { unreachable } from '../errors.ts';

/** When what is done about a pin. */
export interface PinTimes {
  /** An error younger than this is still `pinning`: a peer that restarts, or was slow once, is no failure. */
  graceMs: number;
  /** After giving or recovering: a local cluster has pinned a small upload by then. */
  soonMs: number;
  /** While it is being pinned looks come ever less often, down to one in so long. */
  slowestLookMs: number;
  /** The first wait after a failure; each is as long as the failure is old, up to `failedMaxMs`. */
  failedMinMs: number;
  failedMaxMs: number;
  /** What is pinned is looked at again after so long. */
  pinnedMs: number;
}

const MINUTE_MS = 60_000;
const HOUR_MS = 60 * MINUTE_MS;

export const pinTimes: PinTimes = {
  graceMs: 10 * MINUTE_MS,
  soonMs: 1_000,
  slowestLookMs: 5 * MINUTE_MS,
  failedMinMs: MINUTE_MS,
  failedMaxMs: 24 * HOUR_MS,
  // A million pins are one question of 120 every 2.6 s.
  pinnedMs: 6 * HOUR_MS,
};

/** What the cluster says of one CID. `lost`: nobody in it is to pin it. */
export type PinSight = { kind: 'pinned' | 'pinning' | 'queued' } | { kind: 'error' | 'lost'; error: string };

/** What is known of the pin before the look or the act. */
export interface PinStanding {
  status: PinStatus;
  acted: boolean;
  /** How long no look has found it pinned; undefined: it is not failing. */
  failingMs: number | undefined;
  /** Since its status last changed. */
  ageMs: number;
}

/** What becomes of the pin, and what is to be done next; `step` undefined: nothing. */
export interface PinMove {
  status: PinStatus;
  step: PinStep | undefined;
  waitMs: number;
  acted: boolean;
  /** `none`: it does not fail; `same`: what was known of its failure stays. */
  failure: 'none' | 'same' | { error: string };
}

export interface PinRules {
  times: PinTimes;
  /** From 0 up to 1. */
  random: () => number;
}

/** Pins of one minute are not looked at in one minute for ever. */
const JITTER = 0.1;

function jittered(waitMs: number, random: () => number): number {
  return waitMs * (1 + JITTER * (2 * random() - 1));
}

function within(ms: number, least: number, most: number): number {
  return Math.min(Math.max(ms, least), most);
}

/** Pure. What a look at the cluster makes of a pin. */
export function decideLook(pin: PinStanding, sight: PinSight, rules: PinRules): PinMove {
  const { times, random } = rules;
  switch (sight.kind) {
    case 'pinned': {
      const waitMs = jittered(times.pinnedMs, random);
      return { status: 'pinned', step: 'look', waitMs, acted: false, failure: 'none' };
    }
    case 'pinning':
    case 'queued': {
      const ageMs = pin.status === sight.kind ? pin.ageMs : 0;
      const waitMs = within(ageMs / 4, times.soonMs, times.slowestLookMs);
      return { status: sight.kind, step: 'look', waitMs, acted: pin.acted, failure: 'same' };
    }
    case 'lost':
      return decideLost(pin, sight.error, rules);
    case 'error':
      return decideError(pin, sight.error, rules);
    default:
      return unreachable(sight);
  }
}

/** Of one that was never given nothing is lost. */
function decideLost(pin: PinStanding, error: string, rules: PinRules): PinMove {
  const isNew = pin.status === 'queued' && !pin.acted && pin.failingMs === undefined;
  if (isNew) return { status: 'queued', step: 'give', waitMs: 0, acted: false, failure: 'same' };
  const status = isYoung(pin, rules) ? 'queued' : 'failed';
  if (pin.acted) return { status, step: 'look', waitMs: backOffMs(pin, rules), acted: false, failure: { error } };
  return { status, step: 'give', waitMs: 0, acted: false, failure: { error } };
}

/** Act, look what came of it, wait: so each failure costs one act a wait. What failed for long wants its bytes anew. */
function decideError(pin: PinStanding, error: string, rules: PinRules): PinMove {
  const young = isYoung(pin, rules);
  const status = young ? 'pinning' : 'failed';
  if (pin.acted) return { status, step: 'look', waitMs: backOffMs(pin, rules), acted: false, failure: { error } };
  return { status, step: young ? 'recover' : 'give', waitMs: 0, acted: false, failure: { error } };
}

function isYoung({ failingMs = 0 }: PinStanding, { times }: PinRules): boolean {
  return failingMs < times.graceMs;
}

/** As long as it fails already, so that each wait doubles; and a look when the grace period is over. */
function backOffMs({ failingMs = 0 }: PinStanding, { times, random }: PinRules): number {
  const waitMs = jittered(within(failingMs, times.failedMinMs, times.failedMaxMs), random);
  return failingMs < times.graceMs ? Math.min(waitMs, times.graceMs - failingMs) : waitMs;
}

/** Pure. The cluster took the bytes, or the CID, or the wish to recover: it is for a look to say what came of it. */
export function decideTaken(pin: PinStanding, step: 'give' | 'recover', { times }: PinRules): PinMove {
  // A failure is told until the cluster shows something better.
  const status = step === 'give' && pin.status !== 'failed' ? 'pinning' : pin.status;
  return { status, step: 'look', waitMs: times.soonMs, acted: true, failure: 'same' };
}

/** Pure. The cluster refused what it was asked for. */
export function decideRefused(
  pin: PinStanding,
  step: Exclude<PinStep, 'look'>,
  error: string,
  rules: PinRules,
): PinMove {
  const failure = { error };
  const waitMs = backOffMs(pin, rules);
  switch (step) {
    case 'unpin':
      return { status: 'unpinned', step, waitMs, acted: false, failure };
    case 'recover':
      return { status: pin.status, step: 'look', waitMs, acted: false, failure };
    case 'give':
      return { status: isYoung(pin, rules) ? pin.status : 'failed', step, waitMs, acted: false, failure };
    default:
      return unreachable(step);
  }
}

/** Pure. The cluster pins it no more. */
export const unpinned: PinMove = { status: 'unpinned', step: undefined, waitMs: 0, acted: false, failure: 'none' };
