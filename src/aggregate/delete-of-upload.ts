import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';

/** Rows of one statement: it takes a second or so, far within what a statement may take, however many rows there are. */
export const DELETE_BATCH_ROWS = 50_000;

/** What is known of an upload's bytes: where they lie, how they are cut, and which blocks came in parts. */
type BytesTable = 'parts' | 'cut_extents' | 'part_blocks' | 'wanted_blocks';

/** Deletes one batch of an upload's rows, whose row the caller has locked; answers how many. */
export async function deleteBatchOfUpload(trx: Kysely<DB>, table: BytesTable, uploadId: bigint): Promise<number> {
  const { numAffectedRows = 0n } = await sql`delete from ${sql.table(table)} where ctid = any(array(
    select ctid from ${sql.table(table)} where upload_id = ${uploadId} limit ${DELETE_BATCH_ROWS}))`.execute(trx);
  return Number(numAffectedRows);
}

/** Deletes all of them: a large upload has millions, more than one statement has time for. */
export async function deleteOfUpload(trx: Kysely<DB>, table: BytesTable, uploadId: bigint): Promise<void> {
  while ((await deleteBatchOfUpload(trx, table, uploadId)) === DELETE_BATCH_ROWS);
}

/** Only while none of the cuts is placed: the foreign key of placements insists. Those of places that were given up stay. */
export async function deleteCuts(trx: Kysely<DB>, uploadId: bigint): Promise<void> {
  await deleteOfUpload(trx, 'cut_extents', uploadId);
  const current = trx.selectFrom('current_cuts').select('cut').where('upload_id', '=', uploadId);
  await trx.deleteFrom('cuts').where('upload_id', '=', uploadId).where('cut', 'in', current).execute();
}

/**
 * Forgets where the bytes of an upload lie that is in no aggregate. The objects go by the sweep; what is written down of its
 * blocks goes in batches of its own (keep/let-go.ts), and until then counts for nothing without parts.
 */
export async function forgetBytes(trx: Kysely<DB>, uploadId: bigint): Promise<void> {
  await deleteCuts(trx, uploadId);
  await deleteOfUpload(trx, 'parts', uploadId);
}
