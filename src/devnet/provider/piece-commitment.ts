import { hash } from 'node:crypto';

/** A piece's Merkle root and the padded size it stands for. */
export interface Commitment {
  root: Uint8Array;
  paddedBytes: bigint;
}

const NODE_BYTES = 32n;
/** 32 GiB is height 30 and 64 GiB is 31; nothing larger is ever sealed. */
const MAX_HEIGHT = 40;

/** SHA-256 without its two highest bits, so that the result is an element of the BLS12-381 field. */
function hashPair(left: Uint8Array, right: Uint8Array): Uint8Array {
  const digest = hash('sha256', Buffer.concat([left, right]), 'buffer');
  digest[31] = (digest[31] ?? 0) & 0x3f;
  return digest;
}

/**
 * The commitment of the same data followed by zeros up to `paddedBytes`, as Boost pads when a proposal's piece is larger
 * than its data needs (go-fil-commp-hashhash PadCommP).
 */
export function padCommitment({ root, paddedBytes: from }: Commitment, paddedBytes: bigint): Uint8Array {
  let padded = root;
  let size = NODE_BYTES;
  let zeros: Uint8Array = new Uint8Array(32);
  for (let height = 0; size < paddedBytes && height < MAX_HEIGHT; height += 1, size *= 2n) {
    if (size >= from) padded = hashPair(padded, zeros);
    zeros = hashPair(zeros, zeros);
  }
  return padded;
}

/** Splits a piece multihash (0x1011: padding varint, height, root) into root and padded size (FRC-0069). */
export function commitmentOf(multihash: Uint8Array): Commitment {
  const height = multihash[multihash.length - 33];
  if (height === undefined || height > MAX_HEIGHT) throw new RangeError('not a piece multihash');
  return { root: multihash.slice(-32), paddedBytes: NODE_BYTES << BigInt(height) };
}
