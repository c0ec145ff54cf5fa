import type { CID } from 'multiformats/cid';

import { decodeCid, MAX_CID_BYTES } from './cid.ts';
import { readHead, scanItem, type Head } from './cbor-scan.ts';
import { FormatError } from './format-error.ts';

export type CborValue =
  | boolean
  | null
  | number
  | bigint
  | string
  | Uint8Array
  | CID
  | CborValue[]
  | { [key: string]: CborValue };

/** What reads the value of each key. */
export type FieldReaders = Readonly<Record<string, (reader: CborReader) => unknown>>;

/** What the readers give. */
export type Fields<F extends FieldReaders> = { [K in keyof F]: ReturnType<F[K]> };

/** Bounds of cbor-gen for what a peer sends: bytes of a byte string and of a text, items of an array or a map. */
const MAX_CBOR_BYTES = 2 * 1024 * 1024;
const MAX_CBOR_TEXT_BYTES = 8_192;
const MAX_CBOR_ITEMS = 8_192;

/** Messages of Filecoin nest about six deep; the bound keeps the recursion of `value` off the end of the stack. */
const MAX_CBOR_DEPTH = 64;

/** Longest big integer in a message, with its sign byte (go-state-types big.BigIntMaxSerializedLen). */
export const MAX_BIGINT_BYTES = 128;

const LINK_TAG = 42n;
const INT64_LIMIT = 1n << 63n;

const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/**
 * Reads CBOR by schema, as strictly as Go's cbor-gen: shortest integers, definite lengths, exact tuples.
 * Every method reads one item and throws FormatError CBOR_* with the offset of what it could not take.
 */
export class CborReader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Runs `read` over bytes that hold exactly what it reads. */
  static decode<T>(bytes: Uint8Array, read: (reader: CborReader) => T): T {
    const reader = new CborReader(bytes);
    const value = read(reader);
    if (reader.#offset !== bytes.length) {
      throw reader.#fault('CBOR_TRAILING', `${bytes.length - reader.#offset} bytes follow the message`);
    }
    return value;
  }

  uint(): bigint {
    return this.#head(0, 'an unsigned integer').argument;
  }

  /** An int64. */
  int(): bigint {
    const head = this.#peek();
    if (head.major > 1) throw this.#fault('CBOR_TYPE', `expected an integer, found ${describe(head)}`);
    if (head.argument >= INT64_LIMIT) throw this.#fault('CBOR_RANGE', 'the integer does not fit in an int64');
    this.#offset = head.end;
    return head.major === 0 ? head.argument : -1n - head.argument;
  }

  /** An unsigned integer that a number holds exactly. */
  safeUint(): number {
    return this.#safe(() => this.uint());
  }

  /** A signed integer that a number holds exactly. */
  safeInt(): number {
    return this.#safe(() => this.int());
  }

  /** A byte string. The array is a view. */
  bytes(maxBytes = MAX_CBOR_BYTES): Uint8Array {
    return this.#string(2, 'a byte string', maxBytes);
  }

  /** A text string; `maxBytes` counts UTF-8. */
  text(maxBytes = MAX_CBOR_TEXT_BYTES): string {
    const start = this.#offset;
    const bytes = this.#string(3, 'a text', maxBytes);
    try {
      return utf8.decode(bytes);
    } catch {
      this.#offset = start;
      throw this.#fault('CBOR_TEXT_INVALID', 'the text is not valid UTF-8');
    }
  }

  bool(): boolean {
    const head = this.#peek();
    if (head.major !== 7 || (head.info !== 20 && head.info !== 21)) {
      throw this.#fault('CBOR_TYPE', `expected true or false, found ${describe(head)}`);
    }
    this.#offset = head.end;
    return head.info === 21;
  }

  /** Null, or what `read` reads. */
  nullable<T>(read: (reader: CborReader) => T): T | null {
    const head = this.#peek();
    if (head.major !== 7 || head.info !== 22) return read(this);
    this.#offset = head.end;
    return null;
  }

  isText(): boolean {
    return this.#peek().major === 3;
  }

  cid(): CID {
    const start = this.#offset;
    const head = this.#head(6, 'a link');
    if (head.argument !== LINK_TAG) throw this.#fault('CBOR_TYPE', `expected a link, found tag ${head.argument}`);
    const bytes = this.bytes(MAX_CID_BYTES + 1);
    try {
      if (bytes[0] !== 0) throw new FormatError('INVALID_CID', 'the bytes of a link begin with zero');
      return decodeCid(bytes.subarray(1));
    } catch (error) {
      this.#offset = start;
      throw this.#fault('CBOR_LINK_INVALID', error instanceof Error ? error.message : String(error));
    }
  }

  /** A token amount: a sign byte and a magnitude without leading zeros, or nothing for zero. */
  bigInt(): bigint {
    const start = this.#offset;
    const bytes = this.bytes(MAX_BIGINT_BYTES);
    const [sign, first] = bytes;
    if (sign === undefined) return 0n;
    if (sign > 1 || first === undefined || first === 0) {
      this.#offset = start;
      throw this.#fault('CBOR_BIGINT_INVALID', 'a big integer is a sign byte and a magnitude without leading zeros');
    }
    const magnitude = BigInt(`0x${Buffer.from(bytes.subarray(1)).toString('hex')}`);
    return sign === 0 ? magnitude : -magnitude;
  }

  /** The head of an array of exactly `length` items. */
  tuple(length: number, name: string): void {
    const head = this.#peek();
    if (head.major !== 4 || head.argument !== BigInt(length)) {
      throw this.#fault('CBOR_TUPLE', `${name} is an array of ${length} items, found ${describe(head)}`);
    }
    this.#offset = head.end;
  }

  /** An array of any length up to `maxItems`. */
  array<T>(read: (reader: CborReader) => T, maxItems = MAX_CBOR_ITEMS): T[] {
    const items: T[] = [];
    for (let left = this.#count(4, 'an array', maxItems); left > 0; left -= 1) items.push(read(this));
    return items;
  }

  /**
   * A map with text keys in any order. Gives what each field's reader gave; keys without a reader are passed over,
   * double keys refused, and missing keys too unless they are among the optional fields.
   */
  map<F extends FieldReaders, O extends FieldReaders>(fields: F, optionalFields?: O): Fields<F> & Partial<Fields<O>> {
    const readers: FieldReaders = { ...fields, ...optionalFields };
    const values = new Map<string, unknown>();
    for (let left = this.#count(5, 'a map', MAX_CBOR_ITEMS); left > 0; left -= 1) {
      const key = this.text();
      if (values.has(key)) throw this.#fault('CBOR_MAP', `the key ${JSON.stringify(key)} comes twice`);
      const read = Object.hasOwn(readers, key) ? readers[key] : undefined;
      values.set(key, read === undefined ? this.skip() : read(this));
    }
    const missing = Object.keys(fields).find((key) => !values.has(key));
    if (missing !== undefined) throw this.#fault('CBOR_MAP', `the key ${missing} is missing`);
    // The loop put what each reader gave under its key, which no type of a Map can say.
    return Object.fromEntries(values) as Fields<F> & Partial<Fields<O>>;
  }

  /** Passes over one item and gives its encoding, a view. */
  skip(): Uint8Array {
    const end = scanItem(this.#bytes, this.#offset);
    if (end === undefined) throw this.#fault('CBOR_TRUNCATED', 'the bytes end within an item');
    const item = this.#bytes.subarray(this.#offset, end);
    this.#offset = end;
    return item;
  }

  /** Any item without a schema. Integers beyond 2^53 come as bigint; floats are refused. */
  value(depth = 0): CborValue {
    if (depth > MAX_CBOR_DEPTH) throw this.#fault('CBOR_TOO_DEEP', `items nest more than ${MAX_CBOR_DEPTH} deep`);
    const { major } = this.#peek();
    if (major === 0) return narrow(this.uint());
    if (major === 1) return narrow(this.int());
    if (major === 2) return this.bytes();
    if (major === 3) return this.text();
    if (major === 4) return this.array((reader) => reader.value(depth + 1));
    if (major === 5) return this.#record(depth);
    if (major === 6) return this.cid();
    return this.nullable((reader) => reader.bool());
  }

  #record(depth: number): CborValue {
    const entries = new Map<string, CborValue>();
    for (let left = this.#count(5, 'a map', MAX_CBOR_ITEMS); left > 0; left -= 1) {
      const key = this.text();
      if (entries.has(key)) throw this.#fault('CBOR_MAP', `the key ${JSON.stringify(key)} comes twice`);
      entries.set(key, this.value(depth + 1));
    }
    return Object.fromEntries(entries);
  }

  #peek(): Head {
    const head = readHead(this.#bytes, this.#offset);
    if (head === undefined) throw this.#fault('CBOR_TRUNCATED', 'the bytes end where an item is due');
    return head;
  }

  #head(major: number, name: string): Head {
    const head = this.#peek();
    if (head.major !== major) throw this.#fault('CBOR_TYPE', `expected ${name}, found ${describe(head)}`);
    this.#offset = head.end;
    return head;
  }

  #count(major: number, name: string, max: number): number {
    const { argument } = this.#head(major, name);
    if (argument > BigInt(max)) throw this.#fault('CBOR_TOO_LONG', `${name} of ${argument} items exceeds ${max}`);
    return Number(argument);
  }

  #string(major: number, name: string, maxBytes: number): Uint8Array {
    const { argument, end } = this.#head(major, name);
    if (argument > BigInt(maxBytes)) {
      throw this.#fault('CBOR_TOO_LONG', `${name} of ${argument} bytes exceeds ${maxBytes}`);
    }
    const after = end + Number(argument);
    if (after > this.#bytes.length) throw this.#fault('CBOR_TRUNCATED', `the bytes end within ${name}`);
    this.#offset = after;
    return this.#bytes.subarray(end, after);
  }

  #safe(read: () => bigint): number {
    const start = this.#offset;
    const value = Number(read());
    if (Number.isSafeInteger(value)) return value;
    this.#offset = start;
    throw this.#fault('CBOR_RANGE', 'the integer is beyond 2^53');
  }

  #fault(code: string, message: string): FormatError {
    return new FormatError(code, `${message} (at byte ${this.#offset})`, { offset: this.#offset });
  }
}

function narrow(value: bigint): number | bigint {
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : value;
}

const kinds = [
  'an unsigned integer',
  'a negative integer',
  'a byte string',
  'a text',
  'an array',
  'a map',
  'a tag',
  'a simple value',
];

function describe(head: Head): string {
  return `${kinds[head.major]} (${head.argument})`;
}
