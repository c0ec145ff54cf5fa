import * as dagCbor from '@ipld/dag-cbor';
import { multiaddr } from '@multiformats/multiaddr';
import * as fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import { CborReader } from '../../src/filecoin/cbor-reader.ts';
import {
  base64CborInt,
  base64CborText,
  cborArray,
  cborBigInt,
  cborBool,
  cborBytes,
  cborCid,
  cborInt,
  cborMap,
  cborNull,
  cborText,
  cborUint,
  decodeCbor,
  tryDecodeFirst,
} from '../../src/filecoin/cbor.ts';
import vectors from '../vectors/chain.json' with { type: 'json' };
import { fromHex, hex } from './hex.ts';

const anyCid = fc
  .uint8Array({ minLength: 32, maxLength: 32 })
  .map((digest) => CID.decode(Uint8Array.of(1, 0x71, 0x12, 32, ...digest)));

const anyText = fc.string({ unit: 'binary', maxLength: 40 });

const { value: anyValue } = fc.letrec((tie) => ({
  value: fc.oneof(
    { maxDepth: 4 },
    fc.boolean(),
    fc.constant(null),
    fc.maxSafeInteger(),
    fc.bigInt(2n ** 53n, 2n ** 64n - 1n),
    fc.bigInt(-(2n ** 63n), -(2n ** 53n)),
    anyText,
    fc.uint8Array({ maxLength: 300 }),
    anyCid,
    fc.array(tie('value'), { maxLength: 4 }),
    fc.dictionary(anyText, tie('value'), { maxKeys: 4, noNullPrototype: true }),
  ),
}));

/** Our encoders over a plain value. */
function encode(value: unknown): Uint8Array {
  if (typeof value === 'boolean') return cborBool(value);
  if (value === null) return cborNull;
  if (typeof value === 'number' || typeof value === 'bigint') return value < 0 ? cborInt(value) : cborUint(value);
  if (typeof value === 'string') return cborText(value);
  if (value instanceof Uint8Array) return cborBytes(value);
  if (Array.isArray(value)) return cborArray(value.map(encode));
  const cid = CID.asCID(value);
  if (cid !== null) return cborCid(cid);
  return cborMap(Object.fromEntries(Object.entries(value as object).map(([key, item]) => [key, encode(item)])));
}

test('dag-cbor writes the same bytes and we read the same value', () => {
  const property = fc.property(anyValue, (value) => {
    const encoded = encode(value);
    expect(hex(encoded)).toBe(hex(dagCbor.encode(value)));
    expect(hex(dagCbor.encode(decodeCbor(encoded)))).toBe(hex(encoded));
  });
  fc.assert(property, { numRuns: 500 });
});

test('an item is found as soon as it is whole, and never before', () => {
  const property = fc.property(anyValue, fc.uint8Array({ maxLength: 20 }), (value, behind) => {
    const item = dagCbor.encode(value);
    for (let length = 0; length < item.length; length += 1) {
      expect(tryDecodeFirst(item.subarray(0, length))).toBeUndefined();
    }
    const first = tryDecodeFirst(Uint8Array.of(...item, ...behind));
    expect(hex(first?.item ?? new Uint8Array())).toBe(hex(item));
    expect(hex(first?.rest ?? new Uint8Array())).toBe(hex(behind));
  });
  fc.assert(property, { numRuns: 100 });
});

test('reading any bytes ends in a value or a FormatError', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
    try {
      tryDecodeFirst(bytes);
    } catch (error) {
      expect(error).toMatchObject({ name: 'FormatError', code: expect.stringMatching(/^CBOR_/) });
    }
  });
  fc.assert(property, { numRuns: 2000 });
});

test('big integers as go-state-types writes them', () => {
  expect(hex(cborBigInt(0n))).toBe('40');
  expect(hex(cborBigInt(500866n))).toBe('440007a482');
  expect(hex(cborBigInt(-255n))).toBe('4201ff');
  const property = fc.property(fc.bigInt(-(2n ** 1015n), 2n ** 1015n), (value) => {
    expect(CborReader.decode(cborBigInt(value), (reader) => reader.bigInt())).toBe(value);
  });
  fc.assert(property);
  expect(() => cborBigInt(2n ** 1016n)).toThrow(expect.objectContaining({ code: 'CBOR_RANGE' }));
});

test.each(['4100', '4101', '420000', '420100', '420201', '43000001'])('%s is no big integer', (bytes) => {
  expect(() => CborReader.decode(fromHex(bytes), (reader) => reader.bigInt())).toThrow(/sign byte/);
});

test.each([
  ['CBOR_NOT_CANONICAL', '1817', 'a byte of argument for 23'],
  ['CBOR_NOT_CANONICAL', '1900ff', 'two bytes for 255'],
  ['CBOR_NOT_CANONICAL', '1a0000ffff', 'four bytes for 65535'],
  ['CBOR_NOT_CANONICAL', '1b00000000ffffffff', 'eight bytes for 2^32 - 1'],
  ['CBOR_NOT_CANONICAL', '5801ff', 'a long head on a byte string'],
  ['CBOR_INVALID', '5f41ff', 'an indefinite byte string'],
  ['CBOR_INVALID', '9f', 'an indefinite array'],
  ['CBOR_INVALID', 'bf', 'an indefinite map'],
  ['CBOR_INVALID', '1c', 'a reserved head'],
  ['CBOR_TRUNCATED', '', 'nothing'],
  ['CBOR_TRUNCATED', '19ff', 'half a head'],
  ['CBOR_TRUNCATED', '43ffff', 'half a byte string'],
  ['CBOR_TRUNCATED', '8201', 'half an array'],
  ['CBOR_TRAILING', '0000', 'two items'],
  ['CBOR_TYPE', 'f93c00', 'a float'],
  ['CBOR_TYPE', 'f7', 'undefined'],
  ['CBOR_TYPE', 'c100', 'a tag that is no link'],
  ['CBOR_LINK_INVALID', 'd82a450155000100', 'a link without the zero byte'],
  ['CBOR_LINK_INVALID', 'd82a4700015500010000', 'a link with bytes behind its CID'],
  ['CBOR_TEXT_INVALID', '61ff', 'a text that is not UTF-8'],
  ['CBOR_TYPE', 'a10000', 'a key that is no text'],
  ['CBOR_MAP', 'a2616100616101', 'a key twice'],
  ['CBOR_RANGE', '3b8000000000000000', 'a negative integer below -2^63'],
  ['CBOR_TOO_DEEP', `${'81'.repeat(70)}00`, 'seventy arrays'],
  ['CBOR_TOO_LONG', '992001', 'an array of 8193'],
  ['CBOR_TOO_LONG', `792001${'61'.repeat(8193)}`, 'a text of 8193 bytes'],
  ['CBOR_TOO_LONG', '5a00200001', 'a byte string over 2 MiB'],
])('%s: %s (%s)', (code, bytes) => {
  expect(() => decodeCbor(fromHex(bytes))).toThrow(expect.objectContaining({ code }));
});

test('integers beyond 2^53 survive as bigint and are refused as number', () => {
  const int = (value: bigint) => CborReader.decode(cborInt(value), (reader) => reader.int());
  for (const value of [2n ** 63n - 1n, -(2n ** 63n), 2n ** 53n]) expect(int(value)).toBe(value);
  expect(CborReader.decode(cborUint(2n ** 64n - 1n), (reader) => reader.uint())).toBe(2n ** 64n - 1n);
  const { MAX_SAFE_INTEGER: max } = Number;
  expect(CborReader.decode(cborInt(-max), (reader) => reader.safeInt())).toBe(-max);
  for (const read of ['safeUint', 'safeInt'] as const) {
    expect(CborReader.decode(cborUint(max), (reader) => reader[read]())).toBe(max);
    expect(() => CborReader.decode(cborUint(2n ** 53n), (reader) => reader[read]())).toThrow(/beyond 2\^53/);
  }
});

test('writing refuses what does not fit', () => {
  const range = expect.objectContaining({ code: 'CBOR_RANGE' });
  for (const value of [-1n, 2n ** 64n, 2 ** 53, 0.5, Number.NaN]) expect(() => cborUint(value)).toThrow(range);
  for (const value of [2n ** 63n, -(2n ** 63n) - 1n, -0.5, Infinity]) expect(() => cborInt(value)).toThrow(range);
  expect(() => cborText('\ud800')).toThrow(expect.objectContaining({ code: 'CBOR_TEXT_INVALID' }));
});

test('a text may begin with a byte order mark', () => {
  expect(decodeCbor(cborText('\ufeffx'))).toBe('\ufeffx');
});

test('a map takes keys in any order, passes over others, and tells which is missing', () => {
  const read = (bytes: Uint8Array) =>
    CborReader.decode(bytes, (reader) => reader.map({ a: (item) => item.uint(), bb: (item) => item.text() }));
  const unordered = fromHex(['a3', '626262', '6178', '647a7a7a7a', '8201a1616300', '6161', '05'].join(''));
  expect(read(unordered)).toMatchObject({ a: 5n, bb: 'x' });
  expect(() => read(fromHex('a1616105'))).toThrow(/key bb is missing/);
  expect(() => read(fromHex('a36161056161056262626178'))).toThrow(/comes twice/);
});

test('a key of the prototype is passed over like any other', () => {
  const bytes = cborMap({ a: cborUint(1), toString: cborUint(2), constructor: cborNull });
  expect(CborReader.decode(bytes, (reader) => reader.map({ a: (item) => item.uint() })).a).toBe(1n);
});

test('a tuple must have its exact length', () => {
  const read = (bytes: string) => CborReader.decode(fromHex(bytes), (reader) => reader.tuple(2, 'Pair'));
  for (const bytes of ['8101', '83010203', 'a0', '42ffff']) expect(() => read(bytes)).toThrow(/Pair is an array of 2/);
});

test.each(Object.entries(vectors.ints))('FIP-0083 event value %s', (int, base64) => {
  expect(base64CborInt(Number(int))).toBe(base64);
  expect(decodeCbor(Buffer.from(base64, 'base64'))).toBe(Number(int));
});

test.each(Object.entries(vectors.types))('FIP-0083 event type %s', (type, base64) => {
  expect(base64CborText(type)).toBe(base64);
  expect(decodeCbor(Buffer.from(base64, 'base64'))).toBe(type);
});

test.each(vectors.multiaddrs)('multiaddr $text', ({ base64, text }) => {
  expect(multiaddr(new Uint8Array(Buffer.from(base64, 'base64'))).toString()).toBe(text);
  expect(Buffer.from(multiaddr(text).bytes).toString('base64')).toBe(base64);
});
