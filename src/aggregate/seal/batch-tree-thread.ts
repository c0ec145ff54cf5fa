import { setImmediate as letOthersRun } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { parseCid } from '../../filecoin/cid.ts';
import { buildBatchTree, type BatchEntry, type BatchPath } from './batch-tree.ts';

/** An upload as the database tells it, without anything that a thread could not be sent. */
export interface TreeEntry {
  root: string;
  dagBytes: number;
  nodeCount: number;
}

/** A batch tree of which the main thread needs no more: what to store, and where each upload hangs. */
export interface PlainTree {
  /** CIDv1 in base32. */
  batchRoot: string;
  /** All blocks as CAR sections, the root's first. */
  sections: readonly Uint8Array<ArrayBuffer>[];
  sectionBytes: number;
  /** Link indexes, three an entry, in the order the entries were given. */
  indexes: Int32Array<ArrayBuffer>;
}

export type TreeRequest = { kind: 'entries'; entries: readonly TreeEntry[] } | { kind: 'build'; description: string };

/** This many are built in some milliseconds: sooner than a thread starts. */
const ENTRIES_INLINE = 200;
/** Copied to the thread at once, in about a millisecond. */
const ENTRIES_PER_MESSAGE = 1_000;
const INDEXES_PER_ENTRY = 3;
/** What is built is mostly garbage at once: more room for it would only be more memory. It bounds no tree. */
const YOUNG_GENERATION_MIB = 16;
/**
 * Four times of what a tree's entries take: it bounds no tree either. But V8 lets a heap grow the less between two
 * collections, the less it may have at most; with its own bound it kept twice as much garbage as there were entries.
 */
const OLD_GENERATION_BASE_MIB = 256;
const OLD_GENERATION_ENTRIES_PER_MIB = 512;

/** The tree in its plain form; seconds for 100,000 entries, so for many only in a thread. */
export function buildPlainTree(entries: readonly TreeEntry[], description: string): PlainTree {
  const { root, sections, sectionBytes, paths } = buildBatchTree(batchEntries(entries), description);
  const indexes = new Int32Array(entries.length * INDEXES_PER_ENTRY);
  for (const [at, entry] of entries.entries()) {
    indexes.set(paths.get(entry.root)?.indexes ?? [], at * INDEXES_PER_ENTRY);
  }
  return { batchRoot: root.toString(), sections, sectionBytes, indexes };
}

/** One CID at a time: 100,000 of them would hold 80 MB. */
function* batchEntries(entries: readonly TreeEntry[]): Generator<BatchEntry> {
  for (const { root, dagBytes, nodeCount } of entries) yield { cid: parseCid(root), dagBytes, nodeCount };
}

/** The selector of the entry at a place of the list that the tree was built of. */
export function selectorAt({ indexes }: Pick<PlainTree, 'indexes'>, at: number): BatchPath['selector'] {
  const own = indexes.subarray(at * INDEXES_PER_ENTRY, (at + 1) * INDEXES_PER_ENTRY);
  return `Links/${own.join('/Hash/Links/')}/Hash`;
}

/**
 * The batch tree of an aggregate without holding the event loop: a large one is built in a thread of its own, whose
 * memory goes with it. The entries' roots are as stored (CIDv1 base32). Throws `BATCH_EMPTY`, and what ends the thread.
 */
export async function buildTreeAside(
  entries: readonly TreeEntry[],
  description: string,
  signal: AbortSignal,
): Promise<PlainTree> {
  if (entries.length <= ENTRIES_INLINE) return buildPlainTree(entries, description);
  const resourceLimits = {
    maxYoungGenerationSizeMb: YOUNG_GENERATION_MIB,
    maxOldGenerationSizeMb: OLD_GENERATION_BASE_MIB + Math.ceil(entries.length / OLD_GENERATION_ENTRIES_PER_MIB),
  };
  const worker = new Worker(new URL('./batch-tree-worker.ts', import.meta.url), { resourceLimits });
  const stop = () => void worker.terminate();
  signal.addEventListener('abort', stop, { once: true });
  try {
    const built = answerOf(worker, signal);
    // It is awaited only when all is sent, and a thread may end before that.
    built.catch(() => undefined);
    await sendAll(worker, entries);
    worker.postMessage({ kind: 'build', description } satisfies TreeRequest, []);
    return await built;
  } finally {
    signal.removeEventListener('abort', stop);
    await worker.terminate();
  }
}

async function sendAll(worker: Worker, entries: readonly TreeEntry[]): Promise<void> {
  for (let at = 0; at < entries.length; at += ENTRIES_PER_MESSAGE) {
    const some = entries.slice(at, at + ENTRIES_PER_MESSAGE);
    const plain = some.map(({ root, dagBytes, nodeCount }) => ({ root, dagBytes, nodeCount }));
    worker.postMessage({ kind: 'entries', entries: plain } satisfies TreeRequest, []);
    await letOthersRun();
  }
}

function answerOf(worker: Worker, signal: AbortSignal): Promise<PlainTree> {
  return new Promise((resolve, reject) => {
    worker.once('message', (tree: PlainTree) => resolve(tree));
    worker.once('error', reject);
    worker.once('exit', (code) => {
      reject(signal.aborted ? signal.reason : new Error(`the thread that builds a batch tree ended with code ${code}`));
    });
  });
}
