import { fileURLToPath } from 'node:url';
import type { RpcEndpoint } from '../../chain/rpc.ts';
import { LadingError } from '../../errors.ts';
import { openWalletFile } from './local-wallet.ts';
import { openLotusWallet } from './lotus-wallet.ts';
import type { OpenWallet } from './wallet.ts';

export interface OpenWalletOptions {
  /** Of CHAIN_RPC_URL, where a remote wallet is. */
  endpoints: readonly RpcEndpoint[];
  signal: AbortSignal;
}

/** The wallet that WALLET names: `file:/path/key`, or `lotus:ADDRESS` for a key in the wallet of a Lotus node. */
export async function openWallet(setting: string, options: OpenWalletOptions): Promise<OpenWallet> {
  if (setting.startsWith('lotus:')) return openLotusWallet({ ...options, address: setting.slice('lotus:'.length) });
  if (!setting.startsWith('file:')) {
    throw new LadingError('WALLET_UNSUPPORTED', 'WALLET: use file:/path/to/key or lotus:ADDRESS');
  }
  return openWalletFile(setting.startsWith('file:///') ? fileURLToPath(setting) : setting.slice('file:'.length));
}
