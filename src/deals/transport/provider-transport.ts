import { multiaddr } from '@multiformats/multiaddr';
import { systemClock, type Clock } from '../../clock.ts';
import { describeError } from '../../errors.ts';
import { formatAddress, parseAddress } from '../../filecoin/address.ts';
import { decodeAskResponse, encodeAskRequest } from '../../filecoin/mk12-ask.ts';
import { decodeDealResponse } from '../../filecoin/mk12-propose.ts';
import { decodeDealStatusResponse } from '../../filecoin/mk12-status.ts';
import { decodeTransports } from '../../filecoin/mk12-transports.ts';
import { chooseWays, type HttpsWay, type Libp2pWay, type Way } from './choose-ways.ts';
import { courierLimits, type Courier, type CourierLimits, type Message, type Reply } from './courier.ts';
import { rememberFailedWays, type FailedWays } from './failed-ways.ts';
import { createHttpsCourier } from './https-courier.ts';
import { createLibp2pCourier } from './libp2p-courier.ts';
import type {
  Ask,
  AskAnswer,
  Heard,
  KnownStatus,
  NotConnected,
  ProposeAnswer,
  ProviderTarget,
  RetrievalTransport,
  StatusAnswer,
  Transport,
  TransportsAnswer,
  Unknown,
} from './transport.ts';

interface Couriers {
  libp2p: Courier<Libp2pWay>;
  https: Courier<HttpsWay>;
}

export interface RoutingDeps {
  couriers: Couriers;
  failedWays: FailedWays;
  /** See WayRules. */
  plainLoopback: boolean;
  allowPrivate: boolean;
}

function readAsk(item: Uint8Array): Ask | undefined {
  const signed = decodeAskResponse(item);
  if (signed === null) return undefined;
  const { miner, price, verifiedPrice, minPieceBytes, maxPieceBytes } = signed.ask;
  return { miner: formatAddress(miner), price, verifiedPrice, minPieceBytes, maxPieceBytes };
}

function readStatus(item: Uint8Array): KnownStatus | { kind: 'none'; error: string } {
  const { dealStatus, error } = decodeDealStatusResponse(item);
  if (dealStatus === null) return { kind: 'none', error };
  const { status, sealingStatus, publishCid, chainDealId } = dealStatus;
  const publishMessage = publishCid === null ? {} : { publishMessage: publishCid.toString() };
  // Both Boost and Curio say 0 for none.
  const named = chainDealId === 0n ? {} : { chainDealId };
  return { kind: 'known', status, error: dealStatus.error, sealingStatus, ...publishMessage, ...named };
}

function readTransports(item: Uint8Array): RetrievalTransport[] {
  const readable = (bytes: Uint8Array): string[] => {
    try {
      return [multiaddr(bytes).toString()];
    } catch {
      // A protocol that we do not know yet: the others still count.
      return [];
    }
  };
  return decodeTransports(item).map(({ name, addresses }) => ({ name, multiaddrs: addresses.flatMap(readable) }));
}

/** A reply that is a whole item but not the message it should be says nothing: the provider may hold the deal or not. */
function understood<T>(reply: Reply, decode: (item: Uint8Array) => T): (T & Heard) | Unknown | NotConnected {
  if (reply.kind !== 'replied') return reply;
  const { item, kind: _kind, ...heard } = reply;
  try {
    return { ...decode(item), ...heard };
  } catch (error) {
    return { kind: 'unknown', why: `the reply cannot be read: ${describeError(error)}`, ...heard };
  }
}

/** A provider may list thousands of addresses; a few show what is wrong with them. */
const MAX_NAMED_ADDRESSES = 4;
const MAX_ADDRESS_CHARS = 128;

function noWay({ peerId, multiaddrs }: ProviderTarget): NotConnected {
  const named = multiaddrs.slice(0, MAX_NAMED_ADDRESSES).map((text) => text.slice(0, MAX_ADDRESS_CHARS));
  const others = multiaddrs.length - named.length;
  const list = `${named.join(', ') || 'none'}${others > 0 ? ` and ${others} more` : ''}`;
  return { kind: 'not-connected', why: `no usable address of ${peerId} among ${list}` };
}

/** One ending of several ways that all delivered nothing; unsupported if any of them reached the provider. */
function joined(tries: readonly { way: Way; reply: NotConnected }[]): NotConnected {
  const [first] = tries;
  if (tries.length === 1 && first !== undefined) return first.reply;
  const why = tries.map(({ way, reply }) => `${way.name}: ${reply.why}`).join('; ');
  const isUnsupported = tries.some(({ reply }) => reply.unsupported === true);
  return { kind: 'not-connected', why, ...(isUnsupported ? { unsupported: true } : {}) };
}

class ProviderTransport implements Transport {
  readonly #deps: RoutingDeps;
  /** A dial that closing cut short must not lead to the next way. */
  readonly #closing = new AbortController();

  constructor(deps: RoutingDeps) {
    this.#deps = deps;
  }

  #carry(way: Way, message: Message, signal: AbortSignal): Promise<Reply> {
    const { libp2p, https } = this.#deps.couriers;
    return way.via === 'https' ? https.carry(way, message, signal) : libp2p.carry(way, message, signal);
  }

  /** Tries a way after another only while it is certain that the provider took in nothing. */
  async #ask(target: ProviderTarget, message: Message, stop: AbortSignal): Promise<Reply> {
    const { failedWays, plainLoopback, allowPrivate } = this.#deps;
    const signal = AbortSignal.any([stop, this.#closing.signal]);
    const ways = chooseWays(target, { failed: failedWays.of(target.peerId), plainLoopback, allowPrivate });
    const tries: { way: Way; reply: NotConnected }[] = [];
    for (const way of ways) {
      const reply = await this.#carry(way, message, signal);
      if (reply.kind !== 'not-connected') {
        failedWays.forget(target.peerId, way.name);
        return reply;
      }
      tries.push({ way, reply });
      // Our own stop says nothing of the way, and ends the search.
      if (signal.aborted) break;
      // Of another protocol the same way may well speak.
      if (reply.unsupported !== true) failedWays.note(target.peerId, way.name);
    }
    return tries.length === 0 ? noWay(target) : joined(tries);
  }

  async propose(target: ProviderTarget, dealParams: Uint8Array, signal: AbortSignal): Promise<ProposeAnswer> {
    const reply = await this.#ask(target, { question: 'propose', request: dealParams }, signal);
    return understood(reply, (item) => ({ kind: 'answered', ...decodeDealResponse(item) }));
  }

  async status(target: ProviderTarget, request: Uint8Array, signal: AbortSignal): Promise<StatusAnswer> {
    return understood(await this.#ask(target, { question: 'status', request }, signal), readStatus);
  }

  async ask(target: ProviderTarget, provider: string, signal: AbortSignal): Promise<AskAnswer> {
    const request = encodeAskRequest(parseAddress(provider));
    const reply = await this.#ask(target, { question: 'ask', request }, signal);
    if (reply.kind === 'not-connected' && reply.unsupported === true) return { kind: 'answered', ask: undefined };
    return understood(reply, (item) => ({ kind: 'answered', ask: readAsk(item) }));
  }

  async transports(target: ProviderTarget, signal: AbortSignal): Promise<TransportsAnswer> {
    const reply = await this.#ask(target, { question: 'transports', request: new Uint8Array() }, signal);
    if (reply.kind === 'not-connected' && reply.unsupported === true) return { kind: 'answered', transports: [] };
    return understood(reply, (item) => ({ kind: 'answered', transports: readTransports(item) }));
  }

  async close(): Promise<void> {
    this.#closing.abort(new Error('the transport is closed'));
    await Promise.all([this.#deps.couriers.libp2p.close(), this.#deps.couriers.https.close()]);
  }
}

/** The transport over couriers that are open already. */
export function routeTransport(deps: RoutingDeps): Transport {
  return new ProviderTransport(deps);
}

export interface ProviderTransportOptions {
  /** On a devnet, `/ws` at a loopback address may be asked over plain HTTP. */
  isDevnet: boolean;
  /** Providers at addresses that are not of the public internet are dialed, too; on a devnet they always are. */
  allowPrivate?: boolean;
  clock?: Clock;
  limits?: Partial<CourierLimits>;
  /** PEM certificates to trust for HTTPS instead of those of the platform. */
  ca?: string;
}

/**
 * Talks to Boost and Curio over whatever their on-chain addresses offer: libp2p by TCP or WebSocket, or Curio's HTTPS
 * endpoint. Answers say by which way they came.
 */
export async function createProviderTransport(options: ProviderTransportOptions): Promise<Transport> {
  const { isDevnet, clock = systemClock, ca } = options;
  const limits = { ...courierLimits, ...options.limits };
  const allowPrivate = isDevnet || options.allowPrivate === true;
  const couriers = {
    libp2p: await createLibp2pCourier(limits, { allowPrivate }),
    https: createHttpsCourier({ limits, ca, allowPrivate }),
  };
  return routeTransport({ couriers, failedWays: rememberFailedWays(clock), plainLoopback: isDevnet, allowPrivate });
}
