import * as fc from 'fast-check';
import * as iso from 'iso-filecoin/address';
import { expect, test } from 'vitest';
import {
  addressBytes,
  addressFromBytes,
  blsAddress,
  ethAddress,
  formatAddress,
  idAddress,
  idOf,
  parseAddress,
  sameAddress,
  secpAddress,
  type Address,
} from '../../src/filecoin/address.ts';
import vectors from '../vectors/addresses.json' with { type: 'json' };
import { fromHex, hex } from './hex.ts';

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const anyAddress: fc.Arbitrary<Address> = fc.oneof(
  fc.bigInt(0n, 2n ** 63n - 1n).map(idAddress),
  bytesOf(20).map((payload): Address => ({ protocol: 1, payload })),
  bytesOf(20).map((payload): Address => ({ protocol: 2, payload })),
  bytesOf(48).map(blsAddress),
  bytesOf(20).map(ethAddress),
);

function addressOf(vector: (typeof vectors.valid)[number]): Address {
  if (vector.secp256k1PublicKeyHex !== undefined) return secpAddress(fromHex(vector.secp256k1PublicKeyHex));
  if (vector.bytesHex !== undefined) return addressFromBytes(fromHex(vector.bytesHex));
  if (vector.ethereum !== undefined) return ethAddress(fromHex(vector.ethereum.slice(2)));
  return parseAddress(vector.address);
}

test.each(vectors.valid)('go-address: $address', (vector) => {
  const address = addressOf(vector);
  expect(formatAddress(address)).toBe(vector.address);
  expect(sameAddress(parseAddress(vector.address), address)).toBe(true);
  expect(sameAddress(addressFromBytes(addressBytes(address)), address)).toBe(true);
});

test.each(vectors.invalid)('go-address refuses $address $bytesHex', ({ address, bytesHex }) => {
  const read = () => (address === undefined ? addressFromBytes(fromHex(bytesHex ?? '')) : parseAddress(address));
  expect(read).toThrow(expect.objectContaining({ code: 'INVALID_ADDRESS' }));
});

test('iso-filecoin writes and reads the same text and bytes', () => {
  const property = fc.property(anyAddress, fc.constantFrom('f', 't'), (address, letter) => {
    const text = formatAddress(address, letter);
    const other = iso.fromString(text);
    expect(hex(other.toBytes())).toBe(hex(addressBytes(address)));
    const network = letter === 'f' ? 'mainnet' : 'testnet';
    expect(iso.fromBytes(addressBytes(address), network).toString()).toBe(text);
    expect(sameAddress(parseAddress(text), address)).toBe(true);
    expect(sameAddress(addressFromBytes(other.toBytes()), address)).toBe(true);
  });
  fc.assert(property, { numRuns: 200 });
});

test('a delegated address of any namespace and subaddress comes back', () => {
  const property = fc.property(
    fc.bigInt(0n, 2n ** 63n - 1n),
    fc.uint8Array({ maxLength: 54 }),
    (namespace, subaddress) => {
      const address = parseAddress(formatAddress(addressFromBytes(delegatedBytes(namespace, subaddress))));
      expect(hex(addressBytes(address))).toBe(hex(delegatedBytes(namespace, subaddress)));
    },
  );
  fc.assert(property);
});

function delegatedBytes(namespace: bigint, subaddress: Uint8Array): Uint8Array {
  return Uint8Array.of(4, ...addressBytes(idAddress(namespace)).subarray(1), ...subaddress);
}

test('one changed letter is noticed', () => {
  const text = 'f15ihq5ibzwki2b4ep2f46avlkrqzhpqgtga7pdrq';
  const property = fc.property(
    fc.integer({ min: 2, max: text.length - 1 }),
    fc.constantFrom(...Array.from('abcdefghijklmnopqrstuvwxyz234567')),
    (at, letter) => {
      fc.pre(text[at] !== letter);
      expect(() => parseAddress(text.slice(0, at) + letter + text.slice(at + 1))).toThrow(/checksum|base32/);
    },
  );
  fc.assert(property, { numRuns: 300 });
});

test('the ID of an ID address', () => {
  expect(idOf(parseAddress('t01234'))).toBe(1234n);
  expect(idOf(idAddress(2n ** 63n - 1n))).toBe(2n ** 63n - 1n);
  expect(() => idOf(parseAddress('f15ihq5ibzwki2b4ep2f46avlkrqzhpqgtga7pdrq'))).toThrow(/not an ID address/);
  expect(() => idAddress(2n ** 63n)).toThrow(expect.objectContaining({ code: 'INVALID_ADDRESS' }));
});

test.each([
  '',
  'f',
  'f0',
  'f00123',
  'f0-1',
  'f0 1',
  'f09223372036854775808',
  'f05abc',
  'b01234',
  'f51234',
  'F01234',
  'f1',
  'f15IHQ5ibzwki2b4ep2f46avlkrqzhpqgtga7pdrq',
  'f410',
  'f4010f2oekwcmo2pueydmaq53eic2i62crtbeyuzx2gmy',
  '0xd388ab098ed3e84c0d808776440b48f685198498',
  `f4${'1'.repeat(200)}`,
])('%j is no address', (text) => {
  expect(() => parseAddress(text)).toThrow(expect.objectContaining({ code: 'INVALID_ADDRESS' }));
});

test.each(['', '00', '0080', '008000', '000100', '00ffffffffffffffffff01', '01ab', `03${'00'.repeat(47)}`, '06'])(
  'bytes %j are no address',
  (bytes) => {
    expect(() => addressFromBytes(fromHex(bytes))).toThrow(expect.objectContaining({ code: 'INVALID_ADDRESS' }));
  },
);
