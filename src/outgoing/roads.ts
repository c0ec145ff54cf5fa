import { Agent as HttpAgent, request as httpRequest, type ClientRequest } from 'node:http';
import { Agent as HttpsAgent, request as httpsRequest } from 'node:https';
import { checkedLookup, checkHost } from '../public-address.ts';
import type { FetcherRules } from './fetcher.ts';

/** Of one host: whoever asks for many small things waits for the answers of these. */
const MAX_SOCKETS = 32;
/** A connection that waits longer is mostly closed at its other end. */
const IDLE_MS = 5_000;

interface Start {
  method: string;
  headers: Record<string, string>;
  /** On a connection that was kept, and kept again. */
  reuse: boolean;
}

/** Connections whose addresses are checked in the lookup of the connection itself; there is no other way out. */
export class Roads {
  readonly #rules: FetcherRules;
  readonly #once: { http: HttpAgent; https: HttpsAgent };
  readonly #kept: { http: HttpAgent; https: HttpsAgent };

  constructor(rules: FetcherRules) {
    this.#rules = rules;
    const ways = { lookup: checkedLookup(rules), ...(rules.ca !== undefined && { ca: rules.ca }) };
    const kept = { ...ways, keepAlive: true, maxSockets: MAX_SOCKETS, timeout: IDLE_MS };
    this.#once = { http: new HttpAgent(ways), https: new HttpsAgent(ways) };
    this.#kept = { http: new HttpAgent(kept), https: new HttpsAgent(kept) };
  }

  /** Throws `ADDRESS_NOT_PUBLIC` for an address in place of a name, which no connection looks up. */
  start(url: URL, { reuse, ...options }: Start): ClientRequest {
    checkHost(url.hostname, this.#rules);
    const agents = reuse ? this.#kept : this.#once;
    return url.protocol === 'https:'
      ? httpsRequest(url, { ...options, agent: agents.https })
      : httpRequest(url, { ...options, agent: agents.http });
  }

  close(): void {
    for (const agent of [this.#kept, this.#once].flatMap(({ http, https }) => [http, https])) agent.destroy();
  }
}
