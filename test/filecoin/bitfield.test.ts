import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeBitfield, encodeBitfield } from '../../src/filecoin/bitfield.ts';
import vectors from '../vectors/bitfield.json' with { type: 'json' };
import { fromHex, hex } from './hex.ts';

/** RLE+ on a string of '0' and '1', run by run, as the specification words it. */
function naiveEncode(set: number[]): string {
  if (set.length === 0) return '';
  const flags = Array.from({ length: Math.max(...set) + 1 }, (_, i) => (set.includes(i) ? '1' : '0')).join('');
  let stream = `00${flags[0]}`;
  for (const { length } of flags.match(/0+|1+/g) ?? []) {
    if (length === 1) stream += '1';
    else if (length < 16) stream += `01${lowFirst(length, 4)}`;
    else stream += `00${varintBits(length)}`;
  }
  const trimmed = stream.replace(/0+$/, '');
  return (trimmed.match(/.{1,8}/g) ?? []).map((byte) => toHex(byte.padEnd(8, '0'))).join('');
}

function lowFirst(value: number, bits: number): string {
  return Array.from(value.toString(2).padStart(bits, '0')).reverse().join('');
}

function varintBits(value: number): string {
  return value < 128 ? lowFirst(value, 8) : lowFirst((value % 128) + 128, 8) + varintBits(Math.floor(value / 128));
}

function toHex(lowFirstByte: string): string {
  return Number.parseInt(Array.from(lowFirstByte).reverse().join(''), 2).toString(16).padStart(2, '0');
}

const runs = fc.array(fc.tuple(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 1, max: 40 })), { maxLength: 8 });

function members(pairs: [number, number][]): number[] {
  const set: number[] = [];
  let position = 0;
  for (const [gap, length] of pairs) {
    position += gap;
    for (let i = 0; i < length; i += 1) set.push(position++);
  }
  return set;
}

test.each(vectors.vectors)('go-bitfield: $hex', ({ set, hex: expected }) => {
  expect(hex(encodeBitfield(set))).toBe(expected);
  expect(decodeBitfield(fromHex(expected))).toEqual(set);
});

test('a bit-level oracle writes the same bytes, and they come back', () => {
  const property = fc.property(runs, (pairs) => {
    const set = members(pairs);
    const encoded = encodeBitfield(set.toReversed());
    expect(hex(encoded)).toBe(naiveEncode(set));
    expect(decodeBitfield(encoded)).toEqual(set);
  });
  fc.assert(property, { numRuns: 500 });
});

test('far positions come back', () => {
  const set = [5, 2 ** 31, 2 ** 40, 2 ** 53 - 1];
  expect(decodeBitfield(encodeBitfield(set))).toEqual(set);
});

test('reading any bytes ends in a rising set or a FormatError', () => {
  const property = fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
    try {
      const set = decodeBitfield(bytes);
      expect(set.every((position, i) => i === 0 || position > (set[i - 1] ?? 0))).toBe(true);
      expect(decodeBitfield(encodeBitfield(set))).toEqual(set);
    } catch (error) {
      expect(error).toMatchObject({ code: 'BITFIELD_INVALID' });
    }
  });
  fc.assert(property, { numRuns: 1000 });
});

test('writing refuses what is no position', () => {
  for (const set of [[-1], [0.5], [2 ** 53], [Number.NaN]]) {
    expect(() => encodeBitfield(set)).toThrow(expect.objectContaining({ code: 'BITFIELD_INVALID' }));
  }
});

/** Bits in the order they are read. */
function packed(bits: string): Uint8Array {
  return fromHex((bits.match(/.{1,8}/g) ?? []).map((byte) => toHex(byte.padEnd(8, '0'))).join(''));
}

test.each([
  ['a trailing zero byte', fromHex('0c00')],
  ['version 1', packed('1011')],
  ['a varint with a zero at its end', packed(`00100${lowFirst(0x85, 8)}${lowFirst(0, 8)}1`)],
  ['a varint of eleven bytes', packed(`00100${lowFirst(0xff, 8).repeat(10)}${lowFirst(1, 8)}`)],
  ['a run of 2^40 members', packed(`00100${lowFirst(0x80, 8).repeat(5)}${lowFirst(32, 8)}`)],
  ['runs beyond 2^53', packed(`00000${lowFirst(0x80, 8).repeat(8)}${lowFirst(1, 8)}1`)],
])('reading refuses %s', (_, bytes) => {
  expect(() => decodeBitfield(bytes)).toThrow(expect.objectContaining({ code: 'BITFIELD_INVALID' }));
});
