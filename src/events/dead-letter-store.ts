import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { writeAudit, type Act } from '../deals/audit.ts';
import type { Cursor } from './change.ts';

type Db = Kysely<DB>;

export interface DeadLetter {
  id: bigint;
  webhookId: string;
  /** The token name that made the webhook, and where it calls. */
  owner: string;
  url: string;
  firstChange: string;
  changes: number;
  attempts: number;
  error: string;
  failingSince: Date;
  diedAt: Date;
  /** It was asked for, and is tried once more soon. */
  redriving: boolean;
}

/** Of one webhook, or of all, oldest first. */
export async function listDeadLetters(
  db: Db,
  { webhookId, afterId, limit }: { webhookId: string | undefined; afterId: bigint; limit: number },
): Promise<DeadLetter[]> {
  let query = db
    .selectFrom('webhook_dead_letters as l')
    .innerJoin('webhooks as w', 'w.id', 'l.webhook_id')
    .selectAll('l')
    .select(['w.owner', 'w.url'])
    .where('l.id', '>', afterId)
    .orderBy('l.id')
    .limit(limit);
  if (webhookId !== undefined) query = query.where('l.webhook_id', '=', webhookId);
  return (await query.execute()).map((row) => ({
    id: row.id,
    webhookId: row.webhook_id,
    owner: row.owner,
    url: row.url,
    firstChange: row.first_change,
    changes: row.changes,
    attempts: row.attempts,
    error: row.error,
    failingSince: row.failing_since,
    diedAt: row.died_at,
    redriving: row.redrive_at !== null,
  }));
}

/** Which dead letters: these ids, those of one webhook, or all. */
export interface ChosenLetters {
  webhookId?: string | undefined;
  ids?: readonly bigint[] | undefined;
}

/**
 * Asks for one more try of dead letters; answers how many there are. Whoever asks has mended the receiver: what waits for
 * it, or for the one webhook that is named, is tried now, with all of its time again.
 */
export async function redriveDeadLetters(db: Db, { webhookId, ids }: ChosenLetters, at: Date): Promise<number> {
  let query = db.updateTable('webhook_dead_letters').set({ redrive_at: at });
  if (webhookId !== undefined) query = query.where('webhook_id', '=', webhookId);
  if (ids !== undefined) query = query.where('id', 'in', ids.length === 0 ? [0n] : [...ids]);
  const letters = await query.returning('webhook_id').execute();
  const receivers = new Set(letters.map((letter) => letter.webhook_id));
  if (webhookId !== undefined) receivers.add(webhookId);
  await sql`update webhooks set next_attempt_at = clock_timestamp(),
    failing_since = case when attempts > 0 then clock_timestamp() end where id = any(${[...receivers]}::uuid[])`.execute(
    db,
  );
  return letters.length;
}

/** As redriveDeadLetters, with its audit row. */
export async function redriveByHand(db: Db, chosen: ChosenLetters, act: Act & { at: Date }): Promise<number> {
  const { by: actor, reason, at } = act;
  return await db.transaction().execute(async (trx) => {
    const redriven = await redriveDeadLetters(trx, chosen, at);
    if (redriven === 0 && chosen.webhookId === undefined) return 0;
    const detail = { redriven, ...(chosen.ids !== undefined && { ids: chosen.ids.map(String) }) };
    const subject = chosen.webhookId ?? 'webhooks';
    await writeAudit(trx, { actor, action: 'webhook.redrive', subject, reason, detail, at });
    return redriven;
  });
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
