import { Type } from 'typebox';
import { formatAddress, type Address } from '../filecoin/address.ts';
import type { Message, SignedMessage } from '../filecoin/messages.ts';
import { amount, answerParser, cidLink } from './parse-answer.ts';
import { jsonInteger, type Rpc } from './rpc-call.ts';
import type { RpcPool } from './rpc.ts';

/** What a message may use and pays for it, attoFIL per unit of gas. */
export interface Gas {
  gasLimit: number;
  gasFeeCap: bigint;
  gasPremium: bigint;
}

const parseNonce = answerParser(Type.Integer({ minimum: 0 }), (nonce) => nonce);
const parseAmount = answerParser(amount, (text) => BigInt(text));
const parseGas = answerParser(
  Type.Object({ GasLimit: Type.Integer({ minimum: 1 }), GasFeeCap: amount, GasPremium: amount }),
  ({ GasLimit, GasFeeCap, GasPremium }): Gas => ({
    gasLimit: GasLimit,
    gasFeeCap: BigInt(GasFeeCap),
    gasPremium: BigInt(GasPremium),
  }),
);
const parseCidText = answerParser(cidLink, (link) => link['/']);

function messageJson(message: Message): Record<string, unknown> {
  return {
    Version: 0,
    To: formatAddress(message.to),
    From: formatAddress(message.from),
    Nonce: message.nonce,
    Value: message.value.toString(),
    GasLimit: message.gasLimit,
    GasFeeCap: message.gasFeeCap.toString(),
    GasPremium: message.gasPremium.toString(),
    Method: jsonInteger('MpoolPush', message.method),
    Params: Buffer.from(message.params).toString('base64'),
  };
}

/** The nonce of the sender's next message, those waiting in the node's pool counted. */
export async function readNonce(rpc: Rpc, sender: Address, signal: AbortSignal): Promise<number> {
  const params = [formatAddress(sender)];
  return await rpc.read({ method: 'MpoolGetNonce', params, parse: parseNonce }, signal);
}

/** attoFIL of an actor; zero for one that the chain does not know. */
export async function readBalance(rpc: Rpc, address: string, signal: AbortSignal): Promise<bigint> {
  return await rpc.read({ method: 'WalletBalance', params: [address], parse: parseAmount }, signal);
}

/** Fails with the node's words when the message would fail; `maxFee` is attoFIL for the whole message. */
export async function estimateGas(
  rpc: Rpc,
  { message, maxFee }: { message: Message; maxFee: bigint },
  signal: AbortSignal,
): Promise<Gas> {
  const params = [messageJson(message), { MaxFee: maxFee.toString() }, null];
  return await rpc.read({ method: 'GasEstimateMessageGas', params, parse: parseGas }, signal);
}

/** Answers the CID that the node gave it. Throws `RPC_WRITE_UNKNOWN` when nobody knows whether it arrived. */
export async function pushMessage(
  rpc: Pick<RpcPool, 'write'>,
  { message, signature }: SignedMessage,
  signal: AbortSignal,
): Promise<string> {
  const { type, data } = signature;
  const signed = {
    Message: messageJson(message),
    Signature: { Type: type, Data: Buffer.from(data).toString('base64') },
  };
  return await rpc.write({ method: 'MpoolPush', params: [signed], parse: parseCidText }, signal);
}
