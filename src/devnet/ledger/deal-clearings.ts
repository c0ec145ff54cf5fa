import type { ChainState } from './chain-state.ts';
import { applyTimeout, clearingEpoch, DEAL_COUNTER } from './market-deals.ts';

/** When the market actor's cron looks at deals that nobody proved, by epoch. */
export class DealClearings {
  readonly #state: ChainState;
  #due = new Map<number, Set<bigint>>();
  /** Deals below this id are noted, or never will be. */
  #notedDeals = 0n;

  constructor(state: ChainState) {
    this.#state = state;
  }

  /** Ids are given in order, so that the new deals are those from the counter's last noted value on. */
  noteNew(): void {
    const next = this.#state.counters.get(DEAL_COUNTER) ?? 0n;
    for (let id = this.#notedDeals; id < next; id += 1n) this.#note(id);
    this.#notedDeals = next;
  }

  /** Begins anew from the state, after a reorg cut it back. */
  rebuild(): void {
    this.#due = new Map();
    this.#notedDeals = this.#state.counters.get(DEAL_COUNTER) ?? 0n;
    for (const [id] of this.#state.deals.entries()) this.#note(id);
  }

  /** The first epoch at which anything is looked at; infinity without one. */
  next(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const epoch of this.#due.keys()) first = Math.min(first, epoch);
    return first;
  }

  /** The cron of every epoch below `untilHeight`, null rounds as well; what it does is written at `height`. */
  run(untilHeight: number, height: number): void {
    const due = [...this.#due.keys()].filter((epoch) => epoch < untilHeight).sort((a, b) => a - b);
    for (const epoch of due) {
      for (const id of this.#due.get(epoch) ?? []) if (this.#isDue(id, epoch)) applyTimeout(this.#state, id, height);
      this.#due.delete(epoch);
    }
  }

  #note(dealId: bigint): void {
    const deal = this.#state.deals.get(dealId);
    if (deal === undefined || deal.sectorStartEpoch >= 0) return;
    const epoch = clearingEpoch(dealId, deal.proposal.startEpoch);
    const ids = this.#due.get(epoch) ?? new Set();
    ids.add(dealId);
    this.#due.set(epoch, ids);
  }

  #isDue(dealId: bigint, epoch: number): boolean {
    const deal = this.#state.deals.get(dealId);
    if (deal === undefined || deal.sectorStartEpoch >= 0) return false;
    return clearingEpoch(dealId, deal.proposal.startEpoch) === epoch;
  }
}
