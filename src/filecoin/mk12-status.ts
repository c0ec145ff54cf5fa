import type { CID } from 'multiformats/cid';
import { CborReader } from './cbor-reader.ts';
import { cborBool, cborBytes, cborCid, cborMap, cborNull, cborText, cborUint } from './cbor.ts';
import { readBool, readCid, readSafeUint, readText, readUint, readUuid, uuidBytes } from './mk12-fields.ts';
import { type DealProposal, encodeProposal, readProposal, readSignature } from './proposal.ts';
import { type Signature, signatureBytes } from './signature.ts';

export const STATUS_PROTOCOL = '/fil/storage/status/1.2.0';

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
