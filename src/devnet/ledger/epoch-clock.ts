/** Ticks on the wall clock. A process that was held up goes on from now: epochs that were missed do not come at once. */
export class EpochClock {
  readonly #epochMs: number;
  readonly #onTick: () => void;
  #timer: NodeJS.Timeout | undefined;
  #dueAt = 0;

  constructor(epochMs: number, onTick: () => void) {
    this.#epochMs = epochMs;
    this.#onTick = onTick;
  }

  get isRunning(): boolean {
    return this.#timer !== undefined;
  }

  start(): void {
    if (this.isRunning) return;
    this.#dueAt = performance.now();
    this.#schedule();
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #schedule(): void {
    const now = performance.now();
    this.#dueAt = Math.max(this.#dueAt + this.#epochMs, now);
    this.#timer = setTimeout(() => {
      this.#onTick();
      if (this.isRunning) this.#schedule();
    }, this.#dueAt - now);
  }
}
