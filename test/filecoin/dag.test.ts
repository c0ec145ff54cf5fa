import * as dagCbor from '@ipld/dag-cbor';
import * as dagJson from '@ipld/dag-json';
import * as dagPb from '@ipld/dag-pb';
import * as fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { expect, test } from 'vitest';
import { linksOf } from '../../src/filecoin/dag.ts';
import { fromHex } from './hex.ts';

const DAG_PB = 0x70;
const DAG_CBOR = 0x71;
const DAG_JSON = 0x0129;

function cidOf(codec: number, seed: number): CID {
  return CID.createV1(codec, createDigest(0x12, new Uint8Array(32).fill(seed)));
}

function identityCid(codec: number, bytes: Uint8Array): CID {
  return CID.createV1(codec, createDigest(0, bytes));
}

const [a, b, c] = [cidOf(0x55, 1), cidOf(DAG_PB, 2), cidOf(DAG_CBOR, 3)] as const;

function links(codec: number, bytes: Uint8Array): string[] {
  return linksOf(cidOf(codec, 9), bytes).map(String);
}

test('raw blocks have no links', () => {
  expect(links(0x55, dagCbor.encode(a))).toEqual([]);
});

test('dag-pb, also as CIDv0', () => {
  const node = dagPb.prepare({ Links: [{ Hash: a }, { Hash: b }, { Hash: a }], Data: Uint8Array.of(1) });
  const bytes = dagPb.encode(node);
  expect(links(DAG_PB, bytes)).toEqual([a, b, a].map(String));
  const v0 = CID.createV0(createDigest(0x12, new Uint8Array(32)));
  expect(linksOf(v0, bytes).length).toBe(3);
  expect(links(DAG_PB, new Uint8Array())).toEqual([]);
});

test('dag-cbor', () => {
  const value = { one: a, list: [b, { deep: [c] }], bytes: Uint8Array.of(0xd8, 0x2a), text: 'x', float: 1.5, no: null };
  expect(new Set(links(DAG_CBOR, dagCbor.encode(value)))).toEqual(new Set([a, b, c].map(String)));
  expect(links(DAG_CBOR, dagCbor.encode(a))).toEqual([a.toString()]);
});

test('dag-json', () => {
  const value = { one: a, list: [b, { deep: [c] }], bytes: Uint8Array.of(1, 2), text: 'x', float: 1.5, no: null };
  expect(new Set(links(DAG_JSON, dagJson.encode(value)))).toEqual(new Set([a, b, c].map(String)));
  expect(links(DAG_JSON, dagJson.encode([b, a]))).toEqual([b, a].map(String));
});

const anyCid = fc.tuple(fc.constantFrom(0x55, DAG_PB, DAG_CBOR), fc.nat(255)).map(([codec, n]) => cidOf(codec, n));
const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    anyCid,
    fc.maxSafeInteger(),
    fc.double({ noNaN: true, noDefaultInfinity: true }),
    fc.string(),
    fc.uint8Array({ maxLength: 50 }),
    fc.array(tie('value'), { maxLength: 5 }),
    fc.dictionary(fc.string(), tie('value'), { maxKeys: 5, noNullPrototype: true }),
  ),
}));

/** Links by plain recursion over a decoded value. */
function walk(value: unknown): string[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array) return [];
  const cid = CID.asCID(value);
  return cid === null ? Object.values(value).flatMap(walk) : [cid.toString()];
}

test('links agree with a walk over the value that the codecs decode', () => {
  const property = fc.property(anyValue, (value) => {
    const cbor = dagCbor.encode(value);
    // A decoded object has its integer-like keys first, wherever the bytes have them.
    expect(links(DAG_CBOR, cbor).toSorted()).toEqual(walk(dagCbor.decode(cbor)).toSorted());
  });
  fc.assert(property, { numRuns: 300 });
});

test('an identity link gives way to the links of the block that it carries', () => {
  const inner = identityCid(DAG_CBOR, dagCbor.encode([b]));
  const outer = identityCid(DAG_CBOR, dagCbor.encode([inner, c]));
  const nothing = identityCid(0x55, Uint8Array.of(1, 2, 3));
  expect(links(DAG_CBOR, dagCbor.encode([a, outer, nothing]))).toEqual([a, b, c].map(String));
});

test('an identity link over 128 bytes is refused', () => {
  expect(links(DAG_CBOR, dagCbor.encode([identityCid(0x55, new Uint8Array(128))]))).toEqual([]);
  const bytes = dagCbor.encode([identityCid(0x55, new Uint8Array(129))]);
  expect(() => links(DAG_CBOR, bytes)).toThrow(expect.objectContaining({ code: 'IDENTITY_CID_TOO_LARGE' }));
});

test.each([
  ['dag-cbor', DAG_CBOR, (cid: CID) => dagCbor.encode([cid])],
  ['dag-pb', DAG_PB, (cid: CID) => dagPb.encode(dagPb.prepare({ Links: [cid] }))],
  ['dag-json', DAG_JSON, (cid: CID) => dagJson.encode([cid])],
])('%s: a link with a digest over 128 bytes is refused, whatever its hash function', (_, codec, encode) => {
  const withDigest = (length: number) => encode(CID.createV1(0x55, createDigest(0x12, new Uint8Array(length))));
  expect(links(codec, withDigest(128))).toHaveLength(1);
  for (const length of [129, 600, 1_000_000]) {
    expect(() => links(codec, withDigest(length))).toThrow(expect.objectContaining({ code: 'BLOCK_INVALID' }));
  }
});

test.each(['"/"', '"\\/"', '"\\u002f"', '"\\u002F"'])('dag-json: a link of megabytes under %s is no work', (key) => {
  // In base58 and base36 each character costs a pass over those before it: hours for these.
  for (const prefix of ['z', 'k', 'Qm', '1']) {
    const bytes = new TextEncoder().encode(`[{${key} : "${prefix}${'2'.repeat(1_000_000)}"}]`);
    expect(() => links(DAG_JSON, bytes)).toThrow(expect.objectContaining({ code: 'BLOCK_INVALID' }));
  }
});

test('a block full of the smallest links is refused, one full of links as they are is not', () => {
  const array = (count: number, link: Uint8Array) => {
    const head = Buffer.alloc(5, 0x9a);
    head.writeUInt32BE(count, 1);
    return Buffer.concat([head, Buffer.alloc(count * link.length, link)]);
  };
  const link = dagCbor.encode(a);
  const most = Math.floor((8 * 2 ** 20) / link.length);
  expect(links(DAG_CBOR, array(most, link))).toHaveLength(most);
  const tiny = array(300_000, dagCbor.encode(identityCid(0x55, new Uint8Array())));
  expect(() => links(DAG_CBOR, tiny)).toThrow(expect.objectContaining({ code: 'BLOCK_INVALID' }));
  const tinyPb = Buffer.alloc(300_000 * 8, fromHex('12060a0401550000'));
  expect(() => links(DAG_PB, tinyPb)).toThrow(expect.objectContaining({ code: 'BLOCK_INVALID' }));
});

test('a codec without links that we know is named, also inside an identity link', () => {
  const unknown = expect.objectContaining({ code: 'UNKNOWN_CODEC' });
  expect(() => links(0x78, Uint8Array.of())).toThrow(unknown);
  expect(() => links(0x78, Uint8Array.of())).toThrow(/0x78/);
  const bytes = dagCbor.encode([identityCid(0x78, new Uint8Array(3))]);
  expect(() => links(DAG_CBOR, bytes)).toThrow(unknown);
});

test.each<[string, number, Uint8Array]>([
  ['dag-pb cut short', DAG_PB, dagPb.encode(dagPb.prepare({ Links: [{ Hash: a }] })).subarray(0, 20)],
  ['dag-cbor cut short', DAG_CBOR, dagCbor.encode([a]).subarray(0, 20)],
  ['dag-cbor with bytes behind', DAG_CBOR, fromHex('0000')],
  ['an empty dag-cbor block', DAG_CBOR, new Uint8Array()],
  ['an indefinite array', DAG_CBOR, fromHex('9f00ff')],
  ['a link without its zero byte', DAG_CBOR, fromHex('d82a440155000 0'.replace(' ', ''))],
  ['a link that is no byte string', DAG_CBOR, fromHex('d82a00')],
  ['a tag that is no link', DAG_CBOR, fromHex('c100')],
  ['dag-json that is no JSON', DAG_JSON, new TextEncoder().encode('{')],
  ['dag-json with a wrong link', DAG_JSON, new TextEncoder().encode('{"/":"x"}')],
  ['dag-json nested without end', DAG_JSON, new TextEncoder().encode('['.repeat(200_000))],
])('%s is not in its codec', (_, codec, bytes) => {
  expect(() => links(codec, bytes)).toThrow(expect.objectContaining({ code: 'BLOCK_INVALID' }));
});

test('dag-cbor nested a million deep is read without recursion', () => {
  const bytes = new Uint8Array(1_000_001).fill(0x81);
  bytes[1_000_000] = 0;
  expect(links(DAG_CBOR, bytes)).toEqual([]);
});

test('a dag-cbor block with integers that are not in their shortest form keeps its links', () => {
  const link = dagCbor.encode(a);
  expect(links(DAG_CBOR, Uint8Array.of(0x98, 2, 0x18, 1, ...link))).toEqual([a.toString()]);
});
