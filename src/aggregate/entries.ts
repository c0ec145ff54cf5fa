import type { Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';

type Db = Kysely<DB>;

export interface BatchRow {
  seq: number;
  root: string;
  dagBytes: bigint | null;
  blockCount: bigint | null;
}

export interface SeqPage {
  /** Placements with a greater seq; undefined: from the first. */
  afterSeq?: number | undefined;
  limit: number;
}

/** What the batch tree lists, in the order placed. */
export async function listBatch(db: Db, aggregateId: bigint, { afterSeq, limit }: SeqPage): Promise<BatchRow[]> {
  return await db
    .selectFrom('placements as p')
    .innerJoin('uploads as u', 'u.id', 'p.upload_id')
    .select(['p.seq', 'u.root', 'u.dag_bytes as dagBytes', 'u.block_count as blockCount'])
    .where('p.aggregate_id', '=', aggregateId)
    .where('p.seq', '>', afterSeq ?? -1)
    .orderBy('p.seq')
    .limit(limit)
    .execute();
}

/** A line of `GET /aggregates/{pieceCid}/entries`: offset and length of the run in the CAR, in bytes. */
export interface AggregateEntry {
  seq: number;
  root: string;
  /** Null until sealed. */
  selector: string | null;
  offset: number;
  length: number;
  /** A part of an upload that was cut. */
  partial: boolean;
}

export async function listEntries(
  db: Db,
  aggregateId: bigint,
  { afterSeq, limit }: SeqPage,
): Promise<AggregateEntry[]> {
  const rows = await db
    .selectFrom('placements as p')
    .innerJoin('uploads as u', 'u.id', 'p.upload_id')
    .select(['p.seq', 'u.root', 'p.selector', 'p.offset_bytes', 'p.length_bytes', 'p.cut'])
    .where('p.aggregate_id', '=', aggregateId)
    .where('p.seq', '>', afterSeq ?? -1)
    .orderBy('p.seq')
    .limit(limit)
    .execute();
  return rows.map(({ seq, root, selector, offset_bytes, length_bytes, cut }) => ({
    seq,
    root,
    selector,
    offset: Number(offset_bytes),
    length: Number(length_bytes),
    partial: cut !== null,
  }));
}
