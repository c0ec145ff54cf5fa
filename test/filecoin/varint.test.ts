import * as fc from 'fast-check';
import { varint } from 'multiformats';
import { expect, test } from 'vitest';
import { decodeVarint, encodeVarint } from '../../src/filecoin/varint.ts';
import { fromHex, hex } from './hex.ts';

test('multiformats writes the same bytes', () => {
  const property = fc.property(fc.nat(Number.MAX_SAFE_INTEGER), (value) => {
    const expected = varint.encodeTo(value, new Uint8Array(varint.encodingLength(value)));
    expect(hex(encodeVarint(BigInt(value)))).toBe(hex(expected));
  });
  fc.assert(property);
});

test('any value below 2^63 comes back, whatever follows', () => {
  const property = fc.property(fc.bigInt(0n, 2n ** 63n - 1n), fc.uint8Array({ maxLength: 4 }), (value, behind) => {
    const encoded = encodeVarint(value);
    expect(decodeVarint(Uint8Array.of(...encoded, ...behind))).toEqual({ value, length: encoded.length });
  });
  fc.assert(property);
});

test.each(['', '80', 'ffff', '8000', '808000', 'ffffffffffffffffff01', '80808080808080808001'])('%s', (bytes) => {
  expect(() => decodeVarint(fromHex(bytes))).toThrow(expect.objectContaining({ code: 'VARINT_INVALID' }));
});
