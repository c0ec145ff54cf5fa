import { blake2b } from '@noble/hashes/blake2.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';

import { addressBytes, addressFromBytes, MAX_ADDRESS_BYTES, type Address } from './address.ts';
import { CborReader } from './cbor-reader.ts';
import { cborArray, cborBigInt, cborBool, cborBytes, cborCid, cborInt, cborText, cborUint } from './cbor.ts';
import { BLAKE2B_256, DAG_CBOR, SHA2_256 } from './codes.ts';
import { FormatError } from './format-error.ts';
import { MAX_LABEL_BYTES } from './limits.ts';
import { MAX_SIGNATURE_BYTES, signatureBytes, signatureFromBytes, type Signature } from './signature.ts';

/** The terms of a deal (go-state-types market.DealProposal). Ranges are the market actor's business, not the codec's. */
export interface DealProposal {
  pieceCid: CID;
  /** Padded. */
  pieceBytes: bigint;
  verified: boolean;
  client: Address;
  provider: Address;
  /** Text, or bytes that need not be text; at most 256 bytes. */
  label: string | Uint8Array;
  startEpoch: number;
  endEpoch: number;
  /** attoFIL per epoch for the whole piece. */
  pricePerEpoch: bigint;
  /** attoFIL. */
  providerCollateral: bigint;
  /** attoFIL. */
  clientCollateral: bigint;
}

export interface SignedProposal {
  proposal: DealProposal;
  signature: Signature;
}

const PROPOSAL_FIELDS = 11;

/** The bytes that the client signs. */
export function encodeProposal(proposal: DealProposal): Uint8Array {
  return cborArray([
    cborCid(proposal.pieceCid),
    cborUint(proposal.pieceBytes),
    cborBool(proposal.verified),
    cborBytes(addressBytes(proposal.client)),
    cborBytes(addressBytes(proposal.provider)),
    encodeLabel(proposal.label),
    cborInt(proposal.startEpoch),
    cborInt(proposal.endEpoch),
    cborBigInt(proposal.pricePerEpoch),
    cborBigInt(proposal.providerCollateral),
    cborBigInt(proposal.clientCollateral),
  ]);
}

/** Reads a proposal that fills `bytes`. Throws FormatError. */
export function decodeProposal(bytes: Uint8Array): DealProposal {
  return CborReader.decode(bytes, readProposal);
}

/** A ClientDealProposal: what a provider is sent and what it publishes. */
export function encodeSignedProposal({ proposal, signature }: SignedProposal): Uint8Array {
  return cborArray([encodeProposal(proposal), cborBytes(signatureBytes(signature))]);
}

/** Reads a ClientDealProposal that fills `bytes`; `proposalBytes` is what its signature covers. Throws FormatError. */
export function decodeSignedProposal(bytes: Uint8Array): SignedProposal & { proposalBytes: Uint8Array } {
  return CborReader.decode(bytes, (reader) => {
    reader.tuple(2, 'ClientDealProposal');
    const proposalBytes = reader.skip();
    return { proposal: decodeProposal(proposalBytes), proposalBytes, signature: readSignature(reader) };
  });
}

/** The CID that the chain and Curio know a proposal by. */
export function proposalCid(proposalBytes: Uint8Array): CID {
  return CID.createV1(DAG_CBOR, createDigest(BLAKE2B_256, blake2b(proposalBytes, { dkLen: 32 })));
}

/** The CID of a ClientDealProposal in status answers (go-cbor-util AsIpld). */
export function signedProposalCid(signedProposalBytes: Uint8Array): CID {
  return CID.createV1(DAG_CBOR, createDigest(SHA2_256, sha256(signedProposalBytes)));
}

/** A label on its own: a text string or a byte string (go-state-types market.DealLabel). */
export function encodeLabel(label: string | Uint8Array): Uint8Array {
  const length = typeof label === 'string' ? Buffer.byteLength(label) : label.length;
  if (length > MAX_LABEL_BYTES) {
    throw new FormatError('LABEL_TOO_LONG', `a label has at most ${MAX_LABEL_BYTES} bytes, got ${length}`, { length });
  }
  return typeof label === 'string' ? cborText(label) : cborBytes(label);
}

/** Reads a label that fills `bytes`. Throws FormatError. */
export function decodeLabel(bytes: Uint8Array): string | Uint8Array {
  return CborReader.decode(bytes, readLabel);
}

/** Reads a DealProposal inside another message. */
export function readProposal(reader: CborReader): DealProposal {
  reader.tuple(PROPOSAL_FIELDS, 'DealProposal');
  return {
    pieceCid: reader.cid(),
    pieceBytes: reader.uint(),
    verified: reader.bool(),
    client: readAddress(reader),
    provider: readAddress(reader),
    label: readLabel(reader),
    startEpoch: reader.safeInt(),
    endEpoch: reader.safeInt(),
    pricePerEpoch: reader.bigInt(),
    providerCollateral: reader.bigInt(),
    clientCollateral: reader.bigInt(),
  };
}

/** Reads an address inside another message. */
export function readAddress(reader: CborReader): Address {
  return addressFromBytes(reader.bytes(MAX_ADDRESS_BYTES));
}

/** Reads a signature inside another message. */
export function readSignature(reader: CborReader): Signature {
  return signatureFromBytes(reader.bytes(MAX_SIGNATURE_BYTES));
}

function readLabel(reader: CborReader): string | Uint8Array {
  return reader.isText() ? reader.text(MAX_LABEL_BYTES) : reader.bytes(MAX_LABEL_BYTES).slice();
}
