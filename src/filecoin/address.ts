import { blake2b } from '@noble/hashes/blake2.js';
import { keccak_256 } from '@noble/hashes/sha3.js';
import { base32 } from 'multiformats/bases/base32';

import { concat } from './concat.ts';
import { FormatError } from './format-error.ts';
import { decodeVarint, encodeVarint } from './varint.ts';

/** An address of any network; the network's letter is not part of it (go-address). */
export interface Address {
  /** 0 ID, 1 secp256k1 key, 2 actor, 3 BLS key, 4 delegated. */
  protocol: 0 | 1 | 2 | 3 | 4;
  payload: Uint8Array;
}

const CHECKSUM_BYTES = 4;
const HASH_BYTES = 20;
const BLS_KEY_BYTES = 48;
const SECP_KEY_BYTES = 65;
const MAX_SUBADDRESS_BYTES = 54;

/** Namespace of the Ethereum Address Manager actor, f010. */
const ETH_NAMESPACE = 10n;

/** No valid address is longer: 1 + 9 + 54 bytes (go-address MaxAddressLength is 64). */
export const MAX_ADDRESS_BYTES = 64;

/** `f4`, nineteen digits, `f`, and 58 bytes in base32 stay below this; longer text is not worth decoding. */
const MAX_ADDRESS_CHARACTERS = 128;

const DECIMAL = /^(0|[1-9][0-9]{0,18})$/;
const BASE32 = /^[a-z2-7]*$/;

/** Reads an address in text, `f` or `t`. Throws FormatError INVALID_ADDRESS. */
export function parseAddress(text: string): Address {
  if (text.length > MAX_ADDRESS_CHARACTERS || !/^[ft][0-4]/.test(text)) {
    throw invalid(
      `${JSON.stringify(text.slice(0, MAX_ADDRESS_CHARACTERS))} is not an address: it starts with f or t and 0 to 4`,
    );
  }
  const rest = text.slice(2);
  const protocol = text[1];
  if (protocol === '0') return idAddress(parseDecimal(rest, text));
  if (protocol === '4') return parseDelegated(rest, text);
  return withChecksum(text, Uint8Array.of(Number(protocol)), rest);
}

/** The text of an address, with the letter of its network. */
export function formatAddress(address: Address, letter: 'f' | 't' = 'f'): string {
  const { protocol, payload } = address;
  if (protocol === 0) return `${letter}0${idOf(address)}`;
  const sum = checksum(addressBytes(address));
  if (protocol !== 4) return `${letter}${protocol}${base32.baseEncode(concat([payload, sum]))}`;
  const { value: namespace, length } = decodeVarint(payload);
  return `${letter}4${namespace}f${base32.baseEncode(concat([payload.subarray(length), sum]))}`;
}

/** The binary form: the protocol byte and the payload. */
export function addressBytes(address: Address): Uint8Array {
  return concat([Uint8Array.of(address.protocol), address.payload]);
}

/** Reads the binary form. Throws FormatError INVALID_ADDRESS. */
export function addressFromBytes(bytes: Uint8Array): Address {
  const protocol = bytes[0];
  const payload = bytes.slice(1);
  switch (protocol) {
    case 0:
      readId(payload);
      return { protocol, payload };
    case 1:
    case 2:
      return { protocol, payload: ofLength(payload, HASH_BYTES) };
    case 3:
      return { protocol, payload: ofLength(payload, BLS_KEY_BYTES) };
    case 4:
      readNamespace(payload);
      return { protocol, payload };
    case undefined:
      throw invalid('an address is not empty');
    default:
      throw invalid(`there is no address protocol ${protocol}`);
  }
}

/** The address of an actor by its number. */
export function idAddress(id: bigint): Address {
  if (id < 0n || id >= 1n << 63n) throw invalid(`an actor id is from 0 to 2^63 - 1, not ${id}`);
  return { protocol: 0, payload: encodeVarint(id) };
}

/** The actor number of an ID address. Throws FormatError INVALID_ADDRESS for other protocols. */
export function idOf(address: Address): bigint {
  if (address.protocol !== 0) throw invalid(`${formatAddress(address)} is not an ID address`);
  return readId(address.payload);
}

/** The f1 address of an uncompressed secp256k1 public key. */
export function secpAddress(publicKey65: Uint8Array): Address {
  return { protocol: 1, payload: blake2b(ofLength(publicKey65, SECP_KEY_BYTES), { dkLen: HASH_BYTES }) };
}

/** The f3 address of a compressed BLS public key. */
export function blsAddress(publicKey48: Uint8Array): Address {
  return { protocol: 3, payload: ofLength(publicKey48, BLS_KEY_BYTES).slice() };
}

/** The f410 address of an Ethereum address. */
export function ethAddress(bytes20: Uint8Array): Address {
  return { protocol: 4, payload: concat([encodeVarint(ETH_NAMESPACE), ofLength(bytes20, HASH_BYTES)]) };
}

/** The f410 address of an uncompressed secp256k1 public key. */
export function ethKeyAddress(publicKey65: Uint8Array): Address {
  return ethAddress(keccak_256(ofLength(publicKey65, SECP_KEY_BYTES).subarray(1)).subarray(-HASH_BYTES));
}

export function sameAddress(a: Address, b: Address): boolean {
  return a.protocol === b.protocol && Buffer.compare(a.payload, b.payload) === 0;
}

function parseDelegated(rest: string, text: string): Address {
  const cut = rest.indexOf('f');
  if (cut < 0) throw invalid(`${text} has no f between namespace and subaddress`);
  const namespace = parseDecimal(rest.slice(0, cut), text);
  return withChecksum(text, concat([Uint8Array.of(4), encodeVarint(namespace)]), rest.slice(cut + 1));
}

/** Writing the address again must give the same text: that checks the checksum and base32's unused bits at once. */
function withChecksum(text: string, head: Uint8Array, digits: string): Address {
  const address = addressFromBytes(concat([head, decodeBase32(digits, text).subarray(0, -CHECKSUM_BYTES)]));
  if (formatAddress(address).slice(1) !== text.slice(1))
    throw invalid(`${text} has a wrong checksum: check each letter`);
  return address;
}

function parseDecimal(digits: string, text: string): bigint {
  if (!DECIMAL.test(digits)) throw invalid(`${text} has a number that is not decimal, starts with 0, or is too long`);
  const value = BigInt(digits);
  if (value >= 1n << 63n) throw invalid(`${text} has a number beyond 2^63 - 1`);
  return value;
}

function readId(payload: Uint8Array): bigint {
  const { value, length } = readVarint(payload);
  if (length !== payload.length) throw invalid('bytes follow the actor id');
  return value;
}

function readNamespace(payload: Uint8Array): void {
  const { length } = readVarint(payload);
  if (payload.length - length > MAX_SUBADDRESS_BYTES) {
    throw invalid(`a subaddress has at most ${MAX_SUBADDRESS_BYTES} bytes, got ${payload.length - length}`);
  }
}

function readVarint(payload: Uint8Array): { value: bigint; length: number } {
  try {
    return decodeVarint(payload);
  } catch (error) {
    throw invalid(error instanceof Error ? error.message : String(error));
  }
}

function decodeBase32(digits: string, text: string): Uint8Array {
  try {
    if (!BASE32.test(digits)) throw new SyntaxError('characters other than a-z and 2-7');
    return base32.baseDecode(digits);
  } catch (error) {
    throw invalid(`${text} is not lower-case base32: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function checksum(bytes: Uint8Array): Uint8Array {
  return blake2b(bytes, { dkLen: CHECKSUM_BYTES });
}

function ofLength(bytes: Uint8Array, length: number): Uint8Array {
  if (bytes.length !== length) throw invalid(`expected ${length} bytes, got ${bytes.length}`);
  return bytes;
}

function invalid(message: string): FormatError {
  return new FormatError('INVALID_ADDRESS', message);
}
