import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { WaitingUpload } from './placement-rules.ts';

type Db = Kysely<DB>;

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
