import type { Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { ROW_DONE, type Cursor, type OutboxRow, type RowUpload } from './change.ts';
import { matchesRow, matchesUpload, type EventFilter } from './filter.ts';
import { compareCursors, findHead, listMembers, listRows } from './outbox.ts';

/** Rows of the outbox looked at by one page: a query of a few milliseconds. */
const ROWS_PER_PAGE = 500;

/** One upload's change, not yet in words, and where a reader is that has read it. */
export interface FoundChange {
  row: OutboxRow;
  upload: RowUpload;
}

interface Page {
  /** In order; at most `limit`. */
  changes: FoundChange[];
  /** Where the next page begins; further than the last change where what follows does not concern the filter. */
  cursor: Cursor;
  /** Nothing more could be read. */
  done: boolean;
}

export function cursorOf({ row, upload }: FoundChange): Cursor {
  return { xid: row.xid, position: row.position, index: upload.index };
}

function afterRow({ xid, position }: OutboxRow): Cursor {
  return { xid, position, index: ROW_DONE };
}

/**
 * The next changes after a cursor for one reader. Work is bounded whatever the aggregates hold: rows of the outbox are
 * read in pages, and expanded to uploads no further than `limit`; where the filter names CIDs only to these, by upload.
 */
export async function readChanges(
  db: Kysely<DB>,
  filter: EventFilter,
  { after, limit }: { after: Cursor; limit: number },
): Promise<Page> {
  const head = await findHead(db);
  const rows = await listRows(db, filter, { after, limit: ROWS_PER_PAGE });
  const concerned = rows.filter((row) => matchesRow(filter, row));
  const indexIn = (row: OutboxRow) => (row.position === after.position && row.xid === after.xid ? after.index : -1);
  const expand = createExpansion({ db, filter, limit }, concerned);
  const changes: FoundChange[] = [];
  let room = limit;
  for (const row of concerned) {
    if (room === 0) return { changes, cursor: beforeRow(rows, row, after), done: false };
    const { uploads, more } = await expand(row, { afterIndex: indexIn(row), limit: room });
    room -= uploads.length;
    for (const upload of uploads) {
      if (matchesUpload(filter, upload, row.at)) changes.push({ row, upload });
    }
    const last = uploads.at(-1);
    if (more && last !== undefined) return { changes, cursor: cursorOf({ row, upload: last }), done: false };
  }
  return { changes, ...endOfPage(rows, { after, head }) };
}

function beforeRow(rows: readonly OutboxRow[], row: OutboxRow, after: Cursor): Cursor {
  const previous = rows[rows.indexOf(row) - 1];
  return previous === undefined ? after : afterRow(previous);
}

/** Read to the end, the reader is at the head: what it passed over need not be looked at again. */
function endOfPage(rows: readonly OutboxRow[], { after, head }: { after: Cursor; head: Cursor }) {
  const last = rows.at(-1);
  const reached = last === undefined ? after : afterRow(last);
  if (rows.length === ROWS_PER_PAGE) return { cursor: reached, done: false };
  return { cursor: compareCursors(reached, head) < 0 ? head : reached, done: true };
}

interface Expanded {
  uploads: RowUpload[];
  more: boolean;
}

type Expand = (row: OutboxRow, range: { afterIndex: number; limit: number }) => Promise<Expanded>;

/**
 * Uploads of a row after an index. Those of named CIDs are found by one query for the whole page, as are those of
 * aggregates that hold few; of one that holds many only as many are read as there is room for.
 */
function createExpansion(
  { db, filter, limit: pageLimit }: { db: Kysely<DB>; filter: EventFilter; limit: number },
  rows: readonly OutboxRow[],
): Expand {
  const { cids } = filter;
  const atOnce = cids === undefined ? fewMembers(rows, pageLimit) : aggregatesOf(rows);
  let prefetched: ReturnType<typeof listMembers> | undefined;
  const prefetch = () => listMembers(db, atOnce, cids === undefined ? { afterIndex: -1 } : { roots: cids });
  return async (row, { afterIndex, limit }) => {
    const { aggregateId: id } = row;
    if (row.kind === 'upload' || id === null) return cutOff(row.upload, { afterIndex, limit });
    prefetched ??= prefetch();
    const known = (await prefetched).get(id);
    if (known !== undefined) return cutOff(known, { afterIndex, limit });
    const found = await listMembers(db, [id], { afterIndex, limit: limit + 1 });
    return cutOff(found.get(id) ?? [], { afterIndex, limit });
  };
}

/** The first aggregates among these rows that together hold no more uploads than `limit`. */
function fewMembers(rows: readonly OutboxRow[], limit: number): bigint[] {
  const few = new Set<bigint>();
  let held = 0;
  for (const { kind, aggregateId: id, entryCount } of rows) {
    if (kind === 'upload' || id === null || few.has(id)) continue;
    held += entryCount;
    if (held > limit) break;
    few.add(id);
  }
  return [...few];
}

function cutOff(
  given: readonly RowUpload[] | RowUpload | null,
  range: { afterIndex: number; limit: number },
): Expanded {
  const all = given === null ? [] : 'root' in given ? [given] : given;
  const rest = all.filter(({ index }) => index > range.afterIndex);
  return { uploads: rest.slice(0, range.limit), more: rest.length > range.limit };
}

/** The aggregates that changes of aggregates and deals among these rows are about. */
export function aggregatesOf(rows: readonly OutboxRow[]): bigint[] {
  return [
    ...new Set(
      rows.flatMap(({ kind, aggregateId }) => (kind === 'upload' || aggregateId === null ? [] : [aggregateId])),
    ),
  ];
}
