import { performance } from 'node:perf_hooks';
import type { EventFilter } from './filter.ts';
import { BEGINNING } from './outbox.ts';
import type { Sink, Subscriber } from './subscriber.ts';

/** Who listens, and who of them named which upload. */
export class Subscribers {
  readonly all = new Set<Subscriber>();
  readonly byRoot = new Map<string, Set<Subscriber>>();

  get size(): number {
    return this.all.size;
  }

  add(filter: EventFilter, sink: Sink): Subscriber {
    const roots = filter.cids && new Set(filter.cids);
    const since = performance.now();
    const place = { mode: 'joining', cursor: BEGINNING, blockedSince: undefined } as const;
    const subscriber: Subscriber = { filter, roots, sink, since, ...place };
    this.all.add(subscriber);
    for (const root of roots ?? []) this.byRoot.set(root, (this.byRoot.get(root) ?? new Set()).add(subscriber));
    return subscriber;
  }

  drop(subscriber: Subscriber): void {
    subscriber.mode = 'closed';
    this.all.delete(subscriber);
    for (const root of subscriber.roots ?? []) {
      const named = this.byRoot.get(root);
      named?.delete(subscriber);
      if (named?.size === 0) this.byRoot.delete(root);
    }
  }
}
