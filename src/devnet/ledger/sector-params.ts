import type { CID } from 'multiformats/cid';

import { cborArray, cborCid, cborInt, cborUint } from '../../filecoin/cbor.ts';
import { CborReader } from '../../filecoin/cbor-reader.ts';

/**
 * Parameters of the miner actor's messages, cut down to what a devnet without proofs needs: nobody who reads deals
 * looks into them. The piece goes with the deal id, so that a message which lands again after a reorg cannot put its
 * sector under a deal that got the old id (FIP-0076 checks the same).
 */
export interface ProveCommitParams {
  sectorNumber: number;
  expirationEpoch: number;
  pieces: { dealId: bigint; pieceCid: CID; pieceBytes: bigint }[];
}

export function encodeSectorNumber(sectorNumber: number): Uint8Array {
  return cborArray([cborUint(sectorNumber)]);
}

/** Throws FormatError. */
export function decodeSectorNumber(params: Uint8Array): number {
  return CborReader.decode(params, (reader) => {
    reader.tuple(1, 'the sector');
    return reader.safeUint();
  });
}

export function encodeProveCommit({ sectorNumber, expirationEpoch, pieces }: ProveCommitParams): Uint8Array {
  const items = pieces.map(({ dealId, pieceCid, pieceBytes }) =>
    cborArray([cborUint(dealId), cborCid(pieceCid), cborUint(pieceBytes)]),
  );
  return cborArray([cborUint(sectorNumber), cborInt(expirationEpoch), cborArray(items)]);
}

/** Throws FormatError. */
export function decodeProveCommit(params: Uint8Array): ProveCommitParams {
  return CborReader.decode(params, (reader) => {
    reader.tuple(3, 'the sector to prove');
    return {
      sectorNumber: reader.safeUint(),
      expirationEpoch: reader.safeInt(),
      pieces: reader.array((item) => {
        item.tuple(3, 'a piece');
        return { dealId: item.uint(), pieceCid: item.cid(), pieceBytes: item.uint() };
      }),
    };
  });
}
