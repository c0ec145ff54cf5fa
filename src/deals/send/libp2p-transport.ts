import { noise } from '@libp2p/noise';
import { identify } from '@libp2p/identify';
import type { Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { multiaddr, type Multiaddr } from '@multiformats/multiaddr';
import { createLibp2p, type Libp2p } from 'libp2p';
import { describeError } from '../../errors.ts';
import { formatAddress, parseAddress } from '../../filecoin/address.ts';
import { tryDecodeFirst } from '../../filecoin/cbor.ts';
import {
  ASK_PROTOCOL,
  decodeAskResponse,
  decodeDealParams,
  decodeDealResponse,
  decodeDealStatusResponse,
  encodeAskRequest,
  encodeDealParams,
  MK_PROTOCOLS,
  STATUS_PROTOCOL,
} from '../../filecoin/mk12.ts';
import type {
  AskAnswer,
  NotConnected,
  ProposeAnswer,
  ProviderTarget,
  StatusAnswer,
  Transport,
  Unknown,
} from './transport.ts';

export interface TransportLimits {
  /** Connecting and agreeing on a protocol. */
  dialMs: number;
  writeMs: number;
  readMs: number;
  /** The same for an ask, which an SP only has to look up. */
  askReadMs: number;
  replyBytes: number;
}

/** Writing and reading as Boost's own client bounds them (60 s cover an SP's deal filter); no reply is near 64 KiB. */
const defaultTransportLimits: TransportLimits = {
  dialMs: 15_000,
  writeMs: 10_000,
  readMs: 60_000,
  // Proposing waits for asks before it signs anything.
  askReadMs: 10_000,
  replyBytes: 65_536,
};

/** Curio's wss proxy ends a connection after 15 s without a message in either direction. */
const KEEP_ALIVE_MS = 10_000;
/** A provider lists a handful of addresses; more would be a list of targets to dial through us. */
const MAX_ADDRESSES = 16;

interface Exchange {
  target: ProviderTarget;
  protocols: string[];
  /** The request in the form of the agreed protocol. */
  request: (protocol: string) => Uint8Array;
  readMs: number;
}

type Reply = { kind: 'replied'; item: Uint8Array } | Unknown | NotConnected;

/** Addresses that lead to this peer and no other, each with its id, which the handshake then proves. */
function dialAddresses({ peerId, multiaddrs }: ProviderTarget): Multiaddr[] {
  return multiaddrs.slice(0, MAX_ADDRESSES).flatMap((text) => {
    try {
      const address = multiaddr(text);
      const named = address.getComponents().find(({ name }) => name === 'p2p')?.value;
      if (named === undefined) return [address.encapsulate(`/p2p/${peerId}`)];
      return named === peerId ? [address] : [];
    } catch {
      return [];
    }
  });
}

/** Bytes of the first CBOR item, whatever the chunks; undefined when the stream ends before. */
async function readItem(stream: Stream, maxBytes: number): Promise<Uint8Array | undefined> {
  let received: Uint8Array = new Uint8Array();
  for await (const chunk of stream) {
    received = Buffer.concat([received, chunk.subarray()]);
    if (received.length > maxBytes) throw new Error(`the reply exceeds ${maxBytes} bytes`);
    const first = tryDecodeFirst(received);
    if (first !== undefined) return first.item;
  }
  return undefined;
}

/** Sends the request and reads one item; every way out but a whole item leaves the stream aborted. */
async function converse(
  stream: Stream,
  { request, readMs }: Exchange,
  limits: TransportLimits,
  signal: AbortSignal,
): Promise<Uint8Array> {
  const cut = (reason: unknown) => stream.abort(reason instanceof Error ? reason : new Error(String(reason)));
  const onAbort = () => cut(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  let timer: NodeJS.Timeout | undefined;
  try {
    // The reader listens before anything is sent: an SP answers as soon as it holds a whole request.
    const reading = readItem(stream, limits.replyBytes);
    reading.catch(() => undefined);
    if (!stream.send(request(stream.protocol)))
      await stream.onDrain({ signal: AbortSignal.any([signal, AbortSignal.timeout(limits.writeMs)]) });
    timer = setTimeout(() => cut(new Error(`no reply within ${readMs} ms`)), readMs);
    const item = await reading;
    if (item === undefined) throw new Error('the stream ended without a reply');
    await stream.close({ signal: AbortSignal.timeout(limits.writeMs) }).catch(cut);
    return item;
  } catch (error) {
    cut(error);
    throw error;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', onAbort);
  }
}

class Libp2pTransport implements Transport {
  readonly #node: Libp2p;
  readonly #limits: TransportLimits;

  constructor(node: Libp2p, limits: TransportLimits) {
    this.#node = node;
    this.#limits = limits;
  }

  /** Nothing was sent while this can still fail: agreeing on a protocol happens before the first byte of a request. */
  async #open({ target, protocols }: Exchange, signal: AbortSignal): Promise<Stream | NotConnected> {
    const addresses = dialAddresses(target);
    if (addresses.length === 0) {
      return {
        kind: 'not-connected',
        why: `no usable address of ${target.peerId} among ${target.multiaddrs.join(', ') || 'none'}`,
      };
    }
    try {
      const bounded = AbortSignal.any([signal, AbortSignal.timeout(this.#limits.dialMs)]);
      return await this.#node.dialProtocol(addresses, protocols, { signal: bounded, negotiateFully: true });
    } catch (error) {
      const isUnsupported = error instanceof Error && error.name === 'UnsupportedProtocolError';
      return { kind: 'not-connected', why: describeError(error), ...(isUnsupported ? { unsupported: true } : {}) };
    }
  }

  async #exchange(exchange: Exchange, signal: AbortSignal): Promise<Reply> {
    const stream = await this.#open(exchange, signal);
    if ('kind' in stream) return stream;
    try {
      return { kind: 'replied', item: await converse(stream, exchange, this.#limits, signal) };
    } catch (error) {
      return { kind: 'unknown', why: describeError(error) };
    }
  }

  async propose(target: ProviderTarget, dealParams: Uint8Array, signal: AbortSignal): Promise<ProposeAnswer> {
    const [, older] = MK_PROTOCOLS;
    const request = (protocol: string) =>
      protocol === older ? encodeDealParams(decodeDealParams(dealParams), '1.2.0') : dealParams;
    const { readMs } = this.#limits;
    const reply = await this.#exchange({ target, protocols: [...MK_PROTOCOLS], request, readMs }, signal);
    return understood(reply, (item) => ({ kind: 'answered', ...decodeDealResponse(item) }));
  }

  async status(target: ProviderTarget, request: Uint8Array, signal: AbortSignal): Promise<StatusAnswer> {
    const { readMs } = this.#limits;
    const reply = await this.#exchange(
      { target, protocols: [STATUS_PROTOCOL], request: () => request, readMs },
      signal,
    );
    return understood(reply, (item) => {
      const { dealStatus, error } = decodeDealStatusResponse(item);
      if (dealStatus === null) return { kind: 'none', error };
      return { kind: 'known', status: dealStatus.status, error: dealStatus.error };
    });
  }

  async ask(target: ProviderTarget, provider: string, signal: AbortSignal): Promise<AskAnswer> {
    const request = () => encodeAskRequest(parseAddress(provider));
    const readMs = this.#limits.askReadMs;
    const reply = await this.#exchange({ target, protocols: [ASK_PROTOCOL], request, readMs }, signal);
    if (reply.kind === 'not-connected' && reply.unsupported === true) return { kind: 'answered', ask: undefined };
    return understood(reply, (item) => {
      const signed = decodeAskResponse(item);
      if (signed === null) return { kind: 'answered', ask: undefined };
      const { ask } = signed;
      const { price, verifiedPrice, minPieceBytes, maxPieceBytes } = ask;
      return {
        kind: 'answered',
        ask: { miner: formatAddress(ask.miner), price, verifiedPrice, minPieceBytes, maxPieceBytes },
      };
    });
  }

  async close(): Promise<void> {
    await this.#node.stop();
  }
}

/** A reply that is a whole item but not the message it should be says nothing: the provider may hold the deal or not. */
function understood<T>(reply: Reply, decode: (item: Uint8Array) => T): T | Unknown | NotConnected {
  if (reply.kind !== 'replied') return reply;
  try {
    return decode(reply.item);
  } catch (error) {
    return { kind: 'unknown', why: `the reply cannot be read: ${describeError(error)}` };
  }
}

/**
 * A libp2p 3 host that only dials (TCP, noise, yamux), speaking mk/1.2.1 with 1.2.0 as a fallback, status/1.2.0 and
 * ask/1.1.0 of Boost and Curio. The peer's id is proven by the handshake.
 */
export async function createLibp2pTransport(limits: Partial<TransportLimits> = {}): Promise<Transport> {
  const node = await createLibp2p({
    addresses: { listen: [] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux({ keepAliveInterval: KEEP_ALIVE_MS })],
    // An SP identifies whoever connects, and waits for the answer.
    services: { identify: identify() },
  });
  return new Libp2pTransport(node, { ...defaultTransportLimits, ...limits });
}
