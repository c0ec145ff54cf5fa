import { Type } from 'typebox';
import type { Signature } from '../filecoin/signature.ts';
import { answerParser } from './parse-answer.ts';
import type { Rpc } from './rpc-call.ts';
import type { RpcPool } from './rpc.ts';

const parseBoolean = answerParser(Type.Boolean(), (has) => has);
const parseSignature = answerParser(
  Type.Object({ Type: Type.Union([Type.Literal(1), Type.Literal(2), Type.Literal(3)]), Data: Type.String() }),
  ({ Type: type, Data }): Signature => ({ type, data: new Uint8Array(Buffer.from(Data, 'base64')) }),
);

/** Does the node hold the key of this address? Needs a token with the permission `write`. */
export async function walletHas(rpc: Rpc, address: string, signal: AbortSignal): Promise<boolean> {
  return await rpc.read({ method: 'WalletHas', params: [address], parse: parseBoolean }, signal);
}

/** The node's signature over these very bytes. Needs a token with the permission `sign`. */
export async function walletSign(
  rpc: Pick<RpcPool, 'write'>,
  { address, message }: { address: string; message: Uint8Array },
  signal: AbortSignal,
): Promise<Signature> {
  const params = [address, Buffer.from(message).toString('base64')];
  return await rpc.write({ method: 'WalletSign', params, parse: parseSignature }, signal);
}
