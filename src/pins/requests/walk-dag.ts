import { CID } from 'multiformats/cid';
import { keyOf } from '../../aggregate/receive/dag-tracker.ts';
import { BadInput, describeError, LadingError } from '../../errors.ts';
import { verifyBlock } from '../../filecoin/block-hash.ts';
import { openCar, defaultCarLimits } from '../../filecoin/car.ts';
import { RAW } from '../../filecoin/codes.ts';
import { concat } from '../../filecoin/concat.ts';
import { linksOf } from '../../filecoin/dag.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import type { BlockSource } from './block-source.ts';
import { SeenKeys } from './seen-keys.ts';

export interface WalkedBlock {
  cid: CID;
  /** Good until the next block is asked for. */
  bytes: Uint8Array;
}

export interface WalkOptions {
  sources: readonly BlockSource[];
  /** Those of the keys (binary CIDv1s) whose blocks are held already; without it none is. */
  heldAmong?: ((keys: readonly Buffer[]) => Promise<ReadonlySet<string>>) | undefined;
  signal: AbortSignal;
  limits?: Partial<WalkLimits>;
}

export interface WalkLimits {
  /** CIDs that are wanted at a time: 25 MB of memory. More are left to the next walk. */
  maxWanted: number;
  /** Blocks asked for side by side. */
  lanes: number;
  /** What a source may send beside what is wanted, whatever it sends of that. */
  strayBytes: number;
  /** A source that gives no wanted block for so long is left. */
  idleMs: number;
  /** Requests in a row that bring nothing, until the next source has its turn. */
  strikes: number;
}

const defaults: WalkLimits = {
  maxWanted: 200_000,
  // As many blocks of 8 MiB are in memory.
  lanes: 8,
  strayBytes: 64 * 1024 * 1024,
  idleMs: 120_000,
  strikes: 3,
};

/** What is wrong with the block itself, whoever sends it. */
class BadBlock extends BadInput {}

/** A source did what makes it worthless: it is asked no more in this walk. */
class BadSource extends LadingError {}

/**
 * Fetches what is wanted and all below it, from one source after another: as CARs where there is something below, block by
 * block where not, or where a source has no CARs. Every block is checked, and only what a checked block links to is taken.
 * A CAR that breaks off is gone on with at what is missing. Memory is bounded whatever the DAG.
 */
export class DagWalk {
  readonly #options: WalkOptions;
  readonly #limits: WalkLimits;
  /** Keys in the order in which they were found. */
  readonly #wanted = new Set<string>();
  readonly #seen = new SeenKeys();
  readonly #rawOnly = new Set<BlockSource>();
  #taken = 0;
  #takenBytes = 0;
  /** What sources did wrong, the last first; a few. */
  readonly faults: string[] = [];

  constructor(roots: readonly CID[], options: WalkOptions) {
    this.#options = options;
    this.#limits = { ...defaults, ...options.limits };
    for (const root of roots) this.#wanted.add(keyOf(root));
  }

  /**
   * Ends when all came, or no source gives more, or the signal is aborted: what a source does wrong ends nothing. Throws
   * `BadInput` for a block that is sound and cannot be kept (`UNKNOWN_CODEC`, …).
   */
  async *blocks(): AsyncGenerator<WalkedBlock> {
    for (const source of this.#options.sources) {
      if (this.#isOver()) return;
      yield* this.#from(source);
    }
  }

  #isOver(): boolean {
    return this.#wanted.size === 0 || this.#seen.isFull || this.#options.signal.aborted;
  }

  async *#from(source: BlockSource): AsyncGenerator<WalkedBlock> {
    for (let strikes = 0; strikes < this.#limits.strikes && !this.#isOver(); strikes += 1) {
      const before = this.#taken;
      const asked = this.#next(source);
      const [first] = asked;
      const carOf = this.#asksForCar(source, first) ? first : undefined;
      try {
        yield* carOf === undefined ? this.#each(source, asked) : this.#car(source, carOf);
      } catch (error) {
        if (error instanceof BadBlock) throw error;
        if (this.#options.signal.aborted) return;
        this.#note(source, error);
        if (error instanceof BadSource || isSlow(error)) return;
      }
      // What it did not give now may be elsewhere: others first.
      for (const cid of asked) if (this.#wanted.delete(keyOf(cid))) this.#wanted.add(keyOf(cid));
      if (this.#taken > before) strikes = -1;
      // Nothing is left to ask it for.
      else if (carOf === undefined && asked.length >= this.#wanted.size) return;
    }
  }

  #note(source: BlockSource, error: unknown): void {
    this.faults.unshift(`${source.name}: ${describeError(error)}`);
    this.faults.length = Math.min(this.faults.length, this.#limits.strikes);
  }

  #asksForCar(source: BlockSource, cid: CID | undefined): cid is CID {
    return cid !== undefined && cid.code !== RAW && !this.#rawOnly.has(source);
  }

  /** The first that is wanted, and what can be asked for beside it. */
  #next(source: BlockSource): CID[] {
    const next: CID[] = [];
    for (const key of this.#wanted) {
      const cid = CID.decode(Buffer.from(key, 'latin1'));
      if (this.#asksForCar(source, cid)) return next.length === 0 ? [cid] : next;
      next.push(cid);
      if (next.length >= this.#limits.lanes) break;
    }
    return next;
  }

  async *#car(source: BlockSource, root: CID): AsyncGenerator<WalkedBlock> {
    const { signal, idle } = this.#idleSignal(source);
    const before = this.#taken;
    try {
      using answer = await source.car(root, signal);
      const { sections } = await openCar(answer.body, defaultCarLimits, { passing: true });
      let strayBytes = 0;
      for await (const { cid, bytes } of sections) {
        if (this.#isOver()) return;
        if (await this.#takes(source, cid, bytes)) {
          idle.refresh();
          yield { cid, bytes };
        } else strayBytes += cid.bytes.length + bytes.length;
        if (strayBytes > this.#limits.strayBytes + this.#takenBytes)
          throw new BadSource('ORIGIN_FAILED', 'it sends much that was not asked for');
      }
      if (this.#taken === before) throw new LadingError('ORIGIN_FAILED', `its CAR has nothing of ${root}`);
    } catch (error) {
      // What it cannot give as a CAR it may have all the same.
      if (this.#taken === before && !(error instanceof BadSource) && !isSlow(error)) this.#rawOnly.add(source);
      throw error;
    } finally {
      clearTimeout(idle);
    }
  }

  #idleSignal(source: BlockSource) {
    const tooSlow = new AbortController();
    const { idleMs } = this.#limits;
    const idle = setTimeout(
      () => tooSlow.abort(new BadSource('ORIGIN_SLOW', `${source.name} gave no block within ${idleMs} ms`)),
      idleMs,
    );
    return { signal: AbortSignal.any([this.#options.signal, tooSlow.signal]), idle };
  }

  async *#each(source: BlockSource, cids: readonly CID[]): AsyncGenerator<WalkedBlock> {
    const asked = cids.map((cid) => readBlock(source, cid, this.#options.signal));
    const answers = await Promise.allSettled(asked);
    for (const [at, answer] of answers.entries()) {
      const cid = cids[at];
      if (cid === undefined) continue;
      if (answer.status === 'rejected') this.#note(source, answer.reason);
      else if (await this.#takes(source, cid, answer.value)) yield { cid, bytes: answer.value };
    }
  }

  /** True for a wanted block, which is sound; what it links to is wanted from now on. */
  async #takes(source: BlockSource, cid: CID, bytes: Uint8Array): Promise<boolean> {
    const key = keyOf(cid);
    if (!this.#wanted.has(key)) return false;
    this.#check(source, cid, bytes);
    const links = asBadBlock(() => linksOf(cid, bytes));
    this.#wanted.delete(key);
    this.#seen.add(key);
    this.#taken += 1;
    this.#takenBytes += bytes.length;
    if (links.length > 0) await this.#want(links);
    return true;
  }

  #check(source: BlockSource, cid: CID, bytes: Uint8Array): void {
    try {
      asBadBlock(() => verifyBlock(cid, bytes));
    } catch (error) {
      if (!(error instanceof BadBlock) || error.code !== 'HASH_MISMATCH') throw error;
      throw new BadSource('HASH_MISMATCH', `${source.name} sent other bytes than those of ${cid}`, { cause: error });
    }
  }

  async #want(links: readonly CID[]): Promise<void> {
    const fresh = new Set(links.map(keyOf).filter((key) => !this.#wanted.has(key) && !this.#seen.has(key)));
    const keys = [...fresh].map((key) => Buffer.from(key, 'latin1'));
    const held = keys.length === 0 ? undefined : await this.#options.heldAmong?.(keys);
    for (const key of fresh) {
      if (this.#wanted.size >= this.#limits.maxWanted) return;
      if (held?.has(key) !== true) this.#wanted.add(key);
    }
  }
}

/** It has not what is asked for, or no time for us. */
function isSlow(error: unknown): boolean {
  return error instanceof LadingError && error.code === 'ORIGIN_SLOW';
}

/** What is wrong with a block that is what its CID says is wrong with what was asked for. */
function asBadBlock<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (!(error instanceof FormatError)) throw error;
    throw new BadBlock(error.code, error.message, { cause: error, details: error.details });
  }
}

async function readBlock(source: BlockSource, cid: CID, signal: AbortSignal): Promise<Uint8Array> {
  using answer = await source.raw(cid, signal);
  const chunks: Uint8Array[] = [];
  for await (const chunk of answer.body) chunks.push(Uint8Array.from(chunk));
  return concat(chunks);
}
