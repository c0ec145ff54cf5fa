import type { CID } from 'multiformats/cid';
import { carV1Header } from '../filecoin/car.ts';
import { canonicalCid } from '../filecoin/cid.ts';
import { ClientError } from './client-error.ts';
import { rootMissing, section, sectionBytes } from './plan-parts.ts';
import type { CarBlock } from './read-car.ts';

/** One request's worth of a CAR that is read once: a CAR of its own, with the root's block in it. */
export interface StreamPart {
  bytes: number;
  chunks: Uint8Array[];
}

interface StreamInput {
  root: CID;
  blocks: AsyncIterable<CarBlock>;
  partBytes: number;
}

/**
 * Cuts blocks as they come into parts. Throws `ROOT_NOT_IN_CAR`, and `ROOT_TOO_LATE` where a whole part comes before
 * the root's block, which every part needs.
 */
export async function* cutStream({ root, blocks, partBytes }: StreamInput): AsyncGenerator<StreamPart> {
  const rootKey = canonicalCid(root);
  let top: CarBlock | undefined;
  let held: CarBlock[] = [];
  let heldBytes = 0;
  for await (const block of blocks) {
    const length = sectionBytes(block);
    if (held.length > 0 && heldBytes + length > partBytes) {
      if (top === undefined) throw rootTooLate(heldBytes);
      yield carOf(top, held);
      held = [];
      heldBytes = 0;
    }
    if (top === undefined && canonicalCid(block.cid) === rootKey) top = block;
    else held.push(block);
    heldBytes += length;
  }
  if (top === undefined) throw rootMissing();
  yield carOf(top, held);
}

/** A whole CAR of the root's block and these. */
export function carOf(top: CarBlock, held: readonly CarBlock[]): StreamPart {
  const chunks = [carV1Header(top.cid), ...section(top), ...held.flatMap((block) => [...section(block)])];
  return { bytes: chunks.reduce((sum, { length }) => sum + length, 0), chunks };
}

function rootTooLate(heldBytes: number): ClientError {
  return new ClientError(
    'ROOT_TOO_LATE',
    `the root's block is not among the first ${heldBytes} bytes of the stream: give the CAR as a Blob, as bytes, or as a function that opens it anew`,
  );
}
