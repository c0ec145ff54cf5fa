import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import glif, { type LotusRpcEngineConfig } from '@glif/filecoin-rpc-client';
import { systemClock, type Clock } from '../clock.ts';
import { createAdmission, isForeignChain, type Admission, type Admit, type Ask } from './admission.ts';
import { createGate, type Gate } from './gate.ts';
import { readResult, type HttpAnswer } from './rpc-envelope.ts';
import { isEndpointFault, RpcError } from './rpc-error.ts';
import type { LadingError } from '../errors.ts';

/** One Lotus-compatible node. The token is sent to this URL alone. */
export interface RpcEndpoint {
  url: string;
  token?: string;
}

export interface RpcOptions {
  /** In order of preference. */
  endpoints: readonly RpcEndpoint[];
  timeoutMs?: number;
  maxConcurrent?: number;
  maxAnswerBytes?: number;
  /** Asked of each endpoint before anything else that it says is believed. */
  admit?: Admit;
  clock?: Clock;
}

export interface Rpc {
  /** Calls `Filecoin.<method>`; answers the raw result, with integers above 2^53 as bigint. Throws RpcError. */
  call(method: string, params: readonly unknown[], signal?: AbortSignal): Promise<unknown>;
  close(): void;
}

/** A busy node takes seconds for old state; a call that takes longer is better made to another node, or later. */
const TIMEOUT_MS = 20_000;
/** Public nodes refuse bursts; eight calls in flight read hundreds of deals a second from a near node. */
const MAX_CONCURRENT = 8;
/** The largest answer we ask for is a full page of actor events: 10,000 entries of about 700 bytes. */
const MAX_ANSWER_BYTES = 32 * 2 ** 20;

/** The package is CommonJS: Node hands out its exports, test runners with interop the class itself. */
const LotusRpcEngine: typeof glif.default = 'default' in glif ? glif.default : glif;

interface Endpoint {
  url: string;
  host: string;
  token: string | undefined;
  admission: Admission;
}

/** What every endpoint shares. */
interface Wire {
  timeoutMs: number;
  maxAnswerBytes: number;
  gate: Gate;
  httpAgent: HttpAgent;
  httpsAgent: HttpsAgent;
}

/** Options of the HTTP client inside the package that take its faults away; parsing is all ours (rpc-envelope.ts). */
function axiosOptions(wire: Wire, signal: AbortSignal): NonNullable<LotusRpcEngineConfig['axiosOpts']> {
  return {
    signal,
    timeout: 0,
    // A redirect could carry the token to another host; a proxy is not configured by us.
    maxRedirects: 0,
    proxy: false,
    httpAgent: wire.httpAgent,
    httpsAgent: wire.httpsAgent,
    maxContentLength: wire.maxAnswerBytes,
    responseType: 'text',
    validateStatus: () => true,
    // The package looks for `error` and hands out `result`: it gets the text as result, and can neither drop nor round.
    transformResponse: (text: unknown, _headers: unknown, status?: number) => ({
      result: { status: status ?? 0, text: typeof text === 'string' ? text : '' },
    }),
  };
}

/** The reason a request failed, in words that hold nothing of the request. */
function transportError(error: unknown, method: string, host: string): RpcError {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (String(message).startsWith('maxContentLength')) {
    return new RpcError('RPC_TOO_LARGE', 'the answer is larger than any we ask for', { method, host });
  }
  const why = typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? code : 'connection failed';
  return new RpcError('RPC_UNREACHABLE', why === 'ERR_BAD_RESPONSE' ? 'the answer was cut off' : why, { method, host });
}

async function callEndpoint(
  wire: Wire,
  endpoint: Endpoint,
  call: { method: string; params: readonly unknown[]; signal: AbortSignal | undefined },
): Promise<unknown> {
  const { method, params, signal } = call;
  const { host, token } = endpoint;
  const limit = AbortSignal.timeout(wire.timeoutMs);
  const either = signal === undefined ? limit : AbortSignal.any([signal, limit]);
  const engine = new LotusRpcEngine({
    apiAddress: endpoint.url,
    ...(token !== undefined && { token }),
    axiosOpts: axiosOptions(wire, either),
  });
  let answer: HttpAnswer;
  try {
    answer = await engine.request<HttpAnswer>(method, ...params);
  } catch (error) {
    signal?.throwIfAborted();
    if (limit.aborted) throw new RpcError('RPC_TIMEOUT', `no answer within ${wire.timeoutMs} ms`, { method, host });
    throw transportError(error, method, host);
  }
  return readResult(answer, { method, host, token });
}

function toEndpoint({ url, token }: RpcEndpoint, { admit, clock = systemClock }: RpcOptions): Endpoint {
  return { url, host: new URL(url).host, token, admission: createAdmission(admit, clock) };
}

/** One call to one endpoint, which has shown that it serves our chain. */
async function askEndpoint(
  wire: Wire,
  endpoint: Endpoint,
  [method, params, signal]: Parameters<Ask>,
): Promise<unknown> {
  const ask: Ask = (...[name, args, until]) =>
    wire.gate.run(() => callEndpoint(wire, endpoint, { method: name, params: args, signal: until }));
  try {
    await endpoint.admission.pass(ask, signal);
    return await ask(method, params, signal);
  } catch (error) {
    if (isEndpointFault(error) && error.code !== 'RPC_METHOD_NOT_FOUND') endpoint.admission.doubt();
    throw error;
  }
}

/** JSON has no bigint: callers turn theirs into exact numbers or strings first. */
export function jsonInteger(method: string, value: bigint): number {
  const number = Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new RpcError('RPC_BAD_PARAMS', `${value} is beyond what JSON numbers hold exactly`, { method, retry: 'never' });
}

/**
 * Calls the endpoints in order of preference until one answers; what the chain itself refuses is not asked again. An
 * endpoint of another chain is passed over like one that fails, and named when no other is left.
 */
export function createRpc(options: RpcOptions): Rpc {
  const endpoints = options.endpoints.map((endpoint) => toEndpoint(endpoint, options));
  const wire: Wire = {
    timeoutMs: options.timeoutMs ?? TIMEOUT_MS,
    maxAnswerBytes: options.maxAnswerBytes ?? MAX_ANSWER_BYTES,
    gate: createGate(options.maxConcurrent ?? MAX_CONCURRENT),
    httpAgent: new HttpAgent({ keepAlive: true }),
    httpsAgent: new HttpsAgent({ keepAlive: true }),
  };
  async function call(method: string, params: readonly unknown[], signal?: AbortSignal): Promise<unknown> {
    let fault: LadingError = new RpcError('RPC_NO_ENDPOINT', 'no endpoint is configured: set CHAIN_RPC_URL', {
      method,
      retry: 'never',
    });
    for (const endpoint of endpoints) {
      signal?.throwIfAborted();
      try {
        return await askEndpoint(wire, endpoint, [method, params, signal]);
      } catch (error) {
        if (!isEndpointFault(error) && !isForeignChain(error)) throw error;
        if (!isForeignChain(fault)) fault = error;
      }
    }
    throw fault;
  }
  return {
    call,
    close() {
      wire.httpAgent.destroy();
      wire.httpsAgent.destroy();
    },
  };
}
