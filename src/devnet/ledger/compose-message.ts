import { formatAddress, type Address } from '../../filecoin/address.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../filecoin/lotus-key.ts';
import type { ChainCore } from './chain-core.ts';
import { messageSigningBytes } from '../../filecoin/messages.ts';
import { sealMessage, type ChainMessage, type SignedMessage } from './chain-message.ts';
import { gasOf } from './execute-message.ts';
import { ownerKey, workerKey } from './miner-keys.ts';

export interface Call {
  to: Address;
  method: bigint;
  params: Uint8Array;
  /** How many messages of the same sender go before it that are not pushed yet. */
  nonceOffset?: number;
}

/** Fees as gas estimation of a quiet chain gives them, attoFIL per gas. */
const FEE_CAP = 257_553n;
const PREMIUM = 99_820n;

/** Lotus asks for a quarter more gas than it measured (GasEstimateGasLimit overestimation 1.25). */
export function gasLimitOf(message: ChainMessage): number {
  return Math.ceil(gasOf(message) * 1.25);
}

export function withGas(message: ChainMessage): ChainMessage {
  return {
    ...message,
    gasLimit: message.gasLimit > 0 ? message.gasLimit : gasLimitOf(message),
    gasFeeCap: message.gasFeeCap > 0n ? message.gasFeeCap : FEE_CAP,
    gasPremium: message.gasPremium > 0n ? message.gasPremium : PREMIUM,
  };
}

/** A message of the account behind `key`, with the next free nonce, signed. */
export function composeMessage(core: ChainCore, key: LotusKey, call: Call): SignedMessage {
  const from = keyAddress(key);
  const bare = { to: call.to, from, value: 0n, gasLimit: 0, gasFeeCap: 0n, gasPremium: 0n, method: call.method };
  const nonce = nextNonceOf(core, from) + (call.nonceOffset ?? 0);
  const message = withGas({ ...bare, nonce, params: call.params });
  return sealMessage(message, signWithKey(key, messageSigningBytes(message)));
}

/** The same message with twice the fee, signed by the miner that sent it; undefined for one of anybody else. */
export function composeReplacement(core: ChainCore, { message }: SignedMessage): SignedMessage | undefined {
  const { state, policy } = core;
  const ids = [...state.miners.entries()].map(([id]) => id);
  const keys = ids.flatMap((id) => [workerKey(policy.seed, id), ownerKey(policy.seed, id)]);
  const key = keys.find((one) => formatAddress(keyAddress(one)) === formatAddress(message.from));
  if (key === undefined) return undefined;
  const { gasFeeCap, gasPremium } = message;
  const dearer = { ...message, gasFeeCap: gasFeeCap * 2n, gasPremium: gasPremium * 2n };
  return sealMessage(dearer, signWithKey(key, messageSigningBytes(dearer)));
}

/** The nonce of the sender's next message; 0 for an account that the chain has not seen. */
export function nextNonceOf(core: ChainCore, from: Address): number {
  const id = core.state.idOf(from);
  const account = id === undefined ? undefined : core.state.accounts.get(id);
  return core.nextNonce(formatAddress(from), account?.nonce ?? 0);
}
