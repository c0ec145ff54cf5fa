import { Type } from 'typebox';
import { Compile } from 'typebox/compile';
import type { Outcome } from './rpc-call.ts';
import { RpcError } from './rpc-error.ts';

/** What came back over HTTP, whatever its status. */
export interface HttpAnswer {
  status: number;
  text: string;
  /** The header of that name. */
  retryAfter?: string | undefined;
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

const envelope = Compile(Type.Object({ jsonrpc: Type.Literal('2.0'), id: Type.Union([Type.Integer(), Type.Null()]) }));
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

/** Of whole seconds; a date is left to our own back-off, as clocks differ. */
function retryAfterMs(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,6}$/.test(text) ? Number(text) * 1_000 : undefined;
}

/** Too many requests, a server in trouble: later it may be well again. Anything else needs a person. */
function statusError({ status, retryAfter }: HttpAnswer, { method, host }: Asked): RpcError {
  const passes = status === 408 || status === 429 || status >= 500;
  const hint = status === 401 || status === 403 ? ' (check CHAIN_RPC_TOKEN)' : '';
  return new RpcError('RPC_HTTP_STATUS', `answered HTTP ${status}${hint}`, {
    method,
    host,
    status,
    retry: passes ? 'later' : 'never',
    retryAfterMs: retryAfterMs(retryAfter),
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

function parseBody(answer: HttpAnswer, asked: Asked): unknown {
  try {
    return parseJson(answer.text);
  } catch {
    if (!isOkStatus(answer.status)) throw statusError(answer, asked);
    const { method, host, token } = asked;
    throw new RpcError('RPC_NOT_JSON', `answered what is not JSON: ${quote(answer.text.slice(0, 80), token)}`, {
      method,
      host,
    });
  }
}

/** The result in the answer to the call of this id. Throws RpcError. */
function readBody(body: unknown, id: number, { answer, asked }: { answer: HttpAnswer; asked: Asked }): unknown {
  const { method, host } = asked;
  if (!envelope.Check(body) || (body.id !== id && body.id !== null)) {
    if (!isOkStatus(answer.status)) throw statusError(answer, asked);
    throw new RpcError('RPC_BAD_ENVELOPE', `answered JSON that is no JSON-RPC 2.0 answer to id ${id}`, {
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

/**
 * The result of a JSON-RPC 2.0 answer. Throws RpcError. The HTTP status decides nothing while the body is a JSON-RPC
 * answer to us: Lotus sends errors with 200 and 500 alike (FRC-0116).
 */
export function readResult(answer: HttpAnswer, asked: Asked): unknown {
  return readBody(parseBody(answer, asked), REQUEST_ID, { answer, asked });
}

/** With these a server may say that it does not take a list, or not so long a one. */
const NO_BATCH_STATUSES: ReadonlySet<number> = new Set([400, 404, 405, 413, 415, 422, 501]);

/**
 * The outcomes of the calls of a batch, whose ids count from 1. Undefined when the node does not take batches: it answers
 * with one error for all, or refuses the request. Throws RpcError when there is no answer at all.
 */
export function readBatch(answer: HttpAnswer, calls: number, asked: Asked): Outcome<unknown>[] | undefined {
  let body: unknown;
  try {
    body = parseBody(answer, asked);
  } catch (error) {
    if (NO_BATCH_STATUSES.has(answer.status)) return undefined;
    throw error;
  }
  if (!Array.isArray(body)) {
    // Of one that refuses for the moment nothing is learned.
    if (answer.status === 429 || answer.status === 401 || answer.status === 403) throw statusError(answer, asked);
    return undefined;
  }
  const byId = new Map(body.map((entry: unknown) => [envelope.Check(entry) ? entry.id : undefined, entry]));
  return Array.from({ length: calls }, (_, at) => {
    try {
      return { value: readBody(byId.get(at + 1), at + 1, { answer, asked }) };
    } catch (error) {
      if (error instanceof RpcError) return { error };
      throw error;
    }
  });
}
