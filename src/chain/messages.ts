import { Type, type Static } from 'typebox';
import { amount, answerParser, cidLink, uint } from './parse-answer.ts';
import type { Rpc } from './rpc-call.ts';
import { isNodeError, RpcError } from './rpc-error.ts';

/** Where a message was executed. */
export interface FoundMessage {
  /** Of the message that was executed: another than the one asked for when that was replaced (gas bump). */
  message: string;
  exitCode: number;
  /** CBOR of the method's return; empty when there is none. */
  returned: Uint8Array;
  /** The tipset that holds the receipt, one after the message's own. */
  tipset: string[];
  height: number;
}

export interface ChainMessage {
  to: string;
  from: string;
  method: bigint;
  /** CBOR of the parameters. */
  params: Uint8Array;
  /** attoFIL. */
  value: bigint;
}

const base64 = Type.Union([Type.String(), Type.Null()]);
const lookup = Type.Union([
  Type.Null(),
  Type.Object({
    Message: cidLink,
    Receipt: Type.Object({ ExitCode: Type.Integer(), Return: base64 }),
    TipSet: Type.Array(cidLink, { minItems: 1 }),
    Height: Type.Integer({ minimum: 0 }),
  }),
]);
const message = Type.Object({ To: Type.String(), From: Type.String(), Value: amount, Method: uint, Params: base64 });

function bytesOf(text: string | null): Uint8Array {
  return Buffer.from(text ?? '', 'base64');
}

function readLookup(found: Static<typeof lookup>): FoundMessage | undefined {
  if (found === null) return undefined;
  const { Message, Receipt, TipSet, Height } = found;
  return {
    message: Message['/'],
    exitCode: Receipt.ExitCode,
    returned: bytesOf(Receipt.Return),
    tipset: TipSet.map((cid) => cid['/']),
    height: Height,
  };
}

export const parseFoundMessage = answerParser(lookup, readLookup);
export const parseMessage = answerParser(message, ({ To, From, Value, Method, Params }) => ({
  to: To,
  from: From,
  method: BigInt(Method),
  params: bytesOf(Params),
  value: BigInt(Value),
}));

/** A node that never saw a message says that it could not find its block; any other failure says nothing about it. */
function isUnknown(error: unknown, cid: string): boolean {
  return isNodeError(error, /could not find/) && error.message.includes(`could not find ${cid}`);
}

/** As far back as the node has state. */
const NO_LOOKBACK_LIMIT = -1;
/** How far back gateways search with their default settings (lotus gateway, DefaultStateWaitLookbackLimit). */
const GATEWAY_LOOKBACK_EPOCHS = 20;
const LOOKBACK_REFUSED = /look-?back|too far/i;

async function searchBack(
  rpc: Rpc,
  cid: string,
  { epochs, signal }: { epochs: number; signal: AbortSignal },
): Promise<FoundMessage | undefined> {
  const params = [null, { '/': cid }, epochs, true];
  try {
    return await rpc.read({ method: 'StateSearchMsg', params, parse: parseFoundMessage }, signal);
  } catch (error) {
    if (isUnknown(error, cid)) return undefined;
    throw error;
  }
}

/**
 * Undefined while the message is not executed, or not known to the node. Throws `RPC_LOOKBACK` when the node, a gateway,
 * searches only the newest tipsets and it is not in these: then events or messages tell of it (scan-publishes.ts). A
 * gateway may also cut the search short and not say so, so that undefined never means that it will not be executed.
 */
export async function searchMessage(rpc: Rpc, cid: string, signal: AbortSignal): Promise<FoundMessage | undefined> {
  try {
    return await searchBack(rpc, cid, { epochs: NO_LOOKBACK_LIMIT, signal });
  } catch (error) {
    if (!isNodeError(error, LOOKBACK_REFUSED)) throw error;
  }
  const found = await searchBack(rpc, cid, { epochs: GATEWAY_LOOKBACK_EPOCHS, signal });
  if (found !== undefined) return found;
  throw new RpcError('RPC_LOOKBACK', `no more than the last ${GATEWAY_LOOKBACK_EPOCHS} epochs are searched`, {
    method: 'StateSearchMsg',
  });
}

/** Undefined when the node does not have the message. */
export async function readMessage(rpc: Rpc, cid: string, signal: AbortSignal): Promise<ChainMessage | undefined> {
  try {
    return await rpc.read({ method: 'ChainGetMessage', params: [{ '/': cid }], parse: parseMessage }, signal);
  } catch (error) {
    if (isUnknown(error, cid)) return undefined;
    throw error;
  }
}
