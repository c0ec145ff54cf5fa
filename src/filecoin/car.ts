import { decode as decodeDagCbor, encode as encodeDagCbor } from '@ipld/dag-cbor';
import { CID } from 'multiformats/cid';

import { ByteReader } from './byte-reader.ts';
import { decodeFirstCid } from './cid.ts';
import { IDENTITY } from './codes.ts';
import { concat } from './concat.ts';
import { FormatError } from './format-error.ts';
import { encodeVarint } from './varint.ts';

export interface CarLimits {
  /** CID and block of one section; providers read no longer ones. */
  maxSectionBytes: number;
  maxHeaderBytes: number;
  /** Digest of an identity CID, which is the block itself. */
  maxIdentityBytes: number;
}

/** 8 MiB is the section limit of go-car as Curio sets it, 128 the identity limit of boxo's verifcid. */
export const defaultCarLimits: CarLimits = {
  maxSectionBytes: 8 * 1024 * 1024,
  maxHeaderBytes: 1024 * 1024,
  maxIdentityBytes: 128,
};

export interface CarSection {
  /** With `passing` as long-lived as the block: its bytes are a view too. */
  cid: CID;
  /** The block, its hash not checked. A view of what the source gave where possible. */
  bytes: Uint8Array;
  /** Where the section's length begins in the input. */
  offset: number;
}

export interface CarOptions {
  /**
   * A section is good until the next one is asked for, and whoever keeps something of it copies it: then no memory is
   * taken for each block, and the source may take its chunks back. `roots` stay good.
   */
  passing?: boolean;
}

export interface Car {
  roots: CID[];
  sections: AsyncGenerator<CarSection>;
}

/** Bytes of the longest varint of 64 bits, in any form; go-car reads non-minimal lengths, and so do we. */
const MAX_LENGTH_BYTES = 10;

/** The pragma, which is a CARv1 header of version 2, and the fixed header behind it (CARv2 specification). */
const V2_PRAGMA_BYTES = 11;
const V2_HEADER_BYTES = 40;

interface SectionOptions {
  limits: CarLimits;
  passing: boolean;
}

/** Where the sections end: at the end of the input, or at an offset that a CARv2 header gives. */
interface Payload {
  roots: CID[];
  end: number;
}

/**
 * Opens a CARv1, or the CARv1 inside a CARv2, as it streams in. Memory: the header, then one section and one chunk.
 * The sections can be read once; leaving them early, or an error, closes the source.
 * Throws FormatError CAR_* with the offset in the input, here for the header and later from `sections`.
 */
export async function openCar(
  source: AsyncIterable<Uint8Array>,
  limits: CarLimits = defaultCarLimits,
  { passing = false }: CarOptions = {},
): Promise<Car> {
  const reader = new ByteReader(source);
  try {
    const { roots, end } = await readPayloadHeader(reader, limits);
    return { roots, sections: readSections(reader, end, { limits, passing }) };
  } catch (error) {
    await reader.close();
    throw error;
  }
}

/** What stands before a block in a CAR: the length of CID and block in its shortest form, and the CID. */
export function encodeSectionHead(cid: CID, blockLength: number): Uint8Array {
  return concat([encodeVarint(BigInt(cid.bytes.length + blockLength)), cid.bytes]);
}

/** The header of a CARv1 with one root; 59 bytes for a CIDv1 with a 32-byte hash. */
export function carV1Header(root: CID): Uint8Array {
  const header = encodeDagCbor({ roots: [root], version: 1 });
  return concat([encodeVarint(BigInt(header.length)), header]);
}

async function* readSections(reader: ByteReader, end: number, options: SectionOptions): AsyncGenerator<CarSection> {
  try {
    while (reader.offset < end) {
      const section = await readSection(reader, end, options);
      if (section === undefined) break;
      yield section;
    }
    // A CARv2 has its index behind the payload: reading it off lets the sender finish.
    if (end !== Infinity) await reader.skip(Infinity);
  } finally {
    await reader.close();
  }
}

/** The next section; undefined at the end of a CARv1, whose end is the end of the input. */
async function readSection(
  reader: ByteReader,
  end: number,
  { limits, passing }: SectionOptions,
): Promise<CarSection | undefined> {
  const offset = reader.offset;
  const length = await readLength(reader);
  if (length === undefined) {
    if (end === Infinity) return undefined;
    throw truncated(offset, 'the input ends before the payload that the CARv2 header announces');
  }
  if (length === 0) throw fault('CAR_SECTION_EMPTY', 'a section of length zero, as of padding behind a CAR', offset);
  checkSectionLength(length, offset, limits);
  if (reader.offset + length > end) throw truncated(offset, 'the section reaches beyond the payload of the CARv2');
  const section = reader.takeHere(length) ?? (await (passing ? reader.takeShared(length) : reader.take(length)));
  if (section.length < length) {
    throw truncated(offset, `the section should have ${length} bytes, the input ends after ${section.length}`);
  }
  const cid = readSectionCid(section, offset, limits);
  return { cid, bytes: section.subarray(cid.bytes.length), offset };
}

function checkSectionLength(length: number, offset: number, limits: CarLimits): void {
  if (length <= limits.maxSectionBytes) return;
  const message = `a section of ${length} bytes exceeds ${limits.maxSectionBytes}: cut the data into smaller blocks`;
  throw fault('CAR_SECTION_TOO_LARGE', message, offset, { length, limit: limits.maxSectionBytes });
}

function readSectionCid(section: Uint8Array, offset: number, limits: CarLimits): CID {
  let cid: CID;
  try {
    cid = decodeFirstCid(section);
  } catch (error) {
    throw fault('CAR_CID_INVALID', `the section does not begin with a CID: ${messageOf(error)}`, offset);
  }
  checkIdentity(cid, offset, limits);
  return cid;
}

function checkIdentity(cid: CID, offset: number, limits: CarLimits): void {
  const { code, size } = cid.multihash;
  if (code !== IDENTITY || size <= limits.maxIdentityBytes) return;
  const message = `an identity CID of ${size} bytes exceeds ${limits.maxIdentityBytes}: use a hash`;
  throw fault('IDENTITY_CID_TOO_LARGE', message, offset, { length: size, limit: limits.maxIdentityBytes });
}

async function readPayloadHeader(reader: ByteReader, limits: CarLimits): Promise<Payload> {
  const outer = await readHeader(reader, limits);
  if (outer.version === 1) return { roots: readRoots(outer, 0, limits), end: Infinity };
  if (outer.version !== 2 || reader.offset !== V2_PRAGMA_BYTES) throw unsupportedVersion(outer.version, 0);
  const { dataOffset, dataBytes } = await readV2Header(reader);
  const skipped = await reader.skip(dataOffset - reader.offset);
  if (skipped < dataOffset - V2_PRAGMA_BYTES - V2_HEADER_BYTES) {
    throw payloadMissing('the input ends before the payload', reader.offset);
  }
  const inner = await readHeader(reader, limits);
  if (inner.version !== 1) throw unsupportedVersion(inner.version, dataOffset);
  const end = dataOffset + dataBytes;
  if (reader.offset > end) throw fault('CAR_HEADER_INVALID', 'the header is longer than the payload', dataOffset);
  return { roots: readRoots(inner, dataOffset, limits), end };
}

/** Characteristics (16 bytes), then offset and size of the payload and the offset of the index, little-endian. */
async function readV2Header(reader: ByteReader): Promise<{ dataOffset: number; dataBytes: number }> {
  const header = await reader.take(V2_HEADER_BYTES);
  if (header.length < V2_HEADER_BYTES) throw truncated(reader.offset, 'the input ends within the CARv2 header');
  const view = new DataView(header.buffer, header.byteOffset, header.length);
  const dataOffset = Number(view.getBigUint64(16, true));
  const dataBytes = Number(view.getBigUint64(24, true));
  if (dataOffset < V2_PRAGMA_BYTES + V2_HEADER_BYTES || dataBytes === 0) {
    throw payloadMissing(`the header says ${dataBytes} bytes at ${dataOffset}`, V2_PRAGMA_BYTES);
  }
  if (!Number.isSafeInteger(dataOffset + dataBytes)) {
    throw payloadMissing(`the header says ${dataBytes} bytes at ${dataOffset}`, V2_PRAGMA_BYTES);
  }
  return { dataOffset, dataBytes };
}

async function readHeader(reader: ByteReader, limits: CarLimits): Promise<Record<string, unknown>> {
  const offset = reader.offset;
  const length = await readLength(reader);
  if (length === undefined) throw truncated(offset, 'the input ends where a CAR header is due');
  if (length === 0 || length > limits.maxHeaderBytes) {
    const message = `a header of ${length} bytes: this is no CAR, or its header exceeds ${limits.maxHeaderBytes}`;
    throw fault('CAR_HEADER_INVALID', message, offset, { length, limit: limits.maxHeaderBytes });
  }
  const bytes = await reader.take(length);
  if (bytes.length < length) throw truncated(offset, 'the input ends within the CAR header');
  // The roots are views of it, and outlive the chunk that it came in.
  return parseHeader(bytes.slice(), offset);
}

function parseHeader(bytes: Uint8Array, offset: number): Record<string, unknown> {
  let header: unknown;
  try {
    header = decodeDagCbor(bytes);
  } catch (error) {
    throw fault('CAR_HEADER_INVALID', `the header is not DAG-CBOR: ${messageOf(error)}`, offset);
  }
  if (typeof header !== 'object' || header === null || Array.isArray(header) || CID.asCID(header) !== null) {
    throw fault('CAR_HEADER_INVALID', 'the header is not a map', offset);
  }
  const fields = { ...header };
  if (!('version' in fields)) throw fault('CAR_HEADER_INVALID', 'the header names no version', offset);
  return fields;
}

function readRoots(header: Record<string, unknown>, offset: number, limits: CarLimits): CID[] {
  const { roots } = header;
  if (!Array.isArray(roots)) throw fault('CAR_HEADER_INVALID', 'the header has no list of roots', offset);
  return roots.map((root) => {
    const cid = CID.asCID(root);
    if (cid === null) throw fault('CAR_HEADER_INVALID', 'a root in the header is not a CID', offset);
    checkIdentity(cid, offset, limits);
    return cid;
  });
}

/** A length before a header or a section; undefined when the input ends right before it. */
async function readLength(reader: ByteReader): Promise<number | undefined> {
  const offset = reader.offset;
  let length = 0;
  for (let i = 0; i < MAX_LENGTH_BYTES; i += 1) {
    const byte = reader.byteHere() ?? (await reader.byte());
    if (byte === undefined) {
      if (i === 0) return undefined;
      throw truncated(offset, 'the input ends within a length');
    }
    length += (byte & 0x7f) * 2 ** (7 * i);
    if (byte < 0x80) return length;
  }
  throw fault('CAR_VARINT_INVALID', `a length takes more than ${MAX_LENGTH_BYTES} bytes`, offset);
}

function unsupportedVersion(version: unknown, offset: number): FormatError {
  return fault('CAR_VERSION_UNSUPPORTED', `this is not version 1 or 2 of CAR, but ${String(version)}`, offset);
}

function payloadMissing(what: string, offset: number): FormatError {
  return fault('CAR_PAYLOAD_MISSING', `the CARv2 has no payload where its header says: ${what}`, offset);
}

function truncated(offset: number, message: string): FormatError {
  return fault('CAR_TRUNCATED', `${message}: send the CAR whole`, offset);
}

function fault(code: string, message: string, offset: number, details: Record<string, number> = {}): FormatError {
  return new FormatError(code, `${message} (at byte ${offset})`, { ...details, offset });
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
