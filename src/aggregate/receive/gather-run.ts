import type { StagedObject } from '../../storage/store.ts';

/** An upload whose sections stay within this shares an object with others; a larger one is worth an fsync of its own. */
const SMALL_RUN_BYTES = 1024 * 1024;

/** Memory that small uploads take while they arrive and wait for their group. */
export interface GatherBudget {
  /** False when so many more bytes are not to be held. */
  take(bytes: number): boolean;
  give(bytes: number): void;
}

/** For receivers without groups: nothing is gathered. */
export const noBudget: GatherBudget = { take: () => false, give: () => undefined };

/**
 * Where the sections of one upload go: memory while they are few, a staged object of its own from then on. When the budget
 * is used up they go to the object at once, so that nobody who sends slowly keeps others waiting.
 */
export class RunSink {
  readonly #stage: () => Promise<StagedObject>;
  readonly #budget: GatherBudget;
  #chunks: Buffer[] = [];
  #heldBytes = 0;
  #staged: StagedObject | undefined;

  constructor(stage: () => Promise<StagedObject>, budget: GatherBudget) {
    this.#stage = stage;
    this.#budget = budget;
  }

  /** Goes to a staged object from the start. */
  async gatherNothing(): Promise<void> {
    await this.#moveOut();
  }

  write(chunk: Uint8Array): Promise<void> {
    return this.#staged?.write(chunk) ?? this.#gatherOrMoveOut(chunk);
  }

  async #gatherOrMoveOut(chunk: Uint8Array): Promise<void> {
    if (this.#gather(chunk)) return;
    const staged = await this.#moveOut();
    await staged.write(chunk);
  }

  /** The sections, while they are few; undefined once they lie in a staged object. */
  get gathered(): readonly Uint8Array[] | undefined {
    return this.#staged === undefined ? this.#chunks : undefined;
  }

  /** Makes an object of its own of all that was written. */
  async commit(): Promise<void> {
    const staged = this.#staged ?? (await this.#moveOut());
    await staged.commit();
  }

  /** Leaves nothing behind that was not committed, and gives the memory back. */
  async abort(): Promise<void> {
    this.#forget();
    await this.#staged?.abort();
  }

  /** Copies, because the caller may use its buffer again. */
  #gather(chunk: Uint8Array): boolean {
    if (this.#heldBytes + chunk.length > SMALL_RUN_BYTES || !this.#budget.take(chunk.length)) return false;
    this.#heldBytes += chunk.length;
    this.#chunks.push(Buffer.from(chunk));
    return true;
  }

  async #moveOut(): Promise<StagedObject> {
    const staged = await this.#stage();
    this.#staged = staged;
    for (const chunk of this.#chunks) await staged.write(chunk);
    this.#forget();
    return staged;
  }

  #forget(): void {
    this.#budget.give(this.#heldBytes);
    this.#heldBytes = 0;
    this.#chunks = [];
  }
}
