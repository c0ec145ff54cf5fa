import { sql, type Kysely } from 'kysely';
import type { DB, Json } from '../db/tables.ts';
import { hasToken } from '../tokens/has-token.ts';
import { ROW_DONE, type Cursor } from './change.ts';
import type { EventFilter } from './filter.ts';
import { filterOf } from './webhook-store.ts';

type Db = Kysely<DB>;

/** One that this process delivers. */
export interface ClaimedWebhook {
  id: string;
  url: string;
  filter: EventFilter;
  cursor: Cursor;
  attempts: number;
  /** Of the call that failed: the id of its last change. */
  failingTo: string | null;
  failingMs: number;
}

/** Who holds the lease, and which webhook. */
export interface Hold {
  id: string;
  holder: string;
}

/** A webhook has exactly one process that delivers it, until this long after it last said so. */
const LEASE_MS = 60_000;
const lease = sql<Date>`clock_timestamp() + ${LEASE_MS} * interval '1 ms'`;

/** Without a token the webhook stays where it is until there is one of its owner's name again. */
const mayTell = (configuredNames: readonly string[]) => hasToken(sql`w.owner`, configuredNames);

/** Whether its owner may still be told anything. */
export async function mayBeTold(
  db: Db,
  id: string,
  { configuredNames }: { configuredNames: readonly string[] },
): Promise<boolean> {
  const { rows } = await sql`select from webhooks w where w.id = ${id}::uuid and ${mayTell(configuredNames)}`.execute(
    db,
  );
  return rows.length === 1;
}

interface Claim {
  holder: string;
  limit: number;
  except: readonly string[];
  configuredNames: readonly string[];
}

/**
 * Takes webhooks that may have something to tell and that no process delivers. The database's clock decides. The newest
 * event is looked up once: to look for one after each cursor reads the whole table where there is none.
 */
export async function claimWebhooks(db: Db, { holder, limit, except, configuredNames }: Claim) {
  const { rows } = await sql<{
    id: string;
    url: string;
    filter: Json;
    cursor_xid: string;
    cursor_position: bigint;
    cursor_index: number;
    attempts: number;
    failing_to: string | null;
    failing_ms: number;
  }>`
    with newest as (
      select xid, position from outbox order by xid desc, position desc limit 1
    ), due as (
      select id from webhooks w
      where id <> all(${except}::uuid[]) and next_attempt_at <= now() and (leased_until is null or leased_until <= now())
        and ${mayTell(configuredNames)}
        and (exists (select from newest n where (n.xid, n.position) >
            (w.cursor_xid, w.cursor_position - case when w.cursor_index = ${ROW_DONE} then 0 else 1 end))
          or exists (select from webhook_dead_letters l where l.webhook_id = w.id and l.redrive_at is not null))
      order by next_attempt_at limit ${limit} for update skip locked)
    update webhooks w set leased_by = ${holder}::uuid, leased_until = ${lease}
    from due where w.id = due.id
    returning w.id, w.url, w.filter, w.cursor_xid::text, w.cursor_position, w.cursor_index, w.attempts, w.failing_to,
      coalesce(extract(epoch from clock_timestamp() - w.failing_since) * 1000, 0)::float8 as failing_ms`.execute(db);
  return rows.map(
    (row): ClaimedWebhook => ({
      id: row.id,
      url: row.url,
      filter: filterOf(row.filter),
      cursor: { xid: row.cursor_xid, position: row.cursor_position, index: row.cursor_index },
      attempts: row.attempts,
      failingTo: row.failing_to,
      failingMs: row.failing_ms,
    }),
  );
}

/** A change of a webhook by its holder; false when the lease is not held any more, and nothing was changed. */
async function asHolder(db: Db, { id, holder }: Hold, change: ReturnType<typeof sql>): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update webhooks set ${change} where id = ${id}::uuid and leased_by = ${holder}::uuid
      and leased_until > clock_timestamp()`.execute(db);
  return numAffectedRows === 1n;
}

const cursorIs = ({ xid, position, index }: Cursor) =>
  sql`cursor_xid = ${xid}::xid8, cursor_position = ${position}::bigint, cursor_index = ${index}::integer`;
const renewed = sql`leased_until = ${lease}`;
const released = sql`leased_by = null, leased_until = null`;
const noFailure = sql`attempts = 0, failing_since = null, failing_to = null, last_error = null`;

/** All up to the cursor was taken. */
export function advanceDelivered(db: Db, hold: Hold, { cursor, at }: { cursor: Cursor; at: Date }): Promise<boolean> {
  return asHolder(db, hold, sql`${cursorIs(cursor)}, ${renewed}, ${noFailure}, delivered_at = ${at}`);
}

export function renewLease(db: Db, hold: Hold): Promise<boolean> {
  return asHolder(db, hold, renewed);
}

/** There is nothing to tell up to this cursor, and more to read. */
export function passOver(db: Db, hold: Hold, cursor: Cursor): Promise<boolean> {
  return asHolder(db, hold, sql`${cursorIs(cursor)}, ${renewed}`);
}

/** There is nothing to tell up to this cursor: another process may go on when there is. */
export function releaseIdle(db: Db, hold: Hold, cursor: Cursor): Promise<boolean> {
  return asHolder(db, hold, sql`${cursorIs(cursor)}, ${released}`);
}

/** The next call starts at the same change, after a while, or when it is asked for; until then nobody holds it. */
export function releaseFailed(
  db: Db,
  hold: Hold,
  failure: { error: string; failingTo: string; waitMs: number | undefined; cursor: Cursor },
): Promise<boolean> {
  const { error, failingTo, waitMs, cursor } = failure;
  return asHolder(
    db,
    hold,
    sql`${cursorIs(cursor)}, ${released}, attempts = attempts + 1, last_error = ${error}, failing_to = ${failingTo},
      failing_since = coalesce(failing_since, clock_timestamp()),
      next_attempt_at = ${waitMs === undefined ? sql`'infinity'` : sql`clock_timestamp() + ${waitMs} * interval '1 ms'`}`,
  );
}

/** Nothing is held by a process that ended, or whose database was ours alone. */
export async function releaseAll(db: Db, holder?: string): Promise<void> {
  await sql`update webhooks set ${released} where leased_by is not null
    and (${holder ?? null}::uuid is null or leased_by = ${holder ?? null}::uuid)`.execute(db);
}

/** The call is given up: it becomes a dead letter, and the next change is next. */
export async function advanceDead(
  db: Db,
  hold: Hold,
  dead: { from: Cursor; to: Cursor; firstChange: string; changes: number; error: string },
): Promise<boolean> {
  const { from, to, firstChange, changes, error } = dead;
  return db.transaction().execute(async (trx) => {
    const { numAffectedRows } = await sql`
      insert into webhook_dead_letters (webhook_id, from_xid, from_position, from_index, to_xid, to_position, to_index,
        first_change, changes, attempts, error, failing_since, died_at)
      select id, ${from.xid}::xid8, ${from.position}::bigint, ${from.index}::integer, ${to.xid}::xid8,
        ${to.position}::bigint, ${to.index}::integer, ${firstChange}, ${changes}::integer, attempts + 1, ${error},
        coalesce(failing_since, clock_timestamp()), clock_timestamp()
      from webhooks where id = ${hold.id}::uuid and leased_by = ${hold.holder}::uuid
        and leased_until > clock_timestamp() for update`.execute(trx);
    return numAffectedRows === 1n && (await asHolder(trx, hold, sql`${cursorIs(to)}, ${renewed}, ${noFailure}`));
  });
}
