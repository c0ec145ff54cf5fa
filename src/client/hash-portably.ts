import { blake2b } from '@noble/hashes/blake2.js';
import { sha256, sha512 } from '@noble/hashes/sha2.js';
import { equals } from 'multiformats/bytes';
import type { CID } from 'multiformats/cid';
import { BLAKE2B_256, IDENTITY, SHA2_256, SHA2_512 } from '../filecoin/codes.ts';
import type { HashPairs } from '../filecoin/commp/pair-hashing.ts';
import { FormatError } from '../filecoin/format-error.ts';

/** What verifying hashes with. Where something faster is at hand it may be given instead (cli/verify.ts does). */
export interface Hashing {
  hashPairs: HashPairs;
  /** Throws unless `bytes` are the block of `cid`. */
  verifyBlock(cid: CID, bytes: Uint8Array): void;
}

const PAIR_BYTES = 64;

/** Hashing in JavaScript alone, in browsers and anywhere else. */
export const portableHashing: Hashing = {
  hashPairs(pairs, nodes) {
    for (let at = 0; at < pairs.length; at += PAIR_BYTES) {
      nodes.set(sha256(pairs.subarray(at, at + PAIR_BYTES)), at / 2);
    }
  },
  verifyBlock(cid, bytes) {
    const digest = digestOf(cid.multihash.code, bytes);
    if (digest === undefined) {
      const code = `0x${cid.multihash.code.toString(16)}`;
      throw new FormatError('UNKNOWN_HASH', `${cid} has the hash function ${code}, which cannot be checked here`);
    }
    if (!equals(digest, cid.multihash.digest)) {
      throw new FormatError('HASH_MISMATCH', `the bytes do not hash to ${cid}: the block is damaged`);
    }
  },
};

function digestOf(code: number, bytes: Uint8Array): Uint8Array | undefined {
  switch (code) {
    case SHA2_256:
      return sha256(bytes);
    case SHA2_512:
      return sha512(bytes);
    case BLAKE2B_256:
      return blake2b(bytes, { dkLen: 32 });
    case IDENTITY:
      return bytes;
    default:
      return undefined;
  }
}
