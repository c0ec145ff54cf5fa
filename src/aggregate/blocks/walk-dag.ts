import type { CID } from 'multiformats/cid';
import { LadingError } from '../../errors.ts';
import { encodeSectionHead } from '../../filecoin/car.ts';
import { IDENTITY, RAW } from '../../filecoin/codes.ts';
import { BitSet } from '../receive/bit-set.ts';
import type { OpenBlocks } from './block-pool.ts';
import { linksWithin, type DagScope, type FileRange } from './entity-links.ts';
import { PendingLinks } from './pending-links.ts';
import type { StoredSection } from './upload-blocks.ts';

export interface Walk {
  /** Blocks that lead to the start, each told before it. */
  path: readonly CID[];
  start: CID;
  scope: DagScope;
  /** Of the file that starts there. */
  range?: FileRange | undefined;
  /** A block comes as often as links name it; otherwise once. */
  dups: boolean;
}

/**
 * The sections of a CAR: the path, then what the scope takes in depth-first order, each under the CID by which its link names
 * it. Bytes are views that are good until the next ones are asked for. Throws `STORED_BLOCK_MISSING` where one is not there.
 */
export async function* walkDag(open: OpenBlocks, walk: Walk): AsyncGenerator<Uint8Array> {
  const sent = new BitSet(walk.dups ? 0 : open.blocks.upload.blockCount);
  // Of a file a range of which is asked for, a node may come in part and later again.
  const walked = new BitSet(walk.dups ? 0 : open.blocks.upload.blockCount);
  for (const cid of walk.path) {
    const id = await numberOf(open, cid);
    if (!walk.dups && sent.has(id)) continue;
    sent.add(id);
    yield* sectionAs(cid, await open.blocks.read(id, cid, open.reader));
  }
  const pending = new PendingLinks();
  pending.push([{ cid: walk.start, range: walk.range }]);
  for (let link = pending.next(); link !== undefined; link = pending.next()) {
    const { cid, range } = link;
    if (cid.multihash.code === IDENTITY) {
      pending.push(linksWithin(walk.scope, cid, cid.multihash.digest, range));
      continue;
    }
    const id = await numberOf(open, cid);
    if (!walk.dups && walked.has(id)) continue;
    const found = await open.blocks.read(id, cid, open.reader);
    pending.push(linksWithin(walk.scope, cid, found.block, range));
    if (walk.dups || !sent.has(id)) yield* sectionAs(cid, found);
    if (walk.dups) continue;
    sent.add(id);
    if (range === undefined || cid.code === RAW) walked.add(id);
  }
}

async function numberOf({ blocks, reader }: OpenBlocks, cid: CID): Promise<number> {
  const id = blocks.known(cid) ?? (await blocks.find(cid, reader));
  if (id === undefined) throw missing(cid);
  return id;
}

/** As it is stored where its CID is of the version that is asked for. */
function* sectionAs(cid: CID, { cid: stored, section, block }: StoredSection): Generator<Uint8Array> {
  if (stored.version === cid.version) yield section;
  else {
    yield encodeSectionHead(cid, block.length);
    yield block;
  }
}

function missing(cid: CID): LadingError {
  return new LadingError('STORED_BLOCK_MISSING', `the block ${cid} is not stored`, {
    details: { cid: cid.toString() },
  });
}
