import type { CID } from 'multiformats/cid';

import { formatAddress, type Address } from '../../filecoin/address.ts';
import { matchesFields, type ActorEvent, type EventFields, type EventPlace } from './actor-event.ts';
import type { ChainCore } from './chain-core.ts';
import type { ChainPolicy } from './chain-policy.ts';
import type { ChainState } from './chain-state.ts';
import type { ChainStore } from './chain-store.ts';
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
  readonly finalized: Tipset;
  readonly core: ChainCore;

  constructor(core: ChainCore, { head, finalized }: { head: Tipset; finalized: Tipset }) {
    this.core = core;
    this.head = head;
    this.finalized = finalized;
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

  /** The tipset of exactly these blocks, on this chain or a fork that was left; undefined for others. */
  tipset(key: readonly CID[]): Tipset | undefined {
    const [first] = key;
    const tipset = first === undefined ? undefined : this.store.byBlock(first);
    const isSame = tipset?.key.length === key.length && tipset.key.every((cid, i) => key[i]?.equals(cid));
    return tipset !== undefined && isSame && tipset.height <= this.head.height ? tipset : undefined;
  }

  /** A message's receipt, looked for backwards from `from`; undefined while it has none there. */
  findMessage(cid: CID, from: Tipset): FoundMessage | undefined {
    const held = this.store.message(cid)?.tipset;
    const child = held === undefined ? undefined : this.store.childOf(held);
    if (held === undefined || child === undefined || child.height > from.height) return undefined;
    const execution = this.store.executionsOf(held).find(({ signed }) => signed.cid.equals(cid));
    return execution === undefined ? undefined : { execution, tipset: child };
  }

  /** Events whose receipts are below the head, in the order of the chain. */
  *events(query: EventQuery): Generator<[ActorEvent, EventPlace]> {
    const toHeight = Math.min(query.toHeight, this.head.height - 1);
    for (const [tipset, executions] of this.store.withExecutions(query.fromHeight, toHeight)) {
      if (query.tipset !== undefined && query.tipset !== tipset) continue;
      for (const { signed, events } of executions) {
        const place = { height: tipset.height, tipsetKey: tipset.key, message: signed.cid };
        for (const event of events) if (matches(event, query)) yield [event, place];
      }
    }
  }

  /** The id of an actor as of a tipset. */
  idOf(address: Address, tipset: Tipset): bigint | undefined {
    return this.state.idOf(address, tipset.height);
  }

  keyText(address: Address, tipset: Tipset): string | undefined {
    const key = this.state.keyOf(address, tipset.height);
    return key === undefined ? undefined : formatAddress(key);
  }
}

function matches(event: ActorEvent, { emitterIds, fields }: EventQuery): boolean {
  return (emitterIds.size === 0 || emitterIds.has(event.emitterId)) && matchesFields(event, fields);
}
