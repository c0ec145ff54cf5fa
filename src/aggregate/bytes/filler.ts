import { hash } from 'node:crypto';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { encodeSectionHead } from '../../filecoin/car.ts';
import { RAW, SHA2_256 } from '../../filecoin/codes.ts';

/**
 * Zeros in one block of filler. Small, so that little more is added than asked for; large enough that indexers have few
 * sections to walk through. Stored piece CIDs rest on it, so it never changes.
 */
const FILLER_BLOCK_BYTES = 64 * 1024;
const SHA2_256_BYTES = 32;

/** Length in its shortest form (3 bytes), CIDv1 of raw and sha2-256 (36 bytes), block. */
export const FILLER_SECTION_BYTES = 3 + 4 + SHA2_256_BYTES + FILLER_BLOCK_BYTES;

/** The section that filler repeats, one CAR section of a raw block of zeros. */
const fillerSection = makeSection();

function makeSection(): Uint8Array {
  const block = new Uint8Array(FILLER_BLOCK_BYTES);
  const cid = CID.createV1(RAW, createDigest(SHA2_256, hash('sha256', block, 'buffer')));
  const head = encodeSectionHead(cid, block.length);
  const section = new Uint8Array(FILLER_SECTION_BYTES);
  section.set(head);
  return section;
}

/** Bytes `start` to `end` (exclusive) of filler, which is whole sections one after the other. At most a section a chunk. */
export function* readFiller(start: number, end: number): Generator<Uint8Array> {
  for (let at = start; at < end; ) {
    const within = at % FILLER_SECTION_BYTES;
    // A copy: whoever reads may keep or change what it got.
    const chunk = fillerSection.slice(within, within + end - at);
    yield chunk;
    at += chunk.length;
  }
}
