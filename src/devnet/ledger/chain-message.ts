import { blake2b } from '@noble/hashes/blake2.js';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

import { formatAddress } from '../../filecoin/address.ts';
import { cborArray, cborBytes } from '../../filecoin/cbor.ts';
import { BLAKE2B_256, DAG_CBOR } from '../../filecoin/codes.ts';
import { decodeMessage, encodeMessage, type Message } from '../../filecoin/messages.ts';
import { signatureBytes, signatureFromBytes, type Signature } from '../../filecoin/signature.ts';

/** Money is in attoFIL. */
export type ChainMessage = Message;

export interface SignedMessage {
  message: ChainMessage;
  signature: Signature;
  /** The CID that blocks and receipts know it by. */
  cid: CID;
}

/** The CID of anything a block refers to: dag-cbor under blake2b-256. */
export function chainCid(bytes: Uint8Array): CID {
  return CID.createV1(DAG_CBOR, createDigest(BLAKE2B_256, blake2b(bytes, { dkLen: 32 })));
}

/** BLS signatures are aggregated in the block, so that such a message goes by the CID of its bare form. */
export function sealMessage(message: ChainMessage, signature: Signature): SignedMessage {
  const bare = encodeMessage(message);
  const whole = signature.type === 2 ? bare : cborArray([bare, cborBytes(signatureBytes(signature))]);
  return { message, signature, cid: chainCid(whole) };
}

/** As `ChainGetMessage` answers, keys in the order of a real node. */
export function messageJson({ message, cid }: SignedMessage): Record<string, unknown> {
  return {
    Version: 0,
    To: formatAddress(message.to),
    From: formatAddress(message.from),
    Nonce: message.nonce,
    Value: message.value.toString(),
    GasLimit: message.gasLimit,
    GasFeeCap: message.gasFeeCap.toString(),
    GasPremium: message.gasPremium.toString(),
    Method: Number(message.method),
    Params: message.params.length === 0 ? null : Buffer.from(message.params).toString('base64'),
    CID: cidJson(cid),
  };
}

export function cidJson(cid: CID): { '/': string } {
  return { '/': cid.toString() };
}

/** A signed message as the journal keeps it. */
export interface StoredMessage {
  message: string;
  signature: string;
}

export function storeMessage({ message, signature }: SignedMessage): StoredMessage {
  return { message: toBase64(encodeMessage(message)), signature: toBase64(signatureBytes(signature)) };
}

export function restoreMessage(stored: StoredMessage): SignedMessage {
  return sealMessage(decodeMessage(fromBase64(stored.message)), signatureFromBytes(fromBase64(stored.signature)));
}

function toBase64(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64');
}

function fromBase64(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'base64'));
}
