import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseByteRange } from '../../src/api/pieces/byte-range.ts';

const full = { kind: 'full' };
const unsatisfiable = { kind: 'unsatisfiable' };
const part = (start: number, end: number) => ({ kind: 'part', start, end });

test.each([
  [undefined, full],
  ['', full],
  ['items=0-1', full],
  ['bytes=0-0', part(0, 1)],
  ['bytes=0-99', part(0, 100)],
  ['bytes=0-100', part(0, 100)],
  ['bytes=90-200', part(90, 100)],
  ['bytes=50-', part(50, 100)],
  ['bytes=99-99', part(99, 100)],
  ['bytes=-1', part(99, 100)],
  ['bytes=-100', part(0, 100)],
  ['bytes=-5000', part(0, 100)],
  ['Bytes = 1-2', part(1, 3)],
  ['bytes=0-99999999999999999999999999', part(0, 100)],
  ['bytes=100-', unsatisfiable],
  ['bytes=100-200', unsatisfiable],
  ['bytes=99999999999999999999999999-', unsatisfiable],
  ['bytes=5-4', unsatisfiable],
  ['bytes=-0', unsatisfiable],
  ['bytes=-', unsatisfiable],
  ['bytes=', unsatisfiable],
  ['bytes=a-b', unsatisfiable],
  ['bytes=0x1-5', unsatisfiable],
  ['bytes=--5', unsatisfiable],
  ['bytes=0-1,5-6', unsatisfiable],
])('%j of 100 bytes', (header, expected) => {
  expect(parseByteRange(header, 100)).toEqual(expected);
});

test('what is answered is within the file and begins where asked', () => {
  const bounds = fc.tuple(fc.nat(2000), fc.nat(2000), fc.integer({ min: 1, max: 1000 }));
  fc.assert(
    fc.property(bounds, ([first, length, size]) => {
      const range = parseByteRange(`bytes=${first}-${first + length}`, size);
      if (first >= size) expect(range).toEqual(unsatisfiable);
      else expect(range).toEqual(part(first, Math.min(first + length + 1, size)));
    }),
  );
});
