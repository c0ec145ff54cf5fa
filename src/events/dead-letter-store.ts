import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import type { Cursor } from './change.ts';

type Db = Kysely<DB>;

export interface DeadLetter {
  id: bigint;
  firstChange: string;
  changes: number;
  attempts: number;
  error: string;
  failingSince: Date;
  diedAt: Date;
  /** It was asked for, and is tried once more soon. */
  redriving: boolean;
}

/** Oldest first. */
export async function listDeadLetters(
  db: Db,
  webhookId: string,
  { afterId, limit }: { afterId: bigint; limit: number },
): Promise<DeadLetter[]> {
  const rows = await db
    .selectFrom('webhook_dead_letters')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where('id', '>', afterId)
    .orderBy('id')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    id: row.id,
    firstChange: row.first_change,
    changes: row.changes,
    attempts: row.attempts,
    error: row.error,
    failingSince: row.failing_since,
    diedAt: row.died_at,
    redriving: row.redrive_at !== null,
  }));
}

/**
 * Asks for one more try of all of them, or of those with these ids; answers how many there are. Whoever asks has mended
 * the receiver: what waits for it is tried now, with all of its time again.
 */
export async function redriveDeadLetters(
  db: Db,
  webhookId: string,
  { ids, at }: { ids: readonly bigint[] | undefined; at: Date },
): Promise<number> {
  let query = db.updateTable('webhook_dead_letters').set({ redrive_at: at }).where('webhook_id', '=', webhookId);
  if (ids !== undefined) query = query.where('id', 'in', ids.length === 0 ? [0n] : [...ids]);
  const { numUpdatedRows } = await query.executeTakeFirst();
  await sql`update webhooks set next_attempt_at = clock_timestamp(),
    failing_since = case when attempts > 0 then clock_timestamp() end where id = ${webhookId}::uuid`.execute(db);
  return Number(numUpdatedRows);
}

/** What a dead letter held: the changes after `from` up to `to`. */
export interface Redrive {
  id: bigint;
  from: Cursor;
  to: Cursor;
  attempts: number;
}

/** The oldest that was asked for. */
export async function findRedrive(db: Db, webhookId: string): Promise<Redrive | undefined> {
  const row = await db
    .selectFrom('webhook_dead_letters')
    .selectAll()
    .where('webhook_id', '=', webhookId)
    .where('redrive_at', 'is not', null)
    .orderBy('id')
    .limit(1)
    .executeTakeFirst();
  return (
    row && {
      id: row.id,
      from: { xid: row.from_xid, position: row.from_position, index: row.from_index },
      to: { xid: row.to_xid, position: row.to_position, index: row.to_index },
      attempts: row.attempts,
    }
  );
}

export async function deleteDeadLetter(db: Db, id: bigint): Promise<void> {
  await db.deleteFrom('webhook_dead_letters').where('id', '=', id).execute();
}

/** The one more try failed: it is a dead letter as before, with the newer error. */
export async function keepDead(db: Db, id: bigint, error: string): Promise<void> {
  await db
    .updateTable('webhook_dead_letters')
    .set({ redrive_at: null, attempts: sql`attempts + 1`, error, died_at: sql`clock_timestamp()` })
    .where('id', '=', id)
    .execute();
}
