import type { Sample } from './sample-files.ts';

/** The parts of the service's answers that the demo looks at. */
export interface CheckAnswer {
  ok: boolean;
  value: {
    cid: string;
    pin: { size: number; status: string };
    deals: {
      status: string;
      stage: string;
      miner: string;
      datamodelSelector: string | null;
      pieceCid: string;
      batchRootCid: string;
    }[];
    queueing?: { reason: string };
  };
}

interface Page<T> {
  items: T[];
  next: string | null;
}

/** Enough for any demo in one page of the list. */
const PAGE = 1_000;

/** The demo talks to the service as anyone would: over HTTP, with a token. */
export class ServiceApi {
  readonly url: string;
  readonly #tokens: { upload: string; ops: string };

  constructor(url: string, tokens: { upload: string; ops: string }) {
    this.url = url;
    this.#tokens = tokens;
  }

  async upload(sample: Sample, signal: AbortSignal): Promise<void> {
    const response = await fetch(`${this.url}/upload`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#tokens.upload}`, 'content-type': 'application/vnd.ipld.car' },
      body: ReadableStream.from(sample.car),
      duplex: 'half',
      signal,
    });
    if (!response.ok) throw new Error(`POST /upload of ${sample.name}: ${response.status} ${await response.text()}`);
    await response.body?.cancel();
  }

  /** Undefined for a CID that the service does not know. */
  async check(cid: string): Promise<CheckAnswer | undefined> {
    const response = await fetch(`${this.url}/check/${cid}`);
    if (response.status === 404) return undefined;
    if (!response.ok) throw new Error(`GET /check/${cid}: ${response.status} ${await response.text()}`);
    return (await response.json()) as CheckAnswer;
  }

  async aggregates(): Promise<{ state: string; entryCount: number }[]> {
    return this.#list('/aggregates');
  }

  async deals(): Promise<{ stage: string; miner: string }[]> {
    return this.#list('/deals');
  }

  async #list<T>(path: string): Promise<T[]> {
    const response = await fetch(`${this.url}${path}?limit=${PAGE}`, {
      headers: { authorization: `Bearer ${this.#tokens.ops}` },
    });
    if (!response.ok) throw new Error(`GET ${path}: ${response.status} ${await response.text()}`);
    return ((await response.json()) as Page<T>).items;
  }
}
