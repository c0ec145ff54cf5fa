import { Readable } from 'node:stream';
import type { Sink } from './subscriber.ts';

/** Beyond this a stream is full: some hundred changes. What the sockets hold comes on top. */
const HOLD_BYTES = 64 * 1024;

/** The body of one answer of events. It holds no more than one write beyond `HOLD_BYTES`. */
export class SseStream extends Readable implements Sink {
  #isFull = false;
  /** There is room again. */
  onDrained: () => void = () => undefined;

  constructor() {
    super({ highWaterMark: HOLD_BYTES, encoding: undefined });
  }

  write(text: string): boolean {
    if (this.destroyed || this.readableEnded) return false;
    this.#isFull = !this.push(text);
    return !this.#isFull;
  }

  end(): void {
    this.push(null);
  }

  cut(): void {
    this.destroy();
  }

  override _read(): void {
    if (!this.#isFull) return;
    this.#isFull = false;
    this.onDrained();
  }
}
