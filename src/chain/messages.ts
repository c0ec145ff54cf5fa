import { Type, type Static } from 'typebox';
import { amount, answerParser, cidLink, uint } from './parse-answer.ts';
import type { Rpc } from './rpc.ts';
import { isNodeError } from './rpc-error.ts';

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

/** Undefined while the message is not executed, or not known to the node. */
export async function searchMessage(rpc: Rpc, cid: string, signal?: AbortSignal): Promise<FoundMessage | undefined> {
  const method = 'StateSearchMsg';
  try {
    return parseFoundMessage(await rpc.call(method, [null, { '/': cid }, NO_LOOKBACK_LIMIT, true], signal), method);
  } catch (error) {
    if (isUnknown(error, cid)) return undefined;
    throw error;
  }
}

/** Undefined when the node does not have the message. */
export async function readMessage(rpc: Rpc, cid: string, signal?: AbortSignal): Promise<ChainMessage | undefined> {
  const method = 'ChainGetMessage';
  try {
    return parseMessage(await rpc.call(method, [{ '/': cid }], signal), method);
  } catch (error) {
    if (isUnknown(error, cid)) return undefined;
    throw error;
  }
}
