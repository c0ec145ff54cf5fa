import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { ClientError, unknownForm } from './client-error.ts';
import { clientErrorOf, isPassing, parseJson, retriesOf, send, waitAfter, type Connection } from './connection.ts';
import { fieldOf } from './field-of.ts';
import { readStream } from './streams.ts';

/** One change of one upload. The same id always means the same change: it may come twice, after a break. */
export interface Change {
  /** Opaque; `since` goes on after it. */
  id: string;
  /** Root of the upload, CIDv1 in base32. */
  cid: string;
  at: string;
  /** What changed: the upload itself, an aggregate that holds it, or a deal of such an aggregate. */
  kind: 'upload' | 'aggregate' | 'deal';
  /** States of that; equal where something else became known. */
  from: string | null;
  to: string;
  /** A code to match on, and the same in words. */
  reasonCode?: string;
  reason?: string;
  aggregate?: { id: string; pieceCid: string | null };
  deal?: ChangedDeal;
}

/** As in the answer of `check`; `stage` as of this change. */
export interface ChangedDeal {
  id: string;
  status: 'queued' | 'active' | 'terminated' | null;
  stage: string;
  miner: string;
  chainDealID: number | null;
  pieceCid: string | null;
  batchRootCid: string | null;
  datamodelSelector: string | null;
}

export interface WatchOptions {
  /** Only changes into one of these states. */
  states?: readonly string[];
  /** The id of the last change that was seen, by whatever process: what came after it is told first. */
  since?: string;
  /** Told each time the service begins to send: what changed before is in what `check` says from now on. */
  onOpen?(): void;
  /** Ends the loop, without an error. */
  signal?: AbortSignal;
}

/** The service sends something every 15 s: a connection that is silent for longer than this is dead. */
const SILENCE_MS = 60_000;
/** An event of ours has about a kilobyte; what goes on for longer is none. */
const MAX_EVENT_CHARACTERS = 1024 * 1024;

/**
 * The changes of these uploads as they happen; none named: of all uploads that the token may see. Connects again after
 * breaks, and goes on where it was. Ends when the signal is aborted. Throws ClientError when the service refuses, or
 * cannot be reached to begin with.
 */
export async function* watch(
  connection: Connection,
  cids: string | readonly string[],
  { states = [], since, onOpen, signal }: WatchOptions = {},
): AsyncGenerator<Change, void, undefined> {
  const path = pathOf(typeof cids === 'string' ? [cids] : cids, states);
  const source: Source = { path, lastEventId: since, wasOpen: false, openedAt: Infinity, onOpen, signal };
  const isOver = () => signal?.aborted === true;
  let breaks = 0;
  while (!isOver()) {
    try {
      for await (const { event, data } of readEvents(connection, source)) {
        breaks = 0;
        if (event === 'change') yield changeOf(data);
      }
    } catch (error) {
      if (isOver()) return;
      if (Date.now() - source.openedAt > SILENCE_MS) breaks = 0;
      // Once it was there it will be back, and whoever watches has the signal to end it.
      const givesUp = !source.wasOpen && breaks >= retriesOf(connection);
      if (!isPassing(error) || givesUp) throw error;
      await waitAfter(connection, { fault: error, attempt: breaks, signal }).catch(() => undefined);
      breaks += 1;
    }
  }
}

interface Source {
  path: string;
  lastEventId: string | undefined;
  /** The service answered once. */
  wasOpen: boolean;
  /** When it last began to send, by the clock: a stream that held is no break in a row of them, however quiet it was. */
  openedAt: number;
  onOpen: (() => void) | undefined;
  signal: AbortSignal | undefined;
}

function pathOf(cids: readonly string[], states: readonly string[]): string {
  const query = new URLSearchParams();
  for (const cid of cids) query.append('cid', cid);
  for (const state of states) query.append('state', state);
  return query.size === 0 ? '/events' : `/events?${query}`;
}

/** The events of one connection. Ends with a ClientError, as a stream of events has no end of its own. */
async function* readEvents(connection: Connection, source: Source): AsyncGenerator<EventSourceMessage> {
  const silence = new Silence();
  source.openedAt = Infinity;
  const signal = source.signal === undefined ? silence.signal : AbortSignal.any([source.signal, silence.signal]);
  const headers = {
    accept: 'text/event-stream',
    ...(source.lastEventId !== undefined && { 'last-event-id': source.lastEventId }),
  };
  try {
    const response = await send(connection, { path: source.path, headers, signal });
    if (!isEventStream(response)) throw unknownForm();
    source.wasOpen = true;
    source.openedAt = Date.now();
    // Where the stream begins: a break before its first event loses nothing.
    source.lastEventId = response.headers.get('last-event-id') ?? source.lastEventId;
    source.onOpen?.();
    if (response.body !== null) yield* parseEvents(readStream(response.body), source, silence);
    throw new ClientError('SERVICE_UNREACHABLE', `${connection.url} ended the stream of events`);
  } catch (error) {
    throw clientErrorOf(connection, silence.signal.aborted ? silence.signal.reason : error);
  } finally {
    silence.end();
  }
}

/** The page of a proxy, or of another service, is no stream that broke: asking again would get it again. */
function isEventStream({ headers }: Response): boolean {
  return /^text\/event-stream\b/i.test(headers.get('content-type') ?? '');
}

async function* parseEvents(chunks: AsyncIterable<Uint8Array>, source: Source, silence: Silence) {
  const events: EventSourceMessage[] = [];
  let isTooLong = false;
  const parser = createParser({
    onEvent: (event) => events.push(event),
    onError: ({ type }) => (isTooLong ||= type === 'max-buffer-size-exceeded'),
    maxBufferSize: MAX_EVENT_CHARACTERS,
  });
  const decoder = new TextDecoder();
  for await (const chunk of chunks) {
    silence.heard();
    parser.feed(decoder.decode(chunk, { stream: true }));
    if (isTooLong) throw unknownEvent();
    for (const event of events.splice(0)) {
      if (event.id !== undefined) source.lastEventId = event.id;
      yield event;
    }
  }
}

/** Aborts a connection on which nothing comes. */
class Silence {
  readonly #controller = new AbortController();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor() {
    this.heard();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  heard(): void {
    this.end();
    const silent = () => this.#controller.abort(new Error(`nothing came for ${SILENCE_MS / 1_000} seconds`));
    this.#timer = setTimeout(silent, SILENCE_MS);
  }

  end(): void {
    clearTimeout(this.#timer);
  }
}

function changeOf(data: string): Change {
  const change = parseJson(data);
  if (typeof fieldOf(change, 'id') === 'string' && typeof fieldOf(change, 'to') === 'string') return change as Change;
  throw unknownEvent();
}

function unknownEvent(): ClientError {
  return new ClientError('ANSWER_UNKNOWN', 'an event of the service has an unknown form');
}
