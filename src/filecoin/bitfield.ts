import { FormatError } from './format-error.ts';

/** A message has at most 8,192 proposals; a bitfield of more bits is an attack on memory, not a receipt. */
const MAX_BITFIELD_MEMBERS = 65_536;

/** Positions are numbers here, so that runs may not reach beyond what a number counts exactly. */
const MAX_BITFIELD_BITS = 2n ** 53n;

/** Longest run that its four bits can carry. */
const MAX_SHORT_RUN = 15;

/** A varint of 64 bits takes ten bytes (go-bitfield). */
const MAX_VARINT_BYTES = 10;

/**
 * RLE+ of a set of positions, in any order: the shortest form, which go-bitfield writes.
 * Bits fill each byte from the lowest on: two bits of version, one bit for the value of the first run, then run lengths.
 */
export function encodeBitfield(set: readonly number[]): Uint8Array {
  const sorted = [...new Set(set)].sort((a, b) => a - b);
  const first = sorted[0];
  if (first === undefined) return new Uint8Array();
  if (!sorted.every((position) => Number.isSafeInteger(position) && position >= 0)) {
    throw new FormatError('BITFIELD_INVALID', 'the positions of a bitfield are whole numbers from 0');
  }
  const bits = [0, 0, first === 0 ? 1 : 0];
  for (const length of runLengths(sorted)) pushRun(bits, length);
  return packBits(bits);
}

/** The positions in an RLE+ bitfield, rising. Throws FormatError BITFIELD_INVALID. */
export function decodeBitfield(bytes: Uint8Array): number[] {
  if (bytes.length === 0) return [];
  if (bytes.at(-1) === 0) throw invalid('its last byte is zero');
  const reader = new BitReader(bytes);
  if (reader.take(2) !== 0) throw invalid('its version is not 0');
  const set: number[] = [];
  let position = 0n;
  for (let value = reader.take(1) === 1; ; value = !value) {
    const length = takeRun(reader);
    if (length === 0n) return set;
    if (position + length > MAX_BITFIELD_BITS) throw invalid('its runs reach beyond 2^53');
    if (value) pushMembers(set, position, length);
    position += length;
  }
}

function pushMembers(set: number[], position: bigint, length: bigint): void {
  if (BigInt(set.length) + length > BigInt(MAX_BITFIELD_MEMBERS)) {
    throw invalid(`it has more than ${MAX_BITFIELD_MEMBERS} members`);
  }
  for (let i = 0n; i < length; i += 1n) set.push(Number(position + i));
}

/** Lengths of the runs, which alternate; without the gap of length 0 before a member at 0. */
function* runLengths(sorted: readonly number[]): Generator<number> {
  let start = 0;
  let end = 0;
  for (const position of sorted) {
    if (position === end) {
      end += 1;
      continue;
    }
    if (end > start) yield end - start;
    yield position - end;
    start = position;
    end = position + 1;
  }
  yield end - start;
}

function pushRun(bits: number[], length: number): void {
  if (length === 1) {
    bits.push(1);
  } else if (length <= MAX_SHORT_RUN) {
    bits.push(0, 1);
    pushBits(bits, length, 4);
  } else {
    bits.push(0, 0);
    let rest = length;
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) pushBits(bits, (rest % 0x80) | 0x80, 8);
    pushBits(bits, rest, 8);
  }
}

function pushBits(bits: number[], value: number, count: number): void {
  for (let i = 0; i < count; i += 1) bits.push((value >> i) & 1);
}

function packBits(bits: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(Math.ceil(bits.length / 8));
  bits.forEach((bit, i) => {
    bytes[i >> 3] = (bytes[i >> 3] ?? 0) | (bit << (i & 7));
  });
  return bytes.at(-1) === 0 ? bytes.slice(0, -1) : bytes;
}

/** Length of the next run; 0 where the runs end. */
function takeRun(reader: BitReader): bigint {
  if (reader.take(1) === 1) return 1n;
  return reader.take(1) === 1 ? BigInt(reader.take(4)) : takeVarint(reader);
}

function takeVarint(reader: BitReader): bigint {
  let value = 0n;
  for (let i = 0; i < MAX_VARINT_BYTES; i += 1) {
    const byte = reader.take(8);
    value |= BigInt(byte & 0x7f) << BigInt(7 * i);
    if (byte >= 0x80) continue;
    if (byte === 0 && i > 0) throw invalid('a run is not in its shortest form');
    return value;
  }
  throw invalid(`a run takes more than ${MAX_VARINT_BYTES} bytes`);
}

/** Takes bits from the lowest of each byte on; behind the end they are all zero. */
class BitReader {
  readonly #bytes: Uint8Array;
  #position = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  take(count: number): number {
    let value = 0;
    for (let i = 0; i < count; i += 1, this.#position += 1) {
      const byte = this.#bytes[this.#position >> 3] ?? 0;
      value |= ((byte >> (this.#position & 7)) & 1) << i;
    }
    return value;
  }
}

function invalid(what: string): FormatError {
  return new FormatError('BITFIELD_INVALID', `the RLE+ bitfield cannot be read: ${what}`);
}
