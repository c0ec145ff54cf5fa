import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

import { cborArray, cborCid, cborUint } from '../../filecoin/cbor.ts';
import { BLAKE2B_256, DAG_CBOR } from '../../filecoin/codes.ts';
import { drawBytes, drawFraction } from '../seeded-draw.ts';
import { chainCid } from './chain-message.ts';
import { emptyReceipts, WEIGHT_PER_BLOCK, type Tipset } from './chain-tipset.ts';
import { isNullRound } from './null-round.ts';

/**
 * Rounds in a row in which nothing happens, whose tipsets are drawn from the seed when somebody reads them: half a
 * million of them cost no more than one. Their block CIDs are names, not hashes of the headers, as a hash would need
 * the one of every parent first.
 */
export interface EmptyStretch {
  /** The tipset before the stretch. */
  base: Tipset;
  fromHeight: number;
  /** This round always has a tipset. */
  toHeight: number;
  fork: number;
  /** Share of the rounds that are null. */
  nullRounds: number;
  /** Who may have mined a block. */
  minerIds: readonly bigint[];
}

/** Which tipset of which fork a block's CID names. */
export interface EmptyName {
  fork: number;
  height: number;
}

const DRAWN_BYTES = 24;
const HEIGHT_BYTES = 5;
const FORK_BYTES = 3;

/** The tipset at `height`, or the one before where that round is null; the base below all of them. */
export function emptyTipset(seed: string, stretch: EmptyStretch, height: number): Tipset {
  const found = heightAtOrBelow(seed, stretch, height);
  if (found === undefined) return stretch.base;
  const { base, fork, minerIds } = stretch;
  const before = heightAtOrBelow(seed, stretch, found - 1);
  const miner = Math.floor(drawFraction(seed, `miner/${fork}/${found}`) * minerIds.length);
  return {
    height: found,
    fork,
    key: [nameBlock(seed, { fork, height: found })],
    parents: before === undefined ? base.key : [nameBlock(seed, { fork, height: before })],
    weight: base.weight + WEIGHT_PER_BLOCK * BigInt(found - base.height),
    stateRoot: chainCid(cborArray([cborCid(base.stateRoot), cborUint(found)])),
    receiptsRoot: emptyReceipts,
    miners: [minerIds[miner] ?? 0n],
    messages: [],
  };
}

/** The tipset after `height` in the stretch; undefined when that is its last. */
export function emptyTipsetAfter(seed: string, stretch: EmptyStretch, height: number): Tipset | undefined {
  for (let next = Math.max(stretch.fromHeight, height + 1); next <= stretch.toHeight; next += 1) {
    if (hasTipset(seed, stretch, next)) return emptyTipset(seed, stretch, next);
  }
  return undefined;
}

export function countTipsets(seed: string, stretch: EmptyStretch): number {
  const { fromHeight, toHeight, nullRounds } = stretch;
  if (nullRounds === 0) return toHeight - fromHeight + 1;
  let count = 0;
  for (let height = fromHeight; height <= toHeight; height += 1) count += Number(hasTipset(seed, stretch, height));
  return count;
}

/** Undefined for a CID that names no empty tipset of this chain. */
export function readBlockName(seed: string, cid: CID): EmptyName | undefined {
  const { digest } = cid.multihash;
  const drawn = Buffer.from(digest.subarray(0, DRAWN_BYTES));
  const plain = masked(seed, drawn, digest.subarray(DRAWN_BYTES));
  const name = { height: plain.readUIntBE(0, HEIGHT_BYTES), fork: plain.readUIntBE(HEIGHT_BYTES, FORK_BYTES) };
  return nameBlock(seed, name).equals(cid) ? name : undefined;
}

function nameBlock(seed: string, { fork, height }: EmptyName): CID {
  const drawn = Buffer.from(drawBytes(seed, `empty/${fork}/${height}`, DRAWN_BYTES));
  const plain = Buffer.alloc(HEIGHT_BYTES + FORK_BYTES);
  plain.writeUIntBE(height, 0, HEIGHT_BYTES);
  plain.writeUIntBE(fork, HEIGHT_BYTES, FORK_BYTES);
  const digest = new Uint8Array(Buffer.concat([drawn, masked(seed, drawn, plain)]));
  return CID.createV1(DAG_CBOR, createDigest(BLAKE2B_256, digest));
}

/** The name can be read back from the CID, and still looks like any other hash. */
function masked(seed: string, drawn: Buffer, bytes: Uint8Array): Buffer {
  const mask = drawBytes(seed, `name/${drawn.toString('hex')}`, bytes.length);
  return Buffer.from(bytes.map((byte, at) => byte ^ (mask[at] ?? 0)));
}

function heightAtOrBelow(seed: string, stretch: EmptyStretch, height: number): number | undefined {
  for (let at = Math.min(height, stretch.toHeight); at >= stretch.fromHeight; at -= 1) {
    if (hasTipset(seed, stretch, at)) return at;
  }
  return undefined;
}

function hasTipset(seed: string, { toHeight, nullRounds }: EmptyStretch, height: number): boolean {
  return height === toHeight || !isNullRound(seed, height, nullRounds);
}
