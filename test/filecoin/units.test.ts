import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  formatBytes,
  formatDuration,
  formatFil,
  parseBytes,
  parseDurationMs,
  parseFil,
} from '../../src/filecoin/units.ts';

test.each([
  ['0', 0n],
  ['127', 127n],
  ['127B', 127n],
  ['1KiB', 1024n],
  ['1.5 KiB', 1536n],
  [' 32GiB ', 34_359_738_368n],
  ['0.5EiB', 2n ** 59n],
  ['31.75 GiB', 34_091_302_912n],
])('%j is a size', (text, bytes) => {
  expect(parseBytes(text)).toBe(bytes);
});

test.each([
  '',
  'GiB',
  '-1',
  '1e3',
  '1GB',
  '1 gib',
  '0.3B',
  '0.1KiB',
  '1.KiB',
  '1  KiB',
  '0x10',
  '1KiB1',
  '9'.repeat(99),
])('%j is no size', (text) => {
  expect(() => parseBytes(text)).toThrow(expect.objectContaining({ code: 'INVALID_SIZE' }));
});

test.each([
  [0, '0 B'],
  [1023, '1023 B'],
  [1024, '1 KiB'],
  [1536n, '1.5 KiB'],
  [34_091_302_912n, '31.75 GiB'],
  [34_359_738_368n, '32 GiB'],
  [2n ** 60n * 5000n, '5000 EiB'],
  [-2048, '-2 KiB'],
  [1_048_575, '1023.99 KiB'],
])('%s bytes are %s', (bytes, text) => {
  expect(formatBytes(bytes)).toBe(text);
});

test('hundredths of a unit come back exactly', () => {
  const property = fc.property(fc.integer({ min: 100, max: 102_399 }), fc.integer({ min: 1, max: 5 }), (n, power) => {
    // 25 hundredths are exact in every binary unit.
    const bytes = (BigInt(n - (n % 25)) * 1024n ** BigInt(power)) / 100n;
    expect(parseBytes(formatBytes(bytes))).toBe(bytes);
  });
  fc.assert(property);
});

test.each([
  ['250ms', 250],
  ['45s', 45_000],
  ['12h', 43_200_000],
  ['1h30m', 5_400_000],
  ['2d 12h', 216_000_000],
  ['1m1ms', 60_001],
  ['0s', 0],
])('%j is a duration', (text, ms) => {
  expect(parseDurationMs(text)).toBe(ms);
});

test.each(['', ' ', '12', 'h', '-1h', '1.5h', '30m1h', '1 h', '1h1h', '1w', '9'.repeat(30) + 'd'])(
  '%j is no duration',
  (text) => {
    expect(() => parseDurationMs(text)).toThrow(expect.objectContaining({ code: 'INVALID_DURATION' }));
  },
);

test('a duration is written with its two largest units, rounded down', () => {
  expect(formatDuration(0)).toBe('0s');
  expect(formatDuration(90_061_000)).toBe('1d 1h');
  expect(formatDuration(86_460_000)).toBe('1d');
  expect(formatDuration(-1_500)).toBe('-1s 500ms');
  const property = fc.property(fc.nat(2 ** 40), (ms) => {
    const read = parseDurationMs(formatDuration(ms));
    expect(read).toBeLessThanOrEqual(ms);
    expect(ms - read).toBeLessThanOrEqual(ms / 24);
    expect(formatDuration(read)).toBe(formatDuration(ms));
  });
  fc.assert(property);
});

test('FIL comes back to the last attoFIL', () => {
  expect(parseFil('1.5')).toBe(1_500_000_000_000_000_000n);
  expect(parseFil('0.000000000000000001 FIL')).toBe(1n);
  expect(formatFil(1_500_000_000_000_000_000n)).toBe('1.5');
  expect(formatFil(-1n)).toBe('-0.000000000000000001');
  expect(formatFil(0n)).toBe('0');
  const property = fc.property(fc.bigInt(0n, 2n ** 100n), (atto) => {
    expect(parseFil(formatFil(atto))).toBe(atto);
  });
  fc.assert(property);
});

test.each(['', '-1', '1,5', '1.', '.5', '1e18', '0.0000000000000000001', '1 fil', 'FIL'])('%j is no amount', (text) => {
  expect(() => parseFil(text)).toThrow(expect.objectContaining({ code: 'INVALID_FIL' }));
});
