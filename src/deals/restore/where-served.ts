import { multiaddr } from '@multiformats/multiaddr';
import { chooseWays, leadsToPrivateHost } from '../transport/choose-ways.ts';
import type { ProviderTarget, RetrievalTransport, Transport } from '../transport/transport.ts';

/** A provider serves pieces at one place or two; more would be a list of targets to dial through us. */
const MAX_PLACES = 4;

interface Reach {
  allowPrivate: boolean;
}

/**
 * Where a provider serves pieces over HTTP, the likeliest first: what it states itself (Boost: the address of its
 * booster-http), then the HTTPS endpoint that Curio has beside its WebSockets. URLs end in a slash.
 */
export async function whereServed(
  transport: Pick<Transport, 'transports'>,
  target: ProviderTarget,
  { allowPrivate }: Reach,
  signal: AbortSignal,
): Promise<URL[]> {
  const answer = await transport.transports?.(target, signal);
  const stated = answer?.kind === 'answered' ? statedPlaces(answer.transports, { allowPrivate }) : [];
  const ways = chooseWays(target, { failed: new Set(), plainLoopback: allowPrivate, allowPrivate });
  const own = ways.flatMap((way) => (way.via === 'https' ? [new URL('/', way.origin)] : []));
  const byText = new Map([...stated, ...own].map((url) => [url.href, url]));
  return [...byText.values()].slice(0, MAX_PLACES);
}

/** Pure. */
export function statedPlaces(transports: readonly RetrievalTransport[], reach: Reach): URL[] {
  const web = transports.filter(({ name }) => name === 'http' || name === 'https');
  return web.flatMap(({ multiaddrs }) => multiaddrs.flatMap((text) => toUrl(text, reach) ?? []));
}

/** `/dns/sp.example/tcp/443/https`, `/ip4/…/tcp/7777/http`, with `/tls` and `/http-path/…` where there are such. */
function toUrl(text: string, { allowPrivate }: Reach): URL | undefined {
  try {
    const address = multiaddr(text);
    if (!allowPrivate && leadsToPrivateHost(address)) return undefined;
    const parts = address.getComponents();
    const has = (name: string) => parts.some((part) => part.name === name);
    const valueOf = (...names: string[]) => parts.find(({ name }) => names.includes(name))?.value;
    const host = valueOf('dns', 'dns4', 'dns6', 'ip4', 'ip6');
    if (host === undefined || !(has('http') || has('https'))) return undefined;
    const scheme = has('https') || has('tls') ? 'https' : 'http';
    const port = valueOf('tcp');
    const path = decodeURIComponent(valueOf('http-path') ?? '')
      .replace(/^\/*/, '/')
      .replace(/\/*$/, '/');
    const url = new URL(
      `${scheme}://${host.includes(':') ? `[${host}]` : host}${port === undefined ? '' : `:${port}`}`,
    );
    // A name may hold any character in a multiaddr, and in a URL some of them end it.
    if (url.username !== '' || url.pathname !== '/' || url.search !== '' || url.hash !== '') return undefined;
    url.pathname = path;
    return url;
  } catch {
    return undefined;
  }
}
