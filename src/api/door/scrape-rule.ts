import { BlockList, isIPv6 } from 'node:net';
import type { FastifyRequest } from 'fastify';

type Subnet = readonly [address: string, bits: number, family: 'ipv4' | 'ipv6'];

/** As TRUST_PROXY names them. */
const RANGES: Readonly<Record<string, readonly Subnet[]>> = {
  loopback: [
    ['127.0.0.0', 8, 'ipv4'],
    ['::1', 128, 'ipv6'],
  ],
  linklocal: [
    ['169.254.0.0', 16, 'ipv4'],
    ['fe80::', 10, 'ipv6'],
  ],
  uniquelocal: [
    ['10.0.0.0', 8, 'ipv4'],
    ['172.16.0.0', 12, 'ipv4'],
    ['192.168.0.0', 16, 'ipv4'],
    ['fc00::', 7, 'ipv6'],
  ],
};

function familyOf(address: string): 'ipv4' | 'ipv6' {
  return isIPv6(address) ? 'ipv6' : 'ipv4';
}

function subnetsOf(entry: string): readonly Subnet[] {
  const [address = '', bits] = entry.split('/');
  const family = familyOf(address);
  return RANGES[entry] ?? [[address, Number(bits ?? (family === 'ipv4' ? 32 : 128)), family]];
}

/**
 * Who may scrape without a token: a machine at one of these addresses that calls by itself. Whoever comes through a proxy
 * that is not trusted (TRUST_PROXY) has the proxy's address, and may be anybody.
 */
export function createScrapeRule(from: readonly string[]): (request: FastifyRequest) => boolean {
  const allowed = new BlockList();
  for (const [address, bits, family] of from.flatMap(subnetsOf)) allowed.addSubnet(address, bits, family);
  return ({ ip, headers, socket }) => {
    // Who shows something has to show what is good.
    if (headers.authorization !== undefined) return false;
    const isForwarded = headers['x-forwarded-for'] !== undefined || headers['forwarded'] !== undefined;
    if (isForwarded && ip === socket.remoteAddress) return false;
    const address = ip.replace(/^::ffff:(?=\d+\.)/, '');
    return allowed.check(address, familyOf(address));
  };
}
