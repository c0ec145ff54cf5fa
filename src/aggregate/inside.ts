import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { CHUNK_BYTES } from './seal/chunks.ts';

/** A stretch of an aggregate's CAR that runs fill; `root` where it is one run. */
interface Segment {
  offset: number;
  length: number;
  runs: number;
  root: string | null;
}

/** Of a map: finer than the pixels it is drawn with. */
const MAP_CELLS = 512;

/** Which chunks of an aggregate have their roots, of those that it has bytes for. */
interface HashedChunks {
  chunkBytes: number;
  total: number;
  hashed: number[];
}

/**
 * Where the runs lie, in the order of the bytes. Those smaller than a cell of the map are told together with what begins
 * in the same cell, so that it is two rows for each cell at most, however many uploads there are.
 */
export async function mapRuns(db: Kysely<DB>, aggregateId: bigint, capacityBytes: bigint): Promise<Segment[]> {
  const cellBytes = capacityBytes / BigInt(MAP_CELLS) + 1n;
  const { rows } = await sql<{ offset: bigint; end: bigint; runs: number; upload_id: bigint; root: string | null }>`
    with grouped as (
      select min(offset_bytes) as offset, max(offset_bytes + length_bytes) as end, count(*)::integer as runs,
        min(upload_id) as upload_id
      from placements where aggregate_id = ${aggregateId}
      group by offset_bytes / ${cellBytes}::bigint, case when length_bytes >= ${cellBytes}::bigint then seq end
    )
    select g.*, case when g.runs = 1 then u.root end as root
    from grouped g join uploads u on u.id = g.upload_id
    order by g.offset`.execute(db);
  return rows.map(({ offset, end, runs, root }) => {
    return { offset: Number(offset), length: Number(end - offset), runs, root };
  });
}

/** While it is open its first chunk waits for the header, and its last one may still grow: both have no root yet. */
export async function findHashedChunks(
  db: Kysely<DB>,
  { id, lengthBytes, carBytes }: { id: bigint; lengthBytes: bigint; carBytes: bigint | null },
): Promise<HashedChunks> {
  const rows = await db.selectFrom('chunks').select('index').where('aggregate_id', '=', id).orderBy('index').execute();
  const total = Math.ceil(Number(carBytes ?? lengthBytes) / CHUNK_BYTES);
  return { chunkBytes: CHUNK_BYTES, total, hashed: rows.map(({ index }) => index) };
}

/** By number, or by piece CID (v1 as text). */
export async function findAggregateId(
  db: Kysely<DB>,
  named: { id: bigint } | { pieceCid: string },
): Promise<bigint | undefined> {
  const query = db
    .selectFrom('aggregates')
    .select('id')
    .where((eb) => ('id' in named ? eb('id', '=', named.id) : eb('piece_cid', '=', named.pieceCid)));
  return (await query.executeTakeFirst())?.id;
}
