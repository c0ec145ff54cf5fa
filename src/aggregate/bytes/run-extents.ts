import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

type Db = Kysely<DB>;

/** A stored range of a run and where it lies in the aggregate's CAR. Bytes. */
export interface RunExtent {
  offset: number;
  length: number;
  objectKey: string;
  objectOffset: number;
}

export interface RunWindow {
  fromByte: number;
  endByte: number;
  /** At most this many runs, and as many ranges. */
  runs: number;
  ranges: number;
}

/**
 * The ranges that hold the bytes from `fromByte` on, in the order of the CAR: an upload's parts, or of a cut upload the
 * extents of the cut that is placed.
 */
export async function listRunExtents(db: Db, aggregateId: bigint, window: RunWindow): Promise<RunExtent[]> {
  const { fromByte, endByte, runs, ranges } = window;
  const { rows } = await sql<{ start: bigint; object_key: string; object_offset: bigint; length_bytes: bigint }>`
    with p as materialized (
      select * from placements
      where aggregate_id = ${aggregateId} and offset_bytes < ${endByte}::bigint and offset_bytes >= (
        select max(offset_bytes) from placements
        where aggregate_id = ${aggregateId} and offset_bytes <= ${fromByte}::bigint)
      order by offset_bytes limit ${runs}
    ), stored as (
      select p.offset_bytes, part.run_seq as seq, part.object_key, part.object_offset, part.length_bytes
      from p join parts part on part.upload_id = p.upload_id
      where p.cut is null and part.run_seq is not null
      union all
      select p.offset_bytes, e.seq, e.object_key, e.object_offset, e.length_bytes
      from p join cut_extents e on e.upload_id = p.upload_id and e.cut = p.cut
    ), laid as (
      select s.*, (offset_bytes - length_bytes
        + sum(length_bytes) over (partition by offset_bytes order by seq))::bigint as start
      from stored s
    )
    select start, object_key, object_offset, length_bytes from laid
    where start + length_bytes > ${fromByte}::bigint and start < ${endByte}::bigint
    order by start limit ${ranges}`.execute(db);
  return rows.map((row) => ({
    offset: Number(row.start),
    length: Number(row.length_bytes),
    objectKey: row.object_key,
    objectOffset: Number(row.object_offset),
  }));
}
