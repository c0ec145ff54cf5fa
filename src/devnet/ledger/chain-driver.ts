import { randomBytes } from 'node:crypto';

import { ChainCore } from './chain-core.ts';
import { storeMessage, type SignedMessage } from './chain-message.ts';
import type { ChainPolicy } from './chain-policy.ts';
import { ChainRefusal } from './chain-refusal.ts';
import type { Tipset } from './chain-tipset.ts';
import { EpochClock } from './epoch-clock.ts';
import { isNullRound } from './null-round.ts';
import { openLedgerJournal, type LedgerEntry, type LedgerJournal } from './ledger-journal.ts';

export interface LedgerOptions {
  /** Where the journal is kept; without it all is in memory. */
  dir?: string;
  /** Wall-clock length of an epoch. Chain time always counts 30 s for it. */
  epochMs: number;
  /** Makes keys, blocks and faults the same again. A journal that is there keeps its own; none: a random one. */
  seed?: string;
  /** Starts without a ticking clock. */
  isPaused?: boolean;
  /** Share of rounds without a tipset, from 0 to below 1. */
  nullRounds?: number;
  networkName?: string;
  genesisSeconds?: number;
  finalityEpochs?: number;
  collateralPerGib?: bigint;
}

export interface ReorgOptions {
  /** Tipsets to replace. */
  depth: number;
  /** Whether dropped messages land again; true unless told. */
  reland?: boolean;
  /** Whether the ids of dropped deals go to the next published; false unless told. */
  reuseIds?: boolean;
}

/** F3 finalizes 4 to 10 epochs behind the head on mainnet. */
const FINALITY_EPOCHS = 10;
/** 0.0002 FIL per GiB and deal, of mainnet's order of magnitude. */
const COLLATERAL_PER_GIB = 200_000_000_000_000n;
/** A jump that nobody watches epoch by epoch, and that is longer than this, goes over its empty rounds at once. */
const LONG_ADVANCE = 200;
/** A jump that providers watch is made of whole tipsets up to this length, and of so many at its two ends beyond. */
const WATCHED_ADVANCE = 1_000;
/** Two years of epochs: beyond the longest deal and its start delay. */
const MAX_EPOCHS_PER_ADVANCE = 5_000_000;
const SEED_BYTES = 16;

/** Moves a chain: by its clock and on demand, writing down each move before it is made. */
export class ChainDriver {
  protected readonly core: ChainCore;
  readonly #journal: LedgerJournal;
  readonly #clock: EpochClock;
  #nullRounds: number;
  readonly #listeners = new Set<(height: number) => void>();

  constructor(options: LedgerOptions) {
    this.#journal = openLedgerJournal(options.dir);
    const [first, ...rest] = this.#journal.entries;
    const policy = first?.op === 'genesis' ? readPolicy(first) : newPolicy(options);
    if (first === undefined) {
      this.#journal.append({ op: 'genesis', ...policy, collateralPerGib: policy.collateralPerGib.toString() });
    }
    this.core = new ChainCore(policy);
    for (const entry of rest) if (entry.op !== 'genesis') this.core.apply(entry);
    this.#nullRounds = options.nullRounds ?? 0;
    this.#clock = new EpochClock(options.epochMs, () => this.advance(1));
    if (options.isPaused !== true) this.#clock.start();
  }

  /** What keys and blocks are drawn from; the journal's own where there is one. */
  get seed(): string {
    return this.core.policy.seed;
  }

  get isPaused(): boolean {
    return !this.#clock.isRunning;
  }

  pause(): void {
    this.#clock.stop();
  }

  resume(): void {
    this.#clock.start();
  }

  /** Stops the clock; the ledger can be read on. */
  close(): void {
    this.#clock.stop();
    this.#listeners.clear();
  }

  onEpoch(listener: (height: number) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Moves the head on by so many epochs, at once. */
  advance(epochs: number): void {
    if (!Number.isSafeInteger(epochs) || epochs < 1 || epochs > MAX_EPOCHS_PER_ADVANCE) {
      throw new ChainRefusal('BAD_EPOCHS', `epochs is a whole number from 1 to ${MAX_EPOCHS_PER_ADVANCE}`);
    }
    const target = this.core.head.height + epochs;
    const isWatched = this.#listeners.size > 0;
    const limit = isWatched ? WATCHED_ADVANCE : LONG_ADVANCE;
    const edge = isWatched ? WATCHED_ADVANCE / 2 : 0;
    const quietEnd = epochs > limit ? target - edge : 0;
    while (this.core.head.height < target) {
      const { height } = this.core.head;
      if (height < quietEnd && height >= target - epochs + edge) this.#skip(quietEnd);
      else this.#extend(Math.min(target, this.#nextHeight()));
    }
  }

  /** From now on so large a share of the rounds has no tipset. */
  setNullRounds(rate: number): void {
    if (!(rate >= 0 && rate < 1)) throw new ChainRefusal('BAD_INPUT', 'nullRounds is from 0 to below 1');
    this.#nullRounds = rate;
  }

  /** Replaces the top tipsets by others without their messages. Finalized ones never go. */
  reorg({ depth, reland = true, reuseIds = false }: ReorgOptions): void {
    const base = Number.isSafeInteger(depth) && depth > 0 ? this.core.store.below(depth) : undefined;
    if (base === undefined || base.height < this.finalized().height) {
      const message = `no reorg of depth ${depth}: it takes 1 or more tipsets, and none at or below the finalized height ${this.finalized().height}`;
      throw new ChainRefusal('BAD_DEPTH', message);
    }
    this.record({ op: 'reorg', depth, reland, reuseIds });
    this.#notify();
  }

  /** The tipset that can no longer be dropped, as of `head`. */
  finalized(head: Tipset = this.core.head): Tipset {
    return this.core.store.atOrBelow(Math.max(0, head.height - this.core.policy.finalityEpochs));
  }

  isFinal(height: number): boolean {
    return height <= this.finalized().height;
  }

  protected record(entry: Exclude<LedgerEntry, { op: 'genesis' }>): void {
    this.#journal.append(entry);
    this.core.apply(entry);
  }

  protected push(signed: SignedMessage): void {
    if (this.core.pool.has(signed)) return;
    this.record({ op: 'push', ...storeMessage(signed) });
  }

  #extend(height: number): void {
    this.record({ op: 'tipset', height });
    this.#notify();
  }

  #skip(height: number): void {
    this.record({ op: 'stretch', height, nullRounds: this.#nullRounds });
    this.#notify();
  }

  #nextHeight(): number {
    let height = this.core.head.height + 1;
    while (isNullRound(this.core.policy.seed, height, this.#nullRounds)) height += 1;
    return height;
  }

  /** A listener that fails is its owner's fault: the chain goes on, and the fault is as loud as any other. */
  #notify(): void {
    const { height } = this.core.head;
    for (const listener of this.#listeners) {
      try {
        listener(height);
      } catch (error) {
        queueMicrotask(() => {
          throw error;
        });
      }
    }
  }
}

function newPolicy(options: LedgerOptions): ChainPolicy {
  return {
    seed: options.seed ?? randomBytes(SEED_BYTES).toString('hex'),
    networkName: options.networkName ?? 'devnet',
    genesisSeconds: options.genesisSeconds ?? Math.floor(Date.now() / 1_000),
    finalityEpochs: options.finalityEpochs ?? FINALITY_EPOCHS,
    collateralPerGib: options.collateralPerGib ?? COLLATERAL_PER_GIB,
  };
}

function readPolicy(entry: Extract<LedgerEntry, { op: 'genesis' }>): ChainPolicy {
  const { seed, networkName, genesisSeconds, finalityEpochs } = entry;
  return { seed, networkName, genesisSeconds, finalityEpochs, collateralPerGib: BigInt(entry.collateralPerGib) };
}
