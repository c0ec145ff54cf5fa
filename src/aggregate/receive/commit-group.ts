import { randomUUID } from 'node:crypto';
import { setImmediate as turn } from 'node:timers/promises';
import type { ReceiveDeps } from './receive.ts';
import { attemptTransaction } from './attempt-transaction.ts';
import type { GatherBudget } from './gather-run.ts';
import { findStandings, insertFresh, type FreshUpload } from './group-store.ts';
import { noteSent } from './note-sent.ts';
import { decideUpload, type SettleInput } from './settle-upload.ts';
import { dropObject, segmentKey, trySettle } from './settle-object.ts';

/** Small uploads in memory, those still arriving included: the rest of a service of 300 MiB stays for others. */
const MAX_GATHERED_BYTES = 32 * 1024 * 1024;
/** One segment: written and synced in some tens of milliseconds, and one request where the store is S3. */
const GROUP_BYTES = 16 * 1024 * 1024;
/** Rows of one insert: some tens of milliseconds of the database. */
const GROUP_UPLOADS = 1_000;
/** Transactions side by side for uploads that need one of their own: others need the pool too. */
const LANES = 3;

type GroupDeps = Pick<ReceiveDeps, 'kysely' | 'store' | 'jobs' | 'clock' | 'log' | 'onComplete'>;

/** A small upload, its sections in memory. */
export interface SmallUpload {
  settle: Omit<SettleInput, 'object' | 'at'>;
  chunks: readonly Uint8Array[];
  /** Aborted when the caller is gone. */
  signal: AbortSignal;
}

/** `fresh`: it was new and complete, and this is all that is to be known of it. */
export interface GroupSettled {
  uploadId: bigint;
  complete: boolean;
  fresh?: FreshUpload & { at: Date };
}

interface Entry extends SmallUpload {
  resolve(settled: GroupSettled): void;
  reject(error: unknown): void;
}

/** An upload of a group that has its place in the segment; without one when its bytes are held already. */
interface Placed {
  entry: Entry;
  object: { key: string; offset: number } | undefined;
}

/**
 * Group commit: what arrives while one group is written is the next one, so that nobody waits on a quiet service and a
 * busy one makes many uploads durable by one object and one transaction. Answers of `add` come only after both.
 */
export class GroupCommit implements GatherBudget {
  readonly #deps: GroupDeps;
  #queue: Entry[] = [];
  #gatheredBytes = 0;
  #draining: Promise<void> | undefined;
  readonly #apart = new Set<Promise<void>>();

  constructor(deps: GroupDeps) {
    this.#deps = deps;
  }

  take(bytes: number): boolean {
    if (this.#gatheredBytes + bytes > MAX_GATHERED_BYTES) return false;
    this.#gatheredBytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.#gatheredBytes -= bytes;
  }

  /** Resolves once the upload is durable in store and database; throws what kept it from that. */
  add(upload: SmallUpload): Promise<GroupSettled> {
    return new Promise((resolve, reject) => {
      this.#queue.push({ ...upload, resolve, reject });
      this.#draining ??= this.#drain();
    });
  }

  /** Resolves when nothing waits and nothing is in hand. */
  async idle(): Promise<void> {
    while (this.#draining !== undefined || this.#apart.size > 0) await Promise.all([this.#draining, ...this.#apart]);
  }

  async #drain(): Promise<void> {
    // What else arrived in this turn of the event loop comes along.
    await turn();
    while (this.#queue.length > 0) {
      const group = this.#takeGroup();
      // Whatever is not foreseen is told to those whom it meets, and the next group goes on.
      await this.#commit(group).catch((error: unknown) => rejectAll(group, error));
    }
    this.#draining = undefined;
  }

  /** The oldest that fit into one segment, less those whose callers are gone. */
  #takeGroup(): Entry[] {
    let bytes = 0;
    let count = 0;
    for (const { settle } of this.#queue) {
      bytes += settle.facts.runBytes;
      if (count > 0 && (bytes > GROUP_BYTES || count >= GROUP_UPLOADS)) break;
      count += 1;
    }
    return this.#queue.splice(0, count).filter(({ signal, reject }) => {
      if (signal.aborted) reject(signal.reason);
      return !signal.aborted;
    });
  }

  async #commit(group: readonly Entry[]): Promise<void> {
    const standings = await findStandings(this.#deps.kysely, group.map(rootOf));
    const isHeld = (entry: Entry) => decideUpload(standings.get(rootOf(entry)), isComplete(entry)) === 'own';
    const key = segmentKey(randomUUID());
    const placed = layOut(
      group.filter((entry) => !isHeld(entry)),
      key,
    );
    const rest: Placed[] = group.filter(isHeld).map((entry) => ({ entry, object: undefined }));
    const roots = new Set<string>();
    const fresh = placed.filter(({ entry }) => {
      const root = rootOf(entry);
      const isFresh = !standings.has(root) && !roots.has(root) && isComplete(entry);
      roots.add(root);
      return isFresh;
    });
    const segment = { key, isNamed: false };
    try {
      await this.#write(key, placed);
    } catch (error) {
      rejectAll(
        placed.map(({ entry }) => entry),
        error,
      );
      this.#settleApart(rest, undefined);
      return;
    }
    rest.push(...placed.filter((one) => !fresh.includes(one)), ...(await this.#settleFresh(fresh, segment)));
    this.#settleApart(rest, placed.length > 0 ? segment : undefined);
  }

  async #write(key: string, placed: readonly Placed[]): Promise<void> {
    if (placed.length === 0) return;
    const staged = await this.#deps.store.stage(key);
    try {
      for (const { entry } of placed) for (const chunk of entry.chunks) await staged.write(chunk);
      await staged.commit();
    } finally {
      // Nothing to abort once it was committed.
      await staged.abort();
    }
  }

  /** One transaction for all; answers those that need one of their own. */
  async #settleFresh(fresh: readonly Placed[], segment: Segment): Promise<readonly Placed[]> {
    if (fresh.length === 0) return [];
    const { kysely, jobs, clock, onComplete } = this.#deps;
    const at = clock.now();
    const attempt = await attemptTransaction(kysely, async (trx) => {
      const sent = fresh.map(({ entry }) => entry.settle).filter(({ forPin }) => !forPin);
      await noteSent(trx, sent);
      const made = await insertFresh(trx, fresh.map(freshRun), { objectKey: segment.key, at });
      if (made.size > 0) await jobs.send(trx, 'stow', {});
      const ids = [...made.values()].map(({ uploadId }) => uploadId);
      if (ids.length > 0) await onComplete?.(trx, ids);
      return made;
    });
    if (attempt.done) return acknowledge(fresh, attempt.result, { at, segment });
    segment.isNamed ||= attempt.uncertain;
    if (!attempt.uncertain && fresh.length > 1) return fresh;
    rejectAll(
      fresh.map(({ entry }) => entry),
      attempt.error,
    );
    return [];
  }

  /** Beside the next groups, because one that completes an upload in parts may take seconds. */
  #settleApart(placed: readonly Placed[], segment: Segment | undefined): void {
    const work = this.#settleEach([...placed], segment).finally(() => this.#apart.delete(work));
    this.#apart.add(work);
  }

  async #settleEach(placed: Placed[], segment: Segment | undefined): Promise<void> {
    const lane = async () => {
      for (let one = placed.shift(); one !== undefined; one = placed.shift()) await this.#settleOne(one, segment);
    };
    await Promise.all(Array.from({ length: LANES }, lane));
    if (segment !== undefined && !segment.isNamed) await dropObject(this.#deps, segment.key);
  }

  async #settleOne({ entry, object }: Placed, segment: Segment | undefined): Promise<void> {
    const attempt = await trySettle(this.#deps, { ...entry.settle, object, at: this.#deps.clock.now() });
    if (attempt.done) {
      const { uploadId, complete, unneeded } = attempt.result;
      if (segment !== undefined && object !== undefined && !unneeded.includes(object.key)) segment.isNamed = true;
      entry.resolve({ uploadId, complete });
      return;
    }
    if (segment !== undefined && object !== undefined) segment.isNamed ||= attempt.uncertain;
    entry.reject(attempt.error);
  }
}

interface Segment {
  key: string;
  /** A row names it, or may. */
  isNamed: boolean;
}

function rootOf({ settle }: Entry): string {
  return settle.root;
}

function isComplete({ settle }: Entry): boolean {
  return settle.facts.missing === undefined;
}

function layOut(entries: readonly Entry[], key: string): Placed[] {
  let offset = 0;
  return entries.map((entry) => {
    const placed = { entry, object: { key, offset } };
    offset += entry.settle.facts.runBytes;
    return placed;
  });
}

function freshRun({ entry: { settle }, object }: Placed) {
  const { runBytes, dagBytes, blockCount } = settle.facts;
  return { root: settle.root, owner: settle.owner, runBytes, dagBytes, blockCount, objectOffset: object?.offset ?? 0 };
}

/** Answers those that another transaction made first. */
function acknowledge(
  fresh: readonly Placed[],
  made: Map<string, FreshUpload>,
  { at, segment }: { at: Date; segment: Segment },
): Placed[] {
  if (made.size > 0) segment.isNamed = true;
  return fresh.filter(({ entry }) => {
    const upload = made.get(rootOf(entry));
    if (upload !== undefined) entry.resolve({ uploadId: upload.uploadId, complete: true, fresh: { ...upload, at } });
    return upload === undefined;
  });
}

function rejectAll(entries: readonly Entry[], error: unknown): void {
  for (const { reject } of entries) reject(error);
}
