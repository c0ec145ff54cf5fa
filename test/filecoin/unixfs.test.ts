import * as dagPb from '@ipld/dag-pb';
import * as fc from 'fast-check';
import { UnixFS } from 'ipfs-unixfs';
import { importer } from 'ipfs-unixfs-importer';
import { fixedSize } from 'ipfs-unixfs-importer/chunker';
import { balanced } from 'ipfs-unixfs-importer/layout';
import { CID } from 'multiformats/cid';
import * as raw from 'multiformats/codecs/raw';
import { sha256 } from 'multiformats/hashes/sha2';
import { describe, expect, test } from 'vitest';
import { directoryNode, fileLeaf, fileTree, FILE_NODE_LINKS } from '../../src/filecoin/unixfs.ts';

/** What another implementation makes of the same bytes: root and all its blocks. */
async function imported(
  content: Uint8Array,
  chunkSize: number,
): Promise<{ root: string; size: bigint; cids: string[] }> {
  const cids: string[] = [];
  const blocks = {
    put: (cid: CID) => {
      cids.push(cid.toString());
      return cid;
    },
  };
  const options = {
    rawLeaves: true,
    cidVersion: 1 as const,
    chunker: fixedSize({ chunkSize }),
    layout: balanced({ maxChildrenPerNode: FILE_NODE_LINKS }),
  };
  for await (const { cid, size } of importer([{ content }], blocks, options))
    return { root: cid.toString(), size, cids };
  throw new Error('nothing imported');
}

function ours(content: Uint8Array, chunkSize: number) {
  const leaves = [];
  for (let at = 0; at < content.length; at += chunkSize) leaves.push(fileLeaf(content.subarray(at, at + chunkSize)));
  const { root, nodes } = fileTree(leaves);
  return { root: root.cid.toString(), fileBytes: root.fileBytes, leaves, nodes };
}

describe('a file', () => {
  test.each([1, 10, 11, 174 * 10, 174 * 10 + 1, 174 * 174 * 10 + 5])(
    'of %i bytes is what kubo’s layout makes',
    async (length) => {
      const content = Uint8Array.from({ length }, (_, at) => at ^ (at >> 7));
      const expected = await imported(content, 10);
      const { root, fileBytes, leaves, nodes } = ours(content, 10);
      expect({ root, fileBytes }).toEqual({ root: expected.root, fileBytes: length });
      expect(new Set([...leaves, ...nodes].map(({ cid }) => cid.toString()))).toEqual(new Set(expected.cids));
    },
  );

  test('lists its root first among its nodes, and none if it is one leaf', () => {
    const two = ours(new Uint8Array(20), 10);
    expect(two.nodes.map(({ cid }) => cid.toString())).toEqual([two.root]);
    expect(ours(new Uint8Array(7), 10).nodes).toEqual([]);
    expect(() => fileTree([])).toThrow(RangeError);
  });
});

describe('a directory', () => {
  test('sorts its links bytewise and sums what lies below', async () => {
    const cid = CID.createV1(raw.code, await sha256.digest(new Uint8Array(3)));
    fc.assert(
      fc.property(fc.uniqueArray(fc.string({ unit: 'binary', minLength: 1 }), { maxLength: 8 }), (names) => {
        const node = directoryNode(names.map((name, at) => ({ name, cid, tsize: at })));
        const { Data, Links } = dagPb.decode(node.bytes);
        const expected = names.map((name) => Buffer.from(name)).sort(Buffer.compare);
        expect(Links.map(({ Name }) => Buffer.from(Name ?? ''))).toEqual(expected);
        expect(UnixFS.unmarshal(Data ?? new Uint8Array()).type).toBe('directory');
        expect(node.tsize).toBe(node.bytes.length + (names.length * (names.length - 1)) / 2);
      }),
    );
  });

  test('is named by the hash of its bytes', async () => {
    const { cid, bytes } = directoryNode([]);
    expect(cid.equals(CID.createV1(dagPb.code, await sha256.digest(bytes)))).toBe(true);
    // The empty directory has a CID that everyone on IPFS knows.
    expect(cid.toString()).toBe('bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354');
  });
});
