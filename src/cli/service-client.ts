import { BadInput, LadingError } from '../errors.ts';
import { listeningUrl, readConfig, type Env, type TokenRole } from '../config.ts';

/** Where a running service answers, and a token of ours that it takes. */
export interface ServiceClient {
  url: string;
  token: string;
}

export const clientOptions = { url: { type: 'string' }, token: { type: 'string' } } as const;

/** `--url` and `--token`, else LADING_TOKEN, else what the service's own environment variables say. */
export function serviceClient(given: { url?: string; token?: string }, env: Env, role: TokenRole): ServiceClient {
  const config = readConfig(env, 'tool');
  const token = given.token ?? env['LADING_TOKEN'] ?? config.apiTokens.find((one) => one.role === role)?.token;
  if (token === undefined) {
    throw new BadInput(
      'TOKEN_MISSING',
      `no token: give --token, or set LADING_TOKEN, or API_TOKENS with a token of role ${role}`,
    );
  }
  return { url: (given.url ?? config.publicUrl ?? listeningUrl(config.host, config.port)).replace(/\/+$/, ''), token };
}

/** A response whose status is 2xx; anything else becomes an error in the service's own words. */
export async function request(client: ServiceClient, path: string, init: RequestInit = {}): Promise<Response> {
  const headers = new Headers(init.headers);
  headers.set('authorization', `Bearer ${client.token}`);
  const response = await fetch(client.url + path, { ...init, headers }).catch((cause: unknown) => {
    throw new LadingError('SERVICE_UNREACHABLE', `nothing answers at ${client.url}: is the service running?`, {
      cause,
    });
  });
  if (response.ok) return response;
  throw new LadingError(
    'SERVICE_REFUSED',
    `${init.method ?? 'GET'} ${path}: ${response.status} ${await response.text()}`,
    { details: { status: response.status } },
  );
}
