import { createHash } from 'node:crypto';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import {
  car,
  cborNode,
  cidOf,
  DAG_CBOR,
  DAG_PB,
  header,
  pbNode,
  RAW,
  sampleUpload,
  section,
  varint,
  type Block,
} from '../../support/car-builder.ts';
import type { HostileCar } from './hostile-cars.ts';

const DAG_JSON = 0x0129;
const good = sampleUpload('hostile block');
const [root] = good.blocks as [Block];
const before = Buffer.concat([header({ roots: [good.root], version: 1 }), section(root)]);
const place = `${before.length}`;

/** A section of these bytes behind a sound header and root. */
function framed(name: string, body: Uint8Array, code: string | RegExp = 'CAR_CID_INVALID'): HostileCar {
  const whole = Buffer.concat([before, varint(body.length), body]);
  return { name, body: whole, status: 400, code, says: place };
}

/** The varint of a section's length, and nothing of the section. */
function lengthOnly(name: string, hex: string): HostileCar {
  return {
    name,
    body: Buffer.concat([before, Buffer.from(hex, 'hex'), Buffer.alloc(64)]),
    status: 400,
    code: /^CAR_/,
    says: place,
  };
}

function ofCodec(codec: number, bytes: Uint8Array): Block {
  return { cid: cidOf(codec, bytes), bytes };
}

/** An upload whose root is this block. */
function asRoot(name: string, block: Block, code: string | RegExp = 'BLOCK_INVALID', status = 400): HostileCar {
  return { name, body: car([block.cid], [block]), status, code, says: `${block.cid}` };
}

function identity(codec: number, bytes: Uint8Array): CID {
  return CID.createV1(codec, createDigest(0, bytes));
}

const leafBytes = Buffer.from('a leaf');
const hashed = (code: number, digest: Uint8Array) => ({
  cid: CID.createV1(RAW, createDigest(code, digest)),
  bytes: leafBytes,
});
const sha1 = hashed(0x11, createHash('sha1').update(leafBytes).digest());
const sha512 = createHash('sha512').update(leafBytes).digest();
const cborText = (text: string) => ofCodec(DAG_CBOR, Buffer.from(text, 'hex'));
const json = (text: string) => ofCodec(DAG_JSON, Buffer.from(text));

/** Nodes that all link to each other's children: many links between few blocks. */
function web(): Buffer {
  const leaves = Array.from({ length: 1_000 }, (_, at) => cidOf(RAW, Buffer.from(`web ${at}`)));
  const nodes = Array.from({ length: 17 }, (_, at) => cborNode([at, ...leaves]));
  const top = pbNode(nodes);
  return car([top.cid], [top, ...nodes]);
}

const hundredThousand = cborNode(Array.from({ length: 100_000 }, (_, at) => cidOf(RAW, Buffer.from(`link ${at}`))));

/** What is wrong with a block, its CID or its links. */
export const hostileBlocks: HostileCar[] = [
  lengthOnly('a section length of 2^53', '8080808080808010'),
  lengthOnly('a section length of 2^63', '80808080808080808001'),
  lengthOnly('a section length over 2^64', 'ffffffffffffffffff7f'),
  lengthOnly('a section length that never ends', '8080808080808080808080808080'),
  lengthOnly('a section length of zero in ten bytes', '80808080808080808000'),
  framed('a section of one byte', Buffer.from([1])),
  framed('a CID of version 2', Buffer.from([2, ...good.root.bytes.subarray(1)])),
  framed('a CID of version 3', Buffer.from([3, ...good.root.bytes.subarray(1)])),
  framed('a CID whose codec is a varint without end', Buffer.from([1, ...Buffer.alloc(12, 0xff)])),
  framed('a CID whose hash function is a varint without end', Buffer.from([1, 0x55, ...Buffer.alloc(12, 0xff)])),
  framed('a CID whose digest is longer than the section', Buffer.from([1, 0x55, 0x12, 0x7f, 1, 2, 3])),
  framed(
    'a CID whose digest has a length of 2^40',
    Buffer.concat([Buffer.from([1, 0x55, 0x12]), varint(2 ** 40), leafBytes]),
  ),
  framed('a CID with a codec in too many bytes', Buffer.from([1, 0xd5, 0, ...good.root.bytes.subarray(2)])),
  framed('a CID as text', Buffer.from(good.root.toString())),
  {
    name: 'sha1',
    body: car([good.root], [root, sha1]),
    status: 400,
    code: 'UNKNOWN_HASH',
    says: `${sha1.cid} at byte ${place}`,
  },
  {
    name: 'sha2-256 with the digest of sha2-512',
    body: car([good.root], [root, hashed(0x12, sha512)]),
    status: 400,
    code: /HASH/,
    says: place,
  },
  {
    name: 'sha2-512 with half a digest',
    body: car([good.root], [root, hashed(0x13, sha512.subarray(0, 32))]),
    status: 400,
    code: /HASH/,
    says: place,
  },
  {
    name: 'a digest of no bytes',
    body: car([good.root], [root, hashed(0x12, new Uint8Array())]),
    status: 400,
    code: /HASH/,
    says: place,
  },
  asRoot('dag-pb that has a link without a CID', ofCodec(DAG_PB, Buffer.from('12021200', 'hex'))),
  asRoot('dag-pb whose link is no CID', ofCodec(DAG_PB, Buffer.from('12040a02ffff', 'hex'))),
  asRoot('dag-pb with a field of 2^50 bytes', ofCodec(DAG_PB, Buffer.from('0a80808080808080021234', 'hex'))),
  asRoot('dag-cbor with a tag that it does not know', cborText('d82b4100')),
  asRoot('dag-cbor whose link is text', cborText('d82a6161')),
  asRoot('dag-cbor whose link is cut', cborText('d82a4400015512')),
  asRoot('dag-cbor that claims 2^60 items', cborText('9b1000000000000000')),
  asRoot('dag-cbor with an item behind the first', cborText('0000')),
  asRoot('dag-cbor that is empty', ofCodec(DAG_CBOR, new Uint8Array())),
  asRoot('dag-json that is cut', json('{"a":')),
  asRoot('dag-json whose link is no CID', json('{"/":"bafynonsense"}')),
  asRoot('dag-json whose link has a megabyte', json(`{"/":"b${'a'.repeat(1_000_000)}"}`)),
  asRoot('dag-json of a hundred thousand lists within each other', json('['.repeat(100_000))),
  asRoot(
    'an identity link that holds broken dag-cbor',
    cborNode([identity(DAG_CBOR, Buffer.from([0x9b]))]),
    /BLOCK_INVALID/,
  ),
  asRoot('an identity link of a codec that nobody reads', cborNode([identity(0x78, leafBytes)]), 'UNKNOWN_CODEC'),
  asRoot(
    'an identity link within an identity link that is too long',
    cborNode([identity(DAG_CBOR, cborNode([identity(RAW, Buffer.alloc(129))]).bytes)]),
    'IDENTITY_CID_TOO_LARGE',
  ),
  asRoot('a hundred thousand links to nowhere', hundredThousand, 'TOO_MANY_LINKS', 413),
  { name: 'more links between few blocks than the limit', body: web(), status: 413, code: 'TOO_MANY_LINKS' },
];
