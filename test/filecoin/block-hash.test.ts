import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { identity } from 'multiformats/hashes/identity';
import { sha256, sha512 } from 'multiformats/hashes/sha2';
import { expect, test } from 'vitest';
import { verifyBlock } from '../../src/filecoin/block-hash.ts';
import { fromHex } from './hex.ts';

const bytes = new TextEncoder().encode('hello');
const other = new TextEncoder().encode('hellp');
/** Made by coreutils: printf hello | b2sum -l 256. */
const blake2b256 = fromHex('324dcf027dd4a30a932c441f365a25e86b173defa4b8e58948253471b81b72cf');

test.each([
  ['sha2-256', () => sha256.digest(bytes)],
  ['sha2-512', () => sha512.digest(bytes)],
  ['identity', () => identity.digest(bytes)],
  ['blake2b-256', () => createDigest(0xb220, blake2b256)],
] as const)('%s', async (_, digest) => {
  const cid = CID.createV1(0x55, await digest());
  verifyBlock(cid, bytes);
  expect(() => verifyBlock(cid, other)).toThrow(
    expect.objectContaining({ code: 'HASH_MISMATCH', details: { cid: cid.toString() } }),
  );
});

test('CIDv0', async () => {
  verifyBlock(CID.createV0(await sha256.digest(bytes)), bytes);
});

test('a shortened digest does not count', async () => {
  const { digest } = await sha256.digest(bytes);
  const cid = CID.createV1(0x55, createDigest(0x12, digest.subarray(0, 20)));
  expect(() => verifyBlock(cid, bytes)).toThrow(expect.objectContaining({ code: 'HASH_MISMATCH' }));
});

test('an unknown hash function is named', () => {
  const cid = CID.createV1(0x55, createDigest(0x1e, new Uint8Array(32)));
  expect(() => verifyBlock(cid, bytes)).toThrow(expect.objectContaining({ code: 'UNKNOWN_HASH' }));
  expect(() => verifyBlock(cid, bytes)).toThrow(/0x1e/);
});
