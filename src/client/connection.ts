import { ClientError } from './client-error.ts';
import { fieldOf } from './field-of.ts';

/** A running service, and how it is spoken to. */
export interface Connection {
  /** Where the service answers, with or without a slash at its end. */
  url: string;
  /** One of the service's tokens. `check` may need none. */
  token?: string;
  /** For proxies and tests; the platform's own otherwise. */
  fetch?: typeof fetch;
  /** How often a request that found no service, or one that is busy or restarting, is sent again; 5 unless told. */
  retries?: number;
  /** Told before each wait. */
  onRetry?(fault: ClientError, waitMs: number): void;
  /** For tests; waits by the platform's timers otherwise, and rejects when the signal is aborted. */
  wait?(waitMs: number, signal: AbortSignal | undefined): Promise<void>;
}

export interface Request {
  path: string;
  method?: 'GET' | 'POST';
  headers?: Record<string, string>;
  /** Made anew for each attempt, as a stream can be sent once. */
  body?(): Promise<RequestInit>;
  /** A fault of what the body is made of: it is thrown as it is, for trying again would not help. */
  bodyFault?(): Error | undefined;
  signal?: AbortSignal | undefined;
  /** Undefined: as long as the platform waits. */
  timeoutMs?: number | undefined;
}

/** A service that restarts is back within this many doublings of the first wait: about half a minute. */
const DEFAULT_RETRIES = 5;
const FIRST_WAIT_MS = 1_000;
/** Longer is not waited between two attempts, whatever the service asks for. */
const MAX_WAIT_MS = 60_000;
/** Too many requests, and what proxies and we ourselves say while a service restarts or its database is away. */
const BUSY_STATUSES = new Set([429, 502, 503, 504]);

/**
 * Sends a request until it is answered, and reads its answer; a connection that breaks while it is read counts as a
 * failed attempt. Throws ClientError, or the signal's reason.
 */
export async function ask<T>(
  connection: Connection,
  request: Request,
  read: (response: Response) => Promise<T>,
): Promise<T> {
  const { signal } = request;
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await send(connection, request);
      return await read(response).catch((error: unknown) => {
        throw clientErrorOf(connection, error);
      });
    } catch (error) {
      signal?.throwIfAborted();
      const own = request.bodyFault?.();
      if (own !== undefined) throw own;
      if (!isPassing(error) || attempt >= retriesOf(connection)) throw error;
      await waitAfter(connection, { fault: error, attempt, signal });
    }
  }
}

export function retriesOf({ retries = DEFAULT_RETRIES }: Connection): number {
  return retries;
}

interface Pause {
  fault: ClientError;
  /** From 0. */
  attempt: number;
  signal: AbortSignal | undefined;
}

/** Doubles from a second on, unless the service says how long. */
export async function waitAfter(connection: Connection, { fault, attempt, signal }: Pause): Promise<void> {
  const waitMs = Math.min(fault.retryAfterMs ?? FIRST_WAIT_MS * 2 ** Math.min(attempt, 10), MAX_WAIT_MS);
  connection.onRetry?.(fault, waitMs);
  await (connection.wait ?? waitFor)(waitMs, signal);
}

/** May the same request succeed later? */
export function isPassing(error: unknown): error is ClientError {
  if (!(error instanceof ClientError)) return false;
  return error.code === 'SERVICE_UNREACHABLE' || (error.status !== undefined && BUSY_STATUSES.has(error.status));
}

/** One attempt: a response whose status is 2xx, or a ClientError in the service's own words. */
export async function send(connection: Connection, request: Request): Promise<Response> {
  const { method = 'GET', path } = request;
  const url = urlOf(connection, path);
  const headers = headersOf(connection, request);
  const signal = signalOf(request);
  const init = { method, headers, ...(signal && { signal }), ...(await request.body?.()) };
  // Called by itself: browsers refuse their fetch as a method of anything else.
  const call = connection.fetch ?? fetch;
  const response = await call(url, init).catch((error: unknown) => {
    throw clientErrorOf(connection, error);
  });
  if (response.ok) return response;
  throw await refusal(response, `${method} ${path}`);
}

function urlOf({ url }: Connection, path: string): string {
  const whole = url.replace(/\/+$/, '') + path;
  if (URL.canParse(whole)) return whole;
  throw new ClientError('INVALID_URL', `'${url}' is not where a service could answer: give it as https://host`);
}

function headersOf({ token }: Connection, { headers: given }: Request): Headers {
  const headers = new Headers(given);
  if (token === undefined) return headers;
  try {
    headers.set('authorization', `Bearer ${token}`);
  } catch (cause) {
    throw new ClientError('INVALID_TOKEN', 'the token has characters that no header can hold', { cause });
  }
  return headers;
}

function signalOf({ signal, timeoutMs }: Request): AbortSignal | undefined {
  if (timeoutMs === undefined) return signal;
  const timeout = AbortSignal.timeout(timeoutMs);
  return signal === undefined ? timeout : AbortSignal.any([signal, timeout]);
}

/** Problem details (RFC 9457), or `{ok: false, error: {code, message}}` of the routes that existing clients call. */
async function refusal(response: Response, what: string): Promise<ClientError> {
  const { status, headers } = response;
  const body = parseJson(await response.text().catch(() => ''));
  const error = fieldOf(body, 'error') ?? body;
  const said = fieldOf(error, 'message') ?? fieldOf(error, 'detail');
  const code = fieldOf(error, 'code');
  const details = fieldOf(body, 'details');
  const seconds = Number(headers.get('retry-after') ?? Number.NaN);
  return new ClientError(
    typeof code === 'string' ? code : `HTTP_${status}`,
    typeof said === 'string' ? said : `${what}: the service answers ${status} ${response.statusText}`.trimEnd(),
    {
      status,
      ...(Number.isFinite(seconds) && { retryAfterMs: seconds * 1_000 }),
      ...(typeof details === 'object' && details !== null && { details: { ...details } }),
    },
  );
}

/** Undefined for text that is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function clientErrorOf({ url }: Connection, error: unknown): ClientError {
  if (error instanceof ClientError) return error;
  return new ClientError('SERVICE_UNREACHABLE', `nothing answers at ${url}: ${wordsOf(error)}`, { cause: error });
}

/** Platforms say no more than `fetch failed`, and the reason in the cause. */
function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause instanceof Error && error.cause.message !== '' ? error.cause.message : error.message;
}

/** The JSON of an answer. */
export async function readJson(response: Response): Promise<unknown> {
  const text = await response.text();
  const answer = parseJson(text);
  if (answer === undefined) throw new ClientError('ANSWER_UNKNOWN', 'the service answers in something else than JSON');
  return answer;
}

async function waitFor(waitMs: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, waitMs);
    signal?.addEventListener('abort', stop, { once: true });
  });
}
