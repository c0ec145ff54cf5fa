import { sql, type Kysely, type Selectable } from 'kysely';
import type { Aggregates, AggregateState, DB } from '../db/tables.ts';
import type { OpenAggregate, WaitingUpload } from './sealing.ts';

type Db = Kysely<DB>;

/** A sealed aggregate: what the API shows of it, and what its bytes are made of. Sizes in bytes, pieceBytes padded. */
export interface SealedAggregate {
  id: bigint;
  batchRoot: string;
  lengthBytes: number;
  treeKey: string;
  treeBytes: number;
  carBytes: number;
  pieceCid: string;
  pieceBytes: bigint;
  entryCount: number;
  sealedAt: Date;
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
    treeKey: tree_key,
    treeBytes: Number(tree_bytes),
    carBytes: Number(car_bytes),
    pieceCid: piece_cid,
    pieceBytes: piece_bytes,
    entryCount: row.entry_count,
    sealedAt: sealed_at,
  };
}

export async function findAggregate(
  db: Db,
  id: bigint,
): Promise<{ state: AggregateState; filling: OpenAggregate } | undefined> {
  const row = await db.selectFrom('aggregates').selectAll().where('id', '=', id).executeTakeFirst();
  return row && { state: row.state, filling: openOf(row) };
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

/** All open aggregates, oldest first; configuration bounds how many there are. */
export async function listOpen(db: Db): Promise<OpenAggregate[]> {
  const rows = await db.selectFrom('aggregates').selectAll().where('state', '=', 'open').orderBy('id').execute();
  return rows.map(openOf);
}

/** Aggregates whose seal job should exist, oldest first: for the sweep that re-sends lost jobs. */
export async function listSealing(db: Db, limit: number): Promise<bigint[]> {
  const rows = await db
    .selectFrom('aggregates')
    .select('id')
    .where('state', '=', 'sealing')
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}

export async function findAnyWaiting(db: Db): Promise<bigint | undefined> {
  const query = db.selectFrom('uploads').select('id').where('state', '=', 'waiting').limit(1);
  return (await query.executeTakeFirst())?.id;
}

export interface WaitingPage {
  after?: WaitingCursor | undefined;
  /** Only runs up to this size; undefined: all. */
  maxRunBytes?: bigint | undefined;
  limit: number;
}

/** A place in the queue; the time as PostgreSQL's own text, which keeps its microseconds. */
export interface WaitingCursor {
  acceptedAt: string;
  id: bigint;
}

/** Waiting uploads, oldest first. An upload counts as accepted when it became complete: its last change of state. */
export async function listWaiting(
  db: Db,
  { after, maxRunBytes, limit }: WaitingPage,
): Promise<(WaitingUpload & { cursor: WaitingCursor })[]> {
  let query = db
    .selectFrom('uploads')
    .select(['id', 'root', 'run_bytes', 'changed_at', sql<string>`changed_at::text`.as('accepted_at')])
    .where('state', '=', 'waiting')
    .orderBy('changed_at')
    .orderBy('id')
    .limit(limit);
  if (after !== undefined)
    query = query.where(sql<boolean>`(changed_at, id) > (${after.acceptedAt}::timestamptz, ${after.id}::bigint)`);
  if (maxRunBytes !== undefined) query = query.where('run_bytes', '<=', maxRunBytes);
  const rows = await query.execute();
  return rows.map(({ id, root, run_bytes, accepted_at, changed_at }) => ({
    id,
    root,
    runBytes: run_bytes ?? 0n,
    acceptedAt: changed_at,
    cursor: { acceptedAt: accepted_at, id },
  }));
}

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
}

export async function listEntries(
  db: Db,
  aggregateId: bigint,
  { afterSeq, limit }: SeqPage,
): Promise<AggregateEntry[]> {
  const rows = await db
    .selectFrom('placements as p')
    .innerJoin('uploads as u', 'u.id', 'p.upload_id')
    .select(['p.seq', 'u.root', 'p.selector', 'p.offset_bytes', 'p.length_bytes'])
    .where('p.aggregate_id', '=', aggregateId)
    .where('p.seq', '>', afterSeq ?? -1)
    .orderBy('p.seq')
    .limit(limit)
    .execute();
  return rows.map(({ seq, root, selector, offset_bytes, length_bytes }) => ({
    seq,
    root,
    selector,
    offset: Number(offset_bytes),
    length: Number(length_bytes),
  }));
}

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
