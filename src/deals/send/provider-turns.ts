import type { Clock } from '../../clock.ts';

/** Attempts of this process at one provider, side by side: a few of the handlers, so that the others are for others. */
const MOST_AT_ONCE = 4;
/** Providers answer within a second. One that kept an attempt waiting longer may keep all handlers for a minute each. */
const SLOW_MS = 3_000;
/** When a proposal that got no turn is looked at again: soon behind a crowd, and less often behind a slow answer. */
const CROWDED_WAIT_MS = 1_000;
const SLOW_WAIT_MS = 10_000;

/** Whose turn it is: a provider that hangs may hold up its own proposals, but not those of all others. */
export class ProviderTurns {
  readonly #clock: Clock;
  readonly #begun = new Map<string, number[]>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Milliseconds to wait before another attempt at this provider; 0: now. */
  waitMs(provider: string): number {
    const begun = this.#begun.get(provider) ?? [];
    const now = this.#clock.now().getTime();
    if (begun.some((at) => now - at > SLOW_MS)) return SLOW_WAIT_MS;
    return begun.length >= MOST_AT_ONCE ? CROWDED_WAIT_MS : 0;
  }

  /** Has one attempt more under way for as long as the act takes. */
  async during<T>(provider: string, act: () => Promise<T>): Promise<T> {
    const at = this.#clock.now().getTime();
    this.#begun.set(provider, [...(this.#begun.get(provider) ?? []), at]);
    try {
      return await act();
    } finally {
      this.#end(provider, at);
    }
  }

  #end(provider: string, at: number): void {
    const begun = this.#begun.get(provider) ?? [];
    const left = begun.toSpliced(begun.indexOf(at), 1);
    if (left.length === 0) this.#begun.delete(provider);
    else this.#begun.set(provider, left);
  }
}
