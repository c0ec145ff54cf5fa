import type { CID } from 'multiformats/cid';
import type { CborReader } from './cbor-reader.ts';
import { FormatError } from './format-error.ts';

const UUID_BYTES = 16;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UUID_DIGITS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;

/** The 16 bytes of a UUID in text, which a status request signs. Throws FormatError INVALID_UUID. */
export function uuidBytes(uuid: string): Uint8Array {
  if (!UUID.test(uuid)) throw new FormatError('INVALID_UUID', `${JSON.stringify(uuid.slice(0, 64))} is not a UUID`);
  return new Uint8Array(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
}

export function readUuid(reader: CborReader): string {
  const bytes = reader.bytes(UUID_BYTES);
  if (bytes.length !== UUID_BYTES) throw new FormatError('INVALID_UUID', `a UUID has 16 bytes, got ${bytes.length}`);
  return Buffer.from(bytes).toString('hex').replace(UUID_DIGITS, '$1-$2-$3-$4-$5');
}
export const readBool = (reader: CborReader): boolean => reader.bool();
export const readText = (reader: CborReader): string => reader.text();
export const readBytes = (reader: CborReader): Uint8Array => reader.bytes().slice();
export const readCid = (reader: CborReader): CID => reader.cid();
export const readUint = (reader: CborReader): bigint => reader.uint();
export const readSafeUint = (reader: CborReader): number => reader.safeUint();
export const readSafeInt = (reader: CborReader): number => reader.safeInt();
