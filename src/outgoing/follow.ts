import type { IncomingMessage } from 'node:http';
import { Deadline } from './deadline.ts';
import type { OutgoingAnswer, OutgoingLimits, OutgoingRequest } from './fetcher.ts';
import { originFault } from './origin-fault.ts';
import { readUrl } from './outgoing-url.ts';
import { readBody } from './read-body.ts';
import type { Roads } from './roads.ts';
import { sendRequest } from './send-request.ts';

type Asked = Omit<OutgoingRequest, 'url' | 'limits'> & { url: URL; limits: OutgoingLimits };

const REDIRECTS = [301, 302, 303, 307, 308];
/** What tells who asks is for the host that it was given for. */
const SECRETS = ['authorization', 'cookie'];

/** The request and its redirects, each address checked as it is connected to. */
export async function follow(roads: Roads, asked: Asked): Promise<OutgoingAnswer> {
  const { limits, signal } = asked;
  const deadline = new Deadline(signal);
  deadline.limit(limits.allMs, () => originFault('ORIGIN_SLOW', `${asked.url.host}: not done in ${limits.allMs} ms`));
  const answered = deadline.limit(limits.headMs, () =>
    originFault('ORIGIN_SLOW', `${asked.url.host}: no answer within ${limits.headMs} ms`),
  );
  try {
    const { url, response } = await lastHop(roads, asked, deadline.signal);
    answered();
    const close = () => {
      deadline[Symbol.dispose]();
      response.destroy();
    };
    const body = readBody(response, { limits, deadline, host: url.host });
    return { url, status: response.statusCode ?? 0, headers: response.headers, body, [Symbol.dispose]: close };
  } catch (error) {
    deadline[Symbol.dispose]();
    throw error;
  }
}

async function lastHop(roads: Roads, asked: Asked, signal: AbortSignal) {
  const { method = 'GET', body, reuse = false, mayGo, limits } = asked;
  let { url } = asked;
  let headers: Record<string, string> = {
    'user-agent': 'lading',
    // What is stored is what is sent: nothing is decoded here.
    'accept-encoding': 'identity',
    ...asked.headers,
  };
  for (let hops = 0; ; hops += 1) {
    const response = await sendRequest(roads, { url, method, headers, body, reuse, mayGo }, signal);
    const to = method === 'POST' ? undefined : redirectOf(url, response);
    if (to === undefined) return { url, response };
    response.destroy();
    const next = readUrl(to);
    if (hops === limits.redirects)
      throw originFault('ORIGIN_REDIRECTS', `${asked.url.host} redirects more than ${limits.redirects} times`);
    if (next.origin !== url.origin)
      headers = Object.fromEntries(Object.entries(headers).filter(([name]) => !SECRETS.includes(name.toLowerCase())));
    url = next;
  }
}

/** Where the answer sends us. */
function redirectOf(from: URL, { statusCode = 0, headers: { location } }: IncomingMessage): URL | undefined {
  if (!REDIRECTS.includes(statusCode) || location === undefined || !URL.canParse(location, from.href)) return undefined;
  return new URL(location, from);
}
