import { lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import ipaddr from 'ipaddr.js';
import { LadingError } from './errors.ts';

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
 * whatever form (`127.1`, `[::1]`). A name is none: of that only its addresses tell, see `publicLookup`.
 */
export function isPrivateHost(host: string): boolean {
  const bare = host.replace(/^\[(.*)\]$/, '$1');
  return ipaddr.isValid(bare) && !isPublicAddress(bare);
}

/**
 * Resolves a name for a connection that a stranger named, and refuses one of whose addresses any is not public: who
 * owns the name chooses which is taken. In the connection's own lookup, so that a second answer cannot differ.
 */
export const publicLookup: LookupFunction = (host, options, callback) => {
  lookup(host, options, (error, address, family) => {
    const addresses = typeof address === 'string' ? [{ address }] : (address ?? []);
    const bad = addresses.find((one) => !isPublicAddress(one.address));
    if (error !== null || bad === undefined) return callback(error, address, family);
    const message = `${host} is at ${bad.address}, which is no address of the public internet`;
    callback(new LadingError('ADDRESS_NOT_PUBLIC', message), address, family);
  });
};
