import { type Address, addressBytes } from './address.ts';
import { CborReader } from './cbor-reader.ts';
import { cborBigInt, cborBytes, cborInt, cborMap, cborNull, cborUint } from './cbor.ts';
import { readSafeInt, readUint } from './mk12-fields.ts';
import { readAddress, readSignature } from './proposal.ts';
import { type Signature, signatureBytes } from './signature.ts';

export const ASK_PROTOCOL = '/fil/storage/ask/1.1.0';

/** What a provider asks for (legacytypes.StorageAsk); its worker key signs it. */
export interface StorageAsk {
  miner: Address;
  /** attoFIL per GiB of padded piece and epoch. */
  price: bigint;
  /** The same for verified deals; not always 0. */
  verifiedPrice: bigint;
  /** Padded. */
  minPieceBytes: bigint;
  /** Padded. */
  maxPieceBytes: bigint;
  timestampEpoch: number;
  expiryEpoch: number;
  sequence: bigint;
}

export interface SignedAsk {
  ask: StorageAsk;
  signature: Signature | null;
}

export function encodeAskRequest(miner: Address): Uint8Array {
  return cborMap({ Miner: cborBytes(addressBytes(miner)) });
}

/** The provider whose ask is wanted. Throws FormatError. */
export function decodeAskRequest(bytes: Uint8Array): Address {
  return CborReader.decode(bytes, (reader) => reader.map({ Miner: readAddress }).Miner);
}

/** Null says that the host does not speak for this provider, or has no ask. */
export function encodeAskResponse(signed: SignedAsk | null): Uint8Array {
  if (signed === null) return cborMap({ Ask: cborNull });
  const { ask, signature } = signed;
  return cborMap({
    Ask: cborMap({
      Ask: encodeAsk(ask),
      Signature: signature === null ? cborNull : cborBytes(signatureBytes(signature)),
    }),
  });
}

/** Null says that the host does not speak for this provider, or has no ask. Throws FormatError. */
export function decodeAskResponse(bytes: Uint8Array): SignedAsk | null {
  return CborReader.decode(bytes, (reader) => reader.map({ Ask: (item) => item.nullable(readSignedAsk) }).Ask);
}

/** What the miner's worker key signs: the ask without its signature. */
export function encodeAsk(ask: StorageAsk): Uint8Array {
  return cborMap({
    Miner: cborBytes(addressBytes(ask.miner)),
    Price: cborBigInt(ask.price),
    VerifiedPrice: cborBigInt(ask.verifiedPrice),
    MinPieceSize: cborUint(ask.minPieceBytes),
    MaxPieceSize: cborUint(ask.maxPieceBytes),
    Timestamp: cborInt(ask.timestampEpoch),
    Expiry: cborInt(ask.expiryEpoch),
    SeqNo: cborUint(ask.sequence),
  });
}

function readSignedAsk(reader: CborReader): SignedAsk {
  const { Ask, Signature: signature } = reader.map({
    Ask: readAsk,
    Signature: (item) => item.nullable(readSignature),
  });
  return { ask: Ask, signature };
}

function readAsk(reader: CborReader): StorageAsk {
  const ask = reader.map({
    Miner: readAddress,
    Price: (item) => item.bigInt(),
    VerifiedPrice: (item) => item.bigInt(),
    MinPieceSize: readUint,
    MaxPieceSize: readUint,
    Timestamp: readSafeInt,
    Expiry: readSafeInt,
    SeqNo: readUint,
  });
  return {
    miner: ask.Miner,
    price: ask.Price,
    verifiedPrice: ask.VerifiedPrice,
    minPieceBytes: ask.MinPieceSize,
    maxPieceBytes: ask.MaxPieceSize,
    timestampEpoch: ask.Timestamp,
    expiryEpoch: ask.Expiry,
    sequence: ask.SeqNo,
  };
}
