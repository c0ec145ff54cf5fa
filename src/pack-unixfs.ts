import { importer, type ImportCandidate, type ImporterOptions } from 'ipfs-unixfs-importer';
import { fixedSize } from 'ipfs-unixfs-importer/chunker';
import { balanced } from 'ipfs-unixfs-importer/layout';
import type { CID } from 'multiformats/cid';

/** What the nft.storage client packs with: 1 MiB chunks, 1024 children a node, raw leaves, CIDv1. */
const CHUNK_BYTES = 1_048_576;
const CHILDREN_PER_NODE = 1_024;

const importerOptions: ImporterOptions = {
  cidVersion: 1,
  rawLeaves: true,
  wrapWithDirectory: false,
  chunker: fixedSize({ chunkSize: CHUNK_BYTES }),
  layout: balanced({ maxChildrenPerNode: CHILDREN_PER_NODE }),
  // One after another: the order of blocks, and so every byte of the CAR, is the same each time.
  fileImportConcurrency: 1,
  blockWriteConcurrency: 1,
};

/**
 * Packs files as the nft.storage client does. Hands each block over once, leaves first, and waits for it to be taken;
 * answers the root. Memory: a chunk, a node, and the CIDs.
 */
export async function packUnixfs(
  files: AsyncIterable<ImportCandidate> | Iterable<ImportCandidate>,
  take: (cid: CID, bytes: Uint8Array) => Promise<void>,
): Promise<CID | undefined> {
  const seen = new Set<string>();
  const blockstore = {
    async put(cid: CID, bytes: Uint8Array): Promise<CID> {
      const key = cid.toString();
      if (!seen.has(key)) {
        seen.add(key);
        await take(cid, bytes);
      }
      return cid;
    },
  };
  let root: CID | undefined;
  for await (const entry of importer(files, blockstore, importerOptions)) root = entry.cid;
  return root;
}
