import { decode as decodeDagCbor, encode as encodeDagCbor } from '@ipld/dag-cbor';
import { sha256 } from '@noble/hashes/sha2.js';
import { equals, fromHex, toHex } from 'multiformats/bytes';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { canonicalCid, parseCid } from './cid.ts';
import { DAG_CBOR, SHA2_256 } from './codes.ts';
import { FormatError } from './format-error.ts';
import type { InclusionPath } from './inclusion-path.ts';

/**
 * That a run of bytes lies in a piece (docs/inclusion-proofs.md). Its JSON form has bytes as lower-case hex, its
 * DAG-CBOR form the same fields with bytes. Runs in browsers too.
 */
export interface InclusionProof extends InclusionPath {
  /** Piece CID v1. */
  pieceCid: string;
  /** Root of the aggregate's batch tree: what the deals' labels say. */
  batchRootCid: string;
  /** The upload, CIDv1 in base32. */
  root: string;
  /** Path from the batch root to the upload's root. */
  selector: string;
  /** Ids of the active deals of the piece, ascending. */
  deals: readonly number[];
  /** The CIDs of the run's blocks in its order, if asked for. */
  blocks?: readonly string[];
}

/** All proofs of one upload: one, unless it was cut into parts or is in several aggregates. */
export interface ProofList {
  items: readonly InclusionProof[];
  next: string | null;
}

const BYTE_FIELDS = ['head', 'tail'] as const;
const NODE_FIELDS = ['left', 'right'] as const;
const TEXT_FIELDS = ['pieceCid', 'batchRootCid', 'root', 'selector'] as const;
const NUMBER_FIELDS = ['pieceSize', 'start', 'end'] as const;
const FIELDS = new Set<string>([...BYTE_FIELDS, ...NODE_FIELDS, ...TEXT_FIELDS, ...NUMBER_FIELDS, 'deals', 'blocks']);

/** The JSON form, ready for `JSON.stringify`. */
export function proofToJson(proof: InclusionProof) {
  return orderedFields(proof, toHex);
}

export function proofListToJson({ items, next }: ProofList) {
  return { items: items.map(proofToJson), next };
}

/** Reads a parsed JSON proof. Throws FormatError PROOF_INVALID. */
export function proofFromJson(value: unknown): InclusionProof {
  return readProof(value, readHex);
}

export function proofListFromJson(value: unknown): ProofList {
  return readList(value, proofFromJson);
}

/** The DAG-CBOR form; its bytes follow from the values alone, so they have one CID. */
export function encodeProof(proof: InclusionProof): Uint8Array {
  return encodeDagCbor(orderedFields(proof, (bytes) => bytes));
}

/** Reads the DAG-CBOR form, and no other bytes than `encodeProof` makes. Throws FormatError PROOF_INVALID. */
export function decodeProof(bytes: Uint8Array): InclusionProof {
  const proof = readProof(decodeCbor(bytes), readBytes);
  if (!equals(encodeProof(proof), bytes)) throw invalid('it is not in the one form that DAG-CBOR has for it');
  return proof;
}

export function encodeProofList({ items, next }: ProofList): Uint8Array {
  return encodeDagCbor({ items: items.map((proof) => orderedFields(proof, (bytes) => bytes)), next });
}

export function decodeProofList(bytes: Uint8Array): ProofList {
  const list = readList(decodeCbor(bytes), (item) => readProof(item, readBytes));
  if (!equals(encodeProofList(list), bytes)) throw invalid('it is not in the one form that DAG-CBOR has for it');
  return list;
}

/** The CID of a document in DAG-CBOR: of a proof, or of a list of them. */
export function proofCid(encoded: Uint8Array): CID {
  return CID.createV1(DAG_CBOR, createDigest(SHA2_256, sha256(encoded)));
}

/** The fields of the form and no others, in the order of the design. */
function orderedFields<T>(proof: InclusionProof, put: (bytes: Uint8Array) => T) {
  const nodes = (side: readonly (Uint8Array | null)[]) => side.map((node) => (node === null ? null : put(node)));
  return {
    pieceCid: proof.pieceCid,
    pieceSize: proof.pieceSize,
    batchRootCid: proof.batchRootCid,
    root: proof.root,
    selector: proof.selector,
    start: proof.start,
    end: proof.end,
    head: put(proof.head),
    tail: put(proof.tail),
    left: nodes(proof.left),
    right: nodes(proof.right),
    deals: [...proof.deals],
    ...(proof.blocks === undefined ? {} : { blocks: [...proof.blocks] }),
  };
}

type ReadBytes = (value: unknown, field: string) => Uint8Array;

function readProof(value: unknown, read: ReadBytes): InclusionProof {
  const fields = readMap(value);
  const unknown = Object.keys(fields).find((field) => !FIELDS.has(field));
  if (unknown !== undefined) throw invalid(`it has the field ${JSON.stringify(unknown)}, which no proof has`);
  const { deals, blocks } = fields;
  return {
    pieceCid: readCidText(fields, 'pieceCid'),
    pieceSize: readNumber(fields['pieceSize'], 'pieceSize'),
    batchRootCid: readCidText(fields, 'batchRootCid'),
    root: readCidText(fields, 'root'),
    selector: readText(fields['selector'], 'selector'),
    start: readNumber(fields['start'], 'start'),
    end: readNumber(fields['end'], 'end'),
    head: read(fields['head'], 'head'),
    tail: read(fields['tail'], 'tail'),
    left: readNodes(fields['left'], 'left', read),
    right: readNodes(fields['right'], 'right', read),
    deals: readArray(deals, 'deals').map((id) => readNumber(id, 'deals')),
    ...(blocks === undefined ? {} : { blocks: readArray(blocks, 'blocks').map((cid) => readText(cid, 'blocks')) }),
  };
}

function readList(value: unknown, read: (item: unknown) => InclusionProof): ProofList {
  const { items, next, ...rest } = readMap(value);
  if (Object.keys(rest).length > 0 || (next !== null && typeof next !== 'string')) {
    throw invalid('a list of proofs has the fields items and next');
  }
  return { items: readArray(items, 'items').map(read), next };
}

function readMap(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) throw invalid('it is not a map');
  return { ...value };
}

function readArray(value: unknown, field: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(`${field} is not a list`);
  return value;
}

function readText(value: unknown, field: string): string {
  if (typeof value !== 'string') throw invalid(`${field} is not a text`);
  return value;
}

/** The one text that a CIDv1 has in base32: two spellings of one CID would be two proofs. */
function readCidText(fields: Record<string, unknown>, field: string): string {
  const text = readText(fields[field], field);
  let canonical: string;
  try {
    canonical = canonicalCid(parseCid(text));
  } catch (error) {
    throw invalid(`${field} is not a CID: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (canonical !== text) throw invalid(`${field} is not a CIDv1 in base32`);
  return text;
}

function readNumber(value: unknown, field: string): number {
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value < 0) {
    throw invalid(`${field} is not a whole number from 0 on`);
  }
  return value;
}

function readNodes(value: unknown, field: string, read: ReadBytes): (Uint8Array | null)[] {
  return readArray(value, field).map((node) => (node === null ? null : read(node, field)));
}

function readHex(value: unknown, field: string): Uint8Array {
  if (typeof value !== 'string' || !/^(?:[0-9a-f]{2})*$/.test(value)) throw invalid(`${field} is not lower-case hex`);
  return fromHex(value);
}

function readBytes(value: unknown, field: string): Uint8Array {
  if (!(value instanceof Uint8Array)) throw invalid(`${field} is not bytes`);
  return value;
}

function decodeCbor(bytes: Uint8Array): unknown {
  try {
    return decodeDagCbor(bytes);
  } catch (error) {
    throw invalid(`it is not DAG-CBOR: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function invalid(message: string): FormatError {
  return new FormatError('PROOF_INVALID', `this is no inclusion proof: ${message}`);
}
