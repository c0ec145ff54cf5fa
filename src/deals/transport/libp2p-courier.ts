import { noise } from '@libp2p/noise';
import { identify } from '@libp2p/identify';
import type { Stream } from '@libp2p/interface';
import { peerIdFromString } from '@libp2p/peer-id';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p, type Libp2p } from 'libp2p';
import type { Multiaddr } from '@multiformats/multiaddr';
import { describeError } from '../../errors.ts';
import { ASK_PROTOCOL } from '../../filecoin/mk12-ask.ts';
import { decodeDealParams, encodeDealParams, MK_PROTOCOLS } from '../../filecoin/mk12-propose.ts';
import { STATUS_PROTOCOL } from '../../filecoin/mk12-status.ts';
import { TRANSPORTS_PROTOCOL } from '../../filecoin/mk12-transports.ts';
import { publicLookup } from '../../public-address.ts';
import { leadsToPrivateHost, type Libp2pWay } from './choose-ways.ts';
import type { Courier, CourierLimits, Message, Question, Reply } from './courier.ts';
import { closeWhenIdle } from './idle-connections.ts';
import { readItem } from './read-item.ts';
import type { NotConnected } from './transport.ts';
import { dialingWebSockets } from './web-sockets.ts';

/** Curio's wss proxy ends a connection after 15 s without a message in either direction. */
const KEEP_ALIVE_MS = 10_000;
/** What a `/dnsaddr` name stands for counts too. */
const MAX_DIALED_ADDRESSES = 16;
/** `boost-2.4.0`, `curio-1.27.2+mainnet+git_…`; whatever is longer is no name. */
const MAX_AGENT_CHARS = 128;

const [NEWEST, OLDER] = MK_PROTOCOLS;
const PROTOCOLS: Readonly<Record<Question, string[]>> = {
  propose: [NEWEST, OLDER],
  status: [STATUS_PROTOCOL],
  ask: [ASK_PROTOCOL],
  transports: [TRANSPORTS_PROTOCOL],
};

/** The request in the form of the agreed protocol. */
function requestFor(protocol: string, request: Uint8Array): Uint8Array {
  return protocol === OLDER ? encodeDealParams(decodeDealParams(request), '1.2.0') : request;
}

/** Sends the request and reads one item; every way out but a whole item leaves the stream aborted. */
async function converse(
  stream: Stream,
  { question, request }: Message,
  { writeMs, readMs, replyBytes }: CourierLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const cut = (reason: unknown) => stream.abort(reason instanceof Error ? reason : new Error(String(reason)));
  const onAbort = () => cut(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let timer: NodeJS.Timeout | undefined;
  try {
    signal.throwIfAborted();
    // The reader listens before anything is sent: an SP answers as soon as it holds a whole request.
    const reading = readItem(stream, replyBytes);
    reading.catch(() => undefined);
    if (request.length > 0 && !stream.send(requestFor(stream.protocol, request)))
      await stream.onDrain({ signal: AbortSignal.any([signal, AbortSignal.timeout(writeMs)]) });
    const waitMs = readMs[question];
    timer = setTimeout(() => cut(new Error(`no reply within ${waitMs} ms`)), waitMs);
    const item = await reading;
    if (item === undefined) throw new Error('the stream ended without a reply');
    await stream.close({ signal: AbortSignal.timeout(writeMs) }).catch(cut);
    return item;
  } catch (error) {
    cut(error);
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

/** What identify has told of the peer so far; it runs beside the first exchange of a connection. */
async function agentOf(node: Libp2p, peerId: string): Promise<{ agent?: string }> {
  try {
    const { metadata } = await node.peerStore.get(peerIdFromString(peerId));
    const bytes = metadata.get('AgentVersion');
    if (bytes === undefined) return {};
    const agent = Buffer.from(bytes)
      .toString('utf8')
      .replaceAll(/\p{Cc}/gu, ' ')
      .slice(0, MAX_AGENT_CHARS)
      .trim();
    return agent === '' ? {} : { agent: agent.toWellFormed() };
  } catch {
    return {};
  }
}

/** Of several addresses each has its own error; Node's WebSocket gives an event in place of one. */
function whyOf(error: unknown): string {
  if (error instanceof AggregateError) return [...new Set(error.errors.map(whyOf))].join('; ');
  if (error instanceof Event) return ('error' in error && whyOf(error.error)) || 'the WebSocket could not be opened';
  return describeError(error);
}

class Libp2pCourier implements Courier<Libp2pWay> {
  readonly #node: Libp2p;
  readonly #limits: CourierLimits;
  readonly #idle: ReturnType<typeof closeWhenIdle>;

  constructor(node: Libp2p, limits: CourierLimits) {
    this.#node = node;
    this.#limits = limits;
    this.#idle = closeWhenIdle(node);
  }

  /** Nothing was sent while this can still fail: agreeing on a protocol happens before the first byte of a request. */
  async #open({ addresses }: Libp2pWay, question: Question, signal: AbortSignal): Promise<Stream | NotConnected> {
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(this.#limits.dialMs)]);
      const options = { signal: bounded, negotiateFully: true };
      return await this.#node.dialProtocol(addresses, PROTOCOLS[question], options);
    } catch (error) {
      const isUnsupported = error instanceof Error && error.name === 'UnsupportedProtocolError';
      return { kind: 'not-connected', why: whyOf(error), ...(isUnsupported ? { unsupported: true } : {}) };
    }
  }

  async #exchange(way: Libp2pWay, message: Message, signal: AbortSignal): Promise<Reply> {
    const stream = await this.#open(way, message.question, signal);
    if ('kind' in stream) return stream;
    try {
      const item = await converse(stream, message, this.#limits, signal);
      return { kind: 'replied', item, via: 'libp2p', ...(await agentOf(this.#node, way.peerId)) };
    } catch (error) {
      return { kind: 'unknown', why: describeError(error), via: 'libp2p' };
    }
  }

  async carry(way: Libp2pWay, message: Message, signal: AbortSignal): Promise<Reply> {
    return await this.#idle.exchange(way.peerId, () => this.#exchange(way, message, signal));
  }

  async close(): Promise<void> {
    this.#idle.stop();
    await this.#node.stop();
  }
}

/**
 * A libp2p 3 host that only dials (TCP and WebSocket, noise, yamux), speaking mk/1.2.1 with 1.2.0 as a fallback,
 * status/1.2.0, ask/1.1.0 and transports/1.0.0 of Boost and Curio. The peer's id is proven by the handshake.
 */
export async function createLibp2pCourier(
  limits: CourierLimits,
  { allowPrivate }: { allowPrivate: boolean },
): Promise<Courier<Libp2pWay>> {
  const lookup = allowPrivate ? undefined : publicLookup;
  const node = await createLibp2p({
    addresses: { listen: [] },
    transports: [tcp({ dialOpts: { noDelay: true, ...(lookup && { lookup }) } }), dialingWebSockets(lookup)],
    // What a `/dnsaddr` name stands for is asked here, too.
    connectionGater: { denyDialMultiaddr: (address: Multiaddr) => !allowPrivate && leadsToPrivateHost(address) },
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ keepAliveInterval: KEEP_ALIVE_MS })],
    connectionManager: { addressDialTimeout: limits.addressDialMs, maxPeerAddrsToDial: MAX_DIALED_ADDRESSES },
    // An SP identifies whoever connects, and waits for the answer.
    services: { identify: identify() },
  });
  return new Libp2pCourier(node, limits);
}
