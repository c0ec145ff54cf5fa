import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

type Db = Kysely<DB>;

/** A stored part of a run and where it lies in the aggregate's CAR. Bytes. */
export interface RunPart {
  offset: number;
  length: number;
  objectKey: string;
  objectOffset: number;
}

export interface RunWindow {
  fromByte: number;
  endByte: number;
  /** At most this many runs. */
  runs: number;
}

/** Parts of the runs from the one that holds `fromByte` on, in the order of the CAR. */
export async function listRunParts(
  db: Db,
  aggregateId: bigint,
  { fromByte, endByte, runs }: RunWindow,
): Promise<RunPart[]> {
  const first = db
    .selectFrom('placements')
    .select('offset_bytes')
    .where('aggregate_id', '=', aggregateId)
    .where('offset_bytes', '<=', BigInt(fromByte))
    .orderBy('offset_bytes', 'desc')
    .limit(1);
  const window = db
    .selectFrom('placements')
    .selectAll()
    .where('aggregate_id', '=', aggregateId)
    .where('offset_bytes', '>=', first)
    .where('offset_bytes', '<', BigInt(endByte))
    .orderBy('offset_bytes')
    .limit(runs);
  const rows = await db
    .selectFrom(window.as('p'))
    .innerJoin('parts as part', 'part.upload_id', 'p.upload_id')
    .select(['part.length_bytes', 'part.object_key', 'part.object_offset'])
    .select(
      sql<bigint>`(p.offset_bytes - part.length_bytes
        + sum(part.length_bytes) over (partition by part.upload_id order by part.run_seq))::bigint`.as('offset'),
    )
    .where('part.run_seq', 'is not', null)
    .orderBy('p.offset_bytes')
    .orderBy('part.run_seq')
    .execute();
  return rows.map((row) => ({
    offset: Number(row.offset),
    length: Number(row.length_bytes),
    objectKey: row.object_key,
    objectOffset: Number(row.object_offset),
  }));
}
