import type { CID } from 'multiformats/cid';
import { CborReader } from './cbor-reader.ts';
import { cborBool, cborBytes, cborCid, cborMap, cborText, cborUint } from './cbor.ts';
import { FormatError } from './format-error.ts';
import { readBool, readBytes, readCid, readSafeUint, readText, readUuid, uuidBytes } from './mk12-fields.ts';
import { decodeSignedProposal } from './proposal.ts';

/** Protocol ids of the storage deal protocol, the preferred one first (Boost storagemarket/lp2pimpl/net.go). */
export const MK_PROTOCOLS = ['/fil/storage/mk/1.2.1', '/fil/storage/mk/1.2.0'] as const;

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

function readTransfer(reader: CborReader): Transfer {
  const transfer = reader.map({ Type: readText, ClientID: readText, Params: readBytes, Size: readSafeUint });
  return { type: transfer.Type, clientId: transfer.ClientID, params: transfer.Params, sizeBytes: transfer.Size };
}

/** A copy of the encoding, once it is known to be a proposal. */
function readSignedProposalBytes(reader: CborReader): Uint8Array {
  const bytes = reader.skip().slice();
  decodeSignedProposal(bytes);
  return bytes;
}

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
