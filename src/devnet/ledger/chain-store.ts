import type { CID } from 'multiformats/cid';

import type { ActorEvent } from './actor-event.ts';
import type { SignedMessage } from './chain-message.ts';
import type { Tipset } from './chain-tipset.ts';
import type { Execution } from './execute-message.ts';

/** Where a message is: executed, when the chain has a tipset after the one that holds it. */
export interface MessageRecord {
  signed: SignedMessage;
  /** Undefined while it waits in the pool, and after a reorg dropped it. */
  tipset: Tipset | undefined;
}

/** All tipsets from genesis to the head, what their messages did, and the blocks of forks that were left. */
export class ChainStore {
  readonly #tipsets: [Tipset, ...Tipset[]];
  readonly #byBlock = new Map<string, Tipset>();
  readonly #executions = new Map<Tipset, readonly Execution[]>();
  readonly #messages = new Map<string, MessageRecord>();
  readonly #eventsByRoot = new Map<string, readonly ActorEvent[]>();

  constructor(genesis: Tipset) {
    this.#tipsets = [genesis];
    this.#index(genesis);
  }

  get head(): Tipset {
    return this.#tipsets.at(-1) ?? this.#tipsets[0];
  }

  get genesis(): Tipset {
    return this.#tipsets[0];
  }

  /** Adds the next tipset; `executions` are those of the head so far. */
  add(tipset: Tipset, executions: readonly Execution[]): void {
    if (executions.length > 0) this.#executions.set(this.head, executions);
    for (const { eventsRoot, events } of executions) {
      if (eventsRoot !== undefined) this.#eventsByRoot.set(eventsRoot.toString(), events);
    }
    this.#tipsets.push(tipset);
    this.#index(tipset);
    for (const signed of tipset.messages) this.#messages.set(signed.cid.toString(), { signed, tipset });
  }

  /** Takes the top `depth` tipsets away, lowest first; their blocks can still be read, their messages are pending. */
  drop(depth: number): Tipset[] {
    const dropped = this.#tipsets.splice(this.#tipsets.length - depth, depth);
    for (const tipset of [this.head, ...dropped]) this.#executions.delete(tipset);
    for (const signed of dropped.flatMap(({ messages }) => messages)) this.noteMessage(signed);
    return dropped;
  }

  /** Makes a message known that is in no tipset. */
  noteMessage(signed: SignedMessage): void {
    this.#messages.set(signed.cid.toString(), { signed, tipset: undefined });
  }

  message(cid: CID): MessageRecord | undefined {
    return this.#messages.get(cid.toString());
  }

  eventsByRoot(root: CID): readonly ActorEvent[] | undefined {
    return this.#eventsByRoot.get(root.toString());
  }

  /** What the messages of a tipset did; none while it is the head. */
  executionsOf(tipset: Tipset): readonly Execution[] {
    return this.#executions.get(tipset) ?? [];
  }

  /** The highest tipset at or below `height`: that before it when its own round is null. */
  atOrBelow(height: number): Tipset {
    return this.#tipsets[this.#positionAtOrBelow(height)] ?? this.genesis;
  }

  /** The tipset after `tipset`, in which its receipts are. */
  childOf(tipset: Tipset): Tipset | undefined {
    return this.#tipsets[this.#positionAtOrBelow(tipset.height) + 1];
  }

  parentOf(tipset: Tipset): Tipset | undefined {
    const [first] = tipset.parents;
    return first === undefined ? undefined : this.byBlock(first);
  }

  isOnChain(tipset: Tipset): boolean {
    return this.atOrBelow(tipset.height) === tipset;
  }

  /** Also of forks that were left. */
  byBlock(cid: CID): Tipset | undefined {
    return this.#byBlock.get(cid.toString());
  }

  /** Tipsets with messages between two heights, rising. */
  *withExecutions(fromHeight: number, toHeight: number): Generator<[Tipset, readonly Execution[]]> {
    for (const [tipset, executions] of this.#executions) {
      if (tipset.height >= fromHeight && tipset.height <= toHeight) yield [tipset, executions];
    }
  }

  count(): number {
    return this.#tipsets.length;
  }

  /** The tipset `depth` below the head. */
  below(depth: number): Tipset | undefined {
    return this.#tipsets[this.#tipsets.length - 1 - depth];
  }

  #index(tipset: Tipset): void {
    for (const cid of tipset.key) this.#byBlock.set(cid.toString(), tipset);
  }

  #positionAtOrBelow(height: number): number {
    let low = 0;
    let high = this.#tipsets.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if ((this.#tipsets[middle]?.height ?? 0) <= height) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}
