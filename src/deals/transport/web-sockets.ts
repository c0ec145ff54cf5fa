import { ConnectionFailedError, type Transport } from '@libp2p/interface';
import { webSockets, type WebSocketsComponents } from '@libp2p/websockets';
import type { Multiaddr } from '@multiformats/multiaddr';
import type { LookupFunction } from 'node:net';
import { WebSocket } from 'ws';

/** What closing says of a connection that is to be cut: no code that may be sent. */
const ABNORMAL_CLOSURE = 1_006;

/** libp2p cuts a connection by closing it with a code that may not be sent: here that ends the socket. */
class CuttableWebSocket extends WebSocket {
  override close(code?: number, reason?: string): void {
    if (code === ABNORMAL_CLOSURE) this.terminate();
    else super.close(code, reason);
  }
}

interface Endpoint {
  url: string;
  /** Whom the certificate has to name, where that is not the host of the URL. */
  servername?: string;
}

/** Pure: where a WebSocket address leads. */
export function webSocketEndpoint(address: Multiaddr): Endpoint {
  const components = address.getComponents();
  const valueOf = (...names: string[]) => components.find(({ name }) => names.includes(name))?.value;
  const ip6 = valueOf('ip6');
  const host = ip6 === undefined ? valueOf('dns', 'dns4', 'dns6', 'ip4') : `[${ip6}]`;
  const scheme = components.some(({ name }) => ['wss', 'tls'].includes(name)) ? 'wss' : 'ws';
  const port = valueOf('tcp');
  const path = decodeURIComponent(valueOf('http-path') ?? '');
  const url = `${scheme}://${host}${port === undefined ? '' : `:${port}`}/${path.replace(/^\/+/, '')}`;
  const servername = valueOf('sni');
  return { url, ...(servername !== undefined && { servername }) };
}

async function open(address: Multiaddr, signal: AbortSignal, lookup: LookupFunction | undefined): Promise<WebSocket> {
  signal.throwIfAborted();
  const { url, ...names } = webSocketEndpoint(address);
  const options = { followRedirects: false, perMessageDeflate: false, ...names, ...(lookup && { lookup }) };
  const socket = new CuttableWebSocket(url, options);
  socket.binaryType = 'arraybuffer';
  const { promise: opened, resolve, reject } = Promise.withResolvers<void>();
  socket.addEventListener('open', () => resolve());
  // Stays: what goes wrong later comes as a close, too, and must find a listener.
  socket.addEventListener('error', (event) => reject('error' in event ? event.error : event));
  const onAbort = () => reject(new ConnectionFailedError(`Could not connect to ${url}`));
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    await opened;
    return socket;
  } catch (error) {
    socket.terminate();
    throw error;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/**
 * libp2p's WebSocket transport with another client: its own, the global one of Node, resolves names by itself, and
 * keeps the socket of a dial that was given up while its upgrade was not answered.
 */
export function dialingWebSockets(lookup: LookupFunction | undefined): (components: WebSocketsComponents) => Transport {
  return (components) =>
    Object.assign(webSockets()(components), {
      _connect: (address: Multiaddr, { signal }: { signal: AbortSignal }) => open(address, signal, lookup),
    });
}
