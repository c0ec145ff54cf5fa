import { CarBlockIterator } from '@ipld/car';
import * as dagPb from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';
import { sha256 } from 'multiformats/hashes/sha2';
import { equals } from 'multiformats/bytes';

interface Verified {
  blocks: number;
  bytes: number;
  pieceCid: string;
  selector: string;
}

export interface VerifyInput {
  pieceUrl: string;
  token: string;
  batchRootCid: string;
  selector: string;
  root: CID;
  /** The upload's own blocks, as they were sent. */
  sent: AsyncIterable<{ cid: CID; bytes: Uint8Array }>;
}

async function fetchPiece(input: VerifyInput): Promise<Map<string, Uint8Array>> {
  const response = await fetch(input.pieceUrl, { headers: { authorization: `Bearer ${input.token}` } });
  if (!response.ok || response.body === null) throw new Error(`${input.pieceUrl} answered ${response.status}`);
  const blocks = new Map<string, Uint8Array>();
  for await (const { cid, bytes } of await CarBlockIterator.fromIterable(response.body))
    blocks.set(cid.toString(), bytes);
  return blocks;
}

/** Follows `Links/i/Hash/…` from the batch root through blocks of the piece alone. */
function walkSelector(blocks: Map<string, Uint8Array>, batchRootCid: string, selector: string): CID {
  let at = CID.parse(batchRootCid);
  for (const [, index] of selector.matchAll(/Links\/(\d+)\/Hash/g)) {
    const bytes = blocks.get(at.toString());
    if (bytes === undefined) throw new Error(`block ${at} of the batch tree is not in the piece`);
    const link = dagPb.decode(bytes).Links[Number(index)];
    if (link === undefined) throw new Error(`block ${at} has no link ${index}`);
    at = link.Hash;
  }
  return at;
}

/**
 * What a stranger would do with one answer of `/check`: fetch the piece, walk the selector from the batch root to the
 * upload's root, and compare every block that was sent with the block in the piece. Throws where they differ.
 */
export async function verifyUpload(input: VerifyInput): Promise<Verified> {
  const blocks = await fetchPiece(input);
  const found = walkSelector(blocks, input.batchRootCid, input.selector);
  if (!found.equals(input.root)) throw new Error(`the selector leads to ${found}, not to ${input.root}`);
  let count = 0;
  let size = 0;
  for await (const { cid, bytes } of input.sent) {
    const stored = blocks.get(cid.toString());
    if (stored === undefined || !equals(stored, bytes))
      throw new Error(`block ${cid} is missing or differs in the piece`);
    const digest = await sha256.digest(stored);
    if (!equals(digest.digest, cid.multihash.digest)) throw new Error(`block ${cid} does not hash to its CID`);
    count += 1;
    size += bytes.length;
  }
  return { blocks: count, bytes: size, pieceCid: input.pieceUrl.split('/').at(-1) ?? '', selector: input.selector };
}
