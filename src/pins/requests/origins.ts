import { multiaddr, type Component } from '@multiformats/multiaddr';
import { BadInput } from '../../errors.ts';

/** Where blocks may be: a trustless gateway, a node that speaks libp2p, or something we have no way to. */
export type Origin =
  | { kind: 'gateway'; url: string }
  | { kind: 'peer'; address: string; host: PeerHost | undefined }
  | { kind: 'other' };

/** The host that a peer's address begins with, an IP address or a name, and what comes behind it. */
interface PeerHost {
  host: string;
  rest: string;
}

const NAMES = ['dns', 'dns4', 'dns6', 'dnsaddr'];
const HOSTS = ['ip4', 'ip6', 'dns', 'dns4', 'dns6'];
const HOST_NAME = /^[A-Za-z0-9._-]{1,253}$/;
const PEER_ID = /^[A-Za-z0-9]{10,100}$/;

/** Pure. Throws `INVALID_REQUEST` for what is neither a multiaddr nor an http(s) URL. */
export function parseOrigin(text: string): Origin {
  if (/^https?:\/\//i.test(text)) return { kind: 'gateway', url: checkUrl(text) };
  const parts = readMultiaddr(text);
  const url = gatewayUrl(parts);
  if (url !== undefined) return { kind: 'gateway', url };
  if (!parts.some(({ name }) => name === 'p2p')) return { kind: 'other' };
  return { kind: 'peer', address: text, host: hostOf(parts) };
}

function checkUrl(text: string): string {
  if (!URL.canParse(text)) throw refused(text, 'it is no URL such as https://gateway.example.com');
  const { username, password } = new URL(text);
  if (username !== '' || password !== '') throw refused(text, 'it must not hold a name and a password');
  return text.replace(/[?#].*$/, '').replace(/\/+$/, '');
}

function readMultiaddr(text: string): Component[] {
  const parts = componentsOf(text);
  if (parts.length === 0)
    throw refused(text, 'it is neither a multiaddr such as /ip4/203.0.113.7/tcp/4001/p2p/12D3… nor a URL');
  for (const { name, value = '' } of parts) {
    const isSound = name === 'p2p' ? PEER_ID.test(value) : !NAMES.includes(name) || HOST_NAME.test(value);
    if (!isSound) throw refused(text, `'${value}' is no value for /${name}`);
  }
  return parts;
}

function componentsOf(text: string): Component[] {
  try {
    return multiaddr(text).getComponents();
  } catch (error) {
    throw refused(text, error instanceof Error ? error.message : String(error));
  }
}

/** `/dns4/host/tcp/443/https`, `/ip4/1.2.3.4/tcp/8080/http`, `/dns/host/tcp/443/tls/http`, with a peer id behind it or not. */
function gatewayUrl([first, ...rest]: readonly Component[]): string | undefined {
  const value = (name: string) => rest.find((part) => part.name === name)?.value;
  const has = (name: string) => rest.some((part) => part.name === name);
  if (first?.value === undefined || !HOSTS.includes(first.name) || !(has('http') || has('https'))) return undefined;
  const isSecure = has('https') || has('tls');
  const host = first.name === 'ip6' ? `[${first.value}]` : first.value;
  const url = `${isSecure ? 'https' : 'http'}://${host}:${value('tcp') ?? (isSecure ? 443 : 80)}${value('http-path') ?? ''}`;
  return URL.canParse(url) ? new URL(url).href.replace(/\/+$/, '') : undefined;
}

/** Undefined: it is dialled through others, or by records that we do not read. */
function hostOf([first, ...rest]: readonly Component[]): PeerHost | undefined {
  if (first?.value === undefined || !HOSTS.includes(first.name)) return undefined;
  if (rest.some(({ name }) => name === 'p2p-circuit')) return undefined;
  const tail = rest.map(({ name, value }) => (value === undefined ? `/${name}` : `/${name}/${value}`)).join('');
  return { host: first.value, rest: tail };
}

function refused(text: string, why: string): BadInput {
  return new BadInput('INVALID_REQUEST', `origins: '${text}' cannot be used: ${why}`);
}
