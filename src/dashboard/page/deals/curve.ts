/** A transfer over time. Pure, and free of the DOM: tests import it. */

/** Bytes that had left by then. */
export interface Point {
  /** ISO 8601. */
  at: string;
  bytes: number;
}

/** Columns of a chart, in seconds, rising; a later value of the same moment takes the place of an earlier one. */
export function curveOf(points: readonly Point[]): { times: number[]; values: number[] } {
  const byTime = new Map<number, number>();
  const sorted = points
    .map(({ at, bytes }) => ({ second: Date.parse(at) / 1_000, bytes }))
    .toSorted((a, b) => a.second - b.second || a.bytes - b.bytes);
  for (const { second, bytes } of sorted) byTime.set(second, bytes);
  return { times: [...byTime.keys()], values: [...byTime.values()] };
}
