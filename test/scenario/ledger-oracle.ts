import type { ChainView } from '../../src/devnet/ledger/chain-view.ts';
import type { MarketDeal } from '../../src/devnet/ledger/chain-state.ts';
import { formatAddress } from '../../src/filecoin/address.ts';

/** What tells one of our proposals from every other: no two have the same piece at the same provider. */
export interface Terms {
  provider: string;
  startEpoch: number;
  endEpoch: number;
  pieceCid: string;
}

interface AsOf {
  epoch: number;
  /** Below both of these, facts are seen and final. */
  finalized: number;
}

/** A deal of ours on the chain, under one of the ids that it has or had there. */
interface Held {
  id: bigint;
  deal: MarketDeal;
}

/** The states that a deal may have as of an epoch, and the id that it must have while the market actor holds it. */
export interface Expected {
  states: readonly string[];
  chainDealId: bigint | undefined;
}

/** What the ledger says of our deals: read from the state of the devnet itself, by no code that is under test. */
export class LedgerOracle {
  readonly #present: Map<string, Held>;
  readonly #gone: Map<string, Held & { removedAt: number }>;
  readonly #asOf: AsOf;

  constructor(view: ChainView, asOf: AsOf) {
    this.#asOf = asOf;
    const before = view.atOrBelow(asOf.epoch).height;
    const { deals } = view.state;
    this.#present = new Map([...deals.entries(before)].map(([id, deal]) => [nameOf(deal), { id, deal }]));
    this.#gone = new Map();
    for (const { id, height } of publishedBelow(view, before)) {
      if (deals.get(id, before) !== undefined) continue;
      const removedAt = removalOf(view, id, { from: height + 1, to: before });
      const deal = deals.get(id, removedAt);
      if (deal !== undefined) this.#gone.set(nameOf(deal), { id, deal, removedAt });
    }
  }

  expect(terms: Terms): Expected {
    const name = nameOfTerms(terms);
    const present = this.#present.get(name);
    if (present !== undefined) return { states: [this.#stateOfPresent(present.deal)], chainDealId: present.id };
    const gone = this.#gone.get(name);
    if (gone !== undefined) return { states: this.#statesOfGone(gone), chainDealId: undefined };
    return { states: [this.#isFinal(terms.startEpoch) ? 'abandoned' : 'accepted'], chainDealId: undefined };
  }

  #stateOfPresent({ proposal, sectorStartEpoch }: MarketDeal): string {
    if (sectorStartEpoch < 0) return this.#isFinal(proposal.startEpoch) ? 'missed' : 'published';
    return this.#asOf.epoch < proposal.endEpoch ? 'active' : 'expired';
  }

  #statesOfGone({ deal, removedAt }: Held & { removedAt: number }): string[] {
    const { startEpoch, endEpoch } = deal.proposal;
    if (deal.sectorStartEpoch >= 0) return [removedAt < endEpoch ? 'slashed' : 'expired'];
    // No event tells that it was timed out, so that it counts once its start is final.
    return this.#isFinal(startEpoch) ? ['missed'] : ['missed', 'published'];
  }

  #isFinal(startEpoch: number): boolean {
    return Math.min(this.#asOf.epoch, this.#asOf.finalized) > startEpoch;
  }
}

function nameOf({ proposal }: MarketDeal): string {
  const { provider, startEpoch, endEpoch, pieceCid } = proposal;
  return nameOfTerms({ provider: formatAddress(provider), startEpoch, endEpoch, pieceCid: pieceCid.toString() });
}

function nameOfTerms({ provider, startEpoch, endEpoch, pieceCid }: Terms): string {
  return [provider, startEpoch, endEpoch, pieceCid].join(' ');
}

/** Ids that this chain ever gave, with the height of their message. */
function publishedBelow(view: ChainView, before: number): { id: bigint; height: number }[] {
  const found: { id: bigint; height: number }[] = [];
  for (const [, executions] of view.store.withExecutions(0, before - 1)) {
    for (const { signed, events } of executions) {
      const height = view.store.message(signed.cid)?.tipset?.height ?? 0;
      for (const { entries } of events) {
        const [type, id] = entries.map(({ value }) => value);
        if (Buffer.from(type ?? []).includes('deal-published')) found.push({ id: cborUint(id), height });
      }
    }
  }
  return found;
}

/** The epoch whose messages or cron removed the deal: it is there as of `from`, and not as of `to`. */
function removalOf({ state }: ChainView, id: bigint, { from, to }: { from: number; to: number }): number {
  let [low, high] = [from, to];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (state.deals.get(id, middle) === undefined) high = middle;
    else low = middle;
  }
  return high - 1;
}

/** An unsigned integer of CBOR; ids of a test have a few digits. */
function cborUint(bytes: Uint8Array | undefined): bigint {
  const [head = 0, ...rest] = bytes ?? [];
  return rest.length === 0 ? BigInt(head) : BigInt(Buffer.from(rest).readUIntBE(0, rest.length));
}
