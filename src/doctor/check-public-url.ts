import { describeError } from '../errors.ts';
import { sound, wrong, type Finding } from './finding.ts';

const TIMEOUT_MS = 5_000;

interface PublicUrl {
  /** Undefined: PUBLIC_URL is not set, and providers are told where the API listens. */
  publicUrl: string | undefined;
  listeningUrl: string;
  /** Somebody on another machine has to reach it: proposals are made, and not on a devnet. */
  needsReach: boolean;
  signal: AbortSignal;
}

/** Whether the service answers where storage providers are told to come, as far as it can be seen from here. */
export async function checkPublicUrl({ publicUrl, listeningUrl, needsReach, signal }: PublicUrl): Promise<Finding[]> {
  const url = publicUrl ?? listeningUrl;
  if (isLoopback(url) && needsReach) {
    const advice = 'set PUBLIC_URL to an address that storage providers reach';
    return [wrong('public url', `${url} is of this machine alone`, advice)];
  }
  try {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)]);
    const { status, headers } = await fetch(`${url}/livez`, { signal: limit, redirect: 'error' });
    const isOurs = status === 200 && headers.has('x-request-id');
    if (isOurs) return [sound('public url', `the service answers at ${url}`)];
    return [wrong('public url', `${url}/livez answers ${status}, and not as Lading does`, 'see who answers there')];
  } catch (error) {
    const advice = 'start the service (lading serve); else see name, firewall and proxy of PUBLIC_URL';
    return [wrong('public url', `${url} does not answer: ${describeError(error)}`, advice)];
  }
}

function isLoopback(url: string): boolean {
  const { hostname } = new URL(url);
  return hostname === 'localhost' || hostname.startsWith('127.') || hostname === '[::1]';
}
