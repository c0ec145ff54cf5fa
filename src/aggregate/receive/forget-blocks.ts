import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

const BLOCK_TABLES = ['part_blocks', 'wanted_blocks'] as const;

type BlockTable = (typeof BLOCK_TABLES)[number];

/** Rows of one statement: a second or so. */
const BATCH_ROWS = 50_000;

/** Deletes what was written down of an upload's blocks, which must be complete or hold no part. */
export async function forgetBlocks(kysely: Kysely<DB>, uploadId: bigint): Promise<void> {
  for (const table of BLOCK_TABLES) {
    let after: Buffer | undefined = Buffer.alloc(0);
    while (after !== undefined) after = await forgetBatch(kysely, table, { uploadId, after });
  }
}

/** By key, so that no batch steps over what those before it deleted. Answers where the next one begins, if there is one. */
async function forgetBatch(
  kysely: Kysely<DB>,
  table: BlockTable,
  { uploadId, after }: { uploadId: bigint; after: Buffer },
): Promise<Buffer | undefined> {
  const { rows } = await sql<{ cid: Buffer }>`
    with batch as materialized (
      select cid from ${sql.table(table)} where upload_id = ${uploadId} and cid > ${after} order by cid limit ${BATCH_ROWS}
    ), gone as (
      delete from ${sql.table(table)} where upload_id = ${uploadId} and cid = any(array(select cid from batch))
    )
    select cid from batch order by cid desc limit 1`.execute(kysely);
  return rows[0]?.cid;
}

/** Complete uploads of which something is still written down. */
export async function listForgettable(kysely: Kysely<DB>): Promise<bigint[]> {
  const found = await Promise.all(BLOCK_TABLES.map((table) => listUploadsIn(kysely, table)));
  return [...new Set(found.flat())];
}

/** Skips from upload to upload in the index: an incomplete upload may have millions of rows. */
async function listUploadsIn(kysely: Kysely<DB>, table: BlockTable): Promise<bigint[]> {
  const { rows } = await sql<{ id: bigint }>`
    with recursive held (id) as (
      select min(upload_id) from ${sql.table(table)}
      union all
      select (select min(b.upload_id) from ${sql.table(table)} b where b.upload_id > held.id) from held
      where held.id is not null)
    select u.id from held join uploads u on u.id = held.id where u.state in ('waiting', 'stowed')`.execute(kysely);
  return rows.map((row) => row.id);
}
