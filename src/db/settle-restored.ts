import { sql, type Kysely } from 'kysely';
import type { DB } from './tables.ts';

/** Older than every transaction that writes events, younger than the cursor before all of them. */
const BEFORE_ALL = '1';
/** A row that was read to its end (ROW_DONE in events/change.ts). */
const ROW_DONE = 2_147_483_647;

const fromElsewhere = sql<{ found: boolean }>`
  select exists (select from events where xid >= pg_snapshot_xmax(pg_current_snapshot()))
    or exists (select from webhooks where cursor_xid > pg_snapshot_xmax(pg_current_snapshot())) as found`;

/**
 * Events keep the number of the transaction that wrote them. In a database that was dumped and loaded into another server
 * these are numbers of another count: larger than any here for months, so that nobody would be told of old events nor, in
 * their order, of new ones. There they all count as of one transaction before all of this server, so their positions
 * order them, and each cursor is put before the first event that it had not passed. True when that was needed.
 */
export async function settleRestored(kysely: Kysely<DB>): Promise<boolean> {
  const found = async (db: Kysely<DB>) => (await fromElsewhere.execute(db)).rows[0]?.found === true;
  if (!(await found(kysely))) return false;
  return await kysely.transaction().execute(async (trx) => {
    await sql`lock table events, webhooks, webhook_dead_letters, history_cursor in exclusive mode`.execute(trx);
    if (!(await found(trx))) return false;
    // Where a row was read in part its own place stays, unless one before it by position was not read at all.
    await sql`update webhooks set cursor_position = cursor_position - 1, cursor_index = ${ROW_DONE}::integer
      where cursor_index <> ${ROW_DONE}::integer and exists (select from events
        where (xid, position) > (cursor_xid, cursor_position) and position < cursor_position)`.execute(trx);
    await sql`update webhooks set cursor_xid = ${BEFORE_ALL}::xid8, cursor_position =
      case when cursor_index <> ${ROW_DONE} then cursor_position else coalesce(
        (select min(position) - 1 from events where (xid, position) > (cursor_xid, cursor_position)),
        (select max(position) from events)) end`.execute(trx);
    await sql`update webhook_dead_letters set from_xid = ${BEFORE_ALL}::xid8, to_xid = ${BEFORE_ALL}::xid8, from_position =
      case when (from_position, from_index) < (to_position, to_index) then from_position else to_position - 1 end`.execute(
      trx,
    );
    await sql`update history_cursor set xid = '0'::xid8, position = 0`.execute(trx);
    await sql`update events set xid = ${BEFORE_ALL}::xid8`.execute(trx);
    return true;
  });
}
