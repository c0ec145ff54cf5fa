import type { IncomingHttpHeaders } from 'node:http';
import { findAddresses, type AddressRules } from '../public-address.ts';
import { startDownload } from './download.ts';
import { Roads } from './roads.ts';
import { readUrl } from './outgoing-url.ts';
import { follow } from './follow.ts';

/**
 * The one way out to addresses that others choose (uploads by URL, origins of pins, webhooks). Every address is checked
 * as it is connected to, on each redirect again: what a name resolves to there is what was checked. Nothing is decoded.
 */
export interface Fetcher {
  /**
   * Whether a request may go there as things are now, without one: `URL_REFUSED`, `ADDRESS_NOT_PUBLIC`, `UNRESOLVED`.
   * Each request checks again.
   */
  check(url: string | URL): Promise<URL>;
  /**
   * One request; redirects of a GET or HEAD are followed. Any status is an answer. Close it (`using`), read or not.
   * Throws LadingError: `URL_REFUSED`, `ADDRESS_NOT_PUBLIC` (never), `UNRESOLVED`, `ORIGIN_UNREACHABLE`, `ORIGIN_SLOW`
   * (later), `ORIGIN_REDIRECTS` (never); what `mayGo` throws; the reason of an aborted signal.
   */
  request(request: OutgoingRequest): Promise<OutgoingAnswer>;
  /**
   * A GET of something large, as one stream: a connection that breaks is taken up where it broke (Range, If-Range).
   * Throws besides, here and from the body: `ORIGIN_REFUSED` (4xx: never), `ORIGIN_FAILED` (5xx, 429: later),
   * `ORIGIN_ENCODED`, `ORIGIN_TOO_LONG` (never), `ORIGIN_CHANGED`, `ORIGIN_BROKEN` (later: the stream ends too early).
   */
  download(request: DownloadRequest): Promise<Download>;
  /** Connections that wait to be used again. */
  close(): void;
}

export interface FetcherRules extends AddressRules {
  /** PEM certificates to trust instead of those of the platform. */
  ca?: string;
}

export interface OutgoingLimits {
  /** Until the head of the answer: name, connection and each redirect included. */
  headMs: number;
  /** Of waiting for the body, in which fewer than `stallBytes` of it came. */
  stallMs: number;
  stallBytes: number;
  /** For all of it; Infinity where only stalling counts. */
  allMs: number;
  /** Of a body; more is `ORIGIN_TOO_LONG`, by its length where it tells one. */
  bodyBytes: number;
  redirects: number;
}

export interface OutgoingRequest {
  url: string | URL;
  method?: 'GET' | 'HEAD' | 'POST';
  /** `authorization` and `cookie` stay behind where a redirect leads to another origin. */
  headers?: Readonly<Record<string, string>>;
  body?: string | Uint8Array;
  limits?: Partial<OutgoingLimits>;
  /** Keeps the connection for the next request to the same host: for many small ones. */
  reuse?: boolean;
  /** Called once a connection stands, before anything is sent; nothing is when it throws. */
  mayGo?(): Promise<void>;
  signal: AbortSignal;
}

export interface OutgoingAnswer extends Disposable {
  /** After redirects. */
  url: URL;
  status: number;
  headers: IncomingHttpHeaders;
  /** As sent, whatever its content encoding. Throws `ORIGIN_TOO_LONG`, `ORIGIN_SLOW`, `ORIGIN_BROKEN`. */
  body: AsyncIterable<Uint8Array>;
}

export interface DownloadRequest extends Omit<OutgoingRequest, 'method' | 'body'> {
  /** Bytes that are here already, and the validator of the download that they are of. */
  from?: { offset: number; validator: string } | undefined;
  /** How often a stream that broke is taken up in a row without a byte of it. */
  fruitlessTries?: number;
}

export interface Download extends Disposable {
  url: URL;
  headers: IncomingHttpHeaders;
  /** Where `body` begins: at `from.offset`, or at 0 when the thing is another by now or comes whole only. */
  offset: number;
  /** Of the whole thing, where it is told. */
  sizeBytes: number | undefined;
  /** A strong ETag or a date, by which it can be taken up later; undefined: only from its start. */
  validator: string | undefined;
  body: AsyncIterable<Uint8Array>;
}

/** Fit for the small answers of a host that is well; whoever wants more says so. */
const defaultLimits: OutgoingLimits = {
  headMs: 30_000,
  stallMs: 30_000,
  stallBytes: 1,
  allMs: Infinity,
  bodyBytes: 64 * 2 ** 20,
  redirects: 5,
};

export function createFetcher(rules: FetcherRules): Fetcher {
  const roads = new Roads(rules);
  const request = async ({ limits, ...rest }: OutgoingRequest) =>
    await follow(roads, { ...rest, url: readUrl(rest.url), limits: { ...defaultLimits, ...limits } });
  return {
    async check(text) {
      const url = readUrl(text);
      await findAddresses(url.hostname, rules);
      return url;
    },
    request,
    download: (wanted) => startDownload(request, wanted, { ...defaultLimits, ...wanted.limits }.bodyBytes),
    close: () => roads.close(),
  };
}
