import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import { RpcError } from './rpc-error.ts';

/** What came back over HTTP, whatever its status. */
export interface HttpAnswer {
  status: number;
  text: string;
}

export interface Asked {
  /** Without `Filecoin.` */
  method: string;
  host: string;
  /** Cut out of every text that the other side sent, should it echo our headers. */
  token: string | undefined;
}

/** The one id that the client package sends with every request. */
const REQUEST_ID = 1;
const METHOD_NOT_FOUND = -32_601;
/** Enough for a node's nested error text; the rest of a page of HTML or of a stack is of no use in a log. */
const MAX_QUOTED_CHARS = 500;

const envelope = Compile(
  Type.Object({
    jsonrpc: Type.Literal('2.0'),
    id: Type.Union([Type.Literal(REQUEST_ID), Type.Null()]),
  }),
);
const failure = Compile(
  Type.Object({
    error: Type.Object({ code: Type.Integer(), message: Type.String(), data: Type.Optional(Type.Unknown()) }),
  }),
);

/**
 * Parses JSON without rounding: an integer that a number cannot hold exactly becomes a bigint.
 * The reviver costs, so it runs only where sixteen digits stand in a row.
 */
export function parseJson(text: string): unknown {
  if (!/\d{16}/.test(text)) return JSON.parse(text) as unknown;
  return JSON.parse(text, (_key: string, value: unknown, ...rest: unknown[]) => {
    if (typeof value !== 'number' || Number.isSafeInteger(value)) return value;
    const [context] = rest as [{ source?: string }?];
    return /^-?\d+$/.test(context?.source ?? '') ? BigInt(context?.source ?? '') : value;
  }) as unknown;
}

function quote(text: string, token: string | undefined): string {
  const safe = token === undefined || token === '' ? text : text.replaceAll(token, '[secret]');
  return safe.length > MAX_QUOTED_CHARS ? `${safe.slice(0, MAX_QUOTED_CHARS)}…` : safe;
}

function isOkStatus(status: number): boolean {
  return status >= 200 && status < 300;
}

/** Too many requests, a server in trouble: later it may be well again. Anything else needs a person. */
function statusError({ status }: HttpAnswer, { method, host }: Asked): RpcError {
  const passes = status === 408 || status === 429 || status >= 500;
  const hint = status === 401 || status === 403 ? ' (check CHAIN_RPC_TOKEN)' : '';
  return new RpcError('RPC_HTTP_STATUS', `answered HTTP ${status}${hint}`, {
    method,
    host,
    status,
    retry: passes ? 'later' : 'never',
  });
}

function nodeError(body: unknown, { text }: HttpAnswer, asked: Asked): RpcError | undefined {
  if (!failure.Check(body)) return undefined;
  const { code, message, data } = body.error;
  // A message can be cut; of data with a shape of its own nothing is kept when the answer echoes the token.
  const echoes = asked.token !== undefined && text.includes(asked.token);
  const missing = code === METHOD_NOT_FOUND;
  return new RpcError(missing ? 'RPC_METHOD_NOT_FOUND' : 'RPC_ERROR', quote(message, asked.token), {
    method: asked.method,
    host: asked.host,
    rpcCode: code,
    rpcData: echoes ? '[secret]' : data,
    retry: missing ? 'never' : 'later',
  });
}

/**
 * The result of a JSON-RPC 2.0 answer. Throws RpcError. The HTTP status decides nothing while the body is a JSON-RPC
 * answer to us: Lotus sends errors with 200 and 500 alike (FRC-0116).
 */
export function readResult(answer: HttpAnswer, asked: Asked): unknown {
  const { method, host } = asked;
  let body: unknown;
  try {
    body = parseJson(answer.text);
  } catch {
    if (!isOkStatus(answer.status)) throw statusError(answer, asked);
    throw new RpcError('RPC_NOT_JSON', `answered what is not JSON: ${quote(answer.text.slice(0, 80), asked.token)}`, {
      method,
      host,
    });
  }
  if (!envelope.Check(body)) {
    if (!isOkStatus(answer.status)) throw statusError(answer, asked);
    throw new RpcError('RPC_BAD_ENVELOPE', `answered JSON that is no JSON-RPC 2.0 answer to id ${REQUEST_ID}`, {
      method,
      host,
    });
  }
  const refused = nodeError(body, answer, asked);
  if (refused !== undefined) throw refused;
  if (!('result' in body) || 'error' in body || body.id === null) {
    throw new RpcError('RPC_BAD_ENVELOPE', 'answered neither a result nor a well-formed error', { method, host });
  }
  return body.result;
}
