/** Figures as people read them. Pure, and free of the DOM: tests import it. */

const BINARY = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB', 'EiB'];
const ATTO_PER_FIL = 10n ** 18n;
const COUNT = new Intl.NumberFormat('en-GB');
const PART = new Intl.NumberFormat('en-GB', { maximumFractionDigits: 4 });

/** `1.5 GiB`; three digits that count. */
export function formatBytes(bytes: number | bigint): string {
  let value = Number(bytes);
  let unit = 0;
  // Not 1024: 1023.9 would be written as 1024.
  while (Math.abs(value) >= 1_023.5 && unit < BINARY.length - 1) {
    value /= 1_024;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${Number(value.toFixed(digits))} ${BINARY[unit]}`;
}

/** `12,345`. */
export function formatCount(count: number | bigint): string {
  return COUNT.format(count);
}

/** attoFIL as the largest unit in which it is not tiny: `1.25 FIL`, `40 nanoFIL`, `17 attoFIL`. */
export function formatFil(atto: string | bigint): string {
  const value = BigInt(atto);
  const size = value < 0n ? -value : value;
  if (size === 0n) return '0 FIL';
  if (size >= ATTO_PER_FIL / 10_000n) return `${trimmed(value, ATTO_PER_FIL)} FIL`;
  if (size >= 10n ** 8n) return `${trimmed(value, 10n ** 9n)} nanoFIL`;
  return `${formatCount(value)} attoFIL`;
}

function trimmed(value: bigint, unit: bigint): string {
  return PART.format(Number((value * 10_000n) / unit) / 10_000);
}

const SPANS: readonly (readonly [name: string, seconds: number])[] = [
  ['y', 365 * 86_400],
  ['d', 86_400],
  ['h', 3_600],
  ['min', 60],
  ['s', 1],
];

/** `3 d 4 h`: two units at most, the second only beside a small first. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const at = SPANS.findIndex(([, size]) => whole >= size);
  const [name, size] = SPANS[at] ?? ['s', 1];
  const first = Math.floor(whole / size);
  const [nextName, nextSize] = SPANS[at + 1] ?? ['', 0];
  const second = nextSize === 0 ? 0 : Math.floor((whole % size) / nextSize);
  return second > 0 && first < 10 ? `${first} ${name} ${second} ${nextName}` : `${first} ${name}`;
}

/** `3 d ago`, `in 2 h`, `now`. */
export function formatRelative(at: Date, now: Date): string {
  const seconds = (now.getTime() - at.getTime()) / 1_000;
  if (Math.abs(seconds) < 5) return 'now';
  const rough = formatDuration(Math.abs(seconds)).split(' ').slice(0, 2).join(' ');
  return seconds > 0 ? `${rough} ago` : `in ${rough}`;
}

/** `2026-05-01 12:30:05 UTC`: of all who look, the same text. */
export function formatExact(at: Date): string {
  return `${at.toISOString().slice(0, 19).replace('T', ' ')} UTC`;
}

/** `bafybeigd…q5ut4`: the ends tell one from another. */
export function shorten(text: string, { head = 9, tail = 6 } = {}): string {
  return text.length <= head + tail + 1 ? text : `${text.slice(0, head)}…${text.slice(-tail)}`;
}

/** `0.4213` as `42 %`; never 100 before it is all, nor 0 when there is something. */
export function formatShare(share: number): string {
  if (share > 0 && share < 0.01) return '< 1 %';
  if (share < 1 && share >= 0.995) return '> 99 %';
  return `${Math.round(share * 100)} %`;
}

/** `not_open` and `not-open` as `not open`. */
export function plainWords(text: string): string {
  return text.replaceAll(/[_-]+/g, ' ');
}
