import { sql, type Kysely } from 'kysely';
import type { DB, Json } from '../../db/tables.ts';

/** One change of an upload, of an aggregate that holds it, or of a deal for such an aggregate. */
export interface HistoryEvent {
  position: bigint;
  /** When we saw it. */
  at: Date;
  subject: 'upload' | 'aggregate' | 'deal';
  /** Of the aggregate or the deal; null for the upload itself. */
  subjectId: string | null;
  from: string | null;
  to: string;
  reasonCode: string | null;
  detail: string | null;
  /** Height of the tipset that showed it; null for what no chain showed. */
  epoch: number | null;
  evidence: Json | null;
}

/** Oldest first, after this position. */
export interface HistoryPage {
  after: bigint;
  limit: number;
}

interface Row {
  position: bigint;
  at: Date;
  upload_id: bigint | null;
  aggregate_id: bigint | null;
  deal_id: string | null;
  from_state: string | null;
  to_state: string;
  reason_code: string | null;
  detail: string | null;
  epoch: bigint | null;
  evidence: Json | null;
}

function toEvent(row: Row): HistoryEvent {
  const { upload_id: upload, aggregate_id: aggregate } = row;
  return {
    position: row.position,
    at: row.at,
    subject: upload !== null ? 'upload' : aggregate !== null ? 'aggregate' : 'deal',
    subjectId: aggregate?.toString() ?? row.deal_id,
    from: row.from_state,
    to: row.to_state,
    reasonCode: row.reason_code,
    detail: row.detail,
    epoch: row.epoch === null ? null : Number(row.epoch),
    evidence: row.evidence,
  };
}

/** Undefined: there is no such upload. Each branch walks the index of its own subject, so that a page costs a page. */
export async function listUploadHistory(
  kysely: Kysely<DB>,
  root: string,
  { after, limit }: HistoryPage,
): Promise<HistoryEvent[] | undefined> {
  const upload = await kysely.selectFrom('uploads').select('id').where('root', '=', root).executeTakeFirst();
  if (upload === undefined) return undefined;
  const held = sql`select distinct aggregate_id from placements where upload_id = ${upload.id}`;
  const { rows } = await sql<Row>`
    select * from (
      (select * from events where upload_id = ${upload.id} and position > ${after} order by position limit ${limit})
      union all
      (select e.* from (${held}) as a, lateral (select * from events
        where aggregate_id = a.aggregate_id and position > ${after} order by position limit ${limit}) as e)
      union all
      (select e.* from (${held}) as a join deals d using (aggregate_id), lateral (select * from events
        where deal_id = d.id and position > ${after} order by position limit ${limit}) as e)
    ) as told order by position limit ${limit}`.execute(kysely);
  return rows.map(toEvent);
}

/** Undefined: there is no such deal. */
export async function listDealHistory(
  kysely: Kysely<DB>,
  id: string,
  { after, limit }: HistoryPage,
): Promise<HistoryEvent[] | undefined> {
  const deal = await kysely.selectFrom('deals').select('id').where('id', '=', id).executeTakeFirst();
  if (deal === undefined) return undefined;
  const rows = await kysely
    .selectFrom('events')
    .selectAll()
    .where('deal_id', '=', id)
    .where('position', '>', after)
    .orderBy('position')
    .limit(limit)
    .execute();
  return rows.map(toEvent);
}
