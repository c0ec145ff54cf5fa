import { sql, type Kysely, type RawBuilder } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { StoredPart } from '../place/cut-store.ts';

type Db = Kysely<DB>;

/** An upload of which bytes are kept here. */
export interface StoredUpload {
  id: bigint;
  /** CIDv1 in base32. */
  root: string;
  /** No block that its links name is missing. */
  complete: boolean;
  /** Bytes and blocks of all its parts. */
  runBytes: number;
  blockCount: number;
  /** Another one when its parts are others. */
  version: string;
}

/** The upload of this root; undefined where no bytes of it are kept. */
export async function findStoredByRoot(db: Db, root: string): Promise<StoredUpload | undefined> {
  return await findStored(db, sql`u.root = ${root}`);
}

export async function findStoredById(db: Db, id: bigint): Promise<StoredUpload | undefined> {
  return await findStored(db, sql`u.id = ${id}`);
}

/** Failed and removed uploads are not told of: their parts are about to go. */
async function findStored(db: Db, which: RawBuilder<unknown>): Promise<StoredUpload | undefined> {
  const { rows } = await sql<Record<'id' | 'bytes' | 'blocks', bigint> & Omit<StoredUpload, 'id'>>`
    select u.id, u.root, u.state <> 'incomplete' as complete, sum(p.length_bytes)::bigint as bytes,
      sum(p.block_count)::bigint as blocks, max(p.id) || '/' || count(*) as version
    from uploads u join parts p on p.upload_id = u.id
    where ${which} and u.state in ('incomplete', 'waiting', 'stowed')
      and (p.run_seq is not null or u.state = 'incomplete')
    group by u.id`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { id, root, complete, bytes, blocks, version } = row;
  return { id, root, complete, runBytes: Number(bytes), blockCount: Number(blocks), version };
}

/** Its parts in the order of the run; those of an incomplete one in the order of acceptance, which it will have. */
export async function listStoredParts(db: Db, { id, complete }: StoredUpload): Promise<StoredPart[]> {
  const query = db.selectFrom('parts').select(['object_key', 'object_offset', 'length_bytes']);
  const kept = complete ? query.where('run_seq', 'is not', null).orderBy('run_seq') : query.orderBy('id');
  const rows = await kept.where('upload_id', '=', id).execute();
  return rows.map((row) => ({
    objectKey: row.object_key,
    objectOffset: Number(row.object_offset),
    length: Number(row.length_bytes),
  }));
}
