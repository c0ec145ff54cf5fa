import { sql, type Kysely } from 'kysely';
import { CID } from 'multiformats/cid';
import { findUpload, type Standing } from '../../aggregate/receive/upload-store.ts';
import type { DB } from '../../db/tables.ts';

/** What is known of the blocks of a root that is to be fetched. */
export interface Progress {
  uploadId: bigint | undefined;
  standing: Standing | undefined;
  /** What to fetch, with all below it; empty when nothing is missing. */
  wanted: CID[];
  /** Stored already. */
  heldBytes: bigint;
}

/** As many as one walk begins with; the others come in the next. */
const MAX_WANTED = 10_000;

export async function readProgress(kysely: Kysely<DB>, root: string): Promise<Progress> {
  const upload = await findUpload(kysely, root);
  const known = { uploadId: upload?.id, standing: upload?.standing };
  if (upload?.standing === 'waiting' || upload?.standing === 'stowed') return { ...known, wanted: [], heldBytes: 0n };
  const incomplete = upload?.standing === 'incomplete' ? await readIncomplete(kysely, upload.id) : undefined;
  return { ...known, wanted: [CID.parse(root)], heldBytes: 0n, ...incomplete };
}

async function readIncomplete(kysely: Kysely<DB>, uploadId: bigint) {
  const rows = await kysely
    .selectFrom('wanted_blocks')
    .select('cid')
    .where('upload_id', '=', uploadId)
    .where('came', '=', false)
    .orderBy('id')
    .limit(MAX_WANTED)
    .execute();
  const { bytes } = await kysely
    .selectFrom('parts')
    .select(sql<bigint>`coalesce(sum(length_bytes), 0)::bigint`.as('bytes'))
    .where('upload_id', '=', uploadId)
    .executeTakeFirstOrThrow();
  // Without a root its only wanted block is the root.
  return rows.length === 0
    ? { heldBytes: bytes }
    : { wanted: rows.map(({ cid }) => CID.decode(cid)), heldBytes: bytes };
}

/** Those of the keys whose blocks earlier parts hold. */
export async function heldAmong(
  kysely: Kysely<DB>,
  uploadId: bigint,
  keys: readonly Buffer[],
): Promise<ReadonlySet<string>> {
  const { rows } = await sql<{ cid: Buffer }>`
    select cid from part_blocks where upload_id = ${uploadId} and cid = any(${keys}::bytea[])`.execute(kysely);
  return new Set(rows.map(({ cid }) => cid.toString('latin1')));
}
