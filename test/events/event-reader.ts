import { request, type IncomingMessage } from 'node:http';
import { text } from 'node:stream/consumers';
import { createParser } from 'eventsource-parser';
import type { Change } from '../../src/events/change.ts';
import { bearer } from '../support/api-fixture.ts';

/** A reader of GET /events that remembers what it was told. */
export class EventReader implements AsyncDisposable {
  readonly changes: Change[] = [];
  readonly ids: (string | undefined)[] = [];
  comments = 0;
  ended = false;
  #stop = new AbortController();
  #reading: Promise<void> = Promise.resolve();

  static async open(url: string, { token, query = '', lastId }: { token: string; query?: string; lastId?: string }) {
    const reader = new EventReader();
    const headers = { ...bearer(token), ...(lastId !== undefined && { 'last-event-id': lastId }) };
    // Not fetch: one that is aborted may leave a connection open that asks for nothing, for which a server waits.
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const call = request(`${url}/events${query}`, { headers, agent: false, signal: reader.#stop.signal }, resolve);
      call.on('error', reject).end();
    });
    if (response.statusCode !== 200) throw new Error(`${response.statusCode} ${await text(response)}`);
    reader.#reading = reader.#read(response).catch(() => undefined);
    return reader;
  }

  async #read(body: AsyncIterable<Uint8Array>): Promise<void> {
    const parser = createParser({
      onEvent: ({ event, id, data }) => {
        if (event !== 'change') throw new Error(`an event named ${event}`);
        this.ids.push(id);
        this.changes.push(JSON.parse(data) as Change);
      },
      onComment: () => (this.comments += 1),
    });
    const decoder = new TextDecoder();
    for await (const chunk of body) parser.feed(decoder.decode(chunk, { stream: true }));
    this.ended = true;
  }

  /** What changed, short: kind, from and to. */
  get moves(): string[] {
    return this.changes.map(({ kind, from, to }) => `${kind} ${from} ${to}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }
}
