import type { Kysely } from 'kysely';
import type { AggregateState, DB } from '../../db/tables.ts';

/** Where an upload, or a part of it, lies. */
export interface UploadPlacement {
  aggregateId: bigint;
  state: AggregateState;
  pieceCid: string | null;
  seq: number;
  /** The part of a cut upload, from 0, of so many; null: the whole of it. */
  cut: number | null;
  cuts: number;
  offset: number;
  length: number;
  selector: string | null;
  /** It is there once more, to bring a small aggregate to the smallest piece, or from before it was sent anew. */
  again: boolean;
}

/** A 32 GiB piece each: more parts than this is an upload of 30 TiB. */
const MAX_PLACEMENTS = 1_000;

/** Newest aggregate first; undefined: there is no such upload (its root, CIDv1 base32). */
export async function listUploadPlacements(db: Kysely<DB>, root: string): Promise<UploadPlacement[] | undefined> {
  const upload = await db.selectFrom('uploads').select('id').where('root', '=', root).executeTakeFirst();
  if (upload === undefined) return undefined;
  const parts = await countCuts(db, upload.id);
  const rows = await db
    .selectFrom('placements as p')
    .innerJoin('aggregates as a', 'a.id', 'p.aggregate_id')
    .select(['a.id', 'a.state', 'a.piece_cid', 'p.seq', 'p.cut', 'p.offset_bytes', 'p.length_bytes', 'p.selector'])
    .select('p.topped_up')
    .where('p.upload_id', '=', upload.id)
    .orderBy('a.id', 'desc')
    .limit(MAX_PLACEMENTS)
    .execute();
  return rows.map((row) => ({
    aggregateId: row.id,
    state: row.state,
    pieceCid: row.piece_cid,
    seq: row.seq,
    ...numbered(row.cut, parts),
    offset: Number(row.offset_bytes),
    length: Number(row.length_bytes),
    selector: row.selector,
    again: row.topped_up,
  }));
}

/** How many parts it was cut into before it was sent anew, which have the first numbers, and how many it has now. */
async function countCuts(db: Kysely<DB>, uploadId: bigint): Promise<{ past: number; current: number }> {
  const { all, current } = await db
    .selectFrom('cuts')
    .select((eb) => eb.fn.countAll<bigint>().as('all'))
    .select((eb) =>
      eb
        .selectFrom('current_cuts as c')
        .select((inner) => inner.fn.countAll<bigint>().as('current'))
        .where('c.upload_id', '=', uploadId)
        .as('current'),
    )
    .where('upload_id', '=', uploadId)
    .executeTakeFirstOrThrow();
  return { past: Number(all - (current ?? 0n)), current: Number(current) };
}

/** Pure. */
function numbered(cut: number | null, { past, current }: { past: number; current: number }) {
  if (cut === null || cut < past) return { cut, cuts: past };
  return { cut: cut - past, cuts: current };
}
