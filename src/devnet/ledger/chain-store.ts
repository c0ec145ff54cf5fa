import type { CID } from 'multiformats/cid';

import type { ActorEvent } from './actor-event.ts';
import { ChainLine, isStretch, type Link } from './chain-line.ts';
import type { SignedMessage } from './chain-message.ts';
import type { Tipset } from './chain-tipset.ts';
import type { EmptyStretch } from './empty-stretch.ts';
import type { Execution } from './execute-message.ts';
import { MessageIndex, type MessageRecord } from './message-index.ts';

/** A tipset that a reorg dropped, with what its messages had done by then. */
export interface RevertedTipset {
  tipset: Tipset;
  executions: readonly Execution[];
}

/** All tipsets from genesis to the head, what their messages did, and the blocks of forks that were left. */
export class ChainStore {
  readonly #line: ChainLine;
  readonly #byBlock = new Map<string, Tipset>();
  readonly #executions = new Map<Tipset, readonly Execution[]>();
  /** The tipsets with executions, rising. */
  readonly #busy: Tipset[] = [];
  readonly #reverted: RevertedTipset[] = [];
  readonly #messages = new MessageIndex();
  readonly #eventsByRoot = new Map<string, readonly ActorEvent[]>();

  constructor(seed: string, genesis: Tipset) {
    this.#line = new ChainLine(seed, genesis);
    this.#index(genesis);
  }

  get head(): Tipset {
    return this.#line.head;
  }

  get genesis(): Tipset {
    return this.#line.genesis;
  }

  /** Adds the next tipset; `executions` are those of the head so far. */
  add(tipset: Tipset, executions: readonly Execution[]): void {
    if (executions.length > 0) {
      this.#executions.set(this.head, executions);
      this.#busy.push(this.head);
    }
    for (const { eventsRoot, events } of executions) {
      if (eventsRoot !== undefined) this.#eventsByRoot.set(eventsRoot.toString(), events);
    }
    this.#line.add(tipset);
    this.#index(tipset);
    for (const signed of tipset.messages) this.#messages.place(signed, tipset);
  }

  /** Adds rounds in which nothing happens; the head so far has no messages. */
  addEmpty(stretch: EmptyStretch): void {
    this.#line.add(stretch);
  }

  /** Takes all above `base` away, lowest first; its blocks can still be read, its messages are pending. */
  dropAbove(base: Tipset): Link[] {
    const dropped = this.#line.cutAbove(base);
    while ((this.#busy.at(-1)?.height ?? -1) >= base.height) this.#forget(this.#busy.pop(), base);
    for (const link of dropped) if (!isStretch(link)) for (const signed of link.messages) this.noteMessage(signed);
    return dropped;
  }

  /** Makes a message known that is in no tipset. */
  noteMessage(signed: SignedMessage): void {
    this.#messages.place(signed, undefined);
  }

  message(cid: CID): MessageRecord | undefined {
    return this.#messages.get(cid);
  }

  /** The message itself, or that which took its place in the chain: same sender, nonce and call, another fee. */
  messageOrReplacement(cid: CID): MessageRecord | undefined {
    return this.#messages.getOrReplacement(cid);
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
    return this.#line.atOrBelow(height);
  }

  /** The tipset after `tipset`, in which its receipts are. */
  childOf(tipset: Tipset): Tipset | undefined {
    return this.#line.childOf(tipset);
  }

  isOnChain(tipset: Tipset): boolean {
    const [own] = this.atOrBelow(tipset.height).key;
    return own !== undefined && tipset.key[0]?.equals(own) === true;
  }

  /** Also of forks that were left. */
  byBlock(cid: CID): Tipset | undefined {
    return this.#byBlock.get(cid.toString()) ?? this.#line.emptyTipset(cid);
  }

  /** Tipsets with messages between two heights, rising. */
  *withExecutions(fromHeight: number, toHeight: number): Generator<[Tipset, readonly Execution[]]> {
    for (let at = this.#firstBusy(fromHeight); at < this.#busy.length; at += 1) {
      const tipset = this.#busy[at];
      if (tipset === undefined || tipset.height > toHeight) return;
      yield [tipset, this.executionsOf(tipset)];
    }
  }

  /** What reorgs undid between two heights. */
  reverted(fromHeight: number, toHeight: number): RevertedTipset[] {
    return this.#reverted.filter(({ tipset }) => tipset.height >= fromHeight && tipset.height <= toHeight);
  }

  count(): number {
    return this.#line.count();
  }

  /** The tipset `depth` below the head. */
  below(depth: number): Tipset | undefined {
    return this.#line.below(depth);
  }

  /** The receipts of the base were in a dropped tipset: its messages are executed again, and nothing of it is undone. */
  #forget(tipset: Tipset | undefined, base: Tipset): void {
    if (tipset === undefined) return;
    if (tipset !== base) this.#reverted.push({ tipset, executions: this.executionsOf(tipset) });
    this.#executions.delete(tipset);
  }

  #index(tipset: Tipset): void {
    for (const cid of tipset.key) this.#byBlock.set(cid.toString(), tipset);
  }

  #firstBusy(fromHeight: number): number {
    let low = 0;
    let high = this.#busy.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.#busy[middle]?.height ?? 0) < fromHeight) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
