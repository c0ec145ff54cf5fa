import type { CID } from 'multiformats/cid';

import { formatAddress } from '../../filecoin/address.ts';
import { encodeMessage } from '../../filecoin/messages.ts';
import type { SignedMessage } from './chain-message.ts';
import type { Tipset } from './chain-tipset.ts';

/** Where a message is: executed, when the chain has a tipset after the one that holds it. */
export interface MessageRecord {
  signed: SignedMessage;
  /** Undefined while it waits in the pool, and after a reorg dropped it or another took its place. */
  tipset: Tipset | undefined;
}

/** All messages that were ever pushed, by their CID, and by the place in their sender's order that they take. */
export class MessageIndex {
  readonly #byCid = new Map<string, MessageRecord>();
  readonly #bySlot = new Map<string, Set<string>>();

  place(signed: SignedMessage, tipset: Tipset | undefined): void {
    const name = signed.cid.toString();
    this.#byCid.set(name, { signed, tipset });
    const slot = slotOf(signed);
    const names = this.#bySlot.get(slot) ?? new Set();
    names.add(name);
    this.#bySlot.set(slot, names);
  }

  get(cid: CID): MessageRecord | undefined {
    return this.#byCid.get(cid.toString());
  }

  getOrReplacement(cid: CID): MessageRecord | undefined {
    const own = this.get(cid);
    if (own === undefined || own.tipset !== undefined) return own;
    const others = [...(this.#bySlot.get(slotOf(own.signed)) ?? [])].map((name) => this.#byCid.get(name));
    return others.find((other) => other?.tipset !== undefined && isSameCall(other.signed, own.signed)) ?? own;
  }
}

function slotOf({ message }: SignedMessage): string {
  return `${formatAddress(message.from)}/${message.nonce}`;
}

/** Equal but for the gas (lotus chain/types Message.EqualCall). */
function isSameCall(a: SignedMessage, b: SignedMessage): boolean {
  const bare = ({ message }: SignedMessage): Uint8Array =>
    encodeMessage({ ...message, gasLimit: 0, gasFeeCap: 0n, gasPremium: 0n });
  return Buffer.compare(bare(a), bare(b)) === 0;
}
