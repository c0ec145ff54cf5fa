import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/** An upload of a token name, and since when it is. */
export interface OwnUpload {
  id: bigint;
  root: string;
  since: Date;
}

/** A place in the list of somebody's uploads, which goes backwards; without an id, before all that are of this time. */
export interface OwnPlace {
  /** A time as PostgreSQL reads it. */
  since: string;
  id?: bigint;
}

function ownUploads(kysely: Kysely<DB>, owner: string) {
  return kysely
    .selectFrom('upload_owners as o')
    .innerJoin('uploads as u', 'u.id', 'o.upload_id')
    .select(['u.id', 'u.root', 'o.since'])
    .where('o.owner_id', '=', (eb) => eb.selectFrom('owners').select('id').where('name', '=', owner))
    .where('o.ended_at', 'is', null)
    .where('u.state', '<>', 'removed');
}

/** Undefined when this token name does not own an upload of this root (CIDv1 base32). */
export async function findOwnUpload(kysely: Kysely<DB>, owner: string, root: string): Promise<OwnUpload | undefined> {
  return await ownUploads(kysely, owner).where('u.root', '=', root).executeTakeFirst();
}

/** The newest first. */
export async function listOwnUploads(
  kysely: Kysely<DB>,
  owner: string,
  { before, limit }: { before?: OwnPlace | undefined; limit: number },
): Promise<OwnUpload[]> {
  let query = ownUploads(kysely, owner).orderBy('o.since', 'desc').orderBy('o.upload_id', 'desc').limit(limit);
  if (before !== undefined) {
    const { since, id = 0n } = before;
    query = query.where(sql<boolean>`(o.since, o.upload_id) < (${since}::timestamptz, ${id}::bigint)`);
  }
  return await query.execute();
}
