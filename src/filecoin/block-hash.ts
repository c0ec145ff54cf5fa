import { hash } from 'node:crypto';

import { blake2b } from '@noble/hashes/blake2.js';
import type { CID } from 'multiformats/cid';

import { BLAKE2B_256, IDENTITY, SHA2_256, SHA2_512 } from './codes.ts';
import { FormatError } from './format-error.ts';

/** Throws FormatError HASH_MISMATCH when `bytes` are not the block of `cid`, UNKNOWN_HASH when that cannot be told. */
export function verifyBlock(cid: CID, bytes: Uint8Array): void {
  const digest = digestOf(cid.multihash.code, bytes);
  if (digest === undefined) {
    const hashCode = `0x${cid.multihash.code.toString(16)}`;
    const known = 'sha2-256, sha2-512, blake2b-256 and identity';
    throw new FormatError('UNKNOWN_HASH', `${cid} has the hash function ${hashCode}; ${known} can be checked`, {
      cid: cid.toString(),
      hashCode,
    });
  }
  // A shortened digest is a mismatch too: it would let two blocks share a CID sooner than its hash function promises.
  if (Buffer.compare(digest, cid.multihash.digest) !== 0) {
    throw new FormatError('HASH_MISMATCH', `the bytes do not hash to ${cid}: the block is damaged`, {
      cid: cid.toString(),
    });
  }
}

function digestOf(code: number, bytes: Uint8Array): Uint8Array | undefined {
  switch (code) {
    case SHA2_256:
      return hash('sha256', bytes, 'buffer');
    case SHA2_512:
      return hash('sha512', bytes, 'buffer');
    case BLAKE2B_256:
      return blake2b(bytes, { dkLen: 32 });
    case IDENTITY:
      return bytes;
    default:
      return undefined;
  }
}
