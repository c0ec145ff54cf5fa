import type { LadingError } from '../errors.ts';

/** Ends one request: when its caller does, when it takes too long, or when it waits too long for what comes next. */
export class Deadline implements Disposable {
  readonly #ending = new AbortController();
  readonly #outer: AbortSignal;
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #onAbort = () => this.#ending.abort(this.#outer.reason);

  constructor(outer: AbortSignal) {
    outer.throwIfAborted();
    this.#outer = outer;
    outer.addEventListener('abort', this.#onAbort, { once: true });
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** Ends all with this fault unless what is returned is called before. */
  limit(waitMs: number, fault: () => LadingError): () => void {
    if (!Number.isFinite(waitMs)) return () => undefined;
    const timer = setTimeout(() => this.#ending.abort(fault()), Math.max(0, Math.min(waitMs, 2 ** 31 - 1)));
    this.#timers.add(timer);
    return () => {
      clearTimeout(timer);
      this.#timers.delete(timer);
    };
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#outer.removeEventListener('abort', this.#onAbort);
  }
}
