import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { describeError, LadingError } from '../errors.ts';
import type { Log } from '../log/log.ts';
import { Slots } from '../storage/slots.ts';
import { findAudience, tellWhom, type Audience } from './audience.ts';
import { ROW_DONE, type AddressLetter, type Cursor, type RowUpload } from './change.ts';
import type { EventFilter } from './filter.ts';
import { BEGINNING, compareCursors, findHead, listMembers, listRows } from './outbox.ts';
import { readChanges } from './read-changes.ts';
import { HEARTBEAT, sseEvent } from './sse.ts';
import type { Sink, Subscriber } from './subscriber.ts';
import { Subscribers } from './subscribers.ts';

export interface HubLimits {
  /** Changes are gathered for so long, and then written to each connection at once. */
  tickMs: number;
  /** Proxies close what is silent for a minute, browsers' networks often sooner. */
  heartbeatMs: number;
  /** Who takes nothing for so long is cut off; it may come again with the last id it has seen. */
  slowMs: number;
  /** A stream ends after this, so that a token that was revoked does not read for ever; clients come again. */
  lifeMs: number;
  /** Each costs a socket and some tens of kilobytes. */
  subscribers: number;
}

const defaultLimits: HubLimits = {
  tickMs: 100,
  heartbeatMs: 15_000,
  slowMs: 30_000,
  lifeMs: 3_600_000,
  subscribers: 2_000,
};

/** Rows of one look: more are read at once, without a wait. */
const ROWS_PER_LOOK = 500;
/** Changes written to one subscriber at once, about 100 KB; who is due more reads them page by page. */
const CHANGES_PER_WRITE = 200;
/** Of the ten connections of the pool the API needs the most. */
const PULLS_AT_ONCE = 3;
/** A look takes milliseconds; a database that hangs must not hold up the end of the service. */
const CLOSE_WAIT_MS = 2_000;
/** A database that is down is asked again after this. */
const FAULT_WAIT_MS = 1_000;

/** One more than is written at once tells that there is more. */
function keepSome(due: Map<Subscriber, string[]>, subscriber: Subscriber, text: string): void {
  const texts = due.get(subscriber) ?? [];
  if (texts.length <= CHANGES_PER_WRITE) texts.push(text);
  due.set(subscriber, texts);
}

interface HubDeps {
  kysely: Kysely<DB>;
  log: Pick<Log, 'warn'>;
  letter(): AddressLetter;
  limits?: Partial<HubLimits>;
}

export interface Subscription {
  /** The sink has room again. */
  drained(): void;
  close(): void;
}

/**
 * Tells subscribers of changes. One look at the outbox every 100 ms serves all of them; whoever is behind, because it
 * came back with an old id, reads slowly or is due a whole large aggregate, reads the outbox in pages at its own pace
 * until it has caught up. So nothing is queued in memory for anybody. It looks only while somebody listens.
 */
export class EventHub {
  readonly #deps: HubDeps;
  readonly #limits: HubLimits;
  readonly #subscribers = new Subscribers();
  readonly #pulls = new Slots(PULLS_AT_ONCE);
  readonly #closing = new AbortController();
  #cursor: Cursor = BEGINNING;
  #started: Promise<void> | undefined;
  #looking: Promise<void> | undefined;

  constructor(deps: HubDeps) {
    this.#deps = deps;
    this.#limits = { ...defaultLimits, ...deps.limits };
  }

  /** From `after` on, or from now on: a change that is committed after this resolves is told. */
  async subscribe(filter: EventFilter, sink: Sink, after?: Cursor): Promise<Subscription> {
    if (this.#closing.signal.aborted) throw new LadingError('UNAVAILABLE', 'the service is stopping; come again');
    if (this.#subscribers.size >= this.#limits.subscribers) {
      throw new LadingError(
        'TOO_MANY_STREAMS',
        `there are ${this.#limits.subscribers} event streams already: come again later`,
      );
    }
    const subscriber = this.#subscribers.add(filter, sink);
    try {
      await (this.#started ??= this.#start());
    } catch (error) {
      this.#subscribers.drop(subscriber);
      throw error;
    }
    subscriber.cursor = after ?? this.#cursor;
    if (subscriber.mode === 'joining') subscriber.mode = 'live';
    if (after !== undefined) this.#catchUp(subscriber, after);
    return {
      drained: () => {
        if (subscriber.mode === 'blocked') this.#catchUp(subscriber, subscriber.cursor);
      },
      close: () => this.#subscribers.drop(subscriber),
    };
  }

  /** Ends all streams. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const subscriber of this.#subscribers.all) this.#end(subscriber);
    await Promise.race([this.#looking, delay(CLOSE_WAIT_MS, undefined, { ref: false })]);
  }

  get size(): number {
    return this.#subscribers.size;
  }

  #end(subscriber: Subscriber): void {
    this.#subscribers.drop(subscriber);
    subscriber.sink.end();
  }

  async #start(): Promise<void> {
    try {
      this.#cursor = await findHead(this.#deps.kysely);
    } catch (error) {
      this.#started = undefined;
      throw error;
    }
    this.#looking = this.#look();
  }

  async #look(): Promise<void> {
    const beat = setInterval(() => this.#beat(), this.#limits.heartbeatMs);
    while (this.#subscribers.size > 0 && !this.#closing.signal.aborted) {
      const begun = performance.now();
      const more = await this.#tick().catch((error: unknown) => this.#fail(error));
      const restMs = Math.max(0, this.#limits.tickMs - (performance.now() - begun));
      if (!more) await this.#wait(restMs);
    }
    clearInterval(beat);
    // Nothing is awaited after the condition: whoever comes now starts a new look.
    this.#started = undefined;
  }

  async #wait(waitMs: number): Promise<void> {
    await delay(waitMs, undefined, { signal: this.#closing.signal }).catch(() => undefined);
  }

  async #fail(error: unknown): Promise<boolean> {
    this.#deps.log.warn({ err: describeError(error) }, 'events.look_failed');
    await this.#wait(FAULT_WAIT_MS);
    return false;
  }

  /** One look; true: there is more to read at once. */
  async #tick(): Promise<boolean> {
    const before = this.#cursor;
    const rows = await listRows(this.#deps.kysely, {}, { after: before, limit: ROWS_PER_LOOK });
    const last = rows.at(-1);
    if (last === undefined) return false;
    // With the audience in one step: who becomes live from here on compares itself with the new cursor.
    this.#cursor = { xid: last.xid, position: last.position, index: ROW_DONE };
    const live = [...this.#subscribers.all].filter(({ mode }) => mode === 'live');
    const audience = findAudience(rows, live);
    try {
      this.#tell(audience, await this.#findUploads(audience), before);
    } catch (error) {
      for (const { narrow, wide } of audience.rows) for (const one of [...narrow, ...wide]) this.#lag(one, before);
      throw error;
    }
    return rows.length === ROWS_PER_LOOK;
  }

  async #findUploads({ whole, inPart }: Audience): Promise<Map<bigint, RowUpload[]>> {
    const all = await listMembers(this.#deps.kysely, whole, { afterIndex: -1 });
    const named = await listMembers(this.#deps.kysely, inPart.aggregates, { roots: inPart.roots });
    return new Map([...all, ...named]);
  }

  #tell(audience: Audience, uploads: ReadonlyMap<bigint, RowUpload[]>, before: Cursor): void {
    const due = new Map<Subscriber, string[]>();
    for (const one of audience.rows) {
      const { row } = one;
      const position = { xid: row.xid, position: row.position, index: 0 };
      const concerned =
        row.kind === 'upload'
          ? [row.upload].filter((upload) => upload !== null)
          : (uploads.get(row.aggregateId ?? -1n) ?? []);
      for (const upload of concerned) {
        const told = tellWhom(one, upload, this.#subscribers.byRoot).filter(
          ({ cursor }) => compareCursors(cursor, position) < 0,
        );
        if (told.length === 0) continue;
        const text = sseEvent({ row, upload }, this.#deps.letter());
        for (const subscriber of told) keepSome(due, subscriber, text);
      }
    }
    for (const subscriber of audience.overwhelmed) due.delete(subscriber);
    for (const [subscriber, texts] of due) this.#write(subscriber, texts, before);
    for (const subscriber of audience.overwhelmed) this.#lag(subscriber, before);
  }

  #write(subscriber: Subscriber, texts: readonly string[], before: Cursor): void {
    if (subscriber.mode !== 'live') return;
    if (texts.length > CHANGES_PER_WRITE) this.#lag(subscriber, before);
    else if (!subscriber.sink.write(texts.join(''))) this.#block(subscriber, this.#cursor);
  }

  /** What it was not told of, it reads itself. */
  #lag(subscriber: Subscriber, from: Cursor): void {
    if (subscriber.mode !== 'live') return;
    this.#catchUp(subscriber, compareCursors(subscriber.cursor, from) < 0 ? from : subscriber.cursor);
  }

  #block(subscriber: Subscriber, cursor: Cursor): void {
    subscriber.mode = 'blocked';
    subscriber.cursor = cursor;
    subscriber.blockedSince = performance.now();
  }

  #catchUp(subscriber: Subscriber, from: Cursor): void {
    if (subscriber.mode === 'closed') return;
    subscriber.mode = 'pulling';
    subscriber.cursor = from;
    subscriber.blockedSince = undefined;
    void this.#pull(subscriber);
  }

  async #pull(subscriber: Subscriber): Promise<void> {
    while (subscriber.mode === 'pulling' && !this.#closing.signal.aborted) {
      const more = await this.#pullPage(subscriber).catch((error: unknown) => this.#fail(error).then(() => true));
      if (!more) return;
    }
  }

  /** One page; true: it has not caught up, and its connection takes more. */
  async #pullPage(subscriber: Subscriber): Promise<boolean> {
    const { kysely, letter } = this.#deps;
    await this.#pulls.take();
    const range = { after: subscriber.cursor, limit: CHANGES_PER_WRITE };
    const { changes, cursor, done } = await readChanges(kysely, subscriber.filter, range).finally(() =>
      this.#pulls.give(),
    );
    if (subscriber.mode !== 'pulling') return false;
    subscriber.cursor = cursor;
    const text = changes.map((change) => sseEvent(change, letter())).join('');
    if (text !== '' && !subscriber.sink.write(text)) {
      this.#block(subscriber, cursor);
      return false;
    }
    if (!done || compareCursors(cursor, this.#cursor) < 0) return true;
    subscriber.mode = 'live';
    return false;
  }

  #beat(): void {
    const now = performance.now();
    const { slowMs, lifeMs } = this.#limits;
    for (const subscriber of this.#subscribers.all) {
      const { mode, blockedSince, since } = subscriber;
      if (mode === 'blocked') {
        if (blockedSince === undefined || now - blockedSince < slowMs) continue;
        this.#subscribers.drop(subscriber);
        subscriber.sink.cut();
      } else if (now - since >= lifeMs) this.#end(subscriber);
      // Who reads far back for something rare is not dead, and must not come again to begin anew.
      else if (mode === 'pulling') subscriber.sink.write(HEARTBEAT);
      else if (mode === 'live' && !subscriber.sink.write(HEARTBEAT)) this.#block(subscriber, this.#cursor);
    }
  }
}
