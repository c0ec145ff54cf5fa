/** Where things lie in an aggregate, as rectangles of a picture. Pure, and free of the DOM: tests import it. */

export interface Segment {
  offset: number;
  length: number;
  runs: number;
  root: string | null;
}

type Kind = 'run' | 'runs' | 'other';

export interface Box {
  x: number;
  y: number;
  width: number;
  kind: Kind;
  /** Neighbours differ. */
  isOdd: boolean;
  segment: Segment | undefined;
}

interface Sheet {
  /** Bytes of all lines together. */
  totalBytes: number;
  lines: number;
  lineWidth: number;
}

/** A stretch of bytes as one box a line that it touches. */
function* boxesOf(
  from: number,
  to: number,
  { totalBytes, lines, lineWidth }: Sheet,
): Generator<{ x: number; y: number; width: number }> {
  const lineBytes = totalBytes / lines;
  for (let y = Math.floor(from / lineBytes), at = from; at < to && y < lines; y += 1) {
    const end = Math.min(to, (y + 1) * lineBytes);
    const x = ((at - y * lineBytes) / lineBytes) * lineWidth;
    yield { x, y, width: ((end - at) / lineBytes) * lineWidth };
    at = end;
  }
}

/** The runs, line below line, and behind them (`other`) zeros and the batch tree up to `endBytes`. */
export function layOutMap(segments: readonly Segment[], endBytes: number, sheet: Sheet): Box[] {
  const boxes: Box[] = [];
  let last = 0;
  for (const [at, segment] of segments.entries()) {
    last = segment.offset + segment.length;
    const kind = segment.runs === 1 ? 'run' : 'runs';
    for (const place of boxesOf(segment.offset, last, sheet))
      boxes.push({ ...place, kind, isOdd: at % 2 === 1, segment });
  }
  for (const place of boxesOf(last, endBytes, sheet))
    boxes.push({ ...place, kind: 'other', isOdd: false, segment: undefined });
  return boxes;
}
