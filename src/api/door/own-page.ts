import type { FastifyRequest } from 'fastify';

const SAFE_METHODS = ['GET', 'HEAD'];

/**
 * Whether a request that a cookie comes with was sent by a page of ours. A browser says so in Sec-Fetch-Site, where the
 * connection is https or to the machine itself, and in Origin wherever something could be changed; neither can be set by
 * the pages of others. What was typed into the address bar may read.
 */
export function isFromOwnPage({ method, headers, host }: Pick<FastifyRequest, 'method' | 'headers' | 'host'>): boolean {
  const isSafe = SAFE_METHODS.includes(method);
  const site = headers['sec-fetch-site'];
  if (site !== undefined) return site === 'same-origin' || (site === 'none' && isSafe);
  const { origin } = headers;
  return origin === undefined ? isSafe : URL.canParse(origin) && new URL(origin).host === host;
}
