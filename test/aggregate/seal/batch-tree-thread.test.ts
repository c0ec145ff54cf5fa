import { CID } from 'multiformats/cid';
import * as dagPb from '@ipld/dag-pb';
import * as Digest from 'multiformats/hashes/digest';
import { sha256 } from 'multiformats/hashes/sha2';
import { expect, test } from 'vitest';
import { BATCH_DESCRIPTION } from '../../../src/aggregate/seal/batch-manifest.ts';
import { buildTreeAside, selectorAt, type TreeEntry } from '../../../src/aggregate/seal/batch-tree-thread.ts';
import { buildBatchTree } from '../../../src/aggregate/seal/batch-tree.ts';

const never = new AbortController().signal;

function entryOf(seed: number): TreeEntry {
  const digest = new Uint8Array(32);
  new DataView(digest.buffer).setUint32(0, Math.imul(seed + 1, 0x9e37_79b1));
  new DataView(digest.buffer).setUint32(28, Math.imul(seed + 1, 0x85eb_ca6b));
  const root = CID.createV1(dagPb.code, Digest.create(sha256.code, digest)).toString();
  return { root, dagBytes: seed * 3, nodeCount: seed };
}

// Few are built at once, many in a thread that gets them in several messages.
test.each([1, 2_500])('%i entries make the tree that they make at once, wherever it is built', async (count) => {
  const entries = Array.from({ length: count }, (_, seed) => entryOf(seed));
  const expected = buildBatchTree(
    entries.map(({ root, dagBytes, nodeCount }) => ({ cid: CID.parse(root), dagBytes, nodeCount })),
    BATCH_DESCRIPTION,
  );
  const tree = await buildTreeAside(entries, BATCH_DESCRIPTION, never);
  expect(tree.batchRoot).toBe(expected.root.toString());
  expect(tree.sectionBytes).toBe(expected.sectionBytes);
  expect(Buffer.concat(tree.sections).equals(Buffer.concat(expected.sections))).toBe(true);
  expect(entries.map((_, at) => selectorAt(tree, at))).toEqual(
    entries.map(({ root }) => expected.paths.get(root)?.selector),
  );
});

test('what is wrong in the thread is told', async () => {
  const entries = [...Array.from({ length: 300 }, (_, seed) => entryOf(seed)), { ...entryOf(0), root: 'no CID' }];
  await expect(buildTreeAside(entries, BATCH_DESCRIPTION, never)).rejects.toThrow('no CID');
});

test('stops when told to, with the reason', async () => {
  const entries = Array.from({ length: 20_000 }, (_, seed) => entryOf(seed));
  const stop = new AbortController();
  const built = buildTreeAside(entries, BATCH_DESCRIPTION, stop.signal);
  stop.abort(new Error('told to stop'));
  await expect(built).rejects.toThrow('told to stop');
});
