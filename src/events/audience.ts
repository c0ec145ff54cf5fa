import type { OutboxRow, RowUpload } from './change.ts';
import { matchesRow, matchesUpload } from './filter.ts';
import type { Subscriber } from './subscriber.ts';

/** Who is told of one row: those that named uploads, and those that did not. */
interface RowAudience {
  row: OutboxRow;
  narrow: ReadonlySet<Subscriber>;
  wide: readonly Subscriber[];
}

export interface Audience {
  rows: RowAudience[];
  /** Would be told of more than is worth reading for all at once: they read by themselves. */
  overwhelmed: Set<Subscriber>;
  /** Aggregates all of whose uploads are needed. */
  whole: bigint[];
  /** Aggregates of which only uploads that somebody named are needed, and these names. */
  inPart: { aggregates: bigint[]; roots: string[] };
}

/** Uploads that are read once for everybody in one look; where there are more each wide subscriber reads at its own pace. */
const SHARED_MEMBERS = 2_000;

/** Pure: who may want which rows, and which uploads have to be looked up for that. */
export function findAudience(rows: readonly OutboxRow[], live: readonly Subscriber[]): Audience {
  const overwhelmed = new Set<Subscriber>();
  const held = new Map<bigint, number>();
  const found = rows.map((row): RowAudience => {
    const interested = live.filter(({ filter }) => matchesRow(filter, row));
    const wide = interested.filter(({ roots }) => roots === undefined);
    if (row.kind !== 'upload' && row.aggregateId !== null && wide.length > 0) held.set(row.aggregateId, row.entryCount);
    if ([...held.values()].reduce((sum, entries) => sum + entries, 0) > SHARED_MEMBERS) {
      for (const one of wide) overwhelmed.add(one);
    }
    return { row, wide, narrow: new Set(interested.filter(({ roots }) => roots !== undefined)) };
  });
  return { rows: found, overwhelmed, ...findLookups(found, overwhelmed) };
}

function findLookups(rows: readonly RowAudience[], overwhelmed: ReadonlySet<Subscriber>) {
  const whole = new Set<bigint>();
  const inPart = new Map<bigint, number>();
  const roots = new Set<string>();
  for (const { row, narrow, wide } of rows) {
    if (row.kind === 'upload' || row.aggregateId === null) continue;
    if (wide.some((one) => !overwhelmed.has(one))) whole.add(row.aggregateId);
    else if (narrow.size > 0) inPart.set(row.aggregateId, row.entryCount);
    for (const { roots: named } of narrow) for (const root of named ?? []) roots.add(root);
  }
  for (const [id, entries] of inPart) {
    // Fewer uploads than names: reading them all is the shorter way.
    if (whole.has(id) || entries > Math.min(SHARED_MEMBERS, roots.size)) continue;
    whole.add(id);
  }
  const aggregates = [...inPart.keys()].filter((id) => !whole.has(id));
  return { whole: [...whole], inPart: { aggregates, roots: aggregates.length === 0 ? [] : [...roots] } };
}

/** Pure: the subscribers that are told of this upload by this row. */
export function tellWhom(
  { row, narrow, wide }: RowAudience,
  upload: RowUpload,
  byRoot: ReadonlyMap<string, ReadonlySet<Subscriber>>,
): Subscriber[] {
  const named = [...(byRoot.get(upload.root) ?? [])].filter((one) => narrow.has(one));
  return [...named, ...wide].filter(({ filter }) => matchesUpload(filter, upload, row.at));
}
