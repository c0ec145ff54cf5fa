import type { CID } from 'multiformats/cid';

import { parseAddress, type Address } from '../../filecoin/address.ts';
import { parseCid } from '../../filecoin/cid.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import { paramFault } from './rpc-fault.ts';

/** Reads the parameters of one call. Every method throws RpcFault for what Go would not unmarshal. */
export class RpcParams {
  readonly #values: readonly unknown[];

  constructor(values: readonly unknown[]) {
    this.#values = values;
  }

  address(at: number): Address {
    const value = this.#values[at];
    if (typeof value !== 'string') throw paramFault(`parameter ${at} is an address in text`);
    return readFormat(() => parseAddress(value));
  }

  cid(at: number): CID {
    return readCid(this.#values[at]);
  }

  /** A tipset key; undefined stands for the head, which null and an empty list mean. */
  tipsetKey(at: number): CID[] | undefined {
    const value = this.#values[at];
    if (value === null || value === undefined) return undefined;
    if (!Array.isArray(value)) throw paramFault(`parameter ${at} is a tipset key: a list of CIDs`);
    return value.length === 0 ? undefined : value.map((item: unknown) => readCid(item));
  }

  integer(at: number): number {
    const value = this.#values[at];
    if (typeof value !== 'number' || !Number.isSafeInteger(value))
      throw paramFault(`parameter ${at} is a whole number`);
    return value;
  }

  bool(at: number): boolean {
    const value = this.#values[at];
    if (typeof value !== 'boolean') throw paramFault(`parameter ${at} is true or false`);
    return value;
  }

  /** An object; an empty one for null. */
  record(at: number): RpcRecord {
    return new RpcRecord(this.#values[at] ?? {});
  }
}

/** Reads the fields of an object; a missing field is the zero of its type, as in Go. */
export class RpcRecord {
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(value: unknown) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw paramFault('an object is due');
    this.#fields = { ...value };
  }

  get(name: string): unknown {
    return this.#fields[name] ?? undefined;
  }

  record(name: string): RpcRecord {
    return new RpcRecord(this.get(name));
  }

  address(name: string): Address {
    const value = this.get(name);
    if (typeof value !== 'string') throw paramFault(`${name} is an address in text`);
    return readFormat(() => parseAddress(value));
  }

  integer(name: string): number {
    const value = this.get(name) ?? 0;
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw paramFault(`${name} is a whole number`);
    return value;
  }

  /** Decimal text, attoFIL. */
  amount(name: string): bigint {
    const value = this.get(name) ?? '0';
    if (typeof value !== 'string' || !/^-?\d{1,40}$/.test(value)) throw paramFault(`${name} is a number in text`);
    return BigInt(value);
  }

  /** Base64. */
  bytes(name: string): Uint8Array {
    const value = this.get(name) ?? '';
    if (typeof value !== 'string') throw paramFault(`${name} is base64 in text`);
    return new Uint8Array(Buffer.from(value, 'base64'));
  }

  list(name: string): readonly unknown[] {
    const value = this.get(name) ?? [];
    if (!Array.isArray(value)) throw paramFault(`${name} is a list`);
    return value;
  }

  entries(): [string, unknown][] {
    return Object.entries(this.#fields);
  }
}

export function readCid(value: unknown): CID {
  const text = typeof value === 'object' && value !== null && '/' in value ? value['/'] : undefined;
  if (typeof text !== 'string') throw paramFault('a CID is written {"/":"…"}');
  return readFormat(() => parseCid(text));
}

function readFormat<T>(read: () => T): T {
  try {
    return read();
  } catch (error) {
    if (error instanceof FormatError) throw paramFault(error.message);
    throw error;
  }
}
