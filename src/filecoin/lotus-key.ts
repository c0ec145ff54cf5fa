import { blsAddress, secpAddress, type Address } from './address.ts';
import { FormatError } from './format-error.ts';
import { blsPublicKey, isPrivateKey, secpPublicKey, signBls, signSecp256k1, type Signature } from './signature.ts';

/** A private key as `lotus wallet export` writes it; BLS keys are little-endian. */
export interface LotusKey {
  type: 'secp256k1' | 'bls';
  privateKey: Uint8Array;
}

/** The export of a key is below 200 hex digits. */
const MAX_EXPORT_CHARACTERS = 1_024;

/**
 * Reads the output of `lotus wallet export`: hex of JSON.
 * Throws FormatError INVALID_KEY, whose message never shows any part of the key.
 */
export function parseLotusKey(hexText: string): LotusKey {
  const hex = hexText.trim();
  if (hex.length > MAX_EXPORT_CHARACTERS || hex.length % 2 !== 0 || !/^[0-9a-fA-F]+$/.test(hex)) {
    throw invalid('the key is not hexadecimal: paste the one line that `lotus wallet export` prints');
  }
  const { Type: type, PrivateKey: encoded } = parseExport(Buffer.from(hex, 'hex').toString('utf8'));
  if (type !== 'secp256k1' && type !== 'bls') throw invalid('the key is neither of type secp256k1 nor bls');
  if (typeof encoded !== 'string') throw invalid('the export has no PrivateKey');
  const privateKey = new Uint8Array(Buffer.from(encoded, 'base64'));
  if (!isPrivateKey(type, privateKey)) throw invalid(`the bytes are not a private key of type ${type}`);
  return { type, privateKey };
}

/** The text that `lotus wallet import` takes. */
export function formatLotusKey(key: LotusKey): string {
  const json = JSON.stringify({ Type: key.type, PrivateKey: Buffer.from(key.privateKey).toString('base64') });
  return Buffer.from(json, 'utf8').toString('hex');
}

/** The f1 or f3 address of the key. */
export function keyAddress(key: LotusKey): Address {
  return key.type === 'bls' ? blsAddress(blsPublicKey(key.privateKey)) : secpAddress(secpPublicKey(key.privateKey));
}

export function signWithKey(key: LotusKey, message: Uint8Array): Signature {
  return key.type === 'bls' ? signBls(message, key.privateKey) : signSecp256k1(message, key.privateKey);
}

function parseExport(json: string): { Type?: unknown; PrivateKey?: unknown } {
  try {
    const value: unknown = JSON.parse(json);
    if (typeof value === 'object' && value !== null) return value;
  } catch {
    // The parser's message quotes its input, which is the key.
  }
  throw invalid('the key is not the hex of a JSON object');
}

function invalid(message: string): FormatError {
  return new FormatError('INVALID_KEY', message);
}
