import { FormatError } from './format-error.ts';

export interface Head {
  major: number;
  /** The five low bits of the first byte, which tell false, true, null and floats apart in major type 7. */
  info: number;
  argument: bigint;
  /** Offset behind the head. */
  end: number;
}

export interface ScanOptions {
  /** Accept integers and lengths that are not in their shortest form; a hash-verified block may have them. */
  lenient?: boolean;
  /** Called for every tag; `content` is the byte string that it is on, undefined when it is on something else. */
  onTag?: (tag: bigint, content: Uint8Array | undefined) => void;
}

/** Smallest argument that needs a head of 1, 2, 4 and 8 more bytes. */
const SMALLEST_ARGUMENTS = [24n, 0x100n, 0x1_0000n, 0x1_0000_0000n] as const;

/** Reads the head at `offset`: undefined when the bytes end within it. Throws FormatError CBOR_*. */
export function readHead(bytes: Uint8Array, offset: number, lenient = false): Head | undefined {
  const first = bytes[offset];
  if (first === undefined) return undefined;
  const info = first & 0x1f;
  const major = first >> 5;
  if (info < 24) return { major, info, argument: BigInt(info), end: offset + 1 };
  const smallest = SMALLEST_ARGUMENTS[info - 24];
  if (smallest === undefined) {
    throw fault('CBOR_INVALID', 'indefinite lengths and reserved heads are not allowed', offset);
  }
  const end = offset + 1 + 2 ** (info - 24);
  if (end > bytes.length) return undefined;
  let argument = 0n;
  for (let i = offset + 1; i < end; i += 1) argument = (argument << 8n) | BigInt(bytes[i] ?? 0);
  if (!lenient && major !== 7 && argument < smallest) {
    throw fault('CBOR_NOT_CANONICAL', `${argument} is not written in the shortest form`, offset);
  }
  return { major, info, argument, end };
}

/**
 * The end of the item that begins at `start`, or undefined when the bytes end within it.
 * It counts the items still due instead of recursing, so that no nesting is too deep for it.
 */
export function scanItem(bytes: Uint8Array, start: number, options: ScanOptions = {}): number | undefined {
  let offset = start;
  let tag: bigint | undefined;
  for (let due = 1n; due > 0n; due -= 1n) {
    const head = readHead(bytes, offset, options.lenient);
    if (head === undefined) return undefined;
    const { major, argument, end } = head;
    offset = end;
    if (major === 2 || major === 3) {
      if (argument > BigInt(bytes.length - end)) return undefined;
      offset = end + Number(argument);
    }
    if (tag !== undefined) options.onTag?.(tag, major === 2 ? bytes.subarray(end, offset) : undefined);
    due += itemsWithin(major, argument);
    tag = major === 6 ? argument : undefined;
  }
  return offset;
}

/** How many items an item of this head holds directly. */
export function itemsWithin(major: number, argument: bigint): bigint {
  if (major === 4) return argument;
  if (major === 5) return 2n * argument;
  return major === 6 ? 1n : 0n;
}

function fault(code: string, message: string, offset: number): FormatError {
  return new FormatError(code, `${message} (at byte ${offset})`, { offset });
}
