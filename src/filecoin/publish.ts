import { decodeBitfield, encodeBitfield } from './bitfield.ts';
import { CborReader } from './cbor-reader.ts';
import { cborArray, cborBytes, cborUint } from './cbor.ts';

/** What PublishStorageDeals returns (go-state-types market.PublishStorageDealsReturn). */
export interface PublishReturn {
  /** Deal ids of the valid proposals, in their order. */
  ids: bigint[];
  /** Indexes of the valid proposals in the message; the actor drops the others. */
  valid: number[];
}

/** Parameters of PublishStorageDeals, method 4 of f05, out of encoded ClientDealProposals. */
export function encodePublishParams(signedProposals: readonly Uint8Array[]): Uint8Array {
  return cborArray([cborArray(signedProposals)]);
}

/** The encoded ClientDealProposals in the parameters. Throws FormatError. */
export function decodePublishParams(bytes: Uint8Array): Uint8Array[] {
  return CborReader.decode(bytes, (reader) => {
    reader.tuple(1, 'PublishStorageDealsParams');
    return reader.array((item) => item.skip().slice());
  });
}

export function encodePublishReturn({ ids, valid }: PublishReturn): Uint8Array {
  return cborArray([cborArray(ids.map((id) => cborUint(id))), cborBytes(encodeBitfield(valid))]);
}

/** Throws FormatError. */
export function decodePublishReturn(bytes: Uint8Array): PublishReturn {
  return CborReader.decode(bytes, (reader) => {
    reader.tuple(2, 'PublishStorageDealsReturn');
    return { ids: reader.array((item) => item.uint()), valid: decodeBitfield(reader.bytes()) };
  });
}
