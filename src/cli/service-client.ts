import { ClientError } from '../client/client-error.ts';
import { BadInput, LadingError } from '../errors.ts';
import { listeningUrl, readConfig, type Env, type TokenRole } from '../config.ts';

/** Where a running service answers, and a token of ours that it takes. */
export interface ServiceClient {
  url: string;
  token: string;
}

interface Given {
  url?: string;
  token?: string;
}

export const clientOptions = { url: { type: 'string' }, token: { type: 'string' } } as const;

/** As `serviceClient`, for what the service tells without a token too, unless it is configured not to. */
export function publicClient(
  given: Given,
  env: Env,
  role: TokenRole,
): Pick<ServiceClient, 'url'> & Partial<ServiceClient> {
  const config = readConfig(env, 'tool');
  const told = { '--token': given.token, LADING_TOKEN: env['LADING_TOKEN'] };
  // As a script's unset variable makes it: no token at all is meant by neither.
  const empty = Object.entries(told).find(([, value]) => value?.trim() === '');
  if (empty !== undefined)
    throw new BadInput('TOKEN_EMPTY', `${empty[0]} is set, but empty: give a token, or leave it out`);
  const token = given.token ?? env['LADING_TOKEN'] ?? config.apiTokens.find((one) => one.role === role)?.token;
  const url = (given.url ?? config.publicUrl ?? listeningUrl(config.host, config.port)).replace(/\/+$/, '');
  return { url, ...(token !== undefined && { token }) };
}

/** `--url` and `--token`, else LADING_TOKEN, else what the service's own environment variables say. */
export function serviceClient(given: Given, env: Env, role: TokenRole): ServiceClient {
  const { url, token } = publicClient(given, env, role);
  if (token !== undefined) return { url, token };
  throw new BadInput(
    'TOKEN_MISSING',
    `no token: give --token, or set LADING_TOKEN, or API_TOKENS with a token of role ${role}`,
  );
}

/** A fault of the client (src/client) in the words of a command; `name` is what the command was about. */
export async function orCommandError<T>(act: () => Promise<T>, name?: string): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (!(cause instanceof ClientError)) throw cause;
    const { code, status, message: said } = cause;
    const message = name === undefined ? said : `${name}: ${said}`;
    if (code === 'SERVICE_UNREACHABLE') throw new LadingError(code, `${said}: is the service running?`, { cause });
    if (status === undefined) throw new BadInput(code, message, { cause });
    throw new LadingError('SERVICE_REFUSED', `${message} (${status} ${code})`, { cause, details: { status } });
  }
}
