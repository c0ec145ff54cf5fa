import { multiaddr, type Component, type Multiaddr } from '@multiformats/multiaddr';
import { isPrivateHost } from '../../public-address.ts';
import type { ProviderTarget, Via } from './transport.ts';

/** Addresses of one peer that are dialed as one, each with the peer's id, which the handshake proves. */
export interface Libp2pWay {
  name: 'tcp' | 'ws';
  via: 'libp2p';
  peerId: string;
  addresses: Multiaddr[];
}

export interface HttpsWay {
  name: 'https';
  via: 'https';
  peerId: string;
  /** Origin of Curio's endpoint, such as `https://sp.example.com:443`. */
  origin: string;
}

export type Way = Libp2pWay | HttpsWay;
export type WayName = Way['name'];

export interface WayRules {
  /** Ways of this provider that delivered nothing of late: they are tried after the others. */
  failed: ReadonlySet<WayName>;
  /**
   * Whether `/ws` at a loopback address may be asked over plain HTTP: on a devnet. Anywhere else a provider could name
   * a server of ours that way, and a piece's token would travel in the clear.
   */
  plainLoopback: boolean;
  /**
   * Whether hosts that are not of the public internet are dialed. Elsewhere than on a devnet a provider could make us
   * knock at whatever stands beside us by naming that.
   */
  allowPrivate: boolean;
}

/** A provider lists a handful of addresses; more would be a list of targets to dial through us. */
const MAX_ADDRESSES = 16;

interface Candidate {
  address: Multiaddr;
  components: Component[];
}

function has(components: Component[], ...names: string[]): boolean {
  return components.some(({ name }) => names.includes(name));
}

const NAMES = ['dns', 'dns4', 'dns6', 'dnsaddr'];
/** A name may hold any character in a multiaddr; in a URL some of them would end the name, and lead elsewhere. */
const HOST_NAME = /^[a-z\d_]([a-z\d_.-]{0,251}[a-z\d_])?\.?$/i;

function namesHost(components: Component[]): boolean {
  return components.every(({ name, value = '' }) => !NAMES.includes(name) || HOST_NAME.test(value));
}

const HOSTS = [...NAMES, 'ip4', 'ip6', 'sni'];

/** Names an IP address that is not of the public internet. What a name stands for is seen only when it is dialed. */
export function leadsToPrivateHost(address: Multiaddr): boolean {
  return address.getComponents().some(({ name, value = '' }) => HOSTS.includes(name) && isPrivateHost(value));
}

/** What leads to this peer and no other; what cannot be read is left out. */
function candidatesOf({ peerId, multiaddrs }: ProviderTarget, allowPrivate: boolean): Candidate[] {
  return multiaddrs.slice(0, MAX_ADDRESSES).flatMap((text) => {
    try {
      const address = multiaddr(text);
      const components = address.getComponents();
      if (!namesHost(components) || (!allowPrivate && leadsToPrivateHost(address))) return [];
      const named = components.find(({ name }) => name === 'p2p')?.value;
      if (named === undefined) return [{ address: address.encapsulate(`/p2p/${peerId}`), components }];
      return named === peerId ? [{ address, components }] : [];
    } catch {
      return [];
    }
  });
}

const NOT_PLAIN_TCP = ['udp', 'ws', 'wss', 'tls', 'http', 'https', 'p2p-circuit'];

function isTcp({ components }: Candidate): boolean {
  if (has(components, 'dnsaddr')) return true;
  return has(components, 'tcp') && !has(components, ...NOT_PLAIN_TCP);
}

function isWebSocket({ components }: Candidate): boolean {
  return has(components, 'ws', 'wss') && !has(components, 'p2p-circuit');
}

const LOOPBACK = /^(127(\.\d{1,3}){3}|\[::1\]|localhost)$/;

/** Curio serves its HTTP endpoint where it takes WebSockets, under the same certificate (`sptool`'s own rule). */
function originOf({ components }: Candidate, plainLoopback: boolean): string | undefined {
  const at = components.find(({ name }) => ['dns', 'dns4', 'dns6', 'ip4', 'ip6'].includes(name));
  if (at?.value === undefined || has(components, 'p2p-circuit')) return undefined;
  const host = at.name === 'ip6' ? `[${at.value}]` : at.value;
  const port = components.find(({ name }) => name === 'tcp')?.value;
  const isSecure = has(components, 'wss', 'https') || (has(components, 'tls') && has(components, 'ws', 'http'));
  const isPlain = plainLoopback && has(components, 'ws', 'http') && LOOPBACK.test(host);
  if (!isSecure && !isPlain) return undefined;
  const url = `${isSecure ? 'https' : 'http'}://${host}${port === undefined ? '' : `:${port}`}`;
  // A name such as 256.256.256.256 is a host to multiaddrs, and none to URLs.
  return URL.canParse(url) ? new URL(url).origin : undefined;
}

type Reach = Pick<WayRules, 'plainLoopback' | 'allowPrivate'>;

function waysOf(target: ProviderTarget, { plainLoopback, allowPrivate }: Reach): Way[] {
  const candidates = candidatesOf(target, allowPrivate);
  const { peerId } = target;
  const tcp = candidates.filter((one) => isTcp(one)).map(({ address }) => address);
  const ws = candidates.filter((one) => isWebSocket(one)).map(({ address }) => address);
  const origin = candidates.map((one) => originOf(one, plainLoopback)).find((one) => one !== undefined);
  const ways: Way[] = [];
  if (tcp.length > 0) ways.push({ name: 'tcp', via: 'libp2p', peerId, addresses: tcp });
  if (ws.length > 0) ways.push({ name: 'ws', via: 'libp2p', peerId, addresses: ws });
  if (origin !== undefined) ways.push({ name: 'https', via: 'https', peerId, origin });
  return ways;
}

/**
 * The ways to a provider in the order in which to try them: the kind that worked last first, then TCP, WebSocket,
 * HTTPS, as providers of either software know our peer there; those that failed of late come last. Pure.
 */
export function chooseWays(target: ProviderTarget, { failed, ...reach }: WayRules): Way[] {
  const remembered: Via | undefined = target.transport;
  const rank = ({ name, via }: Way) =>
    (failed.has(name) ? 2 : 0) + (remembered === undefined || via === remembered ? 0 : 1);
  // Sorting is stable: equals keep the order above.
  return waysOf(target, reach).toSorted((a, b) => rank(a) - rank(b));
}
