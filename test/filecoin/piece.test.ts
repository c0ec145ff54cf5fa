import { Piece } from '@web3-storage/data-segment';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { naturalPieceBytes, parsePieceCid, pieceCapacity, pieceCidV1, pieceCidV2 } from '../../src/filecoin/piece.ts';
import vectors from '../vectors/piece-cid.json' with { type: 'json' };
import { hex } from './hex.ts';

const anyRoot = fc.uint8Array({ minLength: 32, maxLength: 32 });

test.each(vectors.vectors)('FRC-0069: $v2', ({ payload, v1, v2 }) => {
  const rawBytes = payload.reduce((sum, [, count = 0]) => sum + BigInt(count), 0n);
  const piece = parsePieceCid(v2);
  expect(piece).toMatchObject({ rawBytes, paddedBytes: naturalPieceBytes(rawBytes) });
  expect(piece.v1.toString()).toBe(v1);
  expect(pieceCidV1(piece.root).toString()).toBe(v1);
  expect(pieceCidV2(piece.root, rawBytes).toString()).toBe(v2);
  expect(hex(parsePieceCid(v1).root)).toBe(hex(piece.root));
});

test.each(vectors.zero_pieces)('zero piece of $padded bytes', ({ padded, v1, v2 }) => {
  const piece = parsePieceCid(v2);
  expect(piece.paddedBytes).toBe(BigInt(padded));
  expect(piece.rawBytes).toBe(pieceCapacity(BigInt(padded)));
  expect(pieceCidV1(piece.root).toString()).toBe(v1);
  expect(pieceCidV2(piece.root, pieceCapacity(BigInt(padded))).toString()).toBe(v2);
});

test('the first form says nothing of sizes', () => {
  const [vector] = vectors.vectors;
  expect(Object.keys(parsePieceCid(vector?.v1 ?? ''))).toEqual(['root', 'v1']);
});

test('data-segment reads what we write', () => {
  const property = fc.property(anyRoot, fc.bigInt(127n, 2n ** 40n), (root, rawBytes) => {
    const text = pieceCidV2(root, rawBytes).toString();
    const piece = Piece.fromString(text);
    expect(hex(piece.root)).toBe(hex(root));
    expect(2n ** BigInt(piece.height) * 32n).toBe(naturalPieceBytes(rawBytes));
    expect(pieceCapacity(naturalPieceBytes(rawBytes)) - piece.padding).toBe(rawBytes);
    expect(parsePieceCid(text)).toMatchObject({ rawBytes, paddedBytes: naturalPieceBytes(rawBytes) });
  });
  fc.assert(property);
});

test('the natural size is the smallest power of two that holds the bytes', () => {
  const property = fc.property(fc.bigInt(0n, 2n ** 45n), (rawBytes) => {
    const padded = naturalPieceBytes(rawBytes);
    expect(padded & (padded - 1n)).toBe(0n);
    expect(pieceCapacity(padded) >= rawBytes).toBe(true);
    expect(padded === 128n || pieceCapacity(padded / 2n) < rawBytes).toBe(true);
  });
  fc.assert(property);
  expect(naturalPieceBytes(34_091_302_912n)).toBe(2n ** 35n);
  expect(naturalPieceBytes(34_091_302_913n)).toBe(2n ** 36n);
  expect(naturalPieceBytes(17_045_651_457n)).toBe(2n ** 35n);
});

function v2Cid(digest: number[]): string {
  const root = new Uint8Array(32);
  const template = pieceCidV2(root, 127n);
  const bytes = Uint8Array.of(...template.bytes.subarray(0, 4), digest.length + 32, ...digest, ...root);
  return `b${base32(bytes)}`;
}

function base32(bytes: Uint8Array): string {
  const bits = [...bytes].map((byte) => byte.toString(2).padStart(8, '0')).join('');
  const digits = bits.match(/.{1,5}/g) ?? [];
  return digits.map((five) => 'abcdefghijklmnopqrstuvwxyz234567'[Number.parseInt(five.padEnd(5, '0'), 2)]).join('');
}

test('CIDs made by hand are read like ours', () => {
  expect(v2Cid([0, 2])).toBe(pieceCidV2(new Uint8Array(32), 127n).toString());
  expect(parsePieceCid(v2Cid([127, 2])).rawBytes).toBe(0n);
});

test.each([
  ['a tree too low', v2Cid([0, 1])],
  ['a tree too high', v2Cid([0, 58])],
  ['more padding than piece', v2Cid([0x80, 0x01, 2])],
  ['a root of 31 bytes', v2Cid([2])],
  ['a root of 33 bytes', v2Cid([0, 2, 0])],
  ['a digest that is one endless varint', v2Cid(Array.from({ length: 12 }, () => 0xff))],
  ['another CID', 'bafybeibhbx3y6tnn7q4gpsous6apnobft5jybvroiepdsmvps2lmycjjxu'],
])('%s is no piece CID', (_, text) => {
  expect(() => parsePieceCid(text)).toThrow(expect.objectContaining({ code: 'INVALID_PIECE_CID' }));
});

test('roots have 32 bytes and pieces no negative length', () => {
  expect(() => pieceCidV1(new Uint8Array(31))).toThrow(/32 bytes/);
  expect(() => pieceCidV2(new Uint8Array(32), -1n)).toThrow(expect.objectContaining({ code: 'PIECE_SIZE_INVALID' }));
});
