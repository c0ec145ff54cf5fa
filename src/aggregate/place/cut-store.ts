import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { tellEvent } from '../../db/tell-event.ts';
import { deleteCuts } from '../delete-of-upload.ts';

type Db = Kysely<DB>;

/** An upload that waits and is larger than an aggregate, maybe. Bytes. */
export interface CuttableUpload {
  id: bigint;
  root: string;
  runBytes: number;
  blockCount: number;
}

/** A stored part of the run, in order. */
export interface StoredPart {
  objectKey: string;
  objectOffset: number;
  length: number;
}

export async function findCuttable(db: Db, id: bigint): Promise<CuttableUpload | undefined> {
  const row = await db
    .selectFrom('uploads')
    .select(['id', 'root', 'run_bytes', 'block_count'])
    .where('id', '=', id)
    .where('state', '=', 'waiting')
    .executeTakeFirst();
  if (row === undefined || row.run_bytes === null || row.block_count === null) return undefined;
  return { id: row.id, root: row.root, runBytes: Number(row.run_bytes), blockCount: Number(row.block_count) };
}

/** What is there of an upload's cuts: how many, the largest, and how many of them are placed. */
export async function sumCuts(db: Db, uploadId: bigint): Promise<{ count: number; maxBytes: bigint; placed: number }> {
  const row = await db
    .selectFrom('current_cuts as c')
    .select((eb) => [
      eb.fn.countAll<bigint>().as('count'),
      sql<bigint>`coalesce(max(c.run_bytes), 0)::bigint`.as('maxBytes'),
      eb
        .selectFrom('placements as p')
        .select((inner) => inner.fn.countAll<bigint>().as('placed'))
        .where('p.upload_id', '=', uploadId)
        .where('p.topped_up', '=', false)
        .as('placed'),
    ])
    .where('c.upload_id', '=', uploadId)
    .executeTakeFirstOrThrow();
  return { count: Number(row.count), maxBytes: row.maxBytes, placed: Number(row.placed ?? 0n) };
}

export async function listRunOfUpload(db: Db, uploadId: bigint): Promise<StoredPart[]> {
  const rows = await db
    .selectFrom('parts')
    .select(['object_key', 'object_offset', 'length_bytes'])
    .where('upload_id', '=', uploadId)
    .where('run_seq', 'is not', null)
    .orderBy('run_seq')
    .execute();
  return rows.map((row) => ({
    objectKey: row.object_key,
    objectOffset: Number(row.object_offset),
    length: Number(row.length_bytes),
  }));
}

/** Locks the row of an upload that still waits as it was seen; false when it does not. */
export async function lockCuttable(trx: Db, { id, runBytes }: CuttableUpload): Promise<boolean> {
  const row = await trx
    .selectFrom('uploads')
    .select('id')
    .where('id', '=', id)
    .where('state', '=', 'waiting')
    .where('run_bytes', '=', BigInt(runBytes))
    .forUpdate()
    .executeTakeFirst();
  return row !== undefined;
}

/** The number of the first part that is cut now: parts of places that were given up keep theirs. */
export async function nextCutNumber(trx: Db, uploadId: bigint): Promise<number> {
  const query = trx.selectFrom('cuts').select(({ fn }) => fn.max('cut').as('last'));
  const { last } = await query.where('upload_id', '=', uploadId).executeTakeFirstOrThrow();
  return last === null ? 0 : last + 1;
}

/** Rows of one statement: a megabyte of text. */
const EXTENTS_PER_STATEMENT = 5_000;

export interface CutRow {
  uploadId: bigint;
  cut: number;
  runBytes: number;
  blockCount: number;
  extents: Iterable<StoredPart>;
}

export async function insertCut(trx: Db, { uploadId, cut, runBytes, blockCount, extents }: CutRow): Promise<void> {
  await trx
    .insertInto('cuts')
    .values({ upload_id: uploadId, cut, run_bytes: BigInt(runBytes), block_count: BigInt(blockCount) })
    .execute();
  let seq = 0;
  let some: StoredPart[] = [];
  for (const extent of extents) {
    some.push(extent);
    if (some.length < EXTENTS_PER_STATEMENT) continue;
    await insertExtents(trx, { uploadId, cut, firstSeq: seq }, some);
    seq += some.length;
    some = [];
  }
  if (some.length > 0) await insertExtents(trx, { uploadId, cut, firstSeq: seq }, some);
}

async function insertExtents(
  trx: Db,
  { uploadId, cut, firstSeq }: { uploadId: bigint; cut: number; firstSeq: number },
  extents: readonly StoredPart[],
): Promise<void> {
  const keys = extents.map(({ objectKey }) => objectKey);
  const offsets = extents.map(({ objectOffset }) => objectOffset);
  const lengths = extents.map(({ length }) => length);
  await sql`
    insert into cut_extents (upload_id, cut, seq, object_key, object_offset, length_bytes)
    select ${uploadId}, ${cut}, ${firstSeq}::integer + given.at - 1, given.key, given.start, given.length
    from unnest(${keys}::text[], ${offsets}::bigint[], ${lengths}::bigint[])
      with ordinality as given (key, start, length, at)`.execute(trx);
}

/** It goes on waiting, in parts from now on. */
export async function insertCutEvent(
  trx: Db,
  uploadId: bigint,
  { at, cuts, cutBytes }: { at: Date; cuts: number; cutBytes: number },
): Promise<void> {
  const told = { at, from: 'waiting', to: 'waiting', reason: 'CUT', evidence: { cuts, cutBytes } };
  await tellEvent(trx, { upload: uploadId }, told);
}

/**
 * waiting → failed, with its event; its parts stay for a while, in no run. Cuts that another piece size made go: they
 * would name the objects of a run that may be replaced. False when it does not wait any more, or is placed.
 */
export async function failUncuttable(
  trx: Db,
  { id }: CuttableUpload,
  { failure, at }: { failure: string; at: Date },
): Promise<boolean> {
  const changed = await trx
    .updateTable('uploads')
    .set({ state: 'failed', failure, run_bytes: null, dag_bytes: null, block_count: null, changed_at: at })
    .where('id', '=', id)
    .where('state', '=', 'waiting')
    .where(({ exists, not, selectFrom }) =>
      not(
        exists(
          selectFrom('placements as p')
            .select('p.seq')
            .whereRef('p.upload_id', '=', 'uploads.id')
            .where('p.topped_up', '=', false),
        ),
      ),
    )
    .executeTakeFirst();
  if (changed.numUpdatedRows !== 1n) return false;
  await deleteCuts(trx, id);
  await trx.updateTable('parts').set({ run_seq: null }).where('upload_id', '=', id).execute();
  const told = { at, from: 'waiting', to: 'failed', reason: 'UPLOAD_NOT_CUTTABLE', detail: failure };
  await tellEvent(trx, { upload: id }, told);
  return true;
}
