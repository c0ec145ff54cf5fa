import { bls12_381 } from '@noble/curves/bls12-381.js';
import { secp256k1 } from '@noble/curves/secp256k1.js';
import { blake2b } from '@noble/hashes/blake2.js';
import { keccak_256 } from '@noble/hashes/sha3.js';

import { ethKeyAddress, sameAddress, secpAddress, type Address } from './address.ts';
import { concat } from './concat.ts';
import { FormatError } from './format-error.ts';

/** A signature of go-state-types crypto; the message it covers is hashed as its type wants it. */
export interface Signature {
  /** 1 secp256k1 over blake2b-256, 2 BLS over the message itself, 3 delegated (secp256k1 over keccak-256). */
  type: 1 | 2 | 3;
  /** r, s and recovery id (65 bytes) of types 1 and 3, a compressed G2 point (96 bytes) of type 2. */
  data: Uint8Array;
}

/** Longest signature with its type byte (go-state-types crypto.SignatureMaxLength). */
export const MAX_SIGNATURE_BYTES = 200;

const BLS_DOMAIN = 'BLS_SIG_BLS12381G2_XMD:SHA-256_SSWU_RO_NUL_';
const RECOVERABLE_BYTES = 65;
const SCALAR_BYTES = 32;

const bls = bls12_381.longSignatures;

/** The binary form: the type byte and the data. */
export function signatureBytes(signature: Signature): Uint8Array {
  return concat([Uint8Array.of(signature.type), signature.data]);
}

/** Reads the binary form. Throws FormatError INVALID_SIGNATURE. */
export function signatureFromBytes(bytes: Uint8Array): Signature {
  const type = bytes[0];
  if (type !== 1 && type !== 2 && type !== 3) {
    throw new FormatError('INVALID_SIGNATURE', `a signature starts with its type, 1, 2 or 3, not ${type ?? 'nothing'}`);
  }
  if (bytes.length > MAX_SIGNATURE_BYTES) {
    throw new FormatError(
      'INVALID_SIGNATURE',
      `a signature has at most ${MAX_SIGNATURE_BYTES} bytes, got ${bytes.length}`,
    );
  }
  return { type, data: bytes.slice(1) };
}

/** Signs with a secp256k1 key: deterministic (RFC 6979), low s, recoverable. */
export function signSecp256k1(message: Uint8Array, privateKey: Uint8Array): Signature {
  const recovered = secp256k1.sign(blake2b(message, { dkLen: 32 }), privateKey, {
    prehash: false,
    format: 'recovered',
  });
  return { type: 1, data: recoveryIdLast(recovered) };
}

/** Signs with a BLS key whose bytes are little-endian, as Lotus keeps them. */
export function signBls(message: Uint8Array, privateKeyLittleEndian: Uint8Array): Signature {
  const point = bls.sign(bls.hash(message, BLS_DOMAIN), privateKeyLittleEndian.toReversed());
  return { type: 2, data: point.toBytes() };
}

/** Did the key behind `signer` sign the message? False for every other address protocol. */
export function verifySignature(signature: Signature, message: Uint8Array, signer: Address): boolean {
  try {
    switch (signature.type) {
      case 1:
        return sameAddress(secpAddress(recover(signature.data, blake2b(message, { dkLen: 32 }))), signer);
      case 2:
        return signer.protocol === 3 && verifyBls(signature.data, message, signer.payload);
      case 3:
        return sameAddress(ethKeyAddress(recover(signature.data, keccak_256(message))), signer);
      default:
        return false;
    }
  } catch {
    // A point off the curve or a scalar out of range is thrown by the library, and is a wrong signature like any other.
    return false;
  }
}

/** The uncompressed public key, 65 bytes. */
export function secpPublicKey(privateKey: Uint8Array): Uint8Array {
  return secp256k1.getPublicKey(privateKey, false);
}

/** The compressed public key, 48 bytes. */
export function blsPublicKey(privateKeyLittleEndian: Uint8Array): Uint8Array {
  return bls.getPublicKey(privateKeyLittleEndian.toReversed()).toBytes();
}

/** Is it a scalar that the curve takes as a private key? BLS keys are little-endian. */
export function isPrivateKey(type: 'secp256k1' | 'bls', privateKey: Uint8Array): boolean {
  if (privateKey.length !== SCALAR_BYTES) return false;
  const bigEndian = type === 'bls' ? privateKey.toReversed() : privateKey;
  const scalar = BigInt(`0x${Buffer.from(bigEndian).toString('hex')}`);
  return scalar > 0n && scalar < (type === 'bls' ? bls12_381.fields.Fr.ORDER : secp256k1.Point.Fn.ORDER);
}

function verifyBls(data: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  return bls.verify(data, bls.hash(message, BLS_DOMAIN), publicKey);
}

function recover(data: Uint8Array, digest: Uint8Array): Uint8Array {
  if (data.length !== RECOVERABLE_BYTES)
    throw new FormatError('INVALID_SIGNATURE', 'a recoverable signature has 65 bytes');
  const recoveryId = data.subarray(64);
  const recovered = secp256k1.recoverPublicKey(concat([recoveryId, data.subarray(0, 64)]), digest, { prehash: false });
  return secp256k1.Point.fromBytes(recovered).toBytes(false);
}

/** The library puts the recovery id first, Filecoin last. */
function recoveryIdLast(recovered: Uint8Array): Uint8Array {
  return concat([recovered.subarray(1), recovered.subarray(0, 1)]);
}
