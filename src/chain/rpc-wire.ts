import { Agent as HttpAgent, request as requestHttp, type IncomingMessage } from 'node:http';
import { Agent as HttpsAgent, request as requestHttps } from 'node:https';
import glif, { type LotusRpcEngineConfig } from '@glif/filecoin-rpc-client';
import type { HttpAnswer } from './rpc-envelope.ts';
import { RpcError } from './rpc-error.ts';

/** Where an endpoint is, and what it wants to see. */
export interface Target {
  url: string;
  /** Host and port. */
  host: string;
  token: string | undefined;
}

/** What calls to all endpoints share. */
export interface Wire {
  timeoutMs: number;
  maxAnswerBytes: number;
  httpAgent: HttpAgent;
  httpsAgent: HttpsAgent;
}

export function openWire(limits: Pick<Wire, 'timeoutMs' | 'maxAnswerBytes'>): Wire {
  return { ...limits, httpAgent: new HttpAgent({ keepAlive: true }), httpsAgent: new HttpsAgent({ keepAlive: true }) };
}

export function closeWire({ httpAgent, httpsAgent }: Wire): void {
  httpAgent.destroy();
  httpsAgent.destroy();
}

/** The package is CommonJS: Node hands out its exports, test runners with interop the class itself. */
const LotusRpcEngine: typeof glif.default = 'default' in glif ? glif.default : glif;

function retryAfterOf(headers: unknown): string | undefined {
  if (typeof headers !== 'object' || headers === null || !('retry-after' in headers)) return undefined;
  const value = headers['retry-after'];
  return typeof value === 'string' ? value : undefined;
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
    transformResponse: (text: unknown, headers: unknown, status?: number) => ({
      result: { status: status ?? 0, text: typeof text === 'string' ? text : '', retryAfter: retryAfterOf(headers) },
    }),
  };
}

const TOO_LARGE = 'maxContentLength';

/** The reason a request failed, in words that hold nothing of the request. */
function transportError(error: unknown, method: string, host: string): RpcError {
  const { code, message } = error as { code?: unknown; message?: unknown };
  if (String(message).startsWith(TOO_LARGE)) {
    return new RpcError('RPC_TOO_LARGE', 'the answer is larger than any we ask for', { method, host });
  }
  const why = typeof code === 'string' && /^[A-Z0-9_]+$/.test(code) ? code : 'connection failed';
  return new RpcError('RPC_UNREACHABLE', why === 'ERR_BAD_RESPONSE' ? 'the answer was cut off' : why, { method, host });
}

interface Post {
  /** Without `Filecoin.` */
  method: string;
  signal: AbortSignal;
  /** Of this call, where it has less time than others. */
  timeoutMs?: number | undefined;
}

/** Runs a request within its time. What the caller aborts ends with the caller's reason. */
async function within(
  wire: Wire,
  { method, signal, timeoutMs = wire.timeoutMs }: Post,
  { host, send }: { host: string; send: (signal: AbortSignal) => Promise<HttpAnswer> },
): Promise<HttpAnswer> {
  const limit = AbortSignal.timeout(timeoutMs);
  try {
    return await send(AbortSignal.any([signal, limit]));
  } catch (error) {
    signal.throwIfAborted();
    if (limit.aborted) throw new RpcError('RPC_TIMEOUT', `no answer within ${timeoutMs} ms`, { method, host });
    throw transportError(error, method, host);
  }
}

/** One call over HTTP; what came back is for rpc-envelope.ts to read. Throws RpcError. */
export function postCall(wire: Wire, target: Target, post: Post & { params: readonly unknown[] }): Promise<HttpAnswer> {
  const { url, token, host } = target;
  const send = (signal: AbortSignal) => {
    const config = { apiAddress: url, ...(token !== undefined && { token }), axiosOpts: axiosOptions(wire, signal) };
    return new LotusRpcEngine(config).request<HttpAnswer>(post.method, ...post.params);
  };
  return within(wire, post, { host, send });
}

/** Calls of one method in one request; ids count from 1. The package has no batches, so that this is our own. */
export function postBatch(
  wire: Wire,
  target: Target,
  post: Post & { params: readonly (readonly unknown[])[] },
): Promise<HttpAnswer> {
  const method = `Filecoin.${post.method}`;
  const body = JSON.stringify(post.params.map((params, at) => ({ jsonrpc: '2.0', id: at + 1, method, params })));
  return within(wire, post, { host: target.host, send: (signal) => postText(wire, target, { body, signal }) });
}

/** Neither follows redirects nor uses a proxy. */
function postText(
  wire: Wire,
  { url, token }: Target,
  given: { body: string; signal: AbortSignal },
): Promise<HttpAnswer> {
  const isSecure = new URL(url).protocol === 'https:';
  const { promise, resolve, reject } = Promise.withResolvers<HttpAnswer>();
  const request = (isSecure ? requestHttps : requestHttp)(url, {
    method: 'POST',
    agent: isSecure ? wire.httpsAgent : wire.httpAgent,
    signal: given.signal,
    headers: {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    },
  });
  request.on('error', reject);
  request.on('response', (response) => {
    readText(response, wire.maxAnswerBytes).then(
      (text) => resolve({ status: response.statusCode ?? 0, text, retryAfter: retryAfterOf(response.headers) }),
      reject,
    );
  });
  request.end(given.body);
  return promise;
}

async function readText(response: IncomingMessage, maxBytes: number): Promise<string> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of response as AsyncIterable<Uint8Array>) {
    bytes += chunk.length;
    // Leaving the loop destroys the response.
    if (bytes > maxBytes) throw new Error(TOO_LARGE);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
