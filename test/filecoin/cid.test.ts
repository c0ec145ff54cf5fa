import * as fc from 'fast-check';
import { base16 } from 'multiformats/bases/base16';
import { base36 } from 'multiformats/bases/base36';
import { base58btc } from 'multiformats/bases/base58';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { expect, test } from 'vitest';
import { canonicalCid, decodeCid, decodeFirstCid, parseCid } from '../../src/filecoin/cid.ts';
import { fromHex } from './hex.ts';

const v0 = 'QmQy6xmJhrcC5QLboAcGFcAE1tC8CrwDVkrHdEYJkLscrQ';
const v1 = 'bafybeibhbx3y6tnn7q4gpsous6apnobft5jybvroiepdsmvps2lmycjjxu';

test('both versions and three bases have one canonical text', () => {
  for (const text of [v0, v1, parseCid(v1).toString(base36), parseCid(v1).toString(base58btc)]) {
    expect(canonicalCid(parseCid(text))).toBe(v1);
  }
});

test.each(['', 'Qm', 'bafy', `${v1}a`, `${v1} `, v1.slice(0, -1), v1.toUpperCase(), 'z'.repeat(5000), 'bafkqaaa='])(
  '%j is no CID',
  (text) => {
    expect(() => parseCid(text)).toThrow(expect.objectContaining({ code: 'INVALID_CID' }));
  },
);

test('base16 is not among the bases that are read', () => {
  expect(() => parseCid(parseCid(v1).toString(base16))).toThrow(expect.objectContaining({ code: 'INVALID_CID' }));
});

test('binary CIDs of any codec and hash come back', () => {
  const property = fc.property(
    fc.nat(0xffff),
    fc.nat(0xffff),
    fc.uint8Array({ maxLength: 130 }),
    fc.uint8Array({ maxLength: 10 }),
    (codec, hashCode, digest, behind) => {
      const cid = CID.createV1(codec, createDigest(hashCode, digest));
      expect(decodeFirstCid(Uint8Array.of(...cid.bytes, ...behind)).equals(cid)).toBe(true);
      expect(decodeCid(cid.bytes).equals(cid)).toBe(true);
    },
  );
  fc.assert(property);
});

test.each([
  ['nothing', ''],
  ['version 2', '0255000100'],
  ['version 0 spelt out', '00551200'],
  ['a non-minimal codec', '01d5000000'],
  ['a non-minimal hash code', '01558000 00'.replace(' ', '')],
  ['a digest cut short', '01551220abcd'],
  ['bytes behind', '0155000100ff'],
  ['version 0 of a short digest', '12020101'],
  ['version 0 of an empty digest', '1200'],
])('%s is no binary CID', (_, bytes) => {
  expect(() => decodeCid(fromHex(bytes))).toThrow(expect.objectContaining({ code: 'INVALID_CID' }));
});

test('what no other implementation makes is refused before anything of its length is done', () => {
  const long = (head: string, digestBytes: number) => Buffer.concat([fromHex(head), Buffer.alloc(digestBytes)]);
  // The base58 text of a version 0 with a digest of 7 MiB would take days.
  for (const bytes of [long('128080c003', 7 * 2 ** 20), long('1221', 33), long('01551280808002', 4 * 2 ** 20)]) {
    expect(() => decodeFirstCid(bytes)).toThrow(expect.objectContaining({ code: 'INVALID_CID' }));
  }
});

test('a binary CID has at most 512 bytes', () => {
  const longest = CID.createV1(0x55, createDigest(0, new Uint8Array(507)));
  expect(longest.bytes.length).toBe(512);
  expect(decodeCid(longest.bytes).equals(longest)).toBe(true);
  const longer = CID.createV1(0x55, createDigest(0, new Uint8Array(508)));
  expect(() => decodeFirstCid(longer.bytes)).toThrow(expect.objectContaining({ code: 'INVALID_CID' }));
});
