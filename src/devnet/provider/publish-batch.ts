/** Gathers deals until a batch is full or its first deal has waited long enough, as Boost's deal publisher does. */
export class PublishBatch<Deal> {
  #deals: Deal[] = [];
  #sinceEpoch = 0;

  get size(): number {
    return this.#deals.length;
  }

  add(deal: Deal, epoch: number): void {
    if (this.#deals.length === 0) this.#sinceEpoch = epoch;
    this.#deals.push(deal);
  }

  /** The deals to publish now, at most `maxDeals`; none while the batch may still grow. */
  takeDue(epoch: number, limits: { maxDeals: number; maxEpochs: number }): Deal[] {
    const isFull = this.#deals.length >= limits.maxDeals;
    if (this.#deals.length === 0 || (!isFull && epoch < this.#sinceEpoch + limits.maxEpochs)) return [];
    this.#sinceEpoch = epoch;
    return this.#deals.splice(0, Math.max(1, limits.maxDeals));
  }
}
