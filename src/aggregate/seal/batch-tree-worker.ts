import { parentPort } from 'node:worker_threads';
import { buildPlainTree, type TreeEntry, type TreeRequest } from './batch-tree-thread.ts';

const entries: TreeEntry[] = [];

/** Takes the entries, then builds the one tree that this thread is for. */
function take(request: TreeRequest): void {
  if (request.kind === 'entries') {
    entries.push(...request.entries);
    return;
  }
  const tree = buildPlainTree(entries, request.description);
  const buffers = new Set(tree.sections.map(({ buffer }) => buffer));
  parentPort?.postMessage(tree, [...buffers, tree.indexes.buffer]);
}

parentPort?.on('message', take);
