import type { OpenRequest } from './request-store.ts';

/** Of the four of a process: the rest is for others, who else would wait until thousands of dead CIDs were looked for. */
const MAX_OF_OWNER = 3;

/** The places of this process by owner. */
export class Places {
  readonly #held = new Map<string, number>();
  #taking: Promise<unknown> = Promise.resolve();

  /** One takes after another, so that each knows what those before it took: `crowded` have as many as they may. */
  async take(begin: (crowded: readonly string[]) => Promise<readonly OpenRequest[]>): Promise<readonly OpenRequest[]> {
    const taking = this.#taking.then(async () => {
      const crowded = [...this.#held].filter(([, places]) => places >= MAX_OF_OWNER).map(([owner]) => owner);
      const begun = await begin(crowded);
      this.#add(begun, 1);
      return begun;
    });
    this.#taking = taking.catch(() => undefined);
    return await taking;
  }

  leave(begun: readonly OpenRequest[]): void {
    this.#add(begun, -1);
  }

  #add(begun: readonly OpenRequest[], change: 1 | -1): void {
    for (const owner of new Set(begun.map((request) => request.owner))) {
      const places = (this.#held.get(owner) ?? 0) + change;
      if (places > 0) this.#held.set(owner, places);
      else this.#held.delete(owner);
    }
  }
}
