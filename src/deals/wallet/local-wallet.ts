import { constants } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { inspect } from 'node:util';
import { describeError, LadingError } from '../../errors.ts';
import { formatAddress } from '../../filecoin/address.ts';
import { formatLotusKey, keyAddress, parseLotusKey, signWithKey, type LotusKey } from '../../filecoin/lotus-key.ts';
import type { OpenWallet } from './wallet.ts';

/** A Lotus export is about 200 bytes; anything much longer is another file. */
const MAX_KEY_FILE_BYTES = 4_096;
const OWNER_ONLY = 0o600;
const GROUP_AND_WORLD = 0o077;
/** Both key types are 32 random bytes. */
const PRIVATE_KEY_BYTES = 32;
/** The group order of BLS12-381 begins with 0x73: a little-endian key whose last byte is below that is in range. */
const BLS_TOP_BYTE_MASK = 0x3f;

function localWallet(key: LotusKey): OpenWallet {
  const address = formatAddress(keyAddress(key));
  const shown = { address, type: key.type };
  const wallet = {
    address: () => Promise.resolve(address),
    sign: (message: Uint8Array) => Promise.resolve(signWithKey(key, message)),
    // The key lives in this closure alone; whoever logs or stores a wallet gets its address.
    toJSON: () => shown,
    [inspect.custom]: () => `Wallet ${address}`,
    [Symbol.dispose]: () => undefined,
  };
  return Object.freeze(wallet);
}

async function readKeyFile(file: FileHandle, path: string): Promise<string> {
  const stats = await file.stat();
  if (!stats.isFile()) throw new LadingError('WALLET_INVALID', `${path} is not a file, so it is no wallet key`);
  const { mode, size } = stats;
  if (process.platform !== 'win32' && (mode & GROUP_AND_WORLD) !== 0) {
    throw new LadingError(
      'WALLET_EXPOSED',
      `others can read the wallet key ${path} (mode ${(mode & 0o777).toString(8)}): run chmod 600 ${path}`,
    );
  }
  if (size > MAX_KEY_FILE_BYTES)
    throw new LadingError('WALLET_INVALID', `${path} is too large for a wallet key (${size} bytes)`);
  return await file.readFile('utf8');
}

/** The wallet in a Lotus export (`lotus wallet export`); refuses a file that others than its owner can read. */
export async function openWalletFile(path: string): Promise<OpenWallet> {
  let text: string;
  try {
    // A pipe that nobody writes to would hold a start for ever.
    await using file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
    text = await readKeyFile(file, path);
  } catch (cause) {
    if (cause instanceof LadingError) throw cause;
    throw new LadingError('WALLET_UNREADABLE', `cannot read the wallet key: ${describeError(cause)}`);
  }
  try {
    return localWallet(parseLotusKey(text.trim()));
  } catch {
    // The parser's own words and cause could quote the key, so neither goes on.
    throw new LadingError(
      'WALLET_INVALID',
      `${path} is not a wallet key in Lotus export format (hex of JSON with Type and PrivateKey)`,
    );
  }
}

function newKey(type: LotusKey['type'], randomBytes: (length: number) => Uint8Array): LotusKey {
  const privateKey = Uint8Array.from(randomBytes(PRIVATE_KEY_BYTES));
  const last = privateKey.length - 1;
  if (type === 'bls') privateKey[last] = (privateKey[last] ?? 0) & BLS_TOP_BYTE_MASK;
  return { type, privateKey };
}

async function syncFolder(path: string): Promise<void> {
  await using folder = await open(path, constants.O_RDONLY);
  await folder.sync();
}

/** Writes a key in Lotus export format, mode 0600, never over an existing file. Answers its address. */
async function writeKeyFile(path: string, key: LotusKey): Promise<string> {
  const address = formatAddress(keyAddress(key));
  try {
    await using file = await open(path, 'wx', OWNER_ONLY);
    await file.writeFile(`${formatLotusKey(key)}\n`);
    await file.sync();
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'EEXIST') {
      throw new LadingError('WALLET_EXISTS', `${path} exists already, and is left as it is: choose another name`);
    }
    throw new LadingError('WALLET_UNWRITABLE', `cannot write the wallet key: ${describeError(cause)}`);
  }
  await syncFolder(dirname(path));
  return address;
}

/** Writes a new key. Answers its address. */
export async function createWalletFile(
  path: string,
  type: LotusKey['type'],
  randomBytes: (length: number) => Uint8Array,
): Promise<string> {
  return await writeKeyFile(path, newKey(type, randomBytes));
}

/** The key in `lotus wallet export`'s hex, or in the JSON that the hex stands for. */
function parseExport(text: string): LotusKey {
  const trimmed = text.trim();
  return parseLotusKey(trimmed.startsWith('{') ? Buffer.from(trimmed, 'utf8').toString('hex') : trimmed);
}

/** Writes an exported key to a file of its own. Answers its address. */
export async function importWalletFile(path: string, exported: string): Promise<string> {
  let key: LotusKey;
  try {
    key = parseExport(exported);
  } catch {
    // The parser's own words and cause could quote the key, so neither goes on.
    throw new LadingError(
      'WALLET_INVALID',
      'what was given is not a key as `lotus wallet export` prints it: hex, or JSON with Type and PrivateKey',
    );
  }
  return await writeKeyFile(path, key);
}
