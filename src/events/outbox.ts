import { sql, type Kysely, type RawBuilder } from 'kysely';
import type { DB } from '../db/tables.ts';
import { ROW_DONE, type Cursor, type OutboxRow, type Owner, type RowUpload } from './change.ts';
import type { EventFilter } from './filter.ts';

type Db = Kysely<DB>;

/** Before all that ever happened. */
export const BEGINNING: Cursor = { xid: '0', position: 0n, index: ROW_DONE };

/** Less than 0 where `a` is before `b`. */
export function compareCursors(a: Cursor, b: Cursor): number {
  const xids = BigInt(a.xid) - BigInt(b.xid);
  if (xids !== 0n) return xids < 0n ? -1 : 1;
  if (a.position !== b.position) return a.position < b.position ? -1 : 1;
  return a.index - b.index;
}

/** After all that can be read now: what is committed later, or waits for an older transaction, has this xid at least. */
export async function findHead(db: Db): Promise<Cursor> {
  const { rows } = await sql<{ xid: string }>`select pg_snapshot_xmin(pg_current_snapshot())::text as xid`.execute(db);
  return { xid: rows[0]?.xid ?? '0', position: 0n, index: ROW_DONE };
}

/** The whole cursor of a position that was handed out; undefined when there is no such row. */
export async function findCursor(db: Db, at: { position: bigint; index: number }): Promise<Cursor | undefined> {
  const { rows } = await sql<{ xid: string }>`select xid::text from outbox where position = ${at.position}`.execute(db);
  return rows[0] && { xid: rows[0].xid, ...at };
}

/** After the last change that can be read now. */
export async function findLast(db: Db): Promise<Pick<Cursor, 'position' | 'index'>> {
  const { rows } = await sql<{ position: bigint }>`
    select position from outbox order by xid desc, position desc limit 1`.execute(db);
  return rows[0] === undefined ? BEGINNING : { ...rows[0], index: ROW_DONE };
}

const OWNERS = sql`coalesce((
  select json_agg(json_build_object('name', o.name, 'until', uo.ended_at))
  from upload_owners uo join owners o on o.id = uo.owner_id where uo.upload_id = u.id), '[]')`;

/** The rows that a filter can concern at all: by the subjects' own indexes where it names some, else all. */
function sourceOf({ cids, aggregate, deal }: EventFilter): RawBuilder<unknown> | undefined {
  if (deal !== undefined) return sql`select * from outbox where deal_id = ${deal}::uuid`;
  if (aggregate !== undefined) {
    return ofAggregates(sql`select a.id from aggregates a where a.piece_cid = ${aggregate}`);
  }
  if (cids === undefined) return undefined;
  const uploads = sql`select id from uploads where root = any(${cids}::text[])`;
  const placed = sql`select p.aggregate_id from placements p where p.upload_id in (${uploads})`;
  return sql`select * from outbox where upload_id in (${uploads}) union all ${ofAggregates(placed)}`;
}

function ofAggregates(ids: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select * from outbox where aggregate_id in (${ids})
    union all select * from outbox where deal_id in (select d.id from deals d where d.aggregate_id in (${ids}))`;
}

interface RawRow {
  xid: string;
  position: bigint;
  at: Date;
  upload_id: bigint | null;
  deal_id: string | null;
  from_state: string | null;
  to_state: string;
  reason_code: string | null;
  detail: string | null;
  root: string | null;
  owners: RawOwner[];
  aggregate_id: bigint | null;
  piece_cid: string | null;
  batch_root: string | null;
  entry_count: number | null;
  provider_id: string | null;
  chain_deal_id: bigint | null;
}

interface RawOwner {
  name: string;
  until: string | null;
}

/**
 * Readable rows from the cursor on in the order (xid, position), a row that was read in part among them: every
 * transaction that is still open or to come has a larger xid than any of them. At most `limit`.
 */
export async function listRows(db: Db, filter: EventFilter, { after, limit }: { after: Cursor; limit: number }) {
  const position = after.index === ROW_DONE ? after.position : after.position - 1n;
  const source = sourceOf(filter);
  const from = source === undefined ? sql`outbox` : sql`(${source})`;
  const { rows } = await sql<RawRow>`
    select e.xid::text, e.position, e.at, e.upload_id, e.deal_id, e.from_state, e.to_state, e.reason_code, e.detail,
      u.root, ${OWNERS} as owners, a.id as aggregate_id, a.piece_cid, a.batch_root, a.entry_count,
      d.provider_id, d.chain_deal_id
    from (select * from ${from} as readable where (xid, position) > (${after.xid}::xid8, ${position}::bigint)
      order by xid, position limit ${limit}) e
    left join uploads u on u.id = e.upload_id
    left join deals d on d.id = e.deal_id
    left join aggregates a on a.id = case when e.upload_id is null then coalesce(e.aggregate_id, d.aggregate_id)
      when e.evidence ->> 'aggregateId' ~ '^\\d{1,18}$' then (e.evidence ->> 'aggregateId')::bigint end
    order by e.xid, e.position`.execute(db);
  return rows.map(rowOf);
}

function rowOf(row: RawRow): OutboxRow {
  return {
    xid: row.xid,
    position: row.position,
    at: row.at,
    kind: row.upload_id !== null ? 'upload' : row.deal_id !== null ? 'deal' : 'aggregate',
    from: row.from_state,
    to: row.to_state,
    reasonCode: row.reason_code,
    detail: row.detail,
    upload: row.root === null ? null : { root: row.root, index: 0, selector: null, owners: row.owners.map(ownerOf) },
    aggregateId: row.aggregate_id,
    pieceCid: row.piece_cid,
    batchRoot: row.batch_root,
    entryCount: row.entry_count ?? 0,
    dealId: row.deal_id,
    providerId: row.provider_id,
    chainDealId: row.chain_deal_id,
  };
}

function ownerOf({ name, until }: RawOwner): Owner {
  return { name, until: until === null ? null : new Date(until) };
}

/** Which uploads of an aggregate: those with these roots, whole or in parts; or all after a place. */
type Members = { roots: readonly string[] } | { afterIndex: number; limit?: number };

/** Uploads of these aggregates, in the order of their places. Looked up by upload where roots are given. */
export async function listMembers(db: Db, aggregateIds: readonly bigint[], of: Members) {
  const members = new Map<bigint, RowUpload[]>(aggregateIds.map((id) => [id, []]));
  if (aggregateIds.length === 0 || ('roots' in of && of.roots.length === 0)) return members;
  const which =
    'roots' in of
      ? sql`from uploads u join placements p on p.upload_id = u.id
          where u.root = any(${of.roots}::text[]) and p.aggregate_id = any(${aggregateIds}::bigint[])`
      : sql`from placements p join uploads u on u.id = p.upload_id
          where p.aggregate_id = any(${aggregateIds}::bigint[]) and p.seq > ${of.afterIndex}`;
  const limit = 'roots' in of || of.limit === undefined ? sql`` : sql`limit ${of.limit}`;
  const { rows } = await sql<MemberRow>`
    select p.aggregate_id, p.seq, p.selector, u.root, ${OWNERS} as owners ${which}
    order by p.aggregate_id, p.seq ${limit}`.execute(db);
  for (const { aggregate_id: id, seq: index, selector, root, owners } of rows) {
    members.get(id)?.push({ root, index, selector, owners: owners.map(ownerOf) });
  }
  return members;
}

interface MemberRow {
  aggregate_id: bigint;
  seq: number;
  selector: string | null;
  root: string;
  owners: RawOwner[];
}
