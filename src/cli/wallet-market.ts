import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Admit } from '../chain/admission.ts';
import { createChain } from '../chain/chain.ts';
import { readGenesis } from '../chain/head.ts';
import { readBalance } from '../chain/messages-write.ts';
import { createRpc, type RpcPool } from '../chain/rpc.ts';
import { readConfig, type Config } from '../config.ts';
import { topUpMarket, type TopUpEnd } from '../deals/wallet/market-top-up.ts';
import { openWallet } from '../deals/wallet/open-wallet.ts';
import { openTopUpRecord } from '../deals/wallet/top-up-record.ts';
import type { OpenWallet } from '../deals/wallet/wallet.ts';
import { BadInput, describeError, LadingError } from '../errors.ts';
import { formatAddress, parseAddress } from '../filecoin/address.ts';
import { networks } from '../filecoin/networks.ts';
import { formatBytes, formatFil, parseFil } from '../filecoin/units.ts';
import type { Io } from '../terminal.ts';
import { toJson } from './command.ts';

/** How often the chain is looked at: six times an epoch of a real network. */
const LOOK_MS = 5_000;
/** One of a devnet, whose epochs are as short as its owner likes. */
const DEVNET_LOOK_MS = 500;

/** Money goes nowhere but to the network that the configuration names. */
function admitOnly(network: Config['network']): Admit {
  return async (endpoint, signal) => {
    const { genesisSeconds } = networks[network];
    const genesis = await readGenesis(endpoint, signal);
    if (genesisSeconds === undefined || genesis.timestampSeconds === genesisSeconds) return;
    throw new LadingError('NETWORK_DIFFERS', `CHAIN_RPC_URL serves another network than ${network} (CHAIN_NETWORK)`);
  };
}

interface Opened {
  config: Config;
  rpc: RpcPool;
  wallet: OpenWallet;
}

async function withWallet<T>(io: Io, act: (opened: Opened) => Promise<T>): Promise<T> {
  const config = readConfig(io.env, 'tool');
  const { rpcEndpoints: endpoints, network } = config;
  if (endpoints.length === 0) throw new BadInput('CHAIN_MISSING', 'CHAIN_RPC_URL is not set: the chain keeps balances');
  using stack = new DisposableStack();
  const rpc = createRpc({ endpoints, admit: admitOnly(network) });
  stack.defer(() => rpc.close());
  const wallet = stack.use(await openConfiguredWallet(config, io.signal));
  return await act({ config, rpc, wallet });
}

/** As people on this network write it. */
export function addressOn(network: Config['network'], address: string): string {
  return formatAddress(parseAddress(address), networks[network].addressLetter);
}

export async function openConfiguredWallet(config: Config, signal: AbortSignal): Promise<OpenWallet> {
  if (config.wallet === undefined) {
    throw new BadInput('WALLET_MISSING', 'WALLET is not set: WALLET=file:/path/to/key or WALLET=lotus:ADDRESS');
  }
  return openWallet(config.wallet, { endpoints: config.rpcEndpoints, signal });
}

/** What the wallet's address has: FIL, market balance, DataCap. */
export async function showBalance(io: Io, options: { json: boolean }): Promise<number> {
  return await withWallet(io, async ({ config, rpc, wallet }) => {
    const { signal } = io;
    const chain = createChain(rpc);
    const address = addressOn(config.network, await wallet.address());
    const id = await chain.lookupId(address, { signal });
    if (id === undefined) {
      if (options.json) io.print(toJson({ address, id: null }));
      else io.print(`${address} is not on the chain yet: send it some FIL, which makes its actor`);
      return 0;
    }
    const balance = await readBalance(rpc, address, signal);
    const { escrow, locked } = await chain.marketBalance(address, { signal });
    const datacap = await chain.verifiedClientStatus(address, { signal });
    const free = escrow - locked;
    // attoFIL are beyond what JSON numbers hold exactly, so that they are always text.
    const attoFil = { balance: `${balance}`, escrow: `${escrow}`, locked: `${locked}`, free: `${free}` };
    if (options.json) io.print(toJson({ address, id, ...attoFil, datacapBytes: datacap ?? 0n }));
    else {
      io.print(`address  ${address} (${id})\nbalance  ${formatFil(balance)} FIL`);
      io.print(
        `market   ${formatFil(free)} FIL free, ${formatFil(locked)} FIL locked, ${formatFil(escrow)} FIL in all`,
      );
      io.print(`DataCap  ${datacap === undefined ? 'none' : formatBytes(datacap)}`);
    }
    return 0;
  });
}

interface MarketAdd {
  amount: string;
  max: string;
  yes: boolean;
  raiseFee: boolean;
  json: boolean;
}

function readFil(name: string, text: string): bigint {
  try {
    return parseFil(text);
  } catch (cause) {
    const told = `${name}: ${describeError(cause)}`;
    throw new BadInput('USAGE', `${told}: give plain decimals above zero, such as 1.5`, { cause });
  }
}

function readAmount({ amount: text, max }: MarketAdd): bigint {
  const [amount, limit] = [readFil('AMOUNT', text), readFil('--max', max)];
  if (amount <= 0n) throw new BadInput('USAGE', `AMOUNT: '${text}' FIL: give an amount above zero, such as 1.5`);
  if (amount <= limit) return amount;
  throw new BadInput(
    'TOP_UP_LIMIT',
    `${formatFil(amount)} FIL is over the limit of ${max} FIL: if meant, give --max ${text}`,
  );
}

async function ask(io: Io, question: string): Promise<boolean> {
  const { input, signal } = io;
  if (input?.isTTY !== true) throw new BadInput('USAGE', `${question}\nnobody is here to confirm: give --yes`);
  io.say(`${question} [y/N]`);
  const lines = createInterface({ input, signal });
  try {
    for await (const line of lines) return /^y(es)?$/i.test(line.trim());
    return false;
  } finally {
    lines.close();
  }
}

function report(io: Io, end: TopUpEnd, json: boolean): number {
  const { kind, amount, message, height } = end;
  if (json) io.print(toJson({ kind, amount: `${amount}`, message, height }));
  else if (kind === 'declined') io.print('nothing was sent');
  else io.print(`${formatFil(amount)} FIL are in the market balance (${message}, executed at height ${height})`);
  if (kind === 'earlier') io.say('that was an earlier top-up; for the one asked for now, run this again');
  return kind === 'added' ? 0 : 1;
}

/** Adds market balance: asked for on a terminal, capped, and added once whatever happens. */
export async function addMarketBalance(io: Io, given: MarketAdd): Promise<number> {
  const amount = readAmount(given);
  return await withWallet(io, async ({ config, rpc, wallet }) => {
    const { dataDir, network } = config;
    const record = openTopUpRecord(dataDir, await wallet.address());
    const deps = {
      rpc,
      wallet,
      record,
      say: (line: string) => io.say(line),
      sleep: (signal: AbortSignal) => sleep(network === 'devnet' ? DEVNET_LOOK_MS : LOOK_MS, undefined, { signal }),
    };
    const confirm = ({ address, balance, maxFee }: { address: string; balance: bigint; maxFee: bigint }) => {
      const question = `Move ${formatFil(amount)} FIL of ${addressOn(network, address)} (${formatFil(balance)} FIL) to its market balance on ${network}, for up to ${formatFil(maxFee)} FIL in fees?`;
      return given.yes ? Promise.resolve(true) : ask(io, question);
    };
    return report(io, await topUpMarket(deps, { amount, confirm, raiseFee: given.raiseFee }, io.signal), given.json);
  });
}
