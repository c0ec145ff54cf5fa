/** How a provider is talked to: over libp2p streams (TCP or WebSocket), or by Curio's HTTPS endpoint. */
export type Via = 'libp2p' | 'https';

/** Where a provider listens. Addresses are multiaddrs, with or without `/p2p/…`. */
export interface ProviderTarget {
  peerId: string;
  multiaddrs: string[];
  /** The way that worked last: it is tried first. */
  transport?: Via | undefined;
}

/** Who answered, as far as it said so: neither is proof of anything. */
export interface Heard {
  via?: Via;
  /** The software it calls itself (libp2p identify), without control characters. */
  agent?: string;
}

/** Nothing of our message was taken in: no connection, no such protocol, or turned away unread. */
export interface NotConnected {
  kind: 'not-connected';
  why: string;
  /** There is a connection, but the provider does not speak the protocol. */
  unsupported?: true;
}

/** Bytes left or may have left, and no answer that can be understood came back. */
export interface Unknown extends Heard {
  kind: 'unknown';
  why: string;
}

/** `message` is the provider's own words; empty when it accepted without any. */
export type ProposeAnswer = ({ kind: 'answered'; accepted: boolean; message: string } & Heard) | Unknown | NotConnected;

/** What a provider says of a deal that it holds. */
export interface KnownStatus extends Heard {
  kind: 'known';
  status: string;
  error: string;
  /** State of the sector as its miner names it; means nothing before the piece is in one. */
  sealingStatus?: string;
  /** CID of the publish message that it names: to be looked up, never believed. */
  publishMessage?: string;
  /** The chain deal that it names: to be read there, never believed. */
  chainDealId?: bigint;
}

/** What a provider says of a deal: never proof of anything on chain, but proof of what it holds. */
export type StatusAnswer = KnownStatus | ({ kind: 'none'; error: string } & Heard) | Unknown | NotConnected;

/** Prices are attoFIL per GiB per epoch, sizes padded bytes. `miner` is the provider the ask is for, `f0…`. */
export interface Ask {
  miner: string;
  price: bigint;
  verifiedPrice: bigint;
  minPieceBytes: bigint;
  maxPieceBytes: bigint;
}

/** `ask` is undefined when the provider says that it has none, or does not speak the ask protocol. */
export type AskAnswer = ({ kind: 'answered'; ask: Ask | undefined } & Heard) | Unknown | NotConnected;

/** Where retrievals are served, by protocol (`libp2p`, `http`, `https`, `bitswap`). */
export interface RetrievalTransport {
  name: string;
  multiaddrs: string[];
}

/** Empty when the provider does not speak the protocol. */
export type TransportsAnswer =
  | ({ kind: 'answered'; transports: RetrievalTransport[] } & Heard)
  | Unknown
  | NotConnected;

/** One way to talk to storage providers. Answers are values; what throws is an aborted signal or a fault of ours. */
export interface Transport {
  /** Sends CBOR DealParams in the form of mk/1.2.1. */
  propose(target: ProviderTarget, dealParams: Uint8Array, signal: AbortSignal): Promise<ProposeAnswer>;
  /** Sends a CBOR DealStatusRequest. */
  status(target: ProviderTarget, request: Uint8Array, signal: AbortSignal): Promise<StatusAnswer>;
  /** `provider` is `f0…`. */
  ask(target: ProviderTarget, provider: string, signal: AbortSignal): Promise<AskAnswer>;
  /** Where its retrievals are served. */
  transports?(target: ProviderTarget, signal: AbortSignal): Promise<TransportsAnswer>;
  close(): Promise<void>;
}
