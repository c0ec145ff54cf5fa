import { base32 } from 'multiformats/bases/base32';
import { base36 } from 'multiformats/bases/base36';
import { base58btc } from 'multiformats/bases/base58';
import { equals } from 'multiformats/bytes';
import { CID } from 'multiformats/cid';

import { SHA2_256 } from './codes.ts';
import { FormatError } from './format-error.ts';

/** Longest binary CID that is read (cbor-gen's limit for a CID in a message). */
export const MAX_CID_BYTES = 512;

const V0_DIGEST_BYTES = 32;

/** Longer text cannot be a CID of at most 512 bytes in any base that is read; cut off before the quadratic base58. */
const MAX_CID_CHARACTERS = 1_024;

const textBases = base32.decoder.or(base58btc.decoder).or(base36.decoder);

/**
 * Reads a CID (v0 or v1; base32, base36 or base58btc).
 * Throws FormatError INVALID_CID.
 */
export function parseCid(text: string): CID {
  if (text.length > MAX_CID_CHARACTERS) {
    throw new FormatError('INVALID_CID', `a CID has at most ${MAX_CID_CHARACTERS} characters, got ${text.length}`);
  }
  try {
    // The decoder takes base32's padding, which a CID never has.
    if (text.endsWith('=')) throw new SyntaxError('padding');
    const cid = CID.parse(text, textBases);
    return decodeCid(cid.bytes);
  } catch (error) {
    throw new FormatError('INVALID_CID', `"${text}" is not a CID: ${messageOf(error)}`);
  }
}

/** The CIDv1 base32 text of a CID of either version. */
export function canonicalCid(cid: CID): string {
  return cid.toV1().toString(base32);
}

/** Reads a binary CID that fills `bytes`. Throws FormatError INVALID_CID. */
export function decodeCid(bytes: Uint8Array): CID {
  const cid = decodeFirstCid(bytes);
  if (cid.bytes.length !== bytes.length) {
    throw new FormatError('INVALID_CID', `${bytes.length - cid.bytes.length} bytes follow the CID ${cid.toString()}`);
  }
  return cid;
}

/**
 * Reads the binary CID at the start of `bytes`; its `bytes.length` tells where it ends.
 * Non-minimal varints are refused, as go-cid refuses them: two spellings of one CID would be two keys.
 */
export function decodeFirstCid(bytes: Uint8Array): CID {
  let cid: CID;
  try {
    [cid] = CID.decodeFirst(bytes);
  } catch (error) {
    throw new FormatError('INVALID_CID', `no CID here: ${messageOf(error)}`);
  }
  checkCanonical(cid, bytes);
  return cid;
}

/** The lengths come first: nothing may write out a CID of megabytes, in base58 least of all. */
function checkCanonical(cid: CID, bytes: Uint8Array): void {
  const { code, size, bytes: multihash } = cid.multihash;
  if (cid.bytes.length > MAX_CID_BYTES) {
    throw new FormatError('INVALID_CID', `a CID has at most ${MAX_CID_BYTES} bytes, got ${cid.bytes.length}`);
  }
  if (cid.version === 0 && (code !== SHA2_256 || size !== V0_DIGEST_BYTES)) {
    throw new FormatError('INVALID_CID', `a CIDv0 is a sha2-256 of ${V0_DIGEST_BYTES} bytes, got ${size}`);
  }
  if (multihash.length !== varintLength(code) + varintLength(size) + size) {
    throw new FormatError('INVALID_CID', 'the CID has a multihash with a non-minimal varint');
  }
  if (!equals(cid.bytes, bytes.subarray(0, cid.bytes.length))) {
    throw new FormatError('INVALID_CID', 'the CID has a non-minimal varint');
  }
}

function varintLength(value: number): number {
  let length = 1;
  for (let rest = value; rest >= 0x80; rest = Math.floor(rest / 0x80)) length += 1;
  return length;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
