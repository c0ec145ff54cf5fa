import type { Signature } from '../../filecoin/signature.ts';

/** Signs as one client. Where the key is, and what it is, stays behind these functions. */
export interface Wallet {
  /** The client's address, `f1…` or `f3…`. */
  address(): Promise<string>;
  /** A Filecoin signature over the message itself (secp256k1 hashes it with blake2b-256, BLS does not). */
  sign(message: Uint8Array): Promise<Signature>;
}

/** A wallet with what it holds open, until it is disposed. */
export type OpenWallet = Wallet & Disposable;
