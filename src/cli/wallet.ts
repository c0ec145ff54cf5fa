import { randomBytes } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';
import { resolve } from 'node:path';
import { BadInput, describeError } from '../errors.ts';
import { readConfig } from '../config.ts';
import { createWalletFile, importWalletFile } from '../deals/wallet/local-wallet.ts';
import type { Io } from '../terminal.ts';
import { jsonOption, parseCommand, positional, toJson, type Command } from './command.ts';
import { addMarketBalance, addressOn, openConfiguredWallet, showBalance } from './wallet-market.ts';

const usage =
  'wallet new FILE [--bls] | wallet import FILE [--from EXPORT] | wallet address | wallet balance | wallet market-add AMOUNT [--max 10] [--yes] [--raise-fee]   [--json]';

/** A Lotus export is below 500 characters. */
const MAX_EXPORT_BYTES = 4_096;

/** What standard input holds, up to the size of a key. */
async function readInput(io: Io): Promise<string> {
  const { input } = io;
  if (input === undefined) throw new BadInput('USAGE', 'give --from EXPORT');
  if (input.isTTY === true) io.say('paste the key as `lotus wallet export` prints it, then Ctrl-D');
  let text = '';
  for await (const chunk of input) {
    text += String(chunk);
    if (text.length > MAX_EXPORT_BYTES) throw tooLong();
  }
  return text;
}

async function readExport(path: string): Promise<string> {
  try {
    if ((await stat(path)).size > MAX_EXPORT_BYTES) throw tooLong();
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof BadInput) throw cause;
    throw new BadInput('WALLET_UNREADABLE', `--from ${path} cannot be read: ${describeError(cause)}`, { cause });
  }
}

function tooLong(): BadInput {
  return new BadInput('WALLET_INVALID', 'that is too long for a wallet key');
}

/** How an export begins: `{`, or `{"` in hex. */
const KEY_LIKE = /^\s*(\{|7b22)/i;

/** What is no path goes into no message: those of the file system name the path. */
function refuseKeys(words: readonly (string | undefined)[]): void {
  if (!words.some((word) => word !== undefined && KEY_LIKE.test(word))) return;
  throw new BadInput(
    'USAGE',
    'give the name of a file, not the key itself: it stands in the history of this shell now, so remove it there',
  );
}

interface Written {
  address: string;
  file: string;
  json: boolean;
}

function tellWritten(io: Io, { address, file, json }: Written): number {
  if (json) io.print(toJson({ address, type: address.startsWith('f3') ? 'bls' : 'secp256k1', file }));
  else io.print(`${address}\nkey written to ${file} (mode 0600): keep a copy, and set WALLET=file:${resolve(file)}`);
  return 0;
}

async function showAddress(io: Io, json: boolean): Promise<number> {
  const config = readConfig(io.env, 'tool');
  using wallet = await openConfiguredWallet(config, io.signal);
  const address = addressOn(config.network, await wallet.address());
  io.print(json ? toJson({ address }) : address);
  return 0;
}

const options = {
  ...jsonOption,
  bls: { type: 'boolean', default: false },
  from: { type: 'string' },
  max: { type: 'string', default: '10' },
  yes: { type: 'boolean', default: false },
  'raise-fee': { type: 'boolean', default: false },
} as const;

export const wallet: Command = {
  usage,
  summary: 'make or import a wallet key, show its address and balances, add to its market balance',
  async run(args, io) {
    const { values, positionals } = parseCommand(args, usage, options);
    const { json, bls, from, max, yes, 'raise-fee': raiseFee } = values;
    refuseKeys([...positionals, from]);
    const word = (at: number, name: string) => positional({ positionals, usage }, at, name);
    switch (word(0, 'new, import, address, balance or market-add')) {
      case 'new': {
        const file = word(1, 'FILE');
        const address = await createWalletFile(file, bls ? 'bls' : 'secp256k1', randomBytes);
        return tellWritten(io, { address, file, json });
      }
      case 'import': {
        const file = word(1, 'FILE');
        const address = await importWalletFile(file, from === undefined ? await readInput(io) : await readExport(from));
        return tellWritten(io, { address, file, json });
      }
      case 'address':
        return await showAddress(io, json);
      case 'balance':
        return await showBalance(io, { json });
      case 'market-add':
        return await addMarketBalance(io, { amount: word(1, 'AMOUNT'), max, yes, raiseFee, json });
      default:
        throw new BadInput('USAGE', `usage: lading ${usage}`);
    }
  },
};
