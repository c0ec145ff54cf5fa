import { noteServiceTime } from './clock.ts';

/** What the service answers when it refuses (RFC 9457), or what we say when it cannot be reached. */
export class ApiProblem extends Error {
  override readonly name = 'ApiProblem';
  readonly status: number;
  readonly code: string;

  constructor({ status, code, detail }: { status: number; code: string; detail: string }) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

interface Call {
  method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';
  query?: Query;
  /** Sent as JSON. */
  body?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
}

/** Told when the session is over, so that the frame asks for a token again. */
export const sessionEnded = new EventTarget();

export function withQuery(path: string, query: Query = {}): string {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== '');
  if (given.length === 0) return path;
  return `${path}?${new URLSearchParams(given.map(([name, value]) => [name, String(value)]))}`;
}

/** One call of the API with the session's cookie. Throws `ApiProblem`. */
export async function callApi<T>(
  path: string,
  { method = 'GET', query, body, headers, signal }: Call = {},
): Promise<T> {
  const response = await reach(withQuery(path, query), {
    method,
    headers: {
      accept: 'application/json',
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
    ...(body !== undefined && { body: JSON.stringify(body) }),
    ...(signal !== undefined && { signal }),
  });
  if (!response.ok) throw await problemOf(response);
  return response.status === 204 ? (undefined as T) : ((await response.json()) as T);
}

async function reach(url: string, init: RequestInit): Promise<Response> {
  const askedMs = Date.now();
  try {
    const response = await fetch(url, { ...init, credentials: 'same-origin' });
    noteServiceTime(response.headers.get('date'), askedMs, Date.now());
    return response;
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    throw new ApiProblem({
      status: 0,
      code: 'UNREACHABLE',
      detail: 'The service cannot be reached. It is asked again.',
    });
  }
}

/** Of either shape that the API has: problem details, and `{ok: false, error}` of the compatible routes. */
async function problemOf(response: Response): Promise<ApiProblem> {
  const given = (await response.json().catch(() => ({}))) as {
    code?: string;
    detail?: string;
    error?: { code?: string; message?: string };
  };
  if (response.status === 401) sessionEnded.dispatchEvent(new Event('ended'));
  return new ApiProblem({
    status: response.status,
    code: given.code ?? given.error?.code ?? 'HTTP_ERROR',
    detail: given.detail ?? given.error?.message ?? `The service answered ${response.status} and no reason.`,
  });
}

export function asProblem(error: unknown): ApiProblem {
  if (error instanceof ApiProblem) return error;
  return new ApiProblem({
    status: 0,
    code: 'PAGE_FAULT',
    detail: error instanceof Error ? error.message : String(error),
  });
}
