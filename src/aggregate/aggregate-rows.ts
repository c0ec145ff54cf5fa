import type { Kysely, Selectable } from 'kysely';
import type { Aggregates, AggregateState, DB } from '../db/tables.ts';
import type { OpenAggregate } from './place/placement-rules.ts';

type Db = Kysely<DB>;

/** A sealed aggregate: what the API shows of it, and what its bytes are made of. Sizes in bytes, pieceBytes padded. */
export interface SealedAggregate {
  id: bigint;
  batchRoot: string;
  lengthBytes: number;
  fillerBytes: number;
  treeKey: string;
  treeBytes: number;
  carBytes: number;
  pieceCid: string;
  pieceBytes: bigint;
  entryCount: number;
  sealedAt: Date;
  /** Its bytes are not kept from then on. */
  releasedAt: Date | undefined;
}

function openOf(row: Selectable<Aggregates>): OpenAggregate {
  return {
    id: row.id,
    capacityBytes: row.capacity_bytes,
    lengthBytes: row.length_bytes,
    entryCount: row.entry_count,
    oldestAcceptedAt: row.oldest_accepted_at ?? undefined,
  };
}

/** The constraint aggregates_sealed_is_whole says that all of these are there or none. */
function sealedOf(row: Selectable<Aggregates>): SealedAggregate | undefined {
  const { batch_root, tree_key, tree_bytes, car_bytes, piece_cid, piece_bytes, sealed_at } = row;
  if (batch_root === null || tree_key === null || tree_bytes === null || car_bytes === null) return undefined;
  if (piece_cid === null || piece_bytes === null || sealed_at === null) return undefined;
  return {
    id: row.id,
    batchRoot: batch_root,
    lengthBytes: Number(row.length_bytes),
    fillerBytes: Number(row.filler_bytes),
    treeKey: tree_key,
    treeBytes: Number(tree_bytes),
    carBytes: Number(car_bytes),
    pieceCid: piece_cid,
    pieceBytes: piece_bytes,
    entryCount: row.entry_count,
    sealedAt: sealed_at,
    releasedAt: row.released_at ?? undefined,
  };
}

export async function findAggregate(
  db: Db,
  id: bigint,
): Promise<{ state: AggregateState; filling: OpenAggregate; fillerBytes: number } | undefined> {
  const row = await db.selectFrom('aggregates').selectAll().where('id', '=', id).executeTakeFirst();
  return row && { state: row.state, filling: openOf(row), fillerBytes: Number(row.filler_bytes) };
}

/** By piece CID v1 as text (`baga…`). */
export async function findSealedByPiece(db: Db, pieceCid: string): Promise<SealedAggregate | undefined> {
  const row = await db.selectFrom('aggregates').selectAll().where('piece_cid', '=', pieceCid).executeTakeFirst();
  return row && sealedOf(row);
}

export async function findSealed(db: Db, id: bigint): Promise<SealedAggregate | undefined> {
  const row = await db.selectFrom('aggregates').selectAll().where('id', '=', id).executeTakeFirst();
  return row && sealedOf(row);
}

/** The object that holds the whole CAR of a released aggregate, where it was fetched back. */
export async function findRestoredKey(db: Db, id: bigint): Promise<string | undefined> {
  const query = db.selectFrom('restorations').select('object_key').where('aggregate_id', '=', id);
  return (await query.executeTakeFirst())?.object_key ?? undefined;
}

/** All open aggregates, oldest first; configuration bounds how many there are. */
export async function listOpen(db: Db): Promise<OpenAggregate[]> {
  const rows = await db.selectFrom('aggregates').selectAll().where('state', '=', 'open').orderBy('id').execute();
  return rows.map(openOf);
}

/** Aggregates whose seal job should exist, oldest first: for the sweep that re-sends lost jobs. */
export async function listSealing(db: Db, limit: number, afterId = 0n): Promise<bigint[]> {
  const rows = await db
    .selectFrom('aggregates')
    .select('id')
    .where('state', '=', 'sealing')
    .where('id', '>', afterId)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
