import type { IncomingMessage } from 'node:http';
import type { Deadline } from './deadline.ts';
import type { OutgoingLimits } from './fetcher.ts';
import { asOriginFault, originFault } from './origin-fault.ts';

interface Reading {
  limits: OutgoingLimits;
  deadline: Deadline;
  host: string;
}

/**
 * The body as it comes, within its limits. Only the time in which we wait for the origin counts as its slowness: who
 * reads may take as long as it likes.
 */
export async function* readBody(response: IncomingMessage, reading: Reading): AsyncGenerator<Uint8Array> {
  const { limits, deadline, host } = reading;
  const chunks: AsyncIterator<Uint8Array, undefined> = response[Symbol.asyncIterator]();
  const stop = () => response.destroy();
  deadline.signal.addEventListener('abort', stop, { once: true });
  let bytes = 0;
  const pace = new Pace(limits);
  try {
    for (;;) {
      deadline.signal.throwIfAborted();
      const next = await pace.wait(deadline, host, () => chunks.next());
      if (next.done === true) break;
      bytes += next.value.length;
      pace.came(next.value.length);
      if (bytes > limits.bodyBytes) throw tooLong(host, limits.bodyBytes);
      yield next.value;
    }
    // A connection that is destroyed may end its stream as if nothing had happened.
    deadline.signal.throwIfAborted();
    if (!response.complete) throw new Error('the connection ended before the answer did');
  } catch (error) {
    throw deadline.signal.aborted ? deadline.signal.reason : asOriginFault('ORIGIN_BROKEN', host, error);
  } finally {
    deadline.signal.removeEventListener('abort', stop);
    deadline[Symbol.dispose]();
    // One that was read to its end goes on to serve other requests.
    if (!response.complete) response.destroy();
  }
}

export function tooLong(host: string, limit: number) {
  return originFault('ORIGIN_TOO_LONG', `${host} has more than the ${limit} bytes that are taken`);
}

/** Who sends a byte now and then, for ever, is as slow as one who sends none. */
class Pace {
  readonly #limits: OutgoingLimits;
  #waitedMs = 0;
  #bytes = 0;

  constructor(limits: OutgoingLimits) {
    this.#limits = limits;
  }

  async wait<T>(deadline: Deadline, host: string, work: () => Promise<T>): Promise<T> {
    const { stallMs, stallBytes } = this.#limits;
    const began = performance.now();
    const came = deadline.limit(stallMs - this.#waitedMs, () =>
      originFault('ORIGIN_SLOW', `${host}: fewer than ${stallBytes} bytes came in ${stallMs} ms`),
    );
    try {
      return await work();
    } finally {
      came();
      this.#waitedMs += performance.now() - began;
    }
  }

  came(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < this.#limits.stallBytes) return;
    this.#bytes = 0;
    this.#waitedMs = 0;
  }
}
