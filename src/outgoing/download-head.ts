import type { IncomingHttpHeaders } from 'node:http';
import type { OutgoingAnswer } from './fetcher.ts';
import { originFault } from './origin-fault.ts';

export interface DownloadHead {
  /** Where the body begins. */
  offset: number;
  sizeBytes: number | undefined;
  validator: string | undefined;
}

/** Too many requests, or a fault of a moment: worth another try. */
const PASSING = [408, 425, 429];
/** A date tells one second from the next; RFC 9110 takes it as strong once the answer is so much younger. */
const STRONG_AFTER_MS = 1_000;

/**
 * Pure: what an answer to a GET says of itself, asked from `from` on. `changed`: what was begun is not there any more.
 * Throws for what is no download.
 */
export function readHead(
  { status, headers, url: { host } }: Pick<OutgoingAnswer, 'status' | 'headers' | 'url'>,
  from?: { offset: number; validator: string },
): DownloadHead | 'changed' {
  if (status === 416 && from !== undefined) {
    // A thing that ends right where we are has all been read.
    const isWhole = headers['content-range'] === `bytes */${from.offset}`;
    return isWhole ? { offset: from.offset, sizeBytes: from.offset, validator: from.validator } : 'changed';
  }
  checkStatus(status, host);
  const encoding = headers['content-encoding'] ?? 'identity';
  if (encoding !== 'identity')
    throw originFault('ORIGIN_ENCODED', `${host} sends it as content-encoding ${encoding}, though asked for none`);
  const validator = validatorOf(headers);
  if (status === 200) return { offset: 0, sizeBytes: numberOf(headers['content-length']), validator };
  if (from === undefined) throw originFault('ORIGIN_REFUSED', `${host} sends a range where all was asked for`);
  // A server that knows no If-Range sends the range of whatever is there now.
  if (validator !== undefined && validator !== from.validator) return 'changed';
  const [, start, total] = /^bytes (\d{1,15})-\d{1,15}\/(\d{1,15}|\*)$/.exec(headers['content-range'] ?? '') ?? [];
  if (Number(start) !== from.offset)
    throw originFault('ORIGIN_BROKEN', `${host} sends another range than the one from byte ${from.offset}`);
  return { offset: from.offset, sizeBytes: numberOf(total), validator: from.validator };
}

function checkStatus(status: number, host: string): void {
  if (status === 200 || status === 206) return;
  const code = PASSING.includes(status) || status >= 500 ? 'ORIGIN_FAILED' : 'ORIGIN_REFUSED';
  throw originFault(code, `${host} answered ${status}`);
}

function numberOf(text: string | undefined): number | undefined {
  return text === undefined || !/^\d{1,15}$/.test(text) ? undefined : Number(text);
}

/** What If-Range takes; undefined where ranges are not served, or nothing tells one state of the thing from another. */
function validatorOf(headers: IncomingHttpHeaders): string | undefined {
  const { etag, date, 'last-modified': modified, 'accept-ranges': ranges } = headers;
  if (ranges === 'none') return undefined;
  if (etag !== undefined) return etag.startsWith('"') ? etag : undefined;
  if (date === undefined || modified === undefined) return undefined;
  return Date.parse(date) - Date.parse(modified) > STRONG_AFTER_MS ? modified : undefined;
}
