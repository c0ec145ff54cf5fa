import { lookup } from 'node:dns/promises';
import { setTimeout as delay } from 'node:timers/promises';
import ipaddr from 'ipaddr.js';
import { BadInput, LadingError } from '../errors.ts';
import { isPublicAddress } from '../public-address.ts';

/** Where a call may go to. */
export interface AddressRules {
  /** Private, loopback and other addresses that are not of the public internet are allowed. */
  allowPrivate: boolean;
  /** All addresses of a name. */
  resolve?: (host: string) => Promise<string[]>;
}

/** A name server that does not answer is asked again with the next try. */
const RESOLVE_LIMIT_MS = 5_000;
const MAX_URL_CHARS = 2_000;

const refused = (why: string) => new BadInput('WEBHOOK_URL_REFUSED', `url: ${why}`);

/** Throws `WEBHOOK_URL_REFUSED` unless it is an http or https URL without a name and password in it. */
export function parseWebhookUrl(text: string): URL {
  if (text.length > MAX_URL_CHARS) throw refused(`it is longer than ${MAX_URL_CHARS} characters`);
  if (!URL.canParse(text)) throw refused(`'${text}' is not a URL such as https://example.com/changes`);
  const url = new URL(text);
  if (url.protocol !== 'https:' && url.protocol !== 'http:') throw refused('it must begin with https:// or http://');
  if (url.username !== '' || url.password !== '') throw refused('it must not hold a name and a password');
  url.hash = '';
  return url;
}

/**
 * The address to connect to, checked: every address of the name must be allowed, for who owns the name chooses which of
 * them is taken. Throws `WEBHOOK_URL_REFUSED`, or `UNRESOLVED` where the name has no address at the moment.
 */
export async function resolveWebhook(url: URL, { allowPrivate, resolve = resolveHost }: AddressRules): Promise<string> {
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  const addresses = ipaddr.isValid(host) ? [host] : await resolve(host);
  const [first] = addresses;
  if (first === undefined) throw new LadingError('UNRESOLVED', `${host} has no address`, { retry: 'later' });
  const bad = allowPrivate ? undefined : addresses.find((address) => !isPublicAddress(address));
  if (bad !== undefined) throw refused(`${host} is at ${bad}, which is no address of the public internet`);
  return first;
}

async function resolveHost(host: string): Promise<string[]> {
  const limit = new AbortController();
  const late = delay(RESOLVE_LIMIT_MS, undefined, { signal: limit.signal }).then(() => {
    throw new Error(`no answer within ${RESOLVE_LIMIT_MS} ms`);
  });
  try {
    const found = await Promise.race([lookup(host, { all: true }), late]);
    return found.map(({ address }) => address);
  } catch (cause) {
    throw new LadingError('UNRESOLVED', `${host} cannot be resolved`, { cause, retry: 'later' });
  } finally {
    limit.abort();
    late.catch(() => undefined);
  }
}
