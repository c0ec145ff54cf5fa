import * as fc from 'fast-check';
import * as isoSignature from 'iso-filecoin/signature';
import * as isoWallet from 'iso-filecoin/wallet';
import { expect, test } from 'vitest';
import { ethKeyAddress, formatAddress, idAddress, parseAddress } from '../../src/filecoin/address.ts';
import { formatLotusKey, keyAddress, parseLotusKey, signWithKey, type LotusKey } from '../../src/filecoin/lotus-key.ts';
import {
  secpPublicKey,
  signatureBytes,
  signatureFromBytes,
  signSecp256k1,
  verifySignature,
} from '../../src/filecoin/signature.ts';
import vectors from '../vectors/signatures.json' with { type: 'json' };
import { fromHex, hex } from './hex.ts';

function keyOf(vector: (typeof vectors.vectors)[number]): LotusKey {
  const base64 = vector.privateKeyBase64 ?? vector.privateKeyBase64LittleEndian ?? '';
  return {
    type: vector.type === 'bls' ? 'bls' : 'secp256k1',
    privateKey: new Uint8Array(Buffer.from(base64, 'base64')),
  };
}

test.each(vectors.vectors)('lotus wallet sign: $type', (vector) => {
  const key = keyOf(vector);
  const message = fromHex(vector.messageHex);
  expect(formatAddress(keyAddress(key))).toBe(vector.address);
  expect(hex(signatureBytes(signWithKey(key, message)))).toBe(vector.signatureHex);
  const signature = signatureFromBytes(fromHex(vector.signatureHex));
  expect(hex(signatureBytes(signature))).toBe(vector.signatureHex);
  expect(verifySignature(signature, message, parseAddress(vector.address))).toBe(true);
});

test('lotus wallet export', () => {
  const [vector] = vectors.vectors;
  const exported = vector?.lotusExportHex ?? '';
  const key = parseLotusKey(` ${exported}\n`);
  expect(formatAddress(keyAddress(key))).toBe(vector?.address);
  expect(formatLotusKey(key)).toBe(exported);
});

const scalar = fc.uint8Array({ minLength: 32, maxLength: 32 }).map((bytes) => {
  // Below the order of both curves in either byte order, and not zero.
  bytes[0] = 1;
  bytes[31] = 1;
  return bytes;
});
const anyKey: fc.Arbitrary<LotusKey> = fc.record({
  type: fc.constantFrom('secp256k1', 'bls'),
  privateKey: scalar,
});

test('iso-filecoin signs the same bytes and verifies ours', () => {
  const property = fc.property(anyKey, fc.uint8Array({ maxLength: 200 }), (key, message) => {
    const ours = signWithKey(key, message);
    const type = key.type === 'bls' ? 'BLS' : 'SECP256K1';
    // Lotus keeps BLS keys little-endian, iso-filecoin takes them big-endian.
    const isoKey = key.type === 'bls' ? key.privateKey.toReversed() : key.privateKey;
    const theirs = isoWallet.sign(isoKey, type, message);
    expect(hex(theirs.data)).toBe(hex(ours.data));
    const account = isoWallet.accountFromPrivateKey(isoKey, type, 'mainnet');
    expect(account.address.toString()).toBe(formatAddress(keyAddress(key)));
    expect(isoWallet.verify(new isoSignature.Signature({ type, data: ours.data }), message, account.publicKey)).toBe(
      true,
    );
    expect(verifySignature(ours, message, keyAddress(key))).toBe(true);
  });
  fc.assert(property, { numRuns: 10 });
});

test('another message, another signer or a damaged byte is noticed', () => {
  const other = keyAddress({ type: 'secp256k1', privateKey: new Uint8Array(32).fill(9) });
  const property = fc.property(anyKey, fc.nat(1_000), fc.integer({ min: 1, max: 255 }), (key, at, flip) => {
    const message = Uint8Array.of(1, 2, 3);
    const signature = signWithKey(key, message);
    expect(verifySignature(signature, Uint8Array.of(1, 2, 4), keyAddress(key))).toBe(false);
    expect(verifySignature(signature, message, other)).toBe(false);
    expect(verifySignature(signature, message, idAddress(1n))).toBe(false);
    const data = signature.data.map((byte, i) => (i === at % signature.data.length ? byte ^ flip : byte));
    expect(verifySignature({ ...signature, data }, message, keyAddress(key))).toBe(false);
  });
  fc.assert(property, { numRuns: 8 });
});

test('a signature of the wrong length or type is just not valid', () => {
  const key: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(9) };
  const message = Uint8Array.of(7);
  const { data } = signWithKey(key, message);
  for (const wrong of [new Uint8Array(), data.subarray(0, 64), Uint8Array.of(...data, 0)]) {
    expect(verifySignature({ type: 1, data: wrong }, message, keyAddress(key))).toBe(false);
  }
  for (const type of [2, 3] as const) expect(verifySignature({ type, data }, message, keyAddress(key))).toBe(false);
  const ethereumStyle = data.with(64, (data[64] ?? 0) + 27);
  expect(verifySignature({ type: 1, data: ethereumStyle }, message, keyAddress(key))).toBe(false);
});

test('a delegated signature speaks for the f410 address of its key', async () => {
  const { secp256k1 } = await import('@noble/curves/secp256k1.js');
  const { keccak_256 } = await import('@noble/hashes/sha3.js');
  const privateKey = new Uint8Array(32).fill(3);
  const message = Uint8Array.of(1, 2, 3);
  const [recoveryId = 0, ...rs] = secp256k1.sign(keccak_256(message), privateKey, {
    prehash: false,
    format: 'recovered',
  });
  const data = Uint8Array.of(...rs, recoveryId);
  const address = ethKeyAddress(secpPublicKey(privateKey));
  expect(verifySignature({ type: 3, data }, message, address)).toBe(true);
  expect(verifySignature({ type: 3, data }, Uint8Array.of(9), address)).toBe(false);
  expect(verifySignature(signSecp256k1(message, privateKey), message, address)).toBe(false);
});

/** Account 0 of the well-known mnemonic "test test … junk", as Hardhat and Anvil print it. */
test('the f410 address of a known Ethereum key', () => {
  const key = fromHex('ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80');
  const { payload } = ethKeyAddress(secpPublicKey(key));
  expect(hex(payload)).toBe('0af39fd6e51aad88f6f4ce6ab8827279cfffb92266');
});

test.each(['', '00', '04ff', `01${'00'.repeat(200)}`])('%j is no signature', (bytes) => {
  expect(() => signatureFromBytes(fromHex(bytes))).toThrow(expect.objectContaining({ code: 'INVALID_SIGNATURE' }));
});

const asHex = (text: string) => Buffer.from(text).toString('hex');
const exportOf = (type: unknown, key: unknown) => asHex(JSON.stringify({ Type: type, PrivateKey: key }));
const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64');

test.each([
  ['nothing', ''],
  ['no hex', 'zz'],
  ['half a byte', '123'],
  ['no JSON', asHex('secret')],
  ['no object', asHex('"secret"')],
  ['an unknown type', exportOf('delegated', base64(new Uint8Array(32).fill(1)))],
  ['no key', exportOf('bls', undefined)],
  ['a short key', exportOf('secp256k1', base64(new Uint8Array(31).fill(1)))],
  ['zero', exportOf('secp256k1', base64(new Uint8Array(32)))],
  ['a key above the order of secp256k1', exportOf('secp256k1', base64(new Uint8Array(32).fill(0xff)))],
  ['a big-endian key above the order of BLS', exportOf('bls', base64(new Uint8Array(32).fill(0xff)))],
  ['far too much', '00'.repeat(5_000)],
])('%s is no export, and the message keeps the secret', (_, text) => {
  const read = () => parseLotusKey(text);
  expect(read).toThrow(expect.objectContaining({ code: 'INVALID_KEY' }));
  expect(read).not.toThrow(/secret|AAAA|AQEB|\/\/\/\//);
});
