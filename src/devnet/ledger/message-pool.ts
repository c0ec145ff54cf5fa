import { formatAddress } from '../../filecoin/address.ts';
import type { SignedMessage } from './chain-message.ts';

interface Waiting {
  signed: SignedMessage;
  /** Lands in no tipset below this height. */
  notBefore: number;
}

/** More messages than a block of the devnet takes at once wait for the next one. */
const MAX_MESSAGES_PER_TIPSET = 1_000;

/** Messages on their way to the chain, in the order they came. Those of one sender land in the order of their nonces. */
export class MessagePool {
  #waiting: Waiting[] = [];

  get messages(): readonly SignedMessage[] {
    return this.#waiting.map(({ signed }) => signed);
  }

  has(signed: SignedMessage): boolean {
    return this.#waiting.some((waiting) => waiting.signed.cid.equals(signed.cid));
  }

  /** A message takes the place of one with the same sender and nonce. */
  add(signed: SignedMessage, notBefore = 0): void {
    const place = this.#waiting.findIndex((waiting) => isSameSlot(waiting.signed, signed));
    if (place === -1) this.#waiting.push({ signed, notBefore });
    else this.#waiting[place] = { signed, notBefore: Math.max(notBefore, this.#waiting[place]?.notBefore ?? 0) };
  }

  /** The message that waits in the same place of its sender's order. */
  inPlaceOf(signed: SignedMessage): SignedMessage | undefined {
    return this.#waiting.find((waiting) => isSameSlot(waiting.signed, signed))?.signed;
  }

  /** The first height above `height` from which on a message may land that may not before; infinity without one. */
  nextDueAfter(height: number): number {
    const due = this.#waiting.map(({ notBefore }) => notBefore).filter((notBefore) => notBefore > height);
    return Math.min(Number.POSITIVE_INFINITY, ...due);
  }

  /** What a tipset at `height` holds. `nonceOf` tells the next nonce of a sender as of its parent's state. */
  select(height: number, nonceOf: (signed: SignedMessage) => number): SignedMessage[] {
    const next = new Map<string, number>();
    const selected: SignedMessage[] = [];
    const rest = new Set(this.#waiting.filter(({ notBefore }) => notBefore <= height));
    const isDue = ({ signed }: Waiting): boolean => {
      const sender = formatAddress(signed.message.from);
      return signed.message.nonce === (next.get(sender) ?? nonceOf(signed));
    };
    while (selected.length < MAX_MESSAGES_PER_TIPSET) {
      const found = [...rest].find(isDue);
      if (found === undefined) break;
      rest.delete(found);
      selected.push(found.signed);
      next.set(formatAddress(found.signed.message.from), found.signed.message.nonce + 1);
    }
    return selected;
  }

  /** Forgets messages that landed, and those whose nonce was used by another. */
  prune(landed: readonly SignedMessage[], nonceOf: (signed: SignedMessage) => number): void {
    const gone = new Set(landed);
    this.#waiting = this.#waiting.filter(({ signed }) => !gone.has(signed) && signed.message.nonce >= nonceOf(signed));
  }

  /** Forgets all messages of these senders from their lowest nonce here on: a gap would hold the later ones for ever. */
  forgetSenders(senders: ReadonlySet<string>): void {
    this.#waiting = this.#waiting.filter(({ signed }) => !senders.has(formatAddress(signed.message.from)));
  }

  /**
   * Dropped messages wait again, before all others and with the senders in reverse order: where several publish, their
   * deals change places, as they do when another miner packs the block.
   */
  returnDropped(dropped: readonly SignedMessage[], notBefore: number): void {
    const bySender = Map.groupBy(dropped, ({ message }) => formatAddress(message.from));
    const returned = [...bySender.values()].reverse().flat();
    this.#waiting = [...returned.map((signed) => ({ signed, notBefore })), ...this.#waiting];
  }
}

function isSameSlot(a: SignedMessage, b: SignedMessage): boolean {
  return a.message.nonce === b.message.nonce && formatAddress(a.message.from) === formatAddress(b.message.from);
}
