import { Agent as HttpAgent, request as httpRequest, type ClientRequest, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { TLSSocket } from 'node:tls';
import { describeError } from '../../errors.ts';
import { encodeAskResponse } from '../../filecoin/mk12-ask.ts';
import { isPrivateHost, publicLookup } from '../../public-address.ts';
import type { HttpsWay } from './choose-ways.ts';
import type { Courier, CourierLimits, Message, Question, Reply } from './courier.ts';
import { readItem } from './read-item.ts';

export interface HttpsCourierOptions {
  limits: CourierLimits;
  /** PEM certificates to trust instead of those of the platform. */
  ca?: string | undefined;
  /** See WayRules. */
  allowPrivate: boolean;
}

/** Curio's routes (market/mk12/http/http.go); two of them are GET with a body, which `fetch` does not do. */
const ROUTES: Readonly<Partial<Record<Question, { method: string; path: string }>>> = {
  propose: { method: 'POST', path: '/market/mk12/store' },
  status: { method: 'GET', path: '/market/mk12/status' },
  ask: { method: 'GET', path: '/market/mk12/ask' },
};

/** Nothing of the kind is at this address: another server, or another version. */
const ABSENT = new Set([301, 302, 307, 308, 404, 405, 410, 501]);
/**
 * Turned away before the message was acted on, by Curio's rate limit or a guard in front of it. A 503 is not among
 * them: Curio's time limit answers that while the handler goes on. Nor is a 400, which only a message of ours that it
 * cannot read would get: that must not be taken for a provider that is away.
 */
const TURNED_AWAY = new Set([401, 403, 413, 415, 421, 429]);
/**
 * What may also follow a proposal that was taken in: a guard that looks at answers withholds one with a 403, and a 302
 * is what forms answer with once they are done. To questions that change nothing they are as good as no answer.
 */
const MAY_FOLLOW_DEED = new Set([302, 403]);

function statusReply(status: number, question: Question): Reply {
  const why = `the HTTPS endpoint answered ${status}`;
  if (question === 'propose' && MAY_FOLLOW_DEED.has(status)) return { kind: 'unknown', why, via: 'https' };
  if (ABSENT.has(status)) return { kind: 'not-connected', why, unsupported: true };
  if (TURNED_AWAY.has(status)) return { kind: 'not-connected', why };
  // Curio has no other way to say what libp2p says with a null.
  if (status === 500 && question === 'ask') return { kind: 'replied', item: encodeAskResponse(null), via: 'https' };
  return { kind: 'unknown', why, via: 'https' };
}

/** Resolves when the socket is connected and, with TLS, the server's certificate has been verified. */
function connected(request: ClientRequest): Promise<void> {
  return new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('socket', (socket) => {
      socket.once(socket instanceof TLSSocket ? 'secureConnect' : 'connect', resolve);
    });
  });
}

function answered(request: ClientRequest): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    request.once('error', reject);
    request.once('response', resolve);
    // An answer that switches protocols closes the request with neither of the two.
    request.once('close', () => reject(new Error('the connection was closed without an answer')));
  });
}

/** Ends a request from outside, at whatever it waits for: a promise that only ever rejects. */
function cutter(http: ClientRequest, signal: AbortSignal) {
  const { promise: cutOff, reject } = Promise.withResolvers<never>();
  // Most requests are never cut.
  cutOff.catch(() => undefined);
  let timer: NodeJS.Timeout | undefined;
  const cut = (reason: unknown) => {
    reject(reason);
    http.destroy();
  };
  const onAbort = () => cut(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  return {
    /** What `promise` gives, unless the request is cut before. */
    orCut: async <T>(promise: Promise<T>): Promise<T> => await Promise.race([promise, cutOff]),
    /** From now on; in place of the limit before. */
    limit(waitMs: number, name: string): void {
      clearTimeout(timer);
      timer = setTimeout(() => cut(new Error(`no ${name} within ${waitMs} ms`)), waitMs);
    },
    [Symbol.dispose](): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', onAbort);
      http.destroy();
    },
  };
}

class HttpsCourier implements Courier<HttpsWay> {
  readonly #limits: CourierLimits;
  /** A connection for each message: one that was kept may be closed at the other end just as we use it. */
  readonly #plain = new HttpAgent({ keepAlive: false });
  readonly #secure: HttpsAgent;
  readonly #allowPrivate: boolean;

  constructor({ limits, ca, allowPrivate }: HttpsCourierOptions) {
    this.#limits = limits;
    this.#allowPrivate = allowPrivate;
    this.#secure = new HttpsAgent({ keepAlive: false, ...(ca !== undefined && { ca }) });
  }

  #start({ origin }: HttpsWay, route: { method: string; path: string }, request: Uint8Array): ClientRequest {
    const url = new URL(route.path, origin);
    const headers = { 'content-type': 'application/cbor', 'content-length': String(request.length) };
    const options = { method: route.method, headers, ...(!this.#allowPrivate && { lookup: publicLookup }) };
    return url.protocol === 'https:'
      ? httpsRequest(url, { ...options, agent: this.#secure })
      : httpRequest(url, { ...options, agent: this.#plain });
  }

  async carry(way: HttpsWay, { question, request }: Message, signal: AbortSignal): Promise<Reply> {
    const route = ROUTES[question];
    if (route === undefined) return { kind: 'not-connected', why: 'not asked over HTTPS', unsupported: true };
    const { dialMs, readMs, writeMs, replyBytes } = this.#limits;
    if (signal.aborted) return { kind: 'not-connected', why: describeError(signal.reason) };
    // A URL turns odd forms of an address into the plain one, and such a host is not looked up.
    if (!this.#allowPrivate && isPrivateHost(new URL(way.origin).hostname))
      return { kind: 'not-connected', why: `${way.origin} is no address of the public internet` };
    const http = this.#start(way, route, request);
    // The waits below hear of it; without this a late error would have no listener.
    http.on('error', () => undefined);
    using cut = cutter(http, signal);
    const answering = answered(http);
    answering.catch(() => undefined);
    let mayHaveArrived = false;
    try {
      cut.limit(dialMs, 'connection');
      await cut.orCut(connected(http));
      cut.limit(writeMs + readMs[question], 'reply');
      mayHaveArrived = true;
      // Only now does the first byte leave, headers included.
      http.end(request);
      const response = await cut.orCut(answering);
      if (response.statusCode !== 200) return statusReply(response.statusCode ?? 0, question);
      const item = await cut.orCut(readItem(response, replyBytes));
      if (item === undefined) throw new Error('the answer ended before it was whole');
      return { kind: 'replied', item, via: 'https' };
    } catch (error) {
      const why = describeError(error);
      return mayHaveArrived ? { kind: 'unknown', why, via: 'https' } : { kind: 'not-connected', why };
    }
  }

  close(): Promise<void> {
    this.#plain.destroy();
    this.#secure.destroy();
    return Promise.resolve();
  }
}

/**
 * Curio's mk/1.2 over HTTPS: the same CBOR as over libp2p, one item each way. Who answers is proven by the certificate
 * of the name in the provider's on-chain address. Redirects are not followed.
 */
export function createHttpsCourier(options: HttpsCourierOptions): Courier<HttpsWay> {
  return new HttpsCourier(options);
}
