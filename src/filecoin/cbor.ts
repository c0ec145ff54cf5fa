import type { CID } from 'multiformats/cid';

import { CborReader, MAX_BIGINT_BYTES, type CborValue } from './cbor-reader.ts';
import { scanItem } from './cbor-scan.ts';
import { concat } from './concat.ts';
import { FormatError } from './format-error.ts';

export type { CborValue } from './cbor-reader.ts';

const MAX_UINT64 = (1n << 64n) - 1n;
const MIN_INT64 = -(1n << 63n);
const MAX_INT64 = (1n << 63n) - 1n;

/** Major type and argument of an item, in the shortest form. */
function encodeHead(major: number, argument: bigint): Uint8Array {
  const top = major << 5;
  if (argument < 24n) return Uint8Array.of(top | Number(argument));
  if (argument < 0x100n) return Uint8Array.of(top | 24, Number(argument));
  const width = argument < 0x1_0000n ? 2 : argument < 0x1_0000_0000n ? 4 : 8;
  const head = Buffer.alloc(1 + width);
  head[0] = top | (width === 2 ? 25 : width === 4 ? 26 : 27);
  if (width === 8) head.writeBigUInt64BE(argument, 1);
  else head.writeUIntBE(Number(argument), 1, width);
  return head;
}

/** An unsigned integer, below 2^64. */
export function cborUint(value: bigint | number): Uint8Array {
  const wide = toBigInt(value);
  if (wide < 0n || wide > MAX_UINT64) throw new FormatError('CBOR_RANGE', `${wide} does not fit in a uint64`);
  return encodeHead(0, wide);
}

/** A signed integer of 64 bits. */
export function cborInt(value: bigint | number): Uint8Array {
  const wide = toBigInt(value);
  if (wide < MIN_INT64 || wide > MAX_INT64) throw new FormatError('CBOR_RANGE', `${wide} does not fit in an int64`);
  return wide < 0n ? encodeHead(1, -1n - wide) : encodeHead(0, wide);
}

export function cborBytes(bytes: Uint8Array): Uint8Array {
  return concat([encodeHead(2, BigInt(bytes.length)), bytes]);
}

/** A text string. Lone surrogates are refused: UTF-8 cannot carry them, and a silent replacement changes the text. */
export function cborText(text: string): Uint8Array {
  if (!text.isWellFormed()) throw new FormatError('CBOR_TEXT_INVALID', 'the text has a lone surrogate');
  const bytes = Buffer.from(text, 'utf8');
  return concat([encodeHead(3, BigInt(bytes.length)), bytes]);
}

/** An array of items that are encoded already. */
export function cborArray(items: readonly Uint8Array[]): Uint8Array {
  return concat([encodeHead(4, BigInt(items.length)), ...items]);
}

/** A map of items that are encoded already, with keys in DAG-CBOR order: shorter first, then bytewise. */
export function cborMap(entries: Readonly<Record<string, Uint8Array>>): Uint8Array {
  const sorted = Object.entries(entries)
    .map(([key, item]) => [cborText(key), item] as const)
    .sort(([a], [b]) => a.length - b.length || Buffer.compare(a, b));
  return concat([encodeHead(5, BigInt(sorted.length)), ...sorted.flat()]);
}

/** A link: tag 42 over the binary CID behind a zero byte. */
export function cborCid(cid: CID): Uint8Array {
  return concat([encodeHead(6, 42n), cborBytes(concat([Uint8Array.of(0), cid.bytes]))]);
}

export function cborBool(value: boolean): Uint8Array {
  return Uint8Array.of(value ? 0xf5 : 0xf4);
}

export const cborNull: Uint8Array = Uint8Array.of(0xf6);

/** A token amount: empty for zero, else a sign byte before the magnitude (go-state-types big.Int). */
export function cborBigInt(value: bigint): Uint8Array {
  if (value === 0n) return cborBytes(new Uint8Array());
  const hex = (value < 0n ? -value : value).toString(16);
  const magnitude = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  if (magnitude.length >= MAX_BIGINT_BYTES) throw new FormatError('CBOR_RANGE', 'the big integer exceeds 127 bytes');
  return cborBytes(concat([Uint8Array.of(value < 0n ? 1 : 0), magnitude]));
}

/** Base64 of the CBOR of an integer, as event filters of the RPC want it (FIP-0083). */
export function base64CborInt(value: bigint | number): string {
  return Buffer.from(cborInt(value)).toString('base64');
}

/** Base64 of the CBOR of a text, as event filters of the RPC want it (FIP-0083). */
export function base64CborText(text: string): string {
  return Buffer.from(cborText(text)).toString('base64');
}

/** Reads one item that fills `bytes`, strictly. Integers beyond 2^53 come as bigint. Throws FormatError CBOR_*. */
export function decodeCbor(bytes: Uint8Array): CborValue {
  return CborReader.decode(bytes, (reader) => reader.value());
}

/**
 * Reads the first item of a stream that has come in so far: undefined while it is incomplete.
 * `item` is its encoding, for the strict decoder of the message; `rest` is what follows it.
 * Throws FormatError CBOR_* as soon as the bytes can no longer become an item.
 */
export function tryDecodeFirst(
  bytes: Uint8Array,
): { value: CborValue; item: Uint8Array; rest: Uint8Array } | undefined {
  const end = scanItem(bytes, 0);
  if (end === undefined) return undefined;
  const item = bytes.subarray(0, end);
  return { value: decodeCbor(item), item, rest: bytes.subarray(end) };
}

function toBigInt(value: bigint | number): bigint {
  if (typeof value === 'bigint') return value;
  if (!Number.isSafeInteger(value)) throw new FormatError('CBOR_RANGE', `${value} is not an exact integer`);
  return BigInt(value);
}
