import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { CarOutline } from './virtual-car.ts';

/** A run of an upload in a sealed aggregate. Bytes; `pieceBytes` padded. */
export interface PlacedRun {
  seq: number;
  /** A part of an upload that was cut: no CAR of the upload has its order. */
  isPart: boolean;
  /** The aggregate's bytes are not kept any more; its proofs are stored. */
  isReleased: boolean;
  outline: CarOutline;
  pieceCid: string;
  pieceBytes: number;
  root: string;
  selector: string;
  /** In the aggregate's CAR, `end` exclusive. */
  start: number;
  end: number;
}

/** A place in the list of an upload's runs. */
export interface PlacedRunCursor {
  aggregateId: bigint;
  seq: number;
}

export async function isKnownUpload(db: Kysely<DB>, root: string): Promise<boolean> {
  const query = db.selectFrom('uploads').select('id').where('root', '=', root).where('state', '<>', 'removed');
  return (await query.executeTakeFirst()) !== undefined;
}

/** The runs of the upload with this root (CIDv1 base32) in sealed aggregates, by aggregate. */
export async function listPlacedRuns(
  db: Kysely<DB>,
  root: string,
  { after, limit }: { after?: PlacedRunCursor | undefined; limit: number },
): Promise<PlacedRun[]> {
  let query = db
    .selectFrom('uploads as u')
    .innerJoin('placements as p', 'p.upload_id', 'u.id')
    .innerJoin('aggregates as a', 'a.id', 'p.aggregate_id')
    .select([
      'u.root',
      'p.seq',
      'p.cut',
      'p.selector',
      'p.offset_bytes',
      'p.length_bytes',
      'a.id',
      'a.length_bytes as car_length',
      'a.filler_bytes',
      'a.released_at',
    ])
    .select(['a.batch_root', 'a.tree_key', 'a.tree_bytes', 'a.piece_cid', 'a.piece_bytes'])
    .where('u.root', '=', root)
    .where('a.state', '=', 'sealed')
    .orderBy('a.id')
    .orderBy('p.seq')
    .limit(limit);
  if (after !== undefined) {
    query = query.where(sql<boolean>`(a.id, p.seq) > (${after.aggregateId}::bigint, ${after.seq}::integer)`);
  }
  return (await query.execute()).map(toRun);
}

interface Row {
  id: bigint;
  seq: number;
  cut: number | null;
  released_at: Date | null;
  root: string;
  selector: string | null;
  offset_bytes: bigint;
  length_bytes: bigint;
  car_length: bigint;
  filler_bytes: bigint;
  batch_root: string | null;
  tree_key: string | null;
  tree_bytes: bigint | null;
  piece_cid: string | null;
  piece_bytes: bigint | null;
}

function toRun(row: Row): PlacedRun {
  const { batch_root, tree_key, tree_bytes, piece_cid, piece_bytes, selector } = row;
  // The constraint aggregates_sealed_is_whole, and that selectors are written in the transaction that seals.
  if (batch_root === null || tree_key === null || tree_bytes === null || selector === null) throw notWhole(row);
  if (piece_cid === null || piece_bytes === null) throw notWhole(row);
  const start = Number(row.offset_bytes);
  return {
    seq: row.seq,
    isPart: row.cut !== null,
    isReleased: row.released_at !== null,
    outline: {
      id: row.id,
      batchRoot: batch_root,
      lengthBytes: Number(row.car_length),
      fillerBytes: Number(row.filler_bytes),
      treeKey: tree_key,
      treeBytes: Number(tree_bytes),
    },
    pieceCid: piece_cid,
    pieceBytes: Number(piece_bytes),
    root: row.root,
    selector,
    start,
    end: start + Number(row.length_bytes),
  };
}

function notWhole({ id, seq }: Row): Error {
  return new Error(`placement ${seq} of the sealed aggregate ${id} is not whole`);
}
