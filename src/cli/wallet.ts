import { randomBytes } from 'node:crypto';
import { BadInput } from '../errors.ts';
import { readConfig } from '../config.ts';
import { createWalletFile, openWallet } from '../deals/wallet.ts';
import { jsonOption, parseCommand, positional, toJson, type Command } from './command.ts';

const usage = 'wallet new FILE [--bls] | wallet address [--json]';

async function create(file: string, options: { bls: boolean; json: boolean }, print: (line: string) => void) {
  const type = options.bls ? 'bls' : 'secp256k1';
  const address = await createWalletFile(file, type, randomBytes);
  if (options.json) print(toJson({ address, type, file }));
  else print(`${address}\nkey written to ${file} (mode 0600): keep a copy, and set WALLET=file:${file}`);
  return 0;
}

export const wallet: Command = {
  usage,
  summary: 'make a wallet key, or show the address of the configured one',
  async run(args, io) {
    const options = { ...jsonOption, bls: { type: 'boolean', default: false } } as const;
    const { values, positionals } = parseCommand(args, usage, options);
    switch (positional({ positionals, usage }, 0, 'new or address')) {
      case 'new':
        return create(positional({ positionals, usage }, 1, 'FILE'), values, io.print);
      case 'address': {
        const setting = readConfig(io.env, 'tool').wallet;
        if (setting === undefined) throw new BadInput('WALLET_MISSING', 'WALLET is not set: WALLET=file:/path/to/key');
        const address = await (await openWallet(setting)).address();
        io.print(values.json ? toJson({ address }) : address);
        return 0;
      }
      default:
        throw new BadInput('USAGE', `usage: lading ${usage}`);
    }
  },
};
