import { blake2b } from '@noble/hashes/blake2.js';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { addressBytes, idAddress, type Address } from './address.ts';
import { cborArray, cborBigInt, cborBytes, cborInt, cborUint } from './cbor.ts';
import { CborReader } from './cbor-reader.ts';
import { BLAKE2B_256, DAG_CBOR } from './codes.ts';
import { FormatError } from './format-error.ts';
import { readAddress } from './proposal.ts';
import { signatureBytes, signatureFromBytes, type Signature } from './signature.ts';

/** A message to an actor (lotus chain/types Message); amounts are attoFIL, `params` is CBOR. */
export interface Message {
  to: Address;
  from: Address;
  nonce: number;
  value: bigint;
  gasLimit: number;
  gasFeeCap: bigint;
  gasPremium: bigint;
  method: bigint;
  params: Uint8Array;
}

export interface SignedMessage {
  message: Message;
  signature: Signature;
}

/** The market actor, f05, and its method AddBalance. */
export const MARKET_ACTOR: Address = idAddress(5n);
export const METHOD_ADD_BALANCE = 2n;

/** The only version there is. */
const VERSION = 0n;
const MESSAGE_ITEMS = 10;
const BLS = 2;

function messageCidOf(bytes: Uint8Array): CID {
  return CID.createV1(DAG_CBOR, createDigest(BLAKE2B_256, blake2b(bytes, { dkLen: 32 })));
}

/** The tuple of ten. */
export function encodeMessage(message: Message): Uint8Array {
  return cborArray([
    cborUint(VERSION),
    cborBytes(addressBytes(message.to)),
    cborBytes(addressBytes(message.from)),
    cborUint(message.nonce),
    cborBigInt(message.value),
    cborInt(message.gasLimit),
    cborBigInt(message.gasFeeCap),
    cborBigInt(message.gasPremium),
    cborUint(message.method),
    cborBytes(message.params),
  ]);
}

function readMessage(reader: CborReader): Message {
  reader.tuple(MESSAGE_ITEMS, 'a message');
  const version = reader.uint();
  if (version !== VERSION) throw new FormatError('MESSAGE_VERSION', `a message of version ${version} is unknown`);
  return {
    to: readAddress(reader),
    from: readAddress(reader),
    nonce: reader.safeUint(),
    value: reader.bigInt(),
    gasLimit: reader.safeInt(),
    gasFeeCap: reader.bigInt(),
    gasPremium: reader.bigInt(),
    method: reader.uint(),
    params: reader.bytes().slice(),
  };
}

/** Throws FormatError. */
export function decodeMessage(bytes: Uint8Array): Message {
  return CborReader.decode(bytes, readMessage);
}

/** What the sender signs, with a key of either type: the bytes of the message's CID. */
export function messageSigningBytes(message: Message): Uint8Array {
  return messageCidOf(encodeMessage(message)).bytes;
}

/** The tuple of message and signature. */
export function encodeSignedMessage({ message, signature }: SignedMessage): Uint8Array {
  return cborArray([encodeMessage(message), cborBytes(signatureBytes(signature))]);
}

/** Throws FormatError. */
export function decodeSignedMessage(bytes: Uint8Array): SignedMessage {
  return CborReader.decode(bytes, (reader) => {
    reader.tuple(2, 'a signed message');
    return { message: readMessage(reader), signature: signatureFromBytes(reader.bytes()) };
  });
}

/** The CID that the chain knows it by: BLS signatures are aggregated in the block, and so left out. */
export function signedMessageCid(signed: SignedMessage): CID {
  const isBls = signed.signature.type === BLS;
  return messageCidOf(isBls ? encodeMessage(signed.message) : encodeSignedMessage(signed));
}

/** Parameters of AddBalance: a byte string with the address whose balance grows, in no tuple (builtin-actors market). */
export function addBalanceParams(address: Address): Uint8Array {
  return cborBytes(addressBytes(address));
}
