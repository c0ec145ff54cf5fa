import { createHash } from 'node:crypto';
import * as dagCbor from '@ipld/dag-cbor';
import * as dagPb from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

/** CARs by hand, sharing no code with src: what a test sends is not what our own encoder makes of it. */
export interface Block {
  cid: CID;
  bytes: Uint8Array;
}

export const RAW = 0x55;
export const DAG_PB = 0x70;
export const DAG_CBOR = 0x71;

export function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  return Buffer.from([...bytes, rest]);
}

export function cidOf(codec: number, bytes: Uint8Array): CID {
  return CID.createV1(codec, createDigest(0x12, createHash('sha256').update(bytes).digest()));
}

export function rawBlock(content: string | Uint8Array): Block {
  const bytes = Buffer.from(content);
  return { cid: cidOf(RAW, bytes), bytes };
}

/** A dag-pb node with links to these blocks, named 0, 1, … */
export function pbNode(children: readonly (Block | CID)[]): Block {
  const links = children.map((child, at) => ({ Name: String(at), Hash: 'cid' in child ? child.cid : child, Tsize: 1 }));
  const bytes = dagPb.encode(dagPb.prepare({ Data: Uint8Array.of(8, 1), Links: links }));
  return { cid: cidOf(DAG_PB, bytes), bytes };
}

export function cborNode(value: unknown): Block {
  const bytes = dagCbor.encode(value);
  return { cid: cidOf(DAG_CBOR, bytes), bytes };
}

/** The same block under CIDv0. */
export function asV0({ cid, bytes }: Block): Block {
  return { cid: cid.toV0(), bytes };
}

export function header(value: unknown): Buffer {
  const body = dagCbor.encode(value);
  return Buffer.concat([varint(body.length), body]);
}

export function section({ cid, bytes }: Block): Buffer {
  return Buffer.concat([varint(cid.bytes.length + bytes.length), cid.bytes, bytes]);
}

export function sections(blocks: readonly Block[]): Buffer {
  return Buffer.concat(blocks.map(section));
}

export function car(roots: readonly CID[], blocks: readonly Block[]): Buffer {
  return Buffer.concat([header({ roots, version: 1 }), sections(blocks)]);
}

/** Pragma, header and payload of CARv2 (specification: ipld.io/specs/transport/car/carv2), without an index. */
export function carV2(payload: Uint8Array, change: { dataOffset?: number; dataSize?: number } = {}): Buffer {
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(BigInt(change.dataOffset ?? 51), 16);
  head.writeBigUInt64LE(BigInt(change.dataSize ?? payload.length), 24);
  return Buffer.concat([Buffer.from('0aa16776657273696f6e02', 'hex'), head, payload]);
}

/** A small upload of its own: two levels, `leaves` raw leaves whose content depends on the seed. */
export function sampleUpload(seed: string, leaves = 3): { root: CID; blocks: Block[]; car: Buffer; run: Buffer } {
  const leafBlocks = Array.from({ length: leaves }, (_, at) => rawBlock(`${seed} leaf ${at} ${'.'.repeat(at * 7)}`));
  const root = pbNode(leafBlocks);
  const blocks = [root, ...leafBlocks];
  return { root: root.cid, blocks, car: car([root.cid], blocks), run: sections(blocks) };
}

/** A body in pieces of `chunkBytes`. */
export async function* inChunks(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

/** A source that uses one memory for all its chunks: whoever reads a chunk late reads the next one. */
export async function* inPassingChunks(bytes: Uint8Array, chunkBytes: number): AsyncGenerator<Uint8Array> {
  const memory = new Uint8Array(chunkBytes);
  for (let at = 0; at < bytes.length; at += chunkBytes) {
    const chunk = bytes.subarray(at, at + chunkBytes);
    memory.set(chunk);
    yield memory.subarray(0, chunk.length);
    memory.fill(0xee);
  }
}
