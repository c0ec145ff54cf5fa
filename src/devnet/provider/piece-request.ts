import { once } from 'node:events';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { BlockList, isIP } from 'node:net';

export interface PieceSource {
  url: string;
  headers: Record<string, string>;
}

/** Boost follows one redirect and takes the next 3xx as the answer (http_transport.go, CheckRedirect). */
const MAX_REDIRECTS = 1;

/** What Go's `net.IP.IsPrivate` names; loopback is not among them. */
const privateRanges = new BlockList();
privateRanges.addSubnet('10.0.0.0', 8, 'ipv4');
privateRanges.addSubnet('172.16.0.0', 12, 'ipv4');
privateRanges.addSubnet('192.168.0.0', 16, 'ipv4');
privateRanges.addSubnet('fc00::', 7, 'ipv6');

export function isPrivateHost(hostname: string): boolean {
  const host = hostname.replace(/^\[(.*)\]$/, '$1');
  const family = isIP(host);
  return family !== 0 && privateRanges.check(host, family === 6 ? 'ipv6' : 'ipv4');
}

/**
 * One HEAD or GET with just the headers of the deal, as Go's client sends it: no Accept-Encoding, so that nobody
 * compresses the piece. Rejects when the connection breaks before the answer's head.
 */
export async function requestPiece(
  method: 'HEAD' | 'GET',
  source: PieceSource,
  options: { range?: string; signal: AbortSignal },
): Promise<IncomingMessage> {
  const extra = options.range === undefined ? {} : { range: options.range };
  let at = source;
  for (let redirects = 0; ; redirects += 1) {
    const headers = { 'user-agent': 'Go-http-client/1.1', ...at.headers, ...extra };
    const response = await answerOf(method, new URL(at.url), { headers, signal: options.signal });
    const location = response.headers.location;
    if (!isRedirect(response.statusCode) || location === undefined || redirects >= MAX_REDIRECTS) return response;
    response.destroy();
    at = redirected(at, new URL(location, at.url));
  }
}

async function answerOf(
  method: string,
  url: URL,
  options: { headers: Record<string, string>; signal: AbortSignal },
): Promise<IncomingMessage> {
  const send = url.protocol === 'https:' ? requestHttps : requestHttp;
  // A connection of its own each time: providers are on other machines, and a cut one must not disturb the next.
  const request = send(url, { ...options, method, agent: false });
  request.end();
  const [response] = (await once(request, 'response')) as [IncomingMessage];
  return response;
}

function isRedirect(status: number | undefined): boolean {
  return status !== undefined && [301, 302, 303, 307, 308].includes(status);
}

/** Go's client keeps credentials from another host. */
function redirected(from: PieceSource, to: URL): PieceSource {
  const isSameHost = new URL(from.url).hostname === to.hostname;
  const kept = Object.entries(from.headers).filter(([name]) => isSameHost || !/^(authorization|cookie)$/i.test(name));
  return { url: to.href, headers: Object.fromEntries(kept) };
}
