import { createHash } from 'node:crypto';
import * as dagPb from '@ipld/dag-pb';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import {
  asV0,
  car,
  carV2,
  cborNode,
  cidOf,
  DAG_CBOR,
  DAG_PB,
  header,
  pbNode,
  RAW,
  rawBlock,
  sampleUpload,
  section,
  sections,
  varint,
} from '../../support/car-builder.ts';
import { hostileBlocks } from './hostile-blocks.ts';
import { hostileHeaders } from './hostile-headers.ts';

/** One kind of bad CAR: what it is, its bytes, and what the refusal must say. */
export interface HostileCar {
  name: string;
  body: Buffer;
  status: number;
  code: string | RegExp;
  /** Text that the message must have: the block's CID, or the byte where the fault is. */
  says?: string;
}

const good = sampleUpload('hostile');
const [root, leaf, leaf2] = good.blocks as [(typeof good.blocks)[0], (typeof good.blocks)[0], (typeof good.blocks)[0]];
const goodHeader = header({ roots: [good.root], version: 1 });

function flip(bytes: Uint8Array, at: number): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] ?? 0) ^ 1;
  return copy;
}

function digestOf(code: number, digest: Uint8Array): CID {
  return CID.createV1(RAW, createDigest(code, digest));
}

const badLeaf = { cid: leaf.cid, bytes: flip(leaf.bytes, 0) };
const unknownHash = { cid: digestOf(0xd5, createHash('md5').update(leaf.bytes).digest()), bytes: leaf.bytes };
const shortHash = {
  cid: digestOf(0x12, createHash('sha256').update(leaf.bytes).digest().subarray(0, 8)),
  bytes: leaf.bytes,
};
const large = rawBlock(Buffer.alloc(8 * 1024 * 1024 + 1));
const longIdentity = { cid: digestOf(0, Buffer.alloc(129, 7)), bytes: Buffer.alloc(129, 7) };
const wrongIdentity = { cid: digestOf(0, Buffer.from('one')), bytes: Buffer.from('two') };
const longRoot = { cid: digestOf(0, Buffer.alloc(69, 7)), bytes: Buffer.alloc(69, 7) };
const longLink = cborNode([digestOf(0x12, Buffer.alloc(129))]);
const longV0 = Buffer.concat([Buffer.from([0x12]), varint(300_000), Buffer.alloc(300_000)]);
const brokenPb = { cid: cidOf(DAG_PB, Buffer.from([0xff, 0xff, 0xff])), bytes: Buffer.from([0xff, 0xff, 0xff]) };
const brokenCbor = { cid: cidOf(DAG_CBOR, Buffer.from([0xbf, 0x00])), bytes: Buffer.from([0xbf, 0x00]) };
const unknownCodec = { cid: CID.createV1(0x78, leaf.cid.multihash), bytes: leaf.bytes };
const stranger = rawBlock('not in the CAR');
const emptyRoot = { cid: CID.createV1(DAG_PB, leaf.cid.multihash), bytes: dagPb.encode({ Links: [] }) };
const badOffset = goodHeader.length + section(root).length;

export const hostileCars: HostileCar[] = [
  { name: 'nothing at all', body: Buffer.alloc(0), status: 400, code: /^CAR_/ },
  { name: 'text', body: Buffer.from('hello, this is no CAR at all, only text'), status: 400, code: /^CAR_/ },
  { name: 'zeros', body: Buffer.alloc(1000), status: 400, code: /^CAR_/ },
  { name: 'a header that is cut', body: goodHeader.subarray(0, 20), status: 400, code: /^CAR_/ },
  {
    name: 'a header longer than allowed',
    body: Buffer.concat([varint(2 ** 30), Buffer.alloc(100)]),
    status: 400,
    code: /^CAR_/,
  },
  {
    name: 'a header that is no CBOR',
    body: Buffer.concat([varint(3), Buffer.from([0xff, 0, 0])]),
    status: 400,
    code: /^CAR_/,
  },
  {
    name: 'a header without version',
    body: Buffer.concat([header({ roots: [good.root] }), good.run]),
    status: 400,
    code: /^CAR_/,
  },
  {
    name: 'version 3',
    body: Buffer.concat([header({ roots: [good.root], version: 3 }), good.run]),
    status: 400,
    code: /^CAR_/,
  },
  {
    name: 'roots that are text',
    body: Buffer.concat([header({ roots: ['x'], version: 1 }), good.run]),
    status: 400,
    code: /^CAR_/,
  },
  { name: 'no roots', body: car([], good.blocks), status: 400, code: /^CAR_/ },
  {
    name: 'two roots',
    body: car([good.root, leaf.cid], good.blocks),
    status: 400,
    code: 'CAR_MANY_ROOTS',
    says: '2 roots',
  },
  { name: 'the same root twice', body: car([good.root, good.root], good.blocks), status: 400, code: 'CAR_MANY_ROOTS' },
  {
    name: 'a root that is not in the CAR',
    body: car([stranger.cid], good.blocks),
    status: 400,
    code: 'ROOT_NOT_IN_CAR',
    says: `${stranger.cid}`,
  },
  { name: 'a header and nothing else', body: goodHeader, status: 400, code: 'ROOT_NOT_IN_CAR' },
  {
    name: 'a flipped bit in a block',
    body: Buffer.concat([goodHeader, sections([root, badLeaf, leaf2])]),
    status: 400,
    code: 'HASH_MISMATCH',
    says: `${leaf.cid} at byte ${badOffset}`,
  },
  {
    name: 'a flipped bit in the last byte',
    body: flip(good.car, good.car.length - 1),
    status: 400,
    code: 'HASH_MISMATCH',
  },
  {
    name: 'an unknown hash function',
    body: car([good.root], [...good.blocks, unknownHash]),
    status: 400,
    code: 'UNKNOWN_HASH',
    says: `${unknownHash.cid}`,
  },
  {
    name: 'a hash cut to 8 bytes',
    body: car([good.root], [...good.blocks, shortHash]),
    status: 400,
    code: /HASH/,
    says: `${shortHash.cid}`,
  },
  {
    name: 'a section over 8 MiB',
    body: car([good.root], [root, large]),
    status: 400,
    code: /^CAR_/,
    says: `${badOffset}`,
  },
  {
    name: 'a section length of 2^60',
    body: Buffer.concat([goodHeader, section(root), Buffer.from('ffffffffffffffff0f', 'hex')]),
    status: 400,
    code: /^CAR_/,
    says: `${badOffset}`,
  },
  {
    name: 'a section length of 12 bytes',
    body: Buffer.concat([goodHeader, section(root), Buffer.alloc(12, 0xff)]),
    status: 400,
    code: /^CAR_/,
    says: `${badOffset}`,
  },
  {
    name: 'a section of length zero',
    body: Buffer.concat([goodHeader, section(root), Buffer.from([0]), section(leaf)]),
    status: 400,
    code: /^CAR_/,
    says: `${badOffset}`,
  },
  { name: 'a last section that is cut', body: good.car.subarray(0, good.car.length - 3), status: 400, code: /^CAR_/ },
  { name: 'a cut section length', body: Buffer.concat([good.car, Buffer.from([0x80])]), status: 400, code: /^CAR_/ },
  {
    name: 'zeros after the last section',
    body: Buffer.concat([good.car, Buffer.alloc(64)]),
    status: 400,
    code: /^CAR_/,
    says: `${good.car.length}`,
  },
  {
    name: 'garbage after the last section',
    body: Buffer.concat([good.car, Buffer.from('trailing garbage')]),
    status: 400,
    code: /^CAR_|^INVALID_CID/,
    says: `${good.car.length}`,
  },
  {
    name: 'a second CAR after the first',
    body: Buffer.concat([good.car, good.car]),
    status: 400,
    code: /^CAR_|^INVALID_CID/,
    says: `${good.car.length}`,
  },
  {
    name: 'a section that is no CID',
    body: Buffer.concat([goodHeader, section(root), varint(5), Buffer.from('hello')]),
    status: 400,
    code: /^CAR_|^INVALID_CID/,
    says: `${badOffset}`,
  },
  {
    name: 'a section shorter than its CID',
    body: Buffer.concat([goodHeader, section(root), varint(10), leaf.cid.bytes.subarray(0, 10)]),
    status: 400,
    code: /^CAR_|^INVALID_CID/,
    says: `${badOffset}`,
  },
  {
    name: 'a CIDv0 with the digest of another block',
    body: car([good.root], [...good.blocks, { ...asV0(root), bytes: leaf.bytes }]),
    status: 400,
    code: 'HASH_MISMATCH',
  },
  {
    name: 'an identity CID of 129 bytes',
    body: car([good.root], [...good.blocks, longIdentity]),
    status: 400,
    code: /^CAR_|IDENTITY/,
  },
  {
    name: 'an identity CID of other bytes',
    body: car([good.root], [...good.blocks, wrongIdentity]),
    status: 400,
    code: 'HASH_MISMATCH',
  },
  {
    name: 'a root whose CID is longer than a batch tree has room for',
    body: car([longRoot.cid], [longRoot]),
    status: 400,
    code: 'ROOT_TOO_LONG',
    says: '117 characters',
  },
  {
    name: 'a CIDv0 that is no sha2-256 and long',
    body: Buffer.concat([goodHeader, section(root), varint(longV0.length), longV0]),
    status: 400,
    code: 'CAR_CID_INVALID',
    says: `${badOffset}`,
  },
  {
    name: 'a link that no block can have',
    body: car([longLink.cid], [longLink]),
    status: 400,
    code: 'BLOCK_INVALID',
    says: `${longLink.cid}`,
  },
  {
    name: 'a directory node that does not decode',
    body: car([brokenPb.cid], [brokenPb]),
    status: 400,
    code: /./,
    says: `${brokenPb.cid}`,
  },
  {
    name: 'a dag-cbor block that does not decode',
    body: car([brokenCbor.cid], [brokenCbor]),
    status: 400,
    code: /./,
    says: `${brokenCbor.cid}`,
  },
  {
    name: 'a codec whose links nobody can follow',
    body: car([unknownCodec.cid], [unknownCodec]),
    status: 400,
    code: 'UNKNOWN_CODEC',
    says: `${unknownCodec.cid}`,
  },
  {
    name: 'a root whose CID is another block’s',
    body: car([emptyRoot.cid], [emptyRoot]),
    status: 400,
    code: 'HASH_MISMATCH',
  },
  { name: 'CARv2 that is cut in its header', body: carV2(good.car).subarray(0, 30), status: 400, code: /^CAR_/ },
  {
    name: 'CARv2 whose payload lies beyond the end',
    body: carV2(good.car, { dataOffset: 1_000_000 }),
    status: 400,
    code: /^CAR_/,
  },
  {
    name: 'CARv2 whose payload is longer than the file',
    body: carV2(good.car, { dataSize: good.car.length + 100 }),
    status: 400,
    code: /^CAR_/,
  },
  {
    name: 'CARv2 whose payload begins within its header',
    body: carV2(good.car, { dataOffset: 20 }),
    status: 400,
    code: /^CAR_/,
  },
  { name: 'CARv2 with CARv2 within', body: carV2(carV2(good.car)), status: 400, code: /^CAR_/ },
  ...hostileHeaders,
  ...hostileBlocks,
  { name: 'a bomb of links to nowhere', body: linkBomb(), status: 413, code: 'TOO_MANY_LINKS' },
  { name: 'one block more than the limit', body: manyBlocks(), status: 413, code: 'TOO_MANY_BLOCKS' },
  { name: 'an upload over the limit', body: oversize(), status: 413, code: 'UPLOAD_TOO_LARGE' },
];

/** The limits that the last three must meet: so many blocks, eight times as many links. */
export const hostileLimits = { maxBlocks: 2_000, maxUploadBytes: 9_500_000n };

function linkBomb(): Buffer {
  const bomb = cborNode(Array.from({ length: 16_001 }, (_, at) => cidOf(RAW, Buffer.from(`nowhere ${at}`))));
  return car([bomb.cid], [bomb]);
}

function manyBlocks(): Buffer {
  const leaves = Array.from({ length: 2_000 }, (_, at) => rawBlock(`one of many ${at}`));
  const top = pbNode(leaves);
  return car([top.cid], [top, ...leaves]);
}

function oversize(): Buffer {
  const leaves = Array.from({ length: 10 }, (_, at) => rawBlock(Buffer.alloc(1_000_000, at)));
  const top = pbNode(leaves);
  return car([top.cid], [top, ...leaves]);
}
