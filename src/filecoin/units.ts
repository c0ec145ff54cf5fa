import { FormatError } from './format-error.ts';

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'] as const;

const DURATION_UNITS = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
  ['ms', 1],
] as const;

const FIL_DECIMALS = 18;

/** No size, time or sum of money takes more characters; longer text is not worth reading. */
const MAX_CHARACTERS = 64;

/** Reads `32GiB`, `1.5 KiB` or `127` (bytes); powers of 1024 only, and whole bytes. Throws FormatError INVALID_SIZE. */
export function parseBytes(text: string): bigint {
  const match = /^(\d+)(?:\.(\d+))? ?([KMGTPE]iB|B)?$/.exec(bounded(text));
  const [, whole, fraction = '', unit = 'B'] = match ?? [];
  if (whole === undefined) throw invalid('INVALID_SIZE', text, 'a size like 32GiB, 512MiB or 1024');
  const scale = 1024n ** BigInt(BYTE_UNITS.findIndex((name) => name === unit));
  const numerator = BigInt(whole + fraction) * scale;
  const denominator = 10n ** BigInt(fraction.length);
  if (numerator % denominator !== 0n) throw invalid('INVALID_SIZE', text, 'a whole number of bytes');
  return numerator / denominator;
}

/** `32 GiB`, `1.5 MiB`, `127 B`: for people, so at most two decimals, rounded down. */
export function formatBytes(bytes: bigint | number): string {
  const exact = BigInt(bytes);
  const magnitude = exact < 0n ? -exact : exact;
  let power = 0;
  while (power < BYTE_UNITS.length - 1 && magnitude >= 1024n ** BigInt(power + 1)) power += 1;
  const hundredths = (magnitude * 100n) / 1024n ** BigInt(power);
  return `${exact < 0n ? '-' : ''}${decimal(hundredths, 2)} ${BYTE_UNITS[power]}`;
}

/** Reads `12h`, `1h30m`, `2d 12h` or `250ms`, largest unit first, into milliseconds. Throws FormatError INVALID_DURATION. */
export function parseDurationMs(text: string): number {
  const match = /^(?:(\d+)d)? ?(?:(\d+)h)? ?(?:(\d+)m(?!s))? ?(?:(\d+)s)? ?(?:(\d+)ms)?$/.exec(bounded(text));
  const counts = match?.slice(1) ?? [];
  if (!counts.some((count) => count !== undefined)) {
    throw invalid('INVALID_DURATION', text, 'a duration like 12h, 1h30m or 2d');
  }
  const totalMs = DURATION_UNITS.reduce((sum, [, unitMs], i) => sum + Number(counts[i] ?? 0) * unitMs, 0);
  if (!Number.isSafeInteger(totalMs)) throw invalid('INVALID_DURATION', text, 'a shorter duration');
  return totalMs;
}

/** `2d 12h`, `1m 30s`, `250ms`: for people, so the two largest units, rounded down. */
export function formatDuration(ms: number): string {
  if (ms < 0) return `-${formatDuration(-ms)}`;
  const first = DURATION_UNITS.findIndex(([, unitMs]) => ms >= unitMs);
  if (first < 0) return '0s';
  let restMs = Math.floor(ms);
  const parts = DURATION_UNITS.slice(first, first + 2).map(([name, unitMs]) => {
    const count = Math.floor(restMs / unitMs);
    restMs -= count * unitMs;
    return count === 0 ? '' : `${count}${name}`;
  });
  return parts.filter((part) => part !== '').join(' ');
}

/** Reads FIL, `1.5` or `1.5 FIL`, into attoFIL. Throws FormatError INVALID_FIL. */
export function parseFil(text: string): bigint {
  const match = /^(\d+)(?:\.(\d{1,18}))?(?: ?FIL)?$/.exec(bounded(text));
  const [, whole, fraction = ''] = match ?? [];
  if (whole === undefined) throw invalid('INVALID_FIL', text, 'an amount of FIL like 1.5, with at most 18 decimals');
  return BigInt(whole + fraction.padEnd(FIL_DECIMALS, '0'));
}

/** attoFIL as FIL, exactly: `1.5`, without the unit. */
export function formatFil(atto: bigint): string {
  const magnitude = atto < 0n ? -atto : atto;
  return `${atto < 0n ? '-' : ''}${decimal(magnitude, FIL_DECIMALS)}`;
}

/** A number of 10^-decimals, without trailing zeros. */
function decimal(scaled: bigint, decimals: number): string {
  const scale = 10n ** BigInt(decimals);
  const fraction = String(scaled % scale)
    .padStart(decimals, '0')
    .replace(/0+$/, '');
  return fraction === '' ? `${scaled / scale}` : `${scaled / scale}.${fraction}`;
}

function bounded(text: string): string {
  return text.length <= MAX_CHARACTERS ? text.trim() : '';
}

function invalid(code: string, text: string, expected: string): FormatError {
  return new FormatError(code, `${JSON.stringify(text.slice(0, MAX_CHARACTERS))} is not ${expected}`);
}
