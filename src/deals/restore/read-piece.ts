import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { describeError } from '../../errors.ts';
import { isPrivateHost, publicLookup } from '../../public-address.ts';
import { PieceRefused } from './piece-refused.ts';

export interface PieceLimits {
  /** Of one request: a connection that lasts for hours is one that something on its way will cut. */
  rangeBytes: number;
  /** Without a byte, connecting included. A provider may have to bring up a cold disk first. */
  idleMs: number;
  /** Requests in a row that brought nothing. */
  tries: number;
  retryMs: number;
  /** For all of it: at least `minMs`, and as long as it takes at this rate. */
  minBytesPerSecond: number;
  minMs: number;
}

export const pieceLimits: PieceLimits = {
  rangeBytes: 2 ** 30,
  idleMs: 60_000,
  tries: 5,
  retryMs: 1_000,
  minBytesPerSecond: 2 ** 20,
  minMs: 600_000,
};

export interface PieceSource {
  url: URL;
  /** The CAR: what a provider serves is this, or this and the zeros that fill the piece. */
  carBytes: number;
  /** All that fits in the piece. */
  capacityBytes: number;
  /** Whether addresses that are not of the public internet are dialed. */
  allowPrivate: boolean;
  limits: PieceLimits;
  /** PEM certificates to trust instead of those of the platform. */
  ca?: string;
}

/**
 * The bytes of the CAR, by ranges, each broken connection resumed where it ended. Ends with all of them, or throws
 * PieceRefused; what they are is for the caller to check.
 */
export async function* readPiece(source: PieceSource, stop: AbortSignal): AsyncGenerator<Uint8Array> {
  const { carBytes, limits } = source;
  checkHost(source);
  const allMs = Math.max(limits.minMs, (carBytes / limits.minBytesPerSecond) * 1_000);
  const slow = AbortSignal.timeout(Math.min(Math.ceil(allMs), 2 ** 31 - 1));
  const signal = AbortSignal.any([stop, slow]);
  let at = 0;
  let fault: unknown;
  for (let empty = 0; at < carBytes; ) {
    const before = at;
    try {
      const end = Math.min(at + limits.rangeBytes, carBytes);
      for await (const chunk of readOnce(source, { start: at, end }, signal)) {
        at += chunk.length;
        yield chunk;
      }
      fault = undefined;
    } catch (error) {
      stop.throwIfAborted();
      if (slow.aborted)
        throw new PieceRefused('too_slow', `${at} of ${carBytes} bytes came in ${Math.round(allMs / 1000)} s`);
      if (error instanceof PieceRefused) throw error;
      fault = error;
    }
    if (at > before) empty = 0;
    else if (++empty >= limits.tries) throw gaveUp(source, at, fault);
    if (at === before) await delay(limits.retryMs * empty, undefined, { signal: stop });
  }
}

function gaveUp({ carBytes, limits }: PieceSource, at: number, fault: unknown): PieceRefused {
  const why = fault === undefined ? 'its answers end there' : describeError(fault);
  const asked = `asked ${limits.tries} times, last: ${why}`;
  if (at === 0) return new PieceRefused('unreachable', asked, { cause: fault });
  return new PieceRefused('truncated', `byte ${at} of ${carBytes} does not come: ${asked}`, { cause: fault });
}

/** A URL turns odd forms of an address into the plain one, and such a host is not looked up. */
function checkHost({ url, allowPrivate }: PieceSource): void {
  if (!allowPrivate && isPrivateHost(url.hostname))
    throw new PieceRefused('private_address', `${url.host} is no address of the public internet`);
}

interface Range {
  start: number;
  end: number;
}

/** What one answer holds of the range, which may be less. Throws PieceRefused for what another try would not change. */
async function* readOnce(source: PieceSource, range: Range, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  const response = await ask(source, range, signal);
  try {
    let left = Math.min(checkAnswer(source, range, response), range.end) - range.start;
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      const wanted = chunk.length > left ? chunk.subarray(0, left) : chunk;
      left -= wanted.length;
      if (wanted.length > 0) yield wanted;
      if (left === 0) return;
    }
  } finally {
    response.destroy();
  }
}

function ask({ url, allowPrivate, limits, ca }: PieceSource, { start, end }: Range, signal: AbortSignal) {
  return new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { range: `bytes=${start}-${end - 1}`, 'accept-encoding': 'identity' };
    const options = { method: 'GET', headers, agent: false, signal, ...(!allowPrivate && { lookup: publicLookup }) };
    const request = url.protocol === 'https:' ? httpsRequest(url, { ...options, ca }) : httpRequest(url, options);
    request.setTimeout(limits.idleMs, () => request.destroy(new Error(`nothing came for ${limits.idleMs} ms`)));
    request.once('response', resolve);
    // Stays: an error after the answer has begun is told to whoever reads it.
    request.on('error', (error: Error & { code?: string }) =>
      reject(error.code === 'ADDRESS_NOT_PUBLIC' ? new PieceRefused('private_address', error.message) : error),
    );
    request.once('close', () => reject(new Error('the connection was closed without an answer')));
    request.end();
  });
}

/** Where the answer ends (exclusive), by its own words. */
function checkAnswer(
  { carBytes, capacityBytes }: PieceSource,
  { start, end }: Range,
  response: IncomingMessage,
): number {
  const status = response.statusCode ?? 0;
  const encoding = response.headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity') throw new PieceRefused('bad_answer', `the piece comes in content encoding ${encoding}`);
  const checkTotal = (total: number) => {
    if (total >= carBytes && total <= capacityBytes) return;
    throw new PieceRefused('wrong_size', `${total} bytes are served, not ${carBytes} to ${capacityBytes}`);
  };
  if (status === 206) {
    const [, first, last, total] =
      /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(response.headers['content-range'] ?? '') ?? [];
    if (Number(first) !== start || Number(last) < start || total === undefined)
      throw new PieceRefused('bad_answer', `another range than the one from byte ${start}`);
    if (total !== '*') checkTotal(Number(total));
    return Number(last) + 1;
  }
  if (status === 200) {
    if (start > 0) throw new PieceRefused('no_ranges', 'a range is answered with all of the piece');
    const length = response.headers['content-length'];
    if (length !== undefined) checkTotal(Number(length));
    return end;
  }
  throw statusFault(status, carBytes);
}

function statusFault(status: number, carBytes: number): Error {
  const words = `it answered ${status}`;
  if (status === 416) return new PieceRefused('wrong_size', `${words}: less than ${carBytes} bytes are served`);
  if (status === 404 || status === 410) return new PieceRefused('no_such_piece', words);
  if (status >= 300 && status < 400) return new PieceRefused('redirected', `${words}, and is not followed`);
  // Too many requests, or a fault of a moment: worth another try.
  if (status === 408 || status === 429 || status >= 500) return new Error(words);
  return new PieceRefused('refused', words);
}
