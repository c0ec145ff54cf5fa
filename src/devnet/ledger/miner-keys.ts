import type { LotusKey } from '../../filecoin/lotus-key.ts';
import { drawBytes } from '../seeded-draw.ts';

const KEY_BYTES = 32;

/** The owner's key of a miner: secp256k1, drawn from the seed, so that a restart finds it again. */
export function ownerKey(seed: string, minerId: bigint): LotusKey {
  return { type: 'secp256k1', privateKey: drawBytes(seed, `owner/${minerId}`, KEY_BYTES) };
}

/** The worker's key: BLS for even ids, as miners have it, secp256k1 for odd ones, so that both are met. */
export function workerKey(seed: string, minerId: bigint): LotusKey {
  const privateKey = drawBytes(seed, `worker/${minerId}`, KEY_BYTES);
  if (minerId % 2n !== 0n) return { type: 'secp256k1', privateKey };
  // The group's order is a little below 2^255, and Lotus writes the scalar little-endian.
  privateKey[KEY_BYTES - 1] = (privateKey[KEY_BYTES - 1] ?? 0) & 0x3f;
  return { type: 'bls', privateKey };
}
