import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

import { parseCid } from './cid.ts';
import {
  FIL_COMMITMENT_UNSEALED,
  FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE,
  RAW,
  SHA2_256_TRUNC254_PADDED,
} from './codes.ts';
import { concat } from './concat.ts';
import { FormatError } from './format-error.ts';
import { MIN_PIECE_BYTES } from './limits.ts';
import { decodeVarint, encodeVarint } from './varint.ts';

/** A piece CID of either form; only the form of FRC-0069 says how long the piece is. */
export interface PieceCid {
  root: Uint8Array;
  /** The form that proposals and the chain use. */
  v1: CID;
  paddedBytes?: bigint;
  rawBytes?: bigint;
}

const ROOT_BYTES = 32;

/** Fr32 turns every 127 bytes into 128. */
const FR32_RAW = 127n;
const FR32_PADDED = 128n;

/** A tree of this height pads 2^62 bytes; no sector comes near, and sizes stay inside an int64. */
const MAX_TREE_HEIGHT = 57;

/** Size of the smallest piece that holds so many bytes, padded: a power of two, at least 128. */
export function naturalPieceBytes(rawBytes: bigint): bigint {
  if (rawBytes < 0n) throw new FormatError('PIECE_SIZE_INVALID', `a piece cannot hold ${rawBytes} bytes`);
  let paddedBytes = MIN_PIECE_BYTES;
  while (pieceCapacity(paddedBytes) < rawBytes) paddedBytes *= 2n;
  return paddedBytes;
}

/** Bytes that a piece of this padded size holds. */
export function pieceCapacity(paddedBytes: bigint): bigint {
  return (paddedBytes * FR32_RAW) / FR32_PADDED;
}

/** The fil-commitment-unsealed CID of a piece's root. */
export function pieceCidV1(root: Uint8Array): CID {
  return CID.createV1(FIL_COMMITMENT_UNSEALED, createDigest(SHA2_256_TRUNC254_PADDED, checkRoot(root)));
}

/** The CID of FRC-0069, which carries the length too: padding, tree height and root, for the natural piece size. */
export function pieceCidV2(root: Uint8Array, rawBytes: bigint): CID {
  const paddedBytes = naturalPieceBytes(rawBytes);
  const padding = encodeVarint(pieceCapacity(paddedBytes) - rawBytes);
  const digest = concat([padding, Uint8Array.of(treeHeight(paddedBytes)), checkRoot(root)]);
  return CID.createV1(RAW, createDigest(FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE, digest));
}

/** Reads a piece CID of either form. Throws FormatError INVALID_CID or INVALID_PIECE_CID. */
export function parsePieceCid(text: string): PieceCid {
  const cid = parseCid(text);
  const { code, digest } = cid.multihash;
  if (cid.code === FIL_COMMITMENT_UNSEALED && code === SHA2_256_TRUNC254_PADDED) {
    return { root: checkRoot(digest), v1: cid };
  }
  if (cid.code === RAW && code === FR32_SHA2_256_TRUNC254_PADDED_BINARY_TREE) return readV2Digest(digest);
  throw invalid(`${cid} is the CID of something else than a piece`);
}

function readV2Digest(digest: Uint8Array): PieceCid {
  const { value: padding, length } = readPadding(digest);
  const height = digest[length] ?? 0;
  const root = checkRoot(digest.slice(length + 1));
  const paddedBytes = BigInt(ROOT_BYTES) << BigInt(height);
  if (paddedBytes < MIN_PIECE_BYTES || height > MAX_TREE_HEIGHT) {
    throw invalid(`no piece has a tree of height ${height}`);
  }
  const rawBytes = pieceCapacity(paddedBytes) - padding;
  if (rawBytes < 0n) throw invalid(`its padding of ${padding} bytes exceeds the piece`);
  return { root, v1: pieceCidV1(root), paddedBytes, rawBytes };
}

function readPadding(digest: Uint8Array): { value: bigint; length: number } {
  try {
    return decodeVarint(digest);
  } catch (error) {
    throw invalid(`its padding cannot be read: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/** Levels of the tree above its 32-byte leaves. */
function treeHeight(paddedBytes: bigint): number {
  let height = 0;
  for (let nodes = paddedBytes / BigInt(ROOT_BYTES); nodes > 1n; nodes /= 2n) height += 1;
  return height;
}

function checkRoot(root: Uint8Array): Uint8Array {
  if (root.length !== ROOT_BYTES) throw invalid(`the root of a piece has 32 bytes, got ${root.length}`);
  return root;
}

function invalid(message: string): FormatError {
  return new FormatError('INVALID_PIECE_CID', message);
}
