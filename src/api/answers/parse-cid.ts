import type { CID } from 'multiformats/cid';
import { BadInput } from '../../errors.ts';
import { canonicalCid, parseCid } from '../../filecoin/cid.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import { parsePieceCid } from '../../filecoin/piece.ts';

function orInvalid<T>(text: string, parse: () => T): T {
  try {
    return parse();
  } catch (cause) {
    if (!(cause instanceof FormatError)) throw cause;
    throw new BadInput('INVALID_CID', `Invalid CID: ${text}`, { cause });
  }
}

/**
 * CIDv1 of a dag-pb or raw block by sha2-256 in base32, as nearly all are: the first characters are its head, with no bit
 * left over in the last of them, nor at the end of the digest. Such text is a CID in its only form, and needs no parsing.
 */
const COMMON_ROOT = /^baf(?:ybei|krei)[a-h][a-z2-7]{50}[aeimquy4]$/;

/** CIDv0 or v1 text to the CIDv1 base32 that rows hold; throws `INVALID_CID`. */
export function canonicalRoot(text: string): string {
  if (COMMON_ROOT.test(text)) return text;
  return orInvalid(text, () => canonicalCid(parseCid(text)));
}

/** The CID as it is written; throws `INVALID_CID`. */
export function parseAnyCid(text: string): CID {
  return orInvalid(text, () => parseCid(text));
}

/** A piece CID, v1 or v2, to the v1 text that rows hold; throws `INVALID_CID`. */
export function canonicalPiece(text: string): string {
  return orInvalid(text, () => parsePieceCid(text).v1.toString());
}
