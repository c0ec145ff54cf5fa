import { FormatError } from '../../filecoin/format-error.ts';
import { chainMethods } from './rpc-chain-methods.ts';
import { eventMethods } from './rpc-event-methods.ts';
import { methodFault, paramFault, RpcFault } from './rpc-fault.ts';
import { isRefused } from './rpc-gateway.ts';
import type { Permission, RpcContext, RpcMethod } from './rpc-method.ts';
import { RpcParams } from './rpc-params.ts';
import { poolMethods } from './rpc-pool-methods.ts';
import { stateMethods } from './rpc-state-methods.ts';

export interface RpcReply {
  status: number;
  body: string;
  headers?: Readonly<Record<string, string>>;
}

const PREFIX = 'Filecoin.';
const methods = new Map(Object.entries({ ...chainMethods, ...eventMethods, ...stateMethods, ...poolMethods }));

/** What each permission includes (lotus api/permissioned.go). */
const includedIn: Record<Permission, readonly Permission[]> = {
  read: ['read', 'write', 'sign', 'admin'],
  write: ['write', 'sign', 'admin'],
  sign: ['sign', 'admin'],
  admin: ['admin'],
};

/** Answers the body of one HTTP request: a call, or a list of calls. Never throws for what the body holds. */
export function answerRpc(body: string, context: RpcContext, held: Permission): RpcReply {
  if (body.trim() === '') return invalidRequest();
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return errorReply(new RpcFault(-32_700, 'Parse error', 500), null);
  }
  if (!Array.isArray(parsed)) return answerCall(parsed, context, held);
  if (parsed.length === 0) return invalidRequest();
  const replies = parsed.map((call: unknown) => answerCall(call, context, held));
  const status = replies.find((reply) => reply.status !== 200)?.status ?? 200;
  return { status, body: `[${replies.map((reply) => reply.body.trimEnd()).join(',')}]` };
}

function invalidRequest(): RpcReply {
  return errorReply(new RpcFault(-32_600, 'Invalid request', 400), null);
}

function answerCall(call: unknown, context: RpcContext, held: Permission): RpcReply {
  const fields = typeof call === 'object' && call !== null ? { ...(call as Record<string, unknown>) } : {};
  const id = fields['id'] ?? null;
  try {
    const name = typeof fields['method'] === 'string' ? fields['method'] : '';
    const result = runCall({ name, params: fields['params'] ?? [] }, context, held);
    return { status: 200, body: `${JSON.stringify({ id, jsonrpc: '2.0', result })}\n` };
  } catch (error) {
    return errorReply(toFault(error), id);
  }
}

function toFault(error: unknown): RpcFault {
  if (error instanceof RpcFault) return error;
  if (error instanceof FormatError) return paramFault(error.message);
  throw error;
}

function runCall(call: { name: string; params: unknown }, context: RpcContext, held: Permission): unknown {
  const method = methodOf(call.name, context);
  if (!Array.isArray(call.params)) throw paramFault('unmarshaling param array: it is not a list');
  if (call.params.length !== method.params) {
    const message = `wrong param count (method '${call.name}'): ${call.params.length} != ${method.params}`;
    throw new RpcFault(-32_602, message, 500);
  }
  if (!includedIn[method.permission].includes(held)) {
    const name = call.name.slice(PREFIX.length);
    throw methodFault(`missing permission to invoke '${name}' (need '${method.permission}')`);
  }
  return method.call(context, new RpcParams(call.params)) ?? null;
}

function methodOf(name: string, { faults }: RpcContext): RpcMethod {
  const bare = name.slice(PREFIX.length);
  const method = name.startsWith(PREFIX) ? methods.get(bare) : undefined;
  if (method === undefined || isRefused(bare, faults)) throw new RpcFault(-32_601, `method '${name}' not found`, 500);
  return method;
}

/** Keys in the order of go-jsonrpc, which sorts them. */
function errorReply(fault: RpcFault, id: unknown): RpcReply {
  const error = { code: fault.code, message: fault.message };
  return { status: fault.status, body: `${JSON.stringify({ error, id, jsonrpc: '2.0' })}\n` };
}
