import type { Cursor } from './change.ts';
import type { EventFilter } from './filter.ts';

/** Where a subscriber's events go: one connection. */
export interface Sink {
  /** False: it has as much as it should hold; `drained` of the subscription is called when there is room again. */
  write(text: string): boolean;
  /** Ends in good order: the reader may come again. */
  end(): void;
  /** Cuts a reader that is too slow. */
  cut(): void;
}

/**
 * joining: its place is not known yet. live: told by the shared look at the outbox. pulling: reads by itself what it has
 * missed. blocked: its connection is full; nothing is kept for it, as all it misses stands in the outbox.
 */
type Mode = 'joining' | 'live' | 'pulling' | 'blocked' | 'closed';

export interface Subscriber {
  readonly filter: EventFilter;
  readonly roots: ReadonlySet<string> | undefined;
  readonly sink: Sink;
  /** Milliseconds of a clock that only runs forward. */
  readonly since: number;
  mode: Mode;
  cursor: Cursor;
  blockedSince: number | undefined;
}
