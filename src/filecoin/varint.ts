import { FormatError } from './format-error.ts';

/** Bytes of the longest unsigned varint of the multiformats specification, which carries 63 bits. */
const MAX_VARINT_BYTES = 9;

/** An unsigned LEB128 integer below 2^63, in its shortest form. */
export function encodeVarint(value: bigint): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80);
  bytes.push(Number(rest));
  return Uint8Array.from(bytes);
}

/** Reads the shortest form at the start of `bytes`. Throws FormatError VARINT_INVALID. */
export function decodeVarint(bytes: Uint8Array): { value: bigint; length: number } {
  let value = 0n;
  for (let i = 0; i < MAX_VARINT_BYTES; i += 1) {
    const byte = bytes[i];
    if (byte === undefined) throw new FormatError('VARINT_INVALID', 'the bytes end within a varint');
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte >= 0x80) continue;
    if (byte === 0 && i > 0) throw new FormatError('VARINT_INVALID', 'the varint is not in its shortest form');
    return { value, length: i + 1 };
  }
  throw new FormatError('VARINT_INVALID', `the varint is longer than ${MAX_VARINT_BYTES} bytes`);
}
