import type { CID } from 'multiformats/cid';

import { addressBytes, type Address } from './address.ts';
import { CborReader } from './cbor-reader.ts';
import { cborBigInt, cborBool, cborBytes, cborCid, cborInt, cborMap, cborNull, cborText, cborUint } from './cbor.ts';
import { FormatError } from './format-error.ts';
import {
  decodeSignedProposal,
  encodeProposal,
  readAddress,
  readProposal,
  readSignature,
  type DealProposal,
} from './proposal.ts';
import { signatureBytes, type Signature } from './signature.ts';

/** Protocol ids of the storage deal protocol, the preferred one first (Boost storagemarket/lp2pimpl/net.go). */
export const MK_PROTOCOLS = ['/fil/storage/mk/1.2.1', '/fil/storage/mk/1.2.0'] as const;
export const STATUS_PROTOCOL = '/fil/storage/status/1.2.0';
export const ASK_PROTOCOL = '/fil/storage/ask/1.1.0';

const UUID_BYTES = 16;
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const UUID_DIGITS = /^(.{8})(.{4})(.{4})(.{4})(.{12})$/;

/** How the provider gets the data (Boost storagemarket/types.Transfer). */
export interface Transfer {
  type: string;
  clientId: string;
  params: Uint8Array;
  /** Length of the CAR. */
  sizeBytes: number;
}

/** A deal proposed (Boost storagemarket/types.DealParams). */
export interface DealParams {
  dealUuid: string;
  transfer: Transfer;
  isOffline: boolean;
  dealDataRoot: CID;
  /** False in version 1.2.0, which does not carry it. */
  skipIpniAnnounce: boolean;
  /** A ClientDealProposal as encoded: resending must not change a byte. */
  signedProposal: Uint8Array;
  /** False in version 1.2.0, which does not carry it. */
  removeUnsealedCopy: boolean;
}

export interface DealResponse {
  accepted: boolean;
  message: string;
}

export interface DealStatusRequest {
  dealUuid: string;
  /** By the client's key over the 16 bytes of the UUID, see uuidBytes. */
  signature: Signature;
}

export interface DealStatus {
  error: string;
  status: string;
  proposal: DealProposal;
  publishCid: CID | null;
  chainDealId: bigint;
  sealingStatus: string;
  signedProposalCid: CID;
}

export interface DealStatusResponse {
  error: string;
  dealUuid: string;
  isOffline: boolean;
  /** Null when the provider knows no such deal, or will not say; `error` tells. */
  dealStatus: DealStatus | null;
  transferSizeBytes: number;
  receivedBytes: number;
}

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

/** Where the provider fetches a CAR from (Boost transport/types.HttpRequest). */
export interface HttpTransfer {
  url: string;
  headers: Record<string, string>;
}

export function encodeDealParams(params: DealParams, version: '1.2.1' | '1.2.0' = '1.2.1'): Uint8Array {
  const { transfer } = params;
  const fields = {
    DealUUID: cborBytes(uuidBytes(params.dealUuid)),
    IsOffline: cborBool(params.isOffline),
    ClientDealProposal: params.signedProposal,
    DealDataRoot: cborCid(params.dealDataRoot),
    Transfer: cborMap({
      Type: cborText(transfer.type),
      ClientID: cborText(transfer.clientId),
      Params: cborBytes(transfer.params),
      Size: cborUint(transfer.sizeBytes),
    }),
  };
  if (version === '1.2.0') return cborMap(fields);
  return cborMap({
    ...fields,
    RemoveUnsealedCopy: cborBool(params.removeUnsealedCopy),
    SkipIPNIAnnounce: cborBool(params.skipIpniAnnounce),
  });
}

/** Reads either version; the proposal in it is checked to be well formed. Throws FormatError. */
export function decodeDealParams(bytes: Uint8Array): DealParams {
  return CborReader.decode(bytes, (reader) => {
    const params = reader.map(
      {
        DealUUID: readUuid,
        IsOffline: readBool,
        ClientDealProposal: readSignedProposalBytes,
        DealDataRoot: readCid,
        Transfer: readTransfer,
      },
      { RemoveUnsealedCopy: readBool, SkipIPNIAnnounce: readBool },
    );
    return {
      dealUuid: params.DealUUID,
      transfer: params.Transfer,
      isOffline: params.IsOffline,
      dealDataRoot: params.DealDataRoot,
      skipIpniAnnounce: params.SkipIPNIAnnounce ?? false,
      signedProposal: params.ClientDealProposal,
      removeUnsealedCopy: params.RemoveUnsealedCopy ?? false,
    };
  });
}

export function encodeDealResponse({ accepted, message }: DealResponse): Uint8Array {
  return cborMap({ Accepted: cborBool(accepted), Message: cborText(message) });
}

/** Throws FormatError. */
export function decodeDealResponse(bytes: Uint8Array): DealResponse {
  return CborReader.decode(bytes, (reader) => {
    const { Accepted, Message } = reader.map({ Accepted: readBool, Message: readText });
    return { accepted: Accepted, message: Message };
  });
}

export function encodeDealStatusRequest({ dealUuid, signature }: DealStatusRequest): Uint8Array {
  return cborMap({ DealUUID: cborBytes(uuidBytes(dealUuid)), Signature: cborBytes(signatureBytes(signature)) });
}

/** Throws FormatError. */
export function decodeDealStatusRequest(bytes: Uint8Array): DealStatusRequest {
  return CborReader.decode(bytes, (reader) => {
    const { DealUUID, Signature: signature } = reader.map({ DealUUID: readUuid, Signature: readSignature });
    return { dealUuid: DealUUID, signature };
  });
}

export function encodeDealStatusResponse(response: DealStatusResponse): Uint8Array {
  return cborMap({
    DealUUID: cborBytes(uuidBytes(response.dealUuid)),
    Error: cborText(response.error),
    DealStatus: response.dealStatus === null ? cborNull : encodeDealStatus(response.dealStatus),
    IsOffline: cborBool(response.isOffline),
    TransferSize: cborUint(response.transferSizeBytes),
    NBytesReceived: cborUint(response.receivedBytes),
  });
}

/** Throws FormatError. */
export function decodeDealStatusResponse(bytes: Uint8Array): DealStatusResponse {
  return CborReader.decode(bytes, (reader) => {
    const response = reader.map({
      DealUUID: readUuid,
      Error: readText,
      DealStatus: (item) => item.nullable(readDealStatus),
      IsOffline: readBool,
      TransferSize: readSafeUint,
      NBytesReceived: readSafeUint,
    });
    return {
      error: response.Error,
      dealUuid: response.DealUUID,
      isOffline: response.IsOffline,
      dealStatus: response.DealStatus,
      transferSizeBytes: response.TransferSize,
      receivedBytes: response.NBytesReceived,
    };
  });
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

/** Transfer.params of a transfer of type `http`. */
export function httpTransferParams({ url, headers }: HttpTransfer): Uint8Array {
  return new TextEncoder().encode(JSON.stringify({ URL: url, Headers: headers }));
}

/** Reads Transfer.params of type `http`; Headers may be absent or null, as Go writes it. Throws FormatError. */
export function parseHttpTransferParams(params: Uint8Array): HttpTransfer {
  const value = parseJsonObject(params);
  const { URL: url, Headers: headers } = value;
  if (typeof url !== 'string') throw new FormatError('TRANSFER_INVALID', 'the transfer names no URL');
  const entries = Object.entries(headers ?? {});
  if (typeof (headers ?? {}) !== 'object' || !entries.every(isHeader)) {
    throw new FormatError('TRANSFER_INVALID', 'the headers of the transfer are not an object of texts');
  }
  return { url, headers: Object.fromEntries(entries.filter(isHeader)) };
}

/** The 16 bytes of a UUID in text, which a status request signs. Throws FormatError INVALID_UUID. */
export function uuidBytes(uuid: string): Uint8Array {
  if (!UUID.test(uuid)) throw new FormatError('INVALID_UUID', `${JSON.stringify(uuid.slice(0, 64))} is not a UUID`);
  return new Uint8Array(Buffer.from(uuid.replaceAll('-', ''), 'hex'));
}

function encodeDealStatus(status: DealStatus): Uint8Array {
  return cborMap({
    Error: cborText(status.error),
    Status: cborText(status.status),
    SealingStatus: cborText(status.sealingStatus),
    Proposal: encodeProposal(status.proposal),
    SignedProposalCid: cborCid(status.signedProposalCid),
    PublishCid: status.publishCid === null ? cborNull : cborCid(status.publishCid),
    ChainDealID: cborUint(status.chainDealId),
  });
}

function readDealStatus(reader: CborReader): DealStatus {
  const status = reader.map({
    Error: readText,
    Status: readText,
    SealingStatus: readText,
    Proposal: readProposal,
    SignedProposalCid: readCid,
    PublishCid: (item) => item.nullable(readCid),
    ChainDealID: readUint,
  });
  return {
    error: status.Error,
    status: status.Status,
    proposal: status.Proposal,
    publishCid: status.PublishCid,
    chainDealId: status.ChainDealID,
    sealingStatus: status.SealingStatus,
    signedProposalCid: status.SignedProposalCid,
  };
}

function readTransfer(reader: CborReader): Transfer {
  const transfer = reader.map({ Type: readText, ClientID: readText, Params: readBytes, Size: readSafeUint });
  return { type: transfer.Type, clientId: transfer.ClientID, params: transfer.Params, sizeBytes: transfer.Size };
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

/** A copy of the encoding, once it is known to be a proposal. */
function readSignedProposalBytes(reader: CborReader): Uint8Array {
  const bytes = reader.skip().slice();
  decodeSignedProposal(bytes);
  return bytes;
}

function readUuid(reader: CborReader): string {
  const bytes = reader.bytes(UUID_BYTES);
  if (bytes.length !== UUID_BYTES) throw new FormatError('INVALID_UUID', `a UUID has 16 bytes, got ${bytes.length}`);
  return Buffer.from(bytes).toString('hex').replace(UUID_DIGITS, '$1-$2-$3-$4-$5');
}

const readBool = (reader: CborReader): boolean => reader.bool();
const readText = (reader: CborReader): string => reader.text();
const readBytes = (reader: CborReader): Uint8Array => reader.bytes().slice();
const readCid = (reader: CborReader): CID => reader.cid();
const readUint = (reader: CborReader): bigint => reader.uint();
const readSafeUint = (reader: CborReader): number => reader.safeUint();
const readSafeInt = (reader: CborReader): number => reader.safeInt();

function parseJsonObject(bytes: Uint8Array): Record<string, unknown> {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch {
    // The parser's message quotes its input, which may carry a token.
  }
  if (typeof value === 'object' && value !== null) return { ...value };
  throw new FormatError('TRANSFER_INVALID', 'the parameters of the transfer are not a JSON object');
}

function isHeader(entry: [string, unknown]): entry is [string, string] {
  return typeof entry[1] === 'string';
}
