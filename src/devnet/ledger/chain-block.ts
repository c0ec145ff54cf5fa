import type { CID } from 'multiformats/cid';

import { addressBytes, formatAddress, type Address } from '../../filecoin/address.ts';
import { cborArray, cborBigInt, cborBytes, cborCid, cborInt, cborNull, cborUint } from '../../filecoin/cbor.ts';
import { signatureBytes, type Signature } from '../../filecoin/signature.ts';
import { chainCid, cidJson } from './chain-message.ts';

/** A block header (lotus chain/types BlockHeader); its bytes and CID are those of the real format. */
export interface BlockHeader {
  miner: Address;
  ticket: Uint8Array;
  winCount: number;
  electionProof: Uint8Array | undefined;
  beacon: readonly { round: number; data: Uint8Array }[];
  winningPost: { proofType: number; proof: Uint8Array } | undefined;
  parents: readonly CID[];
  parentWeight: bigint;
  height: number;
  parentStateRoot: CID;
  parentReceipts: CID;
  messages: CID;
  blsAggregate: Signature | undefined;
  timestampSeconds: number;
  signature: Signature | undefined;
  parentBaseFee: bigint;
}

export function encodeBlock(block: BlockHeader): Uint8Array {
  const winningPost = block.winningPost;
  return cborArray([
    cborBytes(addressBytes(block.miner)),
    cborArray([cborBytes(block.ticket)]),
    cborArray([cborInt(block.winCount), cborBytes(block.electionProof ?? new Uint8Array())]),
    cborArray(block.beacon.map(({ round, data }) => cborArray([cborUint(round), cborBytes(data)]))),
    cborArray(
      winningPost === undefined ? [] : [cborArray([cborInt(winningPost.proofType), cborBytes(winningPost.proof)])],
    ),
    cborArray(block.parents.map((cid) => cborCid(cid))),
    cborBigInt(block.parentWeight),
    cborInt(block.height),
    cborCid(block.parentStateRoot),
    cborCid(block.parentReceipts),
    cborCid(block.messages),
    encodeSignature(block.blsAggregate),
    cborUint(block.timestampSeconds),
    encodeSignature(block.signature),
    cborUint(0),
    cborBigInt(block.parentBaseFee),
  ]);
}

export function blockCid(block: BlockHeader): CID {
  return chainCid(encodeBlock(block));
}

/** As `ChainHead` shows it, keys in the order of a real node. */
export function blockJson(block: BlockHeader): Record<string, unknown> {
  const { winningPost } = block;
  return {
    Miner: formatAddress(block.miner),
    Ticket: { VRFProof: base64(block.ticket) },
    ElectionProof: { WinCount: block.winCount, VRFProof: base64(block.electionProof) },
    BeaconEntries: block.beacon.map(({ round, data }) => ({ Round: round, Data: base64(data) })),
    WinPoStProof:
      winningPost === undefined ? null : [{ PoStProof: winningPost.proofType, ProofBytes: base64(winningPost.proof) }],
    Parents: block.parents.map((cid) => cidJson(cid)),
    ParentWeight: block.parentWeight.toString(),
    Height: block.height,
    ParentStateRoot: cidJson(block.parentStateRoot),
    ParentMessageReceipts: cidJson(block.parentReceipts),
    Messages: cidJson(block.messages),
    BLSAggregate: signatureJson(block.blsAggregate),
    Timestamp: block.timestampSeconds,
    BlockSig: signatureJson(block.signature),
    ForkSignaling: 0,
    ParentBaseFee: block.parentBaseFee.toString(),
  };
}

function encodeSignature(signature: Signature | undefined): Uint8Array {
  return signature === undefined ? cborNull : cborBytes(signatureBytes(signature));
}

function signatureJson(signature: Signature | undefined): Record<string, unknown> | null {
  return signature === undefined ? null : { Type: signature.type, Data: base64(signature.data) };
}

function base64(bytes: Uint8Array | undefined): string | null {
  return bytes === undefined ? null : Buffer.from(bytes).toString('base64');
}
