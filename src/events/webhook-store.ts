import { sql, type Kysely } from 'kysely';
import type { DB, Json } from '../db/tables.ts';
import type { Cursor } from './change.ts';
import type { EventFilter } from './filter.ts';

type Db = Kysely<DB>;

export interface Webhook {
  id: string;
  owner: string;
  url: string;
  filter: EventFilter;
  createdAt: Date;
  deliveredAt: Date | null;
  /** Since when the call that is next fails, and when it is tried again; null: only when somebody asks for it. */
  failing: { since: Date; attempts: number; error: string; nextAt: Date | null } | null;
  deadLetters: number;
}

interface NewWebhook {
  id: string;
  owner: string;
  url: string;
  filter: EventFilter;
  at: Date;
  after: Cursor;
}

/** Unless the owner has `most` already: then false. */
export async function insertWebhookUpTo(db: Db, most: number, given: NewWebhook): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const lock = `lading webhooks ${given.owner}`;
    await sql`select pg_advisory_xact_lock(hashtextextended(${lock}, 0))`.execute(trx);
    if ((await countWebhooks(trx, given.owner)) >= most) return false;
    await insertWebhook(trx, given);
    return true;
  });
}

export async function insertWebhook(db: Db, given: NewWebhook): Promise<void> {
  const { id, owner, url, filter, at, after } = given;
  const cursor = { cursor_xid: after.xid, cursor_position: after.position, cursor_index: after.index };
  await db
    .insertInto('webhooks')
    .values({ id, owner, url, filter: JSON.stringify(filter), created_at: at, ...cursor })
    .execute();
}

export async function countWebhooks(db: Db, owner: string): Promise<number> {
  const query = db.selectFrom('webhooks').select((eb) => eb.fn.countAll<bigint>().as('count'));
  return Number((await query.where('owner', '=', owner).executeTakeFirstOrThrow()).count);
}

interface Wanted {
  /** Undefined: of all. */
  owner?: string | undefined;
  id?: string;
  /** In the order of (created, id). */
  after?: { createdAt: Date; id: string } | undefined;
  limit: number;
}

export async function listWebhooks(db: Db, { owner, id, after, limit }: Wanted): Promise<Webhook[]> {
  let query = db
    .selectFrom('webhooks as w')
    .selectAll('w')
    .select(sql<boolean>`isfinite(w.next_attempt_at)`.as('is_waiting'))
    .select((eb) =>
      eb
        .selectFrom('webhook_dead_letters as l')
        .select((inner) => inner.fn.countAll<bigint>().as('dead'))
        .whereRef('l.webhook_id', '=', 'w.id')
        .as('dead'),
    )
    .orderBy('w.created_at')
    .orderBy('w.id')
    .limit(limit);
  if (owner !== undefined) query = query.where('w.owner', '=', owner);
  if (id !== undefined) query = query.where('w.id', '=', id);
  if (after !== undefined) {
    query = query.where(sql<boolean>`(w.created_at, w.id) > (${after.createdAt}::timestamptz, ${after.id}::uuid)`);
  }
  return (await query.execute()).map((row) => ({
    id: row.id,
    owner: row.owner,
    url: row.url,
    filter: filterOf(row.filter),
    createdAt: row.created_at,
    deliveredAt: row.delivered_at,
    failing:
      row.failing_since === null
        ? null
        : {
            since: row.failing_since,
            attempts: row.attempts,
            error: row.last_error ?? '',
            nextAt: row.is_waiting ? row.next_attempt_at : null,
          },
    deadLetters: Number(row.dead ?? 0n),
  }));
}

/** As insertWebhook wrote it. */
export function filterOf(json: Json): EventFilter {
  return json as EventFilter;
}

/** With its dead letters; whoever delivers it just now finds it gone. */
export async function deleteWebhook(db: Db, id: string): Promise<void> {
  await db.deleteFrom('webhooks').where('id', '=', id).execute();
}
