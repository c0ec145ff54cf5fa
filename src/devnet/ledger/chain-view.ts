import type { CID } from 'multiformats/cid';

import { formatAddress, type Address } from '../../filecoin/address.ts';
import { matchesFields, type ActorEvent, type EventFields, type EventPlace } from './actor-event.ts';
import type { ChainCore } from './chain-core.ts';
import type { ChainPolicy } from './chain-policy.ts';
import type { ChainState } from './chain-state.ts';
import type { ChainStore, RevertedTipset } from './chain-store.ts';
import type { Tipset } from './chain-tipset.ts';
import type { Execution } from './execute-message.ts';

export interface EventQuery {
  /** Emitters; all when empty. */
  emitterIds: ReadonlySet<bigint>;
  fields: EventFields;
  fromHeight: number;
  toHeight: number;
  /** Only events of messages in this tipset. */
  tipset: Tipset | undefined;
}

export interface FoundMessage {
  execution: Execution;
  /** The tipset whose receipts these are: the one after the message's. */
  tipset: Tipset;
}

/** What a node knows whose head is `head`: nothing above it. */
export class ChainView {
  readonly head: Tipset;
  readonly core: ChainCore;

  constructor(core: ChainCore, head: Tipset) {
    this.core = core;
    this.head = head;
  }

  get policy(): ChainPolicy {
    return this.core.policy;
  }

  get state(): ChainState {
    return this.core.state;
  }

  get store(): ChainStore {
    return this.core.store;
  }

  /** The last tipset that no reorg drops, as of the head. */
  get finalized(): Tipset {
    return this.atOrBelow(Math.max(0, this.head.height - this.policy.finalityEpochs));
  }

  /** The tipset of exactly these blocks, on this chain or a fork that was left; undefined for others. */
  tipset(key: readonly CID[]): Tipset | undefined {
    const [first] = key;
    const tipset = first === undefined ? undefined : this.byBlock(first);
    const isSame = tipset?.key.length === key.length && tipset.key.every((cid, i) => key[i]?.equals(cid));
    return tipset !== undefined && isSame && tipset.height <= this.head.height ? tipset : undefined;
  }

  atOrBelow(height: number): Tipset {
    return this.store.atOrBelow(height);
  }

  childOf(tipset: Tipset): Tipset | undefined {
    return this.store.childOf(tipset);
  }

  parentOf(tipset: Tipset): Tipset | undefined {
    const [first] = tipset.parents;
    return first === undefined ? undefined : this.byBlock(first);
  }

  byBlock(cid: CID): Tipset | undefined {
    return this.store.byBlock(cid);
  }

  isOnChain(tipset: Tipset): boolean {
    return this.store.isOnChain(tipset);
  }

  /** State as of a tipset is what was written below this height. */
  stateHeight(tipset: Tipset): number {
    return tipset.height;
  }

  /** The height of the last tipset whose receipts this node has. */
  get executedHeight(): number {
    return this.head.height - 1;
  }

  /** A message's receipt, or that of one that took its place, looked for backwards from `from`. */
  findMessage(cid: CID, from: Tipset): FoundMessage | undefined {
    const record = this.store.messageOrReplacement(cid);
    const held = record?.tipset;
    if (record === undefined || held === undefined || held.height > this.executedHeight) return undefined;
    const child = this.childOf(held);
    if (child === undefined || child.height > from.height) return undefined;
    const execution = this.store.executionsOf(held).find(({ signed }) => signed === record.signed);
    return execution === undefined ? undefined : { execution, tipset: child };
  }

  /** Events whose receipts are below the head, in the order of the chain. */
  *events(query: EventQuery): Generator<[ActorEvent, EventPlace]> {
    const toHeight = Math.min(query.toHeight, this.executedHeight);
    for (const [tipset, executions] of this.store.withExecutions(query.fromHeight, toHeight)) {
      yield* eventsOf({ tipset, executions }, query);
    }
  }

  /** Events that a reorg undid: a node's index keeps them. */
  *revertedEvents(query: EventQuery): Generator<[ActorEvent, EventPlace]> {
    for (const reverted of this.store.reverted(query.fromHeight, Math.min(query.toHeight, this.executedHeight))) {
      yield* eventsOf(reverted, query);
    }
  }

  /** The id of an actor as of a state height. */
  idOf(address: Address, before: number): bigint | undefined {
    return this.state.idOf(address, before);
  }

  keyText(address: Address, before: number): string | undefined {
    const key = this.state.keyOf(address, before);
    return key === undefined ? undefined : formatAddress(key);
  }
}

function* eventsOf({ tipset, executions }: RevertedTipset, query: EventQuery): Generator<[ActorEvent, EventPlace]> {
  if (query.tipset !== undefined && query.tipset !== tipset) return;
  for (const { signed, events } of executions) {
    const place = { height: tipset.height, tipsetKey: tipset.key, message: signed.cid };
    for (const event of events) if (matches(event, query)) yield [event, place];
  }
}

function matches(event: ActorEvent, { emitterIds, fields }: EventQuery): boolean {
  return (emitterIds.size === 0 || emitterIds.has(event.emitterId)) && matchesFields(event, fields);
}
