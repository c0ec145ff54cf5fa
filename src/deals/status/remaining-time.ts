/**
 * One measured life: a stage that something entered, and when it became active. Times in milliseconds since it entered
 * the stage.
 */
export interface Life {
  /** It is looked at from then on: later than 0 where it entered the stage before the time that counts. */
  from: number;
  /** It left the stage; as `end` while it is there. */
  left: number;
  /** It became active, or was last seen before it had. */
  end: number;
  /** False: still under way at `end`. */
  done: boolean;
}

/** Since the stage was entered, until active. Undefined: not known. */
export type Outlook = (elapsedMs: number, share: number) => number | undefined;

/**
 * With fewer lives than this the next one lasts longer than all of them more than once in twenty, so that nothing
 * measured can be called the time that 95 of 100 stay below.
 */
export const MIN_LIVES = 19;

/** Of a curve: by `at`, a share `over` of all that were in the stage so long is active. */
interface Step {
  at: number;
  over: number;
}

/**
 * Kaplan and Meier's curve of the lives that were still in the stage after `elapsedMs`. Those not over yet count as long
 * as they are seen, so that slow ones that nobody saw the end of do not make it too hopeful. The one that is asked about
 * counts as one more of which the end is not known: its own time may be longer than all that was measured.
 */
function curve(lives: readonly Life[], elapsedMs: number): Step[] {
  const alike = lives.filter(({ left }) => left > elapsedMs);
  if (alike.length < MIN_LIVES) return [];
  const starts = alike.map(({ from }) => Math.max(from, elapsedMs)).sort((a, b) => a - b);
  const steps: Step[] = [];
  let waiting = 1;
  let begun = 0;
  for (const [gone, { end, done }] of alike.entries()) {
    while ((starts[begun] ?? Number.POSITIVE_INFINITY) < end) begun += 1;
    const seen = begun - gone + 1;
    if (!done) continue;
    waiting *= 1 - 1 / seen;
    steps.push({ at: end, over: 1 - waiting });
  }
  return steps;
}

/** How many of the sorted numbers are no larger. */
function countUpTo(sorted: readonly number[], value: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((sorted[middle] ?? 0) <= value) low = middle + 1;
    else high = middle;
  }
  return low;
}

/**
 * When something that has been in a stage for some time will be active, by those that were there as long. The answer is
 * later than `elapsedMs`, and the same until the next of them left the stage: each curve is drawn once.
 */
export function outlookOf(lives: readonly Life[]): Outlook {
  const seen = lives.filter(({ from, end }) => from < end);
  // Who was seen last and who became active at one moment: the former was still there.
  const byEnd = seen.toSorted((a, b) => a.end - b.end || Number(b.done) - Number(a.done));
  const lefts = byEnd.map(({ left }) => left).sort((a, b) => a - b);
  const curves = new Map<number, Step[]>();
  return (elapsedMs, share) => {
    const place = countUpTo(lefts, elapsedMs);
    let steps = curves.get(place);
    if (steps === undefined) {
      steps = curve(byEnd, elapsedMs);
      curves.set(place, steps);
    }
    return steps.find(({ over }) => over >= share - ROUNDING)?.at;
  };
}

/** Nineteen lives and the one asked about make 0.95 in exact arithmetic. */
const ROUNDING = 1e-9;
