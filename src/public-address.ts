import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import { isIPv6, type LookupFunction } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { callbackify } from 'node:util';
import ipaddr from 'ipaddr.js';
import { BadInput, LadingError } from './errors.ts';

/** All of IPv6 that was ever given out; `::7f00:1` and the like are outside, and are no special range of the library. */
const GLOBAL_UNICAST = ipaddr.IPv6.parseCIDR('2000::/3');

/** Pure: an address of the public internet. One that wraps another (IPv4 in IPv6) is neither itself. */
export function isPublicAddress(text: string): boolean {
  if (!ipaddr.isValid(text)) return false;
  const address = ipaddr.process(text);
  return address.range() === 'unicast' && (address instanceof ipaddr.IPv4 || address.match(GLOBAL_UNICAST));
}

/**
 * Pure: whether a host as it stands in an address or a URL is an IP address that is not of the public internet, in
 * whatever form (`127.1`, `[::1]`). A name is none: of that only its addresses tell, see `findAddresses`.
 */
export function isPrivateHost(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return ipaddr.isValid(bare) && !isPublicAddress(bare);
}

/** Which addresses may be connected to that strangers name. */
export interface AddressRules {
  /** Private, loopback and other addresses that are not of the public internet are allowed. */
  allowPrivate: boolean;
  /** Of the others, those in these networks are allowed (`10.0.0.0/8`). */
  networks?: readonly string[];
  /** All addresses of a name, in place of the system's resolver; they are checked all the same. */
  resolve?: (host: string) => Promise<readonly string[]>;
}

/** Pure: whether the text is a network as `networks` takes them. */
export function isNetwork(text: string): boolean {
  return ipaddr.isValidCIDR(text);
}

/** Pure: whether an address, as it stands, may be connected to. */
export function isAllowed(address: string, { allowPrivate, networks = [] }: AddressRules): boolean {
  if (allowPrivate || isPublicAddress(address)) return true;
  const parsed = ipaddr.process(address);
  return networks.some((text) => {
    const [network, bits] = ipaddr.parseCIDR(text);
    return network.kind() === parsed.kind() && parsed.match(network, bits);
  });
}

/**
 * Throws `ADDRESS_NOT_PUBLIC` for a host that is an address which is not allowed, in whatever form. A name is not looked
 * up here, and a connection looks up nothing else.
 */
export function checkHost(host: string, rules: AddressRules): void {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  if (ipaddr.isValid(bare) && !isAllowed(bare, rules)) throw notPublic(bare, bare);
}

function notPublic(host: string, address: string): BadInput {
  const message = `${host} is at ${address}, which is no address of the public internet`;
  return new BadInput('ADDRESS_NOT_PUBLIC', message);
}

/** A name server that does not answer is asked again with the next try. */
const RESOLVE_LIMIT_MS = 5_000;

/**
 * All addresses of a host (a name, or an address in any form, with brackets or without), every one of them allowed: who
 * owns the name chooses which is taken. Throws `ADDRESS_NOT_PUBLIC`, and `UNRESOLVED` where it has none at the moment.
 */
export async function findAddresses(host: string, rules: AddressRules): Promise<LookupAddress[]> {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  const texts = ipaddr.isValid(bare)
    ? [ipaddr.process(bare).toString()]
    : await (rules.resolve ?? resolveBySystem)(bare);
  const addresses = texts.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  if (addresses.length === 0) throw new LadingError('UNRESOLVED', `${bare} has no address`, { retry: 'later' });
  const bad = addresses.find(({ address }) => !isAllowed(address, rules));
  if (bad !== undefined) throw notPublic(bare, bad.address);
  return addresses;
}

async function resolveBySystem(host: string): Promise<string[]> {
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

/**
 * What a connection asks for its addresses: those that were checked are those that it takes, so that a second answer
 * cannot differ. An address in place of a name is not looked up: `isPrivateHost` tells of that.
 */
export function checkedLookup(rules: AddressRules): LookupFunction {
  const find = callbackify(findAddresses);
  return (host, { all }, done) => {
    find(host, rules, (fault, addresses) => {
      const [first] = addresses ?? [];
      if (fault !== null || first === undefined) done(fault ?? new Error(`${host} has no address`), '', 0);
      else if (all === true) done(null, addresses);
      else done(null, first.address, first.family);
    });
  };
}

/** For connections to hosts that strangers named, where only public addresses will do. */
export const publicLookup = checkedLookup({ allowPrivate: false });
