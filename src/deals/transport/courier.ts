import type { Heard, NotConnected, Unknown } from './transport.ts';

/** What is asked of a provider; each is one message there and one back. */
export type Question = 'propose' | 'status' | 'ask' | 'transports';

/** A question with its bytes; there are none to send for `transports`. */
export interface Message {
  question: Question;
  request: Uint8Array;
}

/** A whole CBOR item came back. */
export interface Replied extends Heard {
  kind: 'replied';
  item: Uint8Array;
}

export type Reply = Replied | Unknown | NotConnected;

/**
 * Carries a message along one way and brings the reply. `not-connected` means that the provider took in nothing; once
 * a byte of the message may have reached it, whatever fails is `unknown`.
 */
export interface Courier<Way> {
  carry(way: Way, message: Message, signal: AbortSignal): Promise<Reply>;
  close(): Promise<void>;
}

export interface CourierLimits {
  /** Connecting to all addresses of a way, and agreeing on a protocol. */
  dialMs: number;
  /** Connecting to one address of several. */
  addressDialMs: number;
  writeMs: number;
  /** From the last byte of a request to the whole reply. */
  readMs: Readonly<Record<Question, number>>;
  replyBytes: number;
}

/**
 * Writing and reading a proposal as Boost's own client bounds them: 60 s cover a provider's deal filter. A status is
 * read as Curio's client does, 30 s. Together with three ways dialed before, all ends within the lease of an attempt.
 * No reply is near 64 KiB.
 */
export const courierLimits: CourierLimits = {
  dialMs: 10_000,
  addressDialMs: 4_000,
  writeMs: 10_000,
  // Proposing waits for asks before it signs anything.
  readMs: { propose: 60_000, status: 30_000, ask: 10_000, transports: 10_000 },
  replyBytes: 65_536,
};
