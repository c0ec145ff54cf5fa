import { setTimeout as delay } from 'node:timers/promises';

export interface Kept<T> {
  value: T;
  /** By the same clock as the rules'. */
  readAt: number;
}

export interface KeepRules {
  /** What is younger is not read again. */
  freshMs: number;
  /** What is older is not shown any more. */
  goodMs: number;
  /** Whoever asks waits for a new reading for so long, and takes the last one then. */
  patienceMs: number;
  monotonicMs: () => number;
}

/** Reads only while somebody asks, at most every `freshMs`, and once for all who ask at the same time. */
export function keep<T>(read: () => Promise<T>, rules: KeepRules): () => Promise<Kept<T> | undefined> {
  const { freshMs, goodMs, patienceMs, monotonicMs } = rules;
  let kept: Kept<T> | undefined;
  let triedAt: number | undefined;
  let reading: Promise<void> | undefined;
  const readAnew = async (at: number) => {
    try {
      kept = { value: await read(), readAt: at };
    } catch {
      // The caller sees the age of what it gets, or that it gets nothing.
    } finally {
      reading = undefined;
    }
  };
  return async () => {
    const at = monotonicMs();
    if (reading === undefined && (triedAt === undefined || at - triedAt >= freshMs)) {
      triedAt = at;
      reading = readAnew(at);
    }
    if (reading !== undefined) await orLate(reading, patienceMs);
    return kept !== undefined && monotonicMs() - kept.readAt <= goodMs ? kept : undefined;
  };
}

async function orLate(work: Promise<void>, limitMs: number): Promise<void> {
  const ended = new AbortController();
  const late = delay(limitMs, undefined, { signal: ended.signal, ref: false }).catch(() => undefined);
  await Promise.race([work, late]);
  ended.abort();
}
