/** Where a provider listens. Addresses are multiaddrs, with or without `/p2p/…`. */
export interface ProviderTarget {
  peerId: string;
  multiaddrs: string[];
}

/** Nothing of our message left: no connection, or the provider does not speak the protocol. */
export interface NotConnected {
  kind: 'not-connected';
  why: string;
  /** There is a connection, but the provider does not speak the protocol. */
  unsupported?: true;
}

/** Bytes left or may have left, and no answer that can be understood came back. */
export interface Unknown {
  kind: 'unknown';
  why: string;
}

/** `message` is the provider's own words; empty when it accepted without any. */
export type ProposeAnswer = { kind: 'answered'; accepted: boolean; message: string } | Unknown | NotConnected;

/** What a provider says of a deal: never proof of anything on chain, but proof of what it holds. */
export type StatusAnswer =
  | { kind: 'known'; status: string; error: string }
  | { kind: 'none'; error: string }
  | Unknown
  | NotConnected;

/** Prices are attoFIL per GiB per epoch, sizes padded bytes. `miner` is the provider the ask is for, `f0…`. */
export interface Ask {
  miner: string;
  price: bigint;
  verifiedPrice: bigint;
  minPieceBytes: bigint;
  maxPieceBytes: bigint;
}

/** `ask` is undefined when the provider says that it has none, or does not speak the ask protocol. */
export type AskAnswer = { kind: 'answered'; ask: Ask | undefined } | Unknown | NotConnected;

/** One way to talk to storage providers. Answers are values; what throws is an aborted signal or a fault of ours. */
export interface Transport {
  /** Sends CBOR DealParams in the form of mk/1.2.1. */
  propose(target: ProviderTarget, dealParams: Uint8Array, signal: AbortSignal): Promise<ProposeAnswer>;
  /** Sends a CBOR DealStatusRequest. */
  status(target: ProviderTarget, request: Uint8Array, signal: AbortSignal): Promise<StatusAnswer>;
  /** `provider` is `f0…`. */
  ask(target: ProviderTarget, provider: string, signal: AbortSignal): Promise<AskAnswer>;
  close(): Promise<void>;
}
