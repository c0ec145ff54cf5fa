import { findPath, rootsFromBytes } from '../../src/aggregate/bytes/prove.ts';
import type { InclusionProof } from '../../src/filecoin/inclusion-proof.ts';
import { car, type Block } from './car-builder.ts';
import { memoryAggregate } from './memory-aggregate.ts';
import { BATCH_ROOT } from './seed-rows.ts';

const { signal } = new AbortController();

export interface ProvenUpload {
  blocks: readonly Block[];
  car: Buffer;
  proof: InclusionProof;
}

/** Uploads of one aggregate, each with its proof; the first block of each is its root. */
export async function provenUploads(
  runs: readonly (readonly Block[])[],
  deals: number[] = [],
): Promise<ProvenUpload[]> {
  const piece = memoryAggregate(runs);
  const { pieceCid, pieceSize } = piece;
  const uploads: ProvenUpload[] = [];
  for (const [at, blocks] of runs.entries()) {
    const place = { ...(piece.places[at] ?? { start: 0, end: 0 }), pieceSize };
    const path = await findPath(piece.car, place, { subtreeRoot: rootsFromBytes(piece.car), signal });
    const root = blocks[0]?.cid.toV1().toString() ?? '';
    const selector = `Links/${at + 1}/Hash/Links/0/Hash/Links/0/Hash`;
    const proof = { ...path, pieceCid, batchRootCid: BATCH_ROOT, root, selector, deals };
    uploads.push({
      blocks,
      car: car(
        blocks.slice(0, 1).map(({ cid }) => cid),
        blocks,
      ),
      proof,
    });
  }
  return uploads;
}

export function blockList(blocks: readonly Block[]): string[] {
  return blocks.map(({ cid }) => cid.toString());
}
