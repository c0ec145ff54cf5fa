import { setTimeout as delay } from 'node:timers/promises';
import { describeError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import { openStory, within } from '../log/story.ts';

export interface LoopOptions {
  /** Names the loop in the log. */
  name: string;
  everyMs: number;
  /** 0.2: each wait is up to 20 % longer or shorter, so that processes started together do not stay together. */
  jitter: number;
  signal: AbortSignal;
  log: Pick<Log, 'error'>;
  /** From 0 up to 1. */
  random?: () => number;
  wait?: (waitMs: number, signal: AbortSignal) => Promise<void>;
}

/** A step that always finds more is a step that goes round in circles: after this many it waits as if there were none. */
const MAX_STEPS_IN_A_ROW = 1_000;
/** A fault of the database or network that lasts gets one try a minute, or one a round where rounds are longer. */
const MAX_BACK_OFF_MS = 60_000;
/** Doubling beyond this says nothing more. */
const MAX_DOUBLINGS = 16;

/** How long to wait after `failures` rounds in a row that ended with a fault. Pure. */
export function backOffMs(everyMs: number, failures: number): number {
  if (failures === 0) return everyMs;
  return Math.min(everyMs * 2 ** Math.min(failures, MAX_DOUBLINGS), Math.max(MAX_BACK_OFF_MS, everyMs));
}

function jittered(waitMs: number, jitter: number, random: () => number): number {
  return Math.max(0, Math.round(waitMs * (1 + jitter * (2 * random() - 1))));
}

async function waitFor(waitMs: number, signal: AbortSignal): Promise<void> {
  await delay(waitMs, undefined, { signal });
}

/** Steps until there is nothing to do; true: all went well. */
async function round({ name, signal, log }: LoopOptions, step: () => Promise<boolean>): Promise<boolean> {
  try {
    for (let steps = 0; steps < MAX_STEPS_IN_A_ROW && !signal.aborted; steps += 1) {
      if (!(await within(openStory({ loop: name }), step))) return true;
    }
    return true;
  } catch (error) {
    if (signal.aborted) return true;
    log.error({ loop: name, err: describeError(error) }, 'loop.failed');
    return false;
  }
}

/**
 * The one place where loops live: calls `step` at once and then about every `everyMs`, and again at once while it says
 * that it did something. A fault is logged and backed off from, never the end. Returns when the signal is aborted and
 * the step in hand is done.
 */
export async function runLoop(options: LoopOptions, step: () => Promise<boolean>): Promise<void> {
  const { everyMs, jitter, signal, random = Math.random, wait = waitFor } = options;
  let failures = 0;
  while (!signal.aborted) {
    failures = (await round(options, step)) ? 0 : failures + 1;
    if (signal.aborted) return;
    try {
      await wait(jittered(backOffMs(everyMs, failures), jitter, random), signal);
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }
}
