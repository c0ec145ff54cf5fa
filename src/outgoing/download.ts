import { setTimeout as delay } from 'node:timers/promises';
import { LadingError } from '../errors.ts';
import type { Download, DownloadRequest, OutgoingAnswer, OutgoingRequest } from './fetcher.ts';
import { originFault } from './origin-fault.ts';
import { readHead, type DownloadHead } from './download-head.ts';
import { tooLong } from './read-body.ts';

/** A host that is started again is there after a minute or so: 1 + 2 + 4 + 8 + 16 + 32 s. */
const FRUITLESS_TRIES = 6;
const FIRST_PAUSE_MS = 1_000;

type Ask = (request: OutgoingRequest) => Promise<OutgoingAnswer>;

interface Opened extends DownloadHead {
  answer: OutgoingAnswer;
}

/** See Fetcher.download. */
export async function startDownload(ask: Ask, wanted: DownloadRequest, maxBytes: number): Promise<Download> {
  const first = await open(ask, wanted, wanted.from);
  const line = new Line(ask, { wanted, maxBytes }, first);
  const { answer, offset, sizeBytes, validator } = first;
  const { url, headers } = answer;
  return { url, headers, offset, sizeBytes, validator, body: line.read(), [Symbol.dispose]: () => line.close() };
}

type From = NonNullable<DownloadRequest['from']>;

/** From where it is wanted, or from the start where that cannot be. */
async function open(ask: Ask, wanted: DownloadRequest, from: From | undefined): Promise<Opened> {
  const { from: _from, fruitlessTries: _tries, headers, ...request } = wanted;
  const resuming = from === undefined || from.offset === 0 ? undefined : from;
  const range = resuming && { range: `bytes=${resuming.offset}-`, 'if-range': resuming.validator };
  const answer = await ask({ ...request, method: 'GET', headers: { ...headers, ...range } });
  try {
    const head = readHead(answer, resuming);
    // Beside 416 a server sends words of its own.
    if (head !== 'changed') return { answer: answer.status === 416 ? { ...answer, body: nothing() } : answer, ...head };
  } catch (error) {
    answer[Symbol.dispose]();
    throw error;
  }
  answer[Symbol.dispose]();
  return await open(ask, wanted, undefined);
}

async function* nothing(): AsyncGenerator<Uint8Array> {}

/** One thing as one stream, over as many connections as it takes. */
class Line {
  readonly #ask: Ask;
  readonly #wanted: DownloadRequest;
  readonly #maxBytes: number;
  readonly #first: Opened;
  #opened: Opened;
  #at: number;

  constructor(ask: Ask, { wanted, maxBytes }: { wanted: DownloadRequest; maxBytes: number }, first: Opened) {
    const { sizeBytes, answer } = first;
    if (sizeBytes !== undefined && sizeBytes > maxBytes) {
      answer[Symbol.dispose]();
      throw tooLong(answer.url.host, maxBytes);
    }
    this.#ask = ask;
    this.#wanted = wanted;
    this.#maxBytes = maxBytes;
    this.#first = first;
    this.#opened = first;
    this.#at = first.offset;
  }

  close(): void {
    this.#opened.answer[Symbol.dispose]();
  }

  async *read(): AsyncGenerator<Uint8Array> {
    const { fruitlessTries = FRUITLESS_TRIES, signal } = this.#wanted;
    try {
      for (let fruitless = 0, next: Opened | undefined = this.#first; ; next = undefined) {
        const before = this.#at;
        const fault = yield* this.#readOnce(next);
        if (fault === undefined) return;
        fruitless = this.#at > before ? 0 : fruitless + 1;
        if (fruitless === fruitlessTries) throw fault;
        await delay(FIRST_PAUSE_MS * 2 ** fruitless, undefined, { signal }).catch(() => signal.throwIfAborted());
      }
    } finally {
      this.close();
    }
  }

  /** What comes over one connection; answers what broke it, unless that was the end. Throws what no other one mends. */
  async *#readOnce(opened: Opened | undefined): AsyncGenerator<Uint8Array, LadingError | undefined> {
    try {
      const { answer, sizeBytes } = opened ?? (await this.#goOn());
      for await (const chunk of answer.body) {
        this.#at += chunk.length;
        if (this.#at > this.#maxBytes) throw tooLong(answer.url.host, this.#maxBytes);
        yield chunk;
      }
      if (sizeBytes === undefined || this.#at === sizeBytes) return undefined;
      return originFault('ORIGIN_BROKEN', `${answer.url.host}: ${this.#at} of ${sizeBytes} bytes came`);
    } catch (error) {
      this.#wanted.signal.throwIfAborted();
      if (!(error instanceof LadingError) || error.retry === 'never' || error.code === 'ORIGIN_CHANGED') throw error;
      if (this.#first.validator === undefined && this.#at > 0) throw error;
      return error;
    }
  }

  async #goOn(): Promise<Opened> {
    this.close();
    const { validator } = this.#first;
    const from = validator === undefined ? undefined : { offset: this.#at, validator };
    this.#opened = await open(this.#ask, this.#wanted, from);
    const { offset, answer } = this.#opened;
    if (offset !== this.#at) throw originFault('ORIGIN_CHANGED', `${answer.url.host}: it changed while it was read`);
    return this.#opened;
  }
}
