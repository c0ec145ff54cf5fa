import { CarReader } from '@ipld/car/reader';
import { CarWriter } from '@ipld/car/writer';
import * as dagCbor from '@ipld/dag-cbor';
import * as fc from 'fast-check';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { sha256 } from 'multiformats/hashes/sha2';
import { expect, test } from 'vitest';
import { carV1Header, defaultCarLimits, encodeSectionHead, openCar, type CarLimits } from '../../src/filecoin/car.ts';
import { inPassingChunks } from '../support/car-builder.ts';
import { hex } from './hex.ts';

interface Block {
  cid: CID;
  bytes: Uint8Array;
}

async function rawBlock(bytes: Uint8Array): Promise<Block> {
  return { cid: CID.createV1(0x55, await sha256.digest(bytes)), bytes };
}

function identityCid(bytes: Uint8Array): CID {
  return CID.createV1(0x55, createDigest(0, bytes));
}

const root = await rawBlock(Uint8Array.of(1, 2, 3));
const leaf = await rawBlock(new Uint8Array(300).fill(7));

function join(...parts: (Uint8Array | number[])[]): Uint8Array {
  return Uint8Array.from(parts.flatMap((part) => [...part]));
}

function section({ cid, bytes }: Block): Uint8Array {
  return join(encodeSectionHead(cid, bytes.length), bytes);
}

const header = carV1Header(root.cid);
const carV1 = join(header, section(root), section(leaf));
const pragma = [0x0a, 0xa1, 0x67, 0x76, 0x65, 0x72, 0x73, 0x69, 0x6f, 0x6e, 0x02];

interface V2 {
  inner?: Uint8Array;
  padding?: number;
  dataOffset?: number;
  dataBytes?: number;
  behind?: Uint8Array;
}

function carV2({ inner = carV1, padding = 0, behind = new Uint8Array(), ...fixed }: V2 = {}): Uint8Array {
  const fields = Buffer.alloc(40);
  fields.writeBigUInt64LE(BigInt(fixed.dataOffset ?? 51 + padding), 16);
  fields.writeBigUInt64LE(BigInt(fixed.dataBytes ?? inner.length), 24);
  return join(pragma, fields, new Uint8Array(padding), inner, behind);
}

/** A source in pieces of `size` bytes, which tells whether it was closed or read to its end. */
function chunked(bytes: Uint8Array, size = bytes.length) {
  const seen = { closed: false, ended: false, pulled: 0 };
  async function* pull(): AsyncGenerator<Uint8Array> {
    try {
      for (let at = 0; at < bytes.length; at += size) {
        seen.pulled += 1;
        yield bytes.subarray(at, at + size);
      }
      seen.ended = true;
    } finally {
      seen.closed = true;
    }
  }
  return { source: pull(), seen };
}

async function readAll(bytes: Uint8Array, size?: number, limits?: CarLimits) {
  const { roots, sections } = await openCar(chunked(bytes, size).source, limits);
  const blocks: { cid: string; bytes: string; offset: number }[] = [];
  for await (const { cid, bytes: block, offset } of sections) {
    blocks.push({ cid: cid.toString(), bytes: hex(block), offset });
  }
  return { roots: roots.map(String), blocks };
}

const whole = {
  roots: [root.cid.toString()],
  blocks: [
    { cid: root.cid.toString(), bytes: hex(root.bytes), offset: 59 },
    { cid: leaf.cid.toString(), bytes: hex(leaf.bytes), offset: 59 + section(root).length },
  ],
};

test.each([1, 2, 3, 7, 64, 10_000])('chunks of %i bytes give the same sections', async (size) => {
  expect(await readAll(carV1, size)).toEqual(whole);
  const shift = 51 + 13;
  expect(await readAll(carV2({ padding: 13, behind: new Uint8Array(500).fill(9) }), size)).toEqual({
    roots: whole.roots,
    blocks: whole.blocks.map((block) => ({ ...block, offset: block.offset + shift })),
  });
});

test('empty chunks are passed over', async () => {
  async function* pull(): AsyncGenerator<Uint8Array> {
    for (const byte of carV1) {
      yield new Uint8Array();
      yield Uint8Array.of(byte);
    }
    yield new Uint8Array();
  }
  const { sections } = await openCar(pull());
  let count = 0;
  for await (const { bytes } of sections) count += bytes.length;
  expect(count).toBe(303);
});

test('a header with one root has 59 bytes', () => {
  expect(header.length).toBe(59);
});

test('a block without bytes is a section like any other', async () => {
  const empty = await rawBlock(new Uint8Array());
  expect((await readAll(join(header, section(empty)))).blocks).toMatchObject([
    { cid: empty.cid.toString(), bytes: '' },
  ]);
  expect((await readAll(carV1.subarray(0, 59))).blocks).toEqual([]);
});

test('a length with idle zeros is read, as go-car reads it', async () => {
  const plain = section(root);
  expect(plain[0]).toBe(39);
  const padded = join(header, [0x80 | 39, 0x80, 0x00], plain.subarray(1));
  expect((await readAll(padded)).blocks).toEqual([whole.blocks[0]]);
});

const anyBlocks = fc.array(fc.uint8Array({ maxLength: 500 }), { maxLength: 8 });

test('what @ipld/car writes we read', async () => {
  const property = fc.asyncProperty(anyBlocks, fc.integer({ min: 1, max: 100 }), async (contents, size) => {
    const blocks = await Promise.all(contents.map(rawBlock));
    const roots = blocks.slice(0, 3).map(({ cid }) => cid);
    const { writer, out } = CarWriter.create(roots);
    const written = (async () => {
      const parts: Uint8Array[] = [];
      for await (const part of out) parts.push(part);
      return join(...parts);
    })();
    for (const block of blocks) await writer.put(block);
    await writer.close();
    const read = await readAll(await written, size);
    expect(read.roots).toEqual(roots.map(String));
    expect(read.blocks.map(({ cid, bytes }) => [cid, bytes])).toEqual(
      blocks.map(({ cid, bytes }) => [cid.toString(), hex(bytes)]),
    );
  });
  await fc.assert(property, { numRuns: 40 });
});

test('what we write @ipld/car reads, and offsets point at the sections', async () => {
  const property = fc.asyncProperty(anyBlocks, async (contents) => {
    const blocks = await Promise.all(contents.map(rawBlock));
    const bytes = join(carV1Header(root.cid), ...blocks.map(section));
    const reader = await CarReader.fromBytes(bytes);
    expect((await reader.getRoots()).map(String)).toEqual([root.cid.toString()]);
    const read: string[] = [];
    for await (const block of reader.blocks()) read.push(hex(block.bytes));
    expect(read).toEqual(contents.map(hex));
    const ours = await readAll(bytes);
    for (const [i, { offset }] of ours.blocks.entries()) {
      const expected = section(blocks[i] ?? root);
      expect(hex(bytes.subarray(offset, offset + expected.length))).toBe(hex(expected));
    }
  });
  await fc.assert(property, { numRuns: 40 });
});

function headerOf(value: unknown): Uint8Array {
  const bytes = dagCbor.encode(value);
  return join(encodeLength(bytes.length), bytes);
}

function encodeLength(length: number): number[] {
  return length < 0x80 ? [length] : [(length & 0x7f) | 0x80, ...encodeLength(Math.floor(length / 0x80))];
}

const roots = [root.cid];
const second = 59 + section(root).length;
const v2Second = 51 + second;

/** A section whose CIDv0 has a digest of 256 KiB, the text of which takes minutes in base58. */
function longV0(): Uint8Array {
  const cid = join([0x12], encodeLength(256 * 1024), new Uint8Array(256 * 1024));
  return join(encodeLength(cid.length), cid);
}

test.each<[string, string, Uint8Array, number]>([
  ['CAR_TRUNCATED', 'nothing', new Uint8Array(), 0],
  ['CAR_TRUNCATED', 'half a header', header.subarray(0, 20), 0],
  ['CAR_TRUNCATED', 'half a header length', Uint8Array.of(0x80), 0],
  ['CAR_TRUNCATED', 'half a block', carV1.subarray(0, carV1.length - 1), second],
  ['CAR_TRUNCATED', 'half a CID', carV1.subarray(0, 59 + 9), 59],
  ['CAR_TRUNCATED', 'half a length', join(carV1, [0x80]), carV1.length],
  ['CAR_TRUNCATED', 'a length alone', join(carV1, [5]), carV1.length],
  ['CAR_HEADER_INVALID', 'a header without length', Uint8Array.of(0, 1, 2), 0],
  ['CAR_HEADER_INVALID', 'a header over the limit', join(encodeLength(1024 * 1024 + 1), [0]), 0],
  ['CAR_HEADER_INVALID', 'a header that is no CBOR', Uint8Array.of(3, 0xff, 0xff, 0xff), 0],
  ['CAR_HEADER_INVALID', 'text', new TextEncoder().encode('<!doctype html>'.repeat(9)), 0],
  ['CAR_HEADER_INVALID', 'a list as header', headerOf([1]), 0],
  ['CAR_HEADER_INVALID', 'a number as header', headerOf(1), 0],
  ['CAR_HEADER_INVALID', 'null as header', headerOf(null), 0],
  ['CAR_HEADER_INVALID', 'a CID as header', headerOf(root.cid), 0],
  ['CAR_HEADER_INVALID', 'a header without version', headerOf({ roots }), 0],
  ['CAR_HEADER_INVALID', 'a header without roots', headerOf({ version: 1 }), 0],
  ['CAR_HEADER_INVALID', 'roots that are no list', headerOf({ version: 1, roots: root.cid }), 0],
  ['CAR_HEADER_INVALID', 'a root that is no CID', headerOf({ version: 1, roots: ['x'] }), 0],
  ['CAR_VERSION_UNSUPPORTED', 'version 3', headerOf({ version: 3, roots }), 0],
  ['CAR_VERSION_UNSUPPORTED', 'version 0', headerOf({ version: 0, roots }), 0],
  ['CAR_VERSION_UNSUPPORTED', 'version "1"', headerOf({ version: '1', roots }), 0],
  ['CAR_VERSION_UNSUPPORTED', 'version 2 with roots', headerOf({ version: 2, roots }), 0],
  ['CAR_SECTION_EMPTY', 'zero padding behind', join(carV1, new Uint8Array(64)), carV1.length],
  ['CAR_SECTION_TOO_LARGE', 'a section over 8 MiB', join(carV1, encodeLength(8 * 1024 * 1024 + 1)), carV1.length],
  ['CAR_VARINT_INVALID', 'an endless length', join(carV1, new Uint8Array(20).fill(0xff)), carV1.length],
  ['CAR_CID_INVALID', 'garbage behind', join(carV1, [4, 0xde, 0xad, 0xbe, 0xef]), carV1.length],
  ['CAR_CID_INVALID', 'a CID longer than its section', join(carV1, [20], leaf.cid.bytes), carV1.length],
  ['CAR_CID_INVALID', 'a CID with idle zeros', join(header, [5, 0x01, 0xd5, 0x00, 0x00, 0x00]), 59],
  ['CAR_TRUNCATED', 'half a CARv2 header', carV2().subarray(0, 30), 30],
  ['CAR_PAYLOAD_MISSING', 'a CARv2 of 0 bytes', carV2({ dataBytes: 0 }), 11],
  ['CAR_PAYLOAD_MISSING', 'a payload inside the header', carV2({ dataOffset: 50 }), 11],
  ['CAR_PAYLOAD_MISSING', 'a payload behind the end', carV2({ dataOffset: 5_000 }), carV2().length],
  ['CAR_PAYLOAD_MISSING', 'a payload beyond 2^53', carV2({ dataOffset: 2 ** 60 }), 11],
  ['CAR_TRUNCATED', 'a CARv2 that ends where the payload begins', carV2().subarray(0, 51), 51],
  ['CAR_TRUNCATED', 'a CARv2 that ends early', carV2().subarray(0, v2Second), v2Second],
  ['CAR_TRUNCATED', 'a section across the end of the payload', carV2({ dataBytes: carV1.length - 1 }), v2Second],
  ['CAR_HEADER_INVALID', 'a payload shorter than its header', carV2({ dataBytes: 10 }), 51],
  ['CAR_VERSION_UNSUPPORTED', 'a CARv2 in a CARv2', carV2({ inner: carV2() }), 51],
  [
    'IDENTITY_CID_TOO_LARGE',
    'an identity CID of 129 bytes',
    join(header, section({ cid: identityCid(new Uint8Array(129)), bytes: new Uint8Array(129) })),
    59,
  ],
  [
    'CAR_CID_INVALID',
    'an identity CID of 5000 bytes, which is none any more',
    join(header, section({ cid: identityCid(new Uint8Array(5_000)), bytes: new Uint8Array() })),
    59,
  ],
  ['CAR_CID_INVALID', 'a CIDv0 of 256 KiB', join(header, longV0()), 59],
  ['IDENTITY_CID_TOO_LARGE', 'an identity root', carV1Header(identityCid(new Uint8Array(200))), 0],
])('%s: %s', async (code, _, bytes, offset) => {
  for (const size of [1, bytes.length || 1]) {
    await expect(readAll(bytes, size)).rejects.toThrow(
      expect.objectContaining({ name: 'FormatError', code, details: expect.objectContaining({ offset }) }),
    );
  }
});

test('limits are exact', async () => {
  const limits = { maxSectionBytes: 339, maxHeaderBytes: 58, maxIdentityBytes: 128 };
  expect(leaf.cid.bytes.length + leaf.bytes.length).toBe(336);
  expect(header.length - 1).toBe(58);
  await readAll(carV1, 10, { ...limits, maxSectionBytes: 336 });
  await expect(readAll(carV1, 10, { ...limits, maxSectionBytes: 335 })).rejects.toThrow(/exceeds 335/);
  await expect(readAll(carV1, 10, { ...limits, maxHeaderBytes: 57 })).rejects.toThrow(/exceeds 57/);
  const cid = identityCid(new Uint8Array(128));
  expect((await readAll(join(header, section({ cid, bytes: new Uint8Array(128) })))).blocks.length).toBe(1);
});

test('a section over the limit is refused before its bytes are read', async () => {
  const bytes = join(header, encodeLength(9 * 1024 * 1024), new Uint8Array(10_000));
  const { source, seen } = chunked(bytes, 100);
  const { sections } = await openCar(source);
  await expect(sections.next()).rejects.toThrow(/cut the data/);
  expect(seen.pulled).toBe(1);
  expect(seen.closed).toBe(true);
});

test('an error in the header closes the source', async () => {
  const { source, seen } = chunked(join(headerOf({ version: 9 }), new Uint8Array(100)), 10);
  await expect(openCar(source)).rejects.toThrow(/version 1 or 2/);
  expect(seen).toMatchObject({ closed: true, ended: false });
});

test('leaving early closes the source, reading on to the end of a CARv2 ends it', async () => {
  const early = chunked(carV1, 10);
  for await (const { offset } of (await openCar(early.source)).sections) {
    expect(offset).toBe(59);
    break;
  }
  expect(early.seen).toMatchObject({ closed: true, ended: false });

  const late = chunked(carV2({ behind: new Uint8Array(1_000) }), 10);
  for await (const { cid } of (await openCar(late.source)).sections) expect(cid.code).toBe(0x55);
  expect(late.seen).toMatchObject({ closed: true, ended: true });
});

test('what the source throws is thrown as it is', async () => {
  const failure = new Error('the client went away');
  async function* pull(): AsyncGenerator<Uint8Array> {
    yield carV1.subarray(0, 100);
    throw failure;
  }
  const { sections } = await openCar(pull());
  await expect(sections.next()).resolves.toMatchObject({ done: false });
  await expect(sections.next()).rejects.toBe(failure);
});

test('large blocks in small chunks are copied once', async () => {
  const block = await rawBlock(new Uint8Array(1024 * 1024).fill(5));
  const one = Buffer.concat([encodeSectionHead(block.cid, block.bytes.length), block.bytes]);
  const { source, seen } = chunked(Buffer.concat([header, ...Array.from({ length: 16 }, () => one)]), 64 * 1024);
  let previous = 0;
  let total = 0;
  for await (const { bytes, offset } of (await openCar(source)).sections) {
    // No more is pulled than the section needs, and its bytes lie alone in their memory.
    expect(seen.pulled - previous).toBeLessThanOrEqual(17);
    expect(bytes.buffer.byteLength).toBeLessThanOrEqual(one.length);
    expect(seen.pulled).toBe(Math.ceil((offset + one.length) / (64 * 1024)));
    previous = seen.pulled;
    total += bytes.length;
  }
  expect(total).toBe(16 * 1024 * 1024);
});

test.each([1, 40, 64, 250, 10_000])(
  'sections that pass are right while they do, in chunks of %i bytes',
  async (size) => {
    for (const bytes of [carV1, carV2({ padding: 13 })]) {
      const passing = await openCar(inPassingChunks(bytes, size), defaultCarLimits, { passing: true });
      const blocks: { cid: string; bytes: string }[] = [];
      for await (const { cid, bytes: block } of passing.sections)
        blocks.push({ cid: cid.toString(), bytes: hex(block) });
      expect(blocks).toEqual(whole.blocks.map(({ cid, bytes: block }) => ({ cid, bytes: block })));
      expect(passing.roots.map(String)).toEqual(whole.roots);
    }
  },
);

test('sections that pass share one memory', async () => {
  const block = await rawBlock(new Uint8Array(1024 * 1024).fill(5));
  const one = Buffer.concat([encodeSectionHead(block.cid, block.bytes.length), block.bytes]);
  const { source } = chunked(Buffer.concat([header, ...Array.from({ length: 8 }, () => one)]), 64 * 1024);
  const memories = new Set<ArrayBufferLike>();
  const { sections } = await openCar(source, defaultCarLimits, { passing: true });
  for await (const { bytes } of sections) {
    memories.add(bytes.buffer);
    expect(Buffer.compare(bytes, block.bytes)).toBe(0);
  }
  expect(memories.size).toBe(1);
});

test('any damage to a CAR ends in sections or a FormatError', async () => {
  const bytes = carV2({ behind: new Uint8Array(9) });
  const property = fc.asyncProperty(fc.nat(bytes.length - 1), fc.nat(255), async (at, byte) => {
    await readAll(bytes.with(at, byte), 50).catch((error: unknown) => {
      expect(error).toMatchObject({ name: 'FormatError' });
    });
  });
  await fc.assert(property, { numRuns: 500 });
});

test('the default limits are those of the ecosystem', () => {
  expect(defaultCarLimits).toEqual({ maxSectionBytes: 8_388_608, maxHeaderBytes: 1_048_576, maxIdentityBytes: 128 });
});
