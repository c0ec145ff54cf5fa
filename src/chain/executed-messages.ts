import { Type } from 'typebox';
import { answerParser, badResult, cidLink, uint } from './parse-answer.ts';
import type { Rpc } from './rpc-call.ts';

/** A message with what came of it. */
export interface ExecutedMessage {
  message: string;
  to: string;
  method: bigint;
  /** CBOR of the parameters. */
  params: Uint8Array;
  exitCode: number;
  /** CBOR of the method's return; empty when there is none. */
  returned: Uint8Array;
}

const base64 = Type.Union([Type.String(), Type.Null()]);
const messages = Type.Union([
  Type.Null(),
  Type.Array(Type.Object({ Cid: cidLink, Message: Type.Object({ To: Type.String(), Method: uint, Params: base64 }) })),
]);
const receipts = Type.Union([Type.Null(), Type.Array(Type.Object({ ExitCode: Type.Integer(), Return: base64 }))]);

export const parseParentMessages = answerParser(messages, (found) => found ?? []);
export const parseParentReceipts = answerParser(receipts, (found) => found ?? []);

function bytesOf(text: string | null): Uint8Array {
  return Buffer.from(text ?? '', 'base64');
}

/** What was executed of the parents of this block's tipset, in order: any block of a tipset shows the same. */
export async function readParentMessages(rpc: Rpc, blockCid: string, signal: AbortSignal): Promise<ExecutedMessage[]> {
  const params = [{ '/': blockCid }];
  const [bodies, outcomes] = await Promise.all([
    rpc.read({ method: 'ChainGetParentMessages', params, parse: parseParentMessages }, signal),
    rpc.read({ method: 'ChainGetParentReceipts', params, parse: parseParentReceipts }, signal),
  ]);
  if (bodies.length !== outcomes.length) {
    throw badResult(`${outcomes.length} receipts for ${bodies.length} messages`, 'ChainGetParentReceipts');
  }
  return bodies.map(({ Cid, Message }, at) => ({
    message: Cid['/'],
    to: Message.To,
    method: BigInt(Message.Method),
    params: bytesOf(Message.Params),
    exitCode: outcomes[at]?.ExitCode ?? -1,
    returned: bytesOf(outcomes[at]?.Return ?? null),
  }));
}
