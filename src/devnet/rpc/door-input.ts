import { parseAddress, type Address } from '../../filecoin/address.ts';
import { parseBytes, parseFil } from '../../filecoin/units.ts';
import { ChainRefusal } from '../ledger/chain-refusal.ts';

const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;

/** The body of a control door's call: reads each field once, and refuses what it does not know. */
export class DoorInput {
  readonly #fields: Readonly<Record<string, unknown>>;

  /** Throws ChainRefusal BAD_INPUT unless `body` is an object of no other fields than `names`. */
  constructor(body: unknown, names: readonly string[]) {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) throw bad('the body is a JSON object');
    const stranger = Object.keys(body).find((name) => !names.includes(name));
    if (stranger !== undefined) {
      const known = names.length === 0 ? 'none' : names.join(', ');
      throw bad(`there is no field ${JSON.stringify(stranger)} here; fields are: ${known}`);
    }
    this.#fields = { ...body };
  }

  has(name: string): boolean {
    return this.get(name) !== undefined;
  }

  get(name: string): unknown {
    return this.#fields[name] ?? undefined;
  }

  text(name: string): string {
    const value = this.get(name);
    if (typeof value !== 'string') throw bad(`${name} is a text`);
    return value;
  }

  /** Undefined when absent. */
  optionalText(name: string): string | undefined {
    return this.has(name) ? this.text(name) : undefined;
  }

  texts(name: string): string[] | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    if (!Array.isArray(value) || !value.every((item): item is string => typeof item === 'string')) {
      throw bad(`${name} is a list of texts`);
    }
    return value;
  }

  /** Written with `f` or `t`. Throws FormatError. */
  address(name: string): Address {
    return parseAddress(this.text(name));
  }

  integer(name: string): number {
    const value = this.get(name);
    if (typeof value !== 'number' || !Number.isSafeInteger(value)) throw bad(`${name} is a whole number`);
    return value;
  }

  number(name: string): number {
    const value = this.get(name);
    if (typeof value !== 'number') throw bad(`${name} is a number`);
    return value;
  }

  dealId(name: string): bigint {
    const value = this.get(name);
    const text = typeof value === 'number' ? String(value) : value;
    if (typeof text !== 'string' || !/^\d{1,18}$/.test(text)) throw bad(`${name} is a deal id`);
    return BigInt(text);
  }

  bool(name: string): boolean | undefined {
    const value = this.get(name);
    if (value !== undefined && typeof value !== 'boolean') throw bad(`${name} is true or false`);
    return value;
  }

  /** attoFIL of an amount in FIL; undefined when absent. Throws FormatError. */
  fil(name: string): bigint | undefined {
    return this.has(name) ? parseFil(this.#plain(name)) : undefined;
  }

  /** Bytes of a size such as `32GiB`; undefined when absent. Throws FormatError. */
  size(name: string): bigint | undefined {
    return this.has(name) ? parseBytes(this.#plain(name)) : undefined;
  }

  #plain(name: string): string {
    const value = this.get(name);
    if (typeof value !== 'string' && typeof value !== 'number') throw bad(`${name} is a text or a number`);
    return String(value);
  }
}

/** Throws ChainRefusal BAD_INPUT for what is not base64. */
export function bytesOf(base64: string, name: string): Uint8Array {
  if (!BASE64.test(base64)) throw bad(`${name} is base64 of CBOR`);
  return new Uint8Array(Buffer.from(base64, 'base64'));
}

export function bad(message: string): ChainRefusal {
  return new ChainRefusal('BAD_INPUT', message);
}
