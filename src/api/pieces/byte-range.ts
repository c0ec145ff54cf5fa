/** The answer to a Range header: all bytes, one part of them, or 416. `end` is exclusive. */
export type ByteRange = { kind: 'full' } | { kind: 'part'; start: number; end: number } | { kind: 'unsatisfiable' };

const UNSATISFIABLE: ByteRange = { kind: 'unsatisfiable' };

/**
 * Pure; RFC 9110 section 14. One range: closed, open-ended or suffix; an end beyond the last byte is clamped (Boost
 * asks for one byte more than there is). Several ranges, or a `bytes` range that cannot be read, are 416 and not 200
 * with everything, though the RFC allows that: Boost takes a 200 for its part, and builds a corrupt file.
 */
export function parseByteRange(header: string | undefined, sizeBytes: number): ByteRange {
  const spec = /^bytes *=(.*)$/i.exec(header?.trim() ?? '')?.[1];
  // A unit we do not know is as good as no range.
  if (spec === undefined) return { kind: 'full' };
  const match = /^ *(\d*)-(\d*) *$/.exec(spec);
  if (match === null) return UNSATISFIABLE;
  const [, first = '', last = ''] = match;
  if (first === '') return suffix(last, sizeBytes);
  const start = Number(first);
  const end = last === '' ? sizeBytes : Math.min(Number(last) + 1, sizeBytes);
  return start < end ? { kind: 'part', start, end } : UNSATISFIABLE;
}

function suffix(length: string, sizeBytes: number): ByteRange {
  if (length === '' || Number(length) === 0 || sizeBytes === 0) return UNSATISFIABLE;
  return { kind: 'part', start: Math.max(0, sizeBytes - Number(length)), end: sizeBytes };
}
