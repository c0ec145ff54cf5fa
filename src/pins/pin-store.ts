import { sql, type Kysely } from 'kysely';
import type { DB, PinStatus, PinStep } from '../db/tables.ts';
import type { PinMove, PinStanding } from './decide-pin.ts';

/** The SQL of the pin stage. */
type Db = Kysely<DB>;

/** A pin whose next step is due, in the hands of one process for as long as its lease is. */
export interface DuePin extends PinStanding {
  uploadId: bigint;
  root: string;
  step: PinStep;
  wish: number;
}

export interface Settled {
  uploadId: bigint;
  from: PinStatus;
  to: PinStatus;
}

/** Whoever does a step has so long; then it is due again, for whoever comes first. */
export const LEASE_MS = 300_000;

const acting = sql`step in ('give', 'recover', 'unpin')`;
const looking = sql`step = 'look'`;

/**
 * The oldest that are due, and moves them on by a lease; those that another process takes just now are passed over. Due by
 * the statement's time, not clock_timestamp(): of that the index knows no end, and a look with nothing due reads all of it.
 */
export async function claimDue(db: Db, what: 'look' | 'act', limit: number): Promise<DuePin[]> {
  const { rows } = await sql<{
    upload_id: bigint;
    root: string;
    status: PinStatus;
    step: PinStep;
    wish: number;
    acted: boolean;
    failing_ms: number | null;
    age_ms: number;
  }>`
    with due as (
      select upload_id from pins where ${what === 'look' ? looking : acting} and due_at <= now()
      order by due_at limit ${limit} for update skip locked
    ), taken as (
      update pins p set due_at = clock_timestamp() + ${LEASE_MS} * interval '1 ms'
      from due where p.upload_id = due.upload_id
      returning p.*
    )
    select t.upload_id, u.root, t.status, t.step, t.wish, t.acted,
      extract(epoch from clock_timestamp() - t.failing_since)::float8 * 1000 as failing_ms,
      extract(epoch from clock_timestamp() - t.changed_at)::float8 * 1000 as age_ms
    from taken t join uploads u on u.id = t.upload_id`.execute(db);
  return rows.map((row) => ({
    uploadId: row.upload_id,
    root: row.root,
    status: row.status,
    step: row.step,
    wish: row.wish,
    acted: row.acted,
    failingMs: row.failing_ms ?? undefined,
    ageMs: row.age_ms,
  }));
}

/** The step takes longer than a lease, and is being done still. */
export async function renewLease(db: Db, { uploadId, wish, step }: DuePin): Promise<void> {
  await sql`update pins set due_at = clock_timestamp() + ${LEASE_MS} * interval '1 ms'
    where upload_id = ${uploadId} and wish = ${wish} and step = ${step}::pin_step`.execute(db);
}

/** Nothing could be done, or is known of them now: they are due again after a while. */
export async function giveBack(db: Db, pins: readonly DuePin[], waitMs: number): Promise<void> {
  if (pins.length === 0) return;
  await sql`
    update pins p set due_at = clock_timestamp() + ${waitMs} * interval '1 ms'
    from unnest(${pins.map(({ uploadId }) => uploadId)}::bigint[], ${pins.map(({ wish }) => wish)}::integer[],
      ${pins.map(({ step }) => step)}::text[]) as g (id, wish, step)
    where p.upload_id = g.id and p.wish = g.wish and p.step = g.step::pin_step`.execute(db);
}

export interface PinChange {
  pin: DuePin;
  move: PinMove;
}

const failureOf = ({ failure }: PinMove) => (typeof failure === 'string' ? failure : 'new');
const errorOf = ({ failure }: PinMove) => (typeof failure === 'string' ? null : failure.error);

/**
 * Compare-and-set of many pins, with an event of each upload whose status became pinned or failed, or was pinned; answers
 * those whose status changed. A pin that was wanted or dropped anew meanwhile stays as that made it.
 */
export async function settlePins(trx: Db, changes: readonly PinChange[], at: Date): Promise<Settled[]> {
  if (changes.length === 0) return [];
  const column = <T>(of: (change: PinChange) => T) => changes.map(of);
  const { rows } = await sql<{ upload_id: bigint; was: PinStatus; status: PinStatus }>`
    with given as (
      select * from unnest(${column(({ pin }) => pin.uploadId)}::bigint[], ${column(({ pin }) => pin.wish)}::integer[],
        ${column(({ pin }) => pin.status)}::pin_status[], ${column(({ move }) => move.status)}::pin_status[],
        ${column(({ move }) => move.step ?? null)}::pin_step[], ${column(({ move }) => move.waitMs)}::float8[],
        ${column(({ move }) => move.acted)}::boolean[], ${column(({ move }) => failureOf(move))}::text[],
        ${column(({ move }) => errorOf(move))}::text[])
        as g (id, wish, was, status, step, wait_ms, acted, failure, error)
    ), moved as (
      update pins p set status = g.status, step = g.step, acted = g.acted,
        due_at = case when g.step is not null then clock_timestamp() + g.wait_ms * interval '1 ms' end,
        failing_since = case g.failure when 'new' then coalesce(p.failing_since, clock_timestamp())
          when 'same' then p.failing_since end,
        error = case g.failure when 'new' then g.error when 'same' then p.error end,
        changed_at = case when g.status = g.was then p.changed_at else clock_timestamp() end
      from given g where p.upload_id = g.id and p.wish = g.wish and p.status = g.was
      returning p.upload_id, g.was, p.status, p.error
    ), told as (
      insert into events (at, upload_id, from_state, to_state, reason_code, detail)
      select ${at}::timestamptz, m.upload_id, u.state::text, u.state::text, 'PIN_' || upper(m.status::text), m.error
      from moved m join uploads u on u.id = m.upload_id
      where m.status <> m.was and (m.status in ('pinned', 'failed') or m.was = 'pinned')
    )
    select upload_id, was, status from moved where status <> was`.execute(trx);
  return rows.map(({ upload_id: uploadId, was: from, status: to }) => ({ uploadId, from, to }));
}

export async function isActDue(db: Db): Promise<boolean> {
  const { rows } = await sql`select from pins where ${acting} and due_at <= now() limit 1`.execute(db);
  return rows.length > 0;
}

/** Ranges of an upload's run, in order. */
interface Range {
  objectKey: string;
  offset: number;
  length: number;
}

/** Ranges of one query. */
const PAGE_RANGES = 1_000;

/** Undefined where the store does not hold the run: it was released, or is in parts that never became one. */
export async function findRunBytes(db: Db, uploadId: bigint): Promise<number | undefined> {
  const { rows } = await sql<{ bytes: bigint | null }>`
    select u.run_bytes as bytes from uploads u where u.id = ${uploadId} and exists (
      select from parts p where p.upload_id = u.id and p.run_seq is not null)`.execute(db);
  const bytes = rows[0]?.bytes ?? null;
  return bytes === null ? undefined : Number(bytes);
}

export async function* listRanges(db: Db, uploadId: bigint): AsyncGenerator<Range> {
  for (let after = -1; ; ) {
    const page = await db
      .selectFrom('parts')
      .select(['run_seq', 'object_key', 'object_offset', 'length_bytes'])
      .where('upload_id', '=', uploadId)
      .where('run_seq', '>', after)
      .orderBy('run_seq')
      .limit(PAGE_RANGES)
      .execute();
    for (const row of page) {
      after = row.run_seq ?? after;
      const [offset, length] = [Number(row.object_offset), Number(row.length_bytes)];
      yield { objectKey: row.object_key, offset, length };
    }
    if (page.length < PAGE_RANGES) return;
  }
}
