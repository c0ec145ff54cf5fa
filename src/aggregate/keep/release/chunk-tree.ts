import { setImmediate as nextTurn } from 'node:timers/promises';
import { padUnits, PADDED_UNIT_BYTES, UNIT_BYTES } from '../../../filecoin/commp/fr32.ts';
import type { HashPairs } from '../../../filecoin/commp/pair-hashing.ts';
import { hashLayer, NODE_BYTES } from '../../../filecoin/commp/tree.ts';

/** The level of a node over one unit of 127 bytes: below it no proof has a node. */
const UNIT_LEVEL = 2;
/** Units hashed without letting others have their turn: half a MiB, a few milliseconds. */
const UNITS_PER_TURN = 4_096;

/** A chunk with every node over it: 1.5 times its bytes. */
export interface ChunkTree {
  payload: Uint8Array;
  /** From UNIT_LEVEL up, each level half of the one before; the last is the root. */
  layers: Uint8Array[];
}

/** Hashes a chunk, 127 bytes times a power of two, and keeps all nodes. Others have their turns meanwhile. */
export async function growTree(payload: Uint8Array, hashPairs: HashPairs): Promise<ChunkTree> {
  let layer = await hashUnits(payload, hashPairs);
  const layers = [layer];
  while (layer.length > NODE_BYTES) {
    layer = await hashNodes(layer, hashPairs);
    layers.push(layer);
  }
  return { payload, layers };
}

/** The node at this level, `index` counted within the chunk, as 32 bytes of its own. */
export function nodeAt({ layers }: ChunkTree, level: number, index: number): Uint8Array {
  const layer = layers[level - UNIT_LEVEL];
  const node = layer?.slice(index * NODE_BYTES, (index + 1) * NODE_BYTES);
  if (node?.length !== NODE_BYTES) throw new RangeError(`the chunk has no node ${index} on level ${level}`);
  return node;
}

async function hashUnits(payload: Uint8Array, hashPairs: HashPairs): Promise<Uint8Array> {
  const unitCount = payload.length / UNIT_BYTES;
  const perTurn = Math.min(UNITS_PER_TURN, unitCount);
  const words = new Uint32Array((perTurn * PADDED_UNIT_BYTES) / Uint32Array.BYTES_PER_ELEMENT);
  const leaves = new Uint8Array(words.buffer);
  const pairs = new Uint8Array(leaves.length / 2);
  const nodes = new Uint8Array(unitCount * NODE_BYTES);
  for (let unit = 0; unit < unitCount; unit += perTurn) {
    padUnits(payload, words, { sourceOffset: unit * UNIT_BYTES, targetUnit: 0, units: perTurn });
    hashLayer(hashPairs, leaves, pairs);
    hashLayer(hashPairs, pairs, nodes.subarray(unit * NODE_BYTES, (unit + perTurn) * NODE_BYTES));
    await nextTurn();
  }
  return nodes;
}

async function hashNodes(layer: Uint8Array, hashPairs: HashPairs): Promise<Uint8Array> {
  const nodes = new Uint8Array(layer.length / 2);
  const step = UNITS_PER_TURN * NODE_BYTES;
  for (let at = 0; at < nodes.length; at += step) {
    const end = Math.min(at + step, nodes.length);
    hashLayer(hashPairs, layer.subarray(at * 2, end * 2), nodes.subarray(at, end));
    if (end < nodes.length) await nextTurn();
  }
  return nodes;
}
