import { sql, type Kysely, type Selectable } from 'kysely';
import { countRows, type RowCount } from '../db/count-rows.ts';
import { fromMicroseconds, toMicroseconds } from '../db/microseconds.ts';
import type { DB, Pulls, PullState } from '../db/tables.ts';
import { LadingError } from '../errors.ts';
import type { Jobs } from '../jobs/jobs.ts';

type Db = Kysely<DB>;

export interface Pull {
  id: string;
  owner: string;
  url: string;
  /** The root that the CAR must have; undefined: whatever it has. */
  wantedRoot: string | undefined;
  state: PullState;
  createdAt: Date;
  settledAt: Date | undefined;
  /** Somebody fetches it just now. */
  underWay: boolean;
  nextAttemptAt: Date;
  attempts: number;
  error: { code: string; message: string } | undefined;
  /** As far as its origin told. */
  sizeBytes: number | undefined;
  pulledBytes: number;
  /** Of the upload that it became. */
  root: string | undefined;
}

export interface PullEvent {
  at: Date;
  kind: string;
  pulledBytes: number;
  error: { code: string; message: string } | undefined;
}

/** Of one token: each holds a row and a job until it is fetched. */
const MAX_WAITING = 10_000;

const toPull = (row: Selectable<Pulls> & { under_way: boolean }): Pull => ({
  id: row.id,
  owner: row.owner,
  url: row.url,
  wantedRoot: row.wanted_root ?? undefined,
  state: row.state,
  createdAt: row.created_at,
  settledAt: row.settled_at ?? undefined,
  underWay: row.under_way,
  nextAttemptAt: row.next_attempt_at,
  attempts: row.attempts,
  error: errorOf(row),
  sizeBytes: row.size_bytes === null ? undefined : Number(row.size_bytes),
  pulledBytes: Number(row.pulled_bytes),
  root: row.root ?? undefined,
});

function errorOf({ error_code: code, error }: { error_code: string | null; error: string | null }) {
  return code === null || error === null ? undefined : { code, message: error };
}

interface Asked {
  owner: string;
  url: string;
  wantedRoot: string | undefined;
}

/**
 * The pull that waits for this URL already, or a new one and its job; undefined when the owner has as many as it may.
 * Throws `CONFLICT` when the one that waits is to have another root.
 */
export async function askForPull(
  { db, jobs }: { db: Db; jobs: Pick<Jobs, 'send'> },
  { owner, url, wantedRoot }: Asked,
  most = MAX_WAITING,
): Promise<string | undefined> {
  return await db.transaction().execute(async (trx) => {
    await sql`select pg_advisory_xact_lock(hashtextextended(${`lading pulls ${owner}`}, 0))`.execute(trx);
    const waiting = trx.selectFrom('pulls').where('owner', '=', owner).where('state', '=', 'waiting');
    const known = await waiting.where('url', '=', url).select(['id', 'wanted_root']).executeTakeFirst();
    if (known !== undefined) return sameRoot(known, wantedRoot);
    const { count } = await waiting.select((eb) => eb.fn.countAll<bigint>().as('count')).executeTakeFirstOrThrow();
    if (Number(count) >= most) return undefined;
    const { id } = await trx
      .insertInto('pulls')
      .values({ owner, url, wanted_root: wantedRoot ?? null })
      .returning('id')
      .executeTakeFirstOrThrow();
    await trx.insertInto('pull_events').values({ pull_id: id, kind: 'asked' }).execute();
    await jobs.send(trx, 'pull', { pullId: id });
    return id;
  });
}

function sameRoot(known: { id: string; wanted_root: string | null }, wantedRoot: string | undefined): string {
  if (known.wanted_root === (wantedRoot ?? null)) return known.id;
  const message = `this URL waits as ${known.id} already, with ${known.wanted_root ?? 'no'} cid: cancel that first`;
  throw new LadingError('CONFLICT', message);
}

const underWay = sql<boolean>`leased_until is not null and leased_until > clock_timestamp()`;

/** `owner`: undefined for whoever may see all. */
export async function findPull(db: Db, id: string, owner: string | undefined): Promise<Pull | undefined> {
  let query = db.selectFrom('pulls').selectAll().select(underWay.as('under_way')).where('id', '=', id);
  if (owner !== undefined) query = query.where('owner', '=', owner);
  const row = await query.executeTakeFirst();
  return row && toPull(row);
}

export interface PullFilter {
  owner: string | undefined;
  state: PullState | undefined;
}

interface PullPage {
  /** Only those older than this one. */
  after: { age: bigint; id: string } | undefined;
  limit: number;
}

/** Newest first; `age` and id are the place of each in the list. */
export async function listPulls(db: Db, filter: PullFilter, { after, limit }: PullPage) {
  let query = filtered(db, filter)
    .selectAll()
    .select([underWay.as('under_way'), toMicroseconds('created_at').as('age')])
    .orderBy('created_at', 'desc')
    .orderBy('id', 'desc')
    .limit(limit);
  if (after !== undefined)
    query = query.where(sql<boolean>`(created_at, id) < (${fromMicroseconds(after.age)}, ${after.id}::uuid)`);
  return (await query.execute()).map((row) => ({ pull: toPull(row), age: row.age }));
}

export function countPulls(db: Db, filter: PullFilter): Promise<RowCount> {
  return countRows(db, filtered(db, filter).select('id'));
}

function filtered(db: Db, { owner, state }: PullFilter) {
  let query = db.selectFrom('pulls');
  if (owner !== undefined) query = query.where('owner', '=', owner);
  if (state !== undefined) query = query.where('state', '=', state);
  return query;
}

/** Tries go on for a day, one an hour in the end: a page holds them all. */
const MAX_EVENTS = 200;

/** The latest ones, oldest first. */
export async function listPullEvents(db: Db, pullId: string): Promise<PullEvent[]> {
  const rows = await db
    .selectFrom('pull_events')
    .selectAll()
    .where('pull_id', '=', pullId)
    .orderBy('id', 'desc')
    .limit(MAX_EVENTS)
    .execute();
  return rows
    .toReversed()
    .map((row) => ({ at: row.at, kind: row.kind, pulledBytes: Number(row.pulled_bytes), error: errorOf(row) }));
}

/** False when there is none of this owner that waits. Whoever fetches it just now finds its lease gone. */
export async function cancelPull(db: Db, id: string, owner: string | undefined): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    const { rows } = await sql`
      update pulls set state = 'cancelled', settled_at = clock_timestamp(), leased_by = null, leased_until = null,
        failing_since = null, error_code = null, error = null
      where id = ${id}::uuid and state = 'waiting' and (${owner ?? null}::text is null or owner = ${owner ?? null})
      returning pulled_bytes`.execute(trx);
    if (rows.length === 0) return false;
    await trx.insertInto('pull_events').values({ pull_id: id, kind: 'cancelled' }).execute();
    return true;
  });
}

/** Those that are due and that nobody fetches: a sweep sends their jobs where there are none. */
export async function listPullsDue(db: Db, limit: number): Promise<string[]> {
  const { rows } = await sql<{ id: string }>`
    select p.id from pulls p where ${isDue} order by p.next_attempt_at limit ${limit}`.execute(db);
  return rows.map(({ id }) => id);
}

const isDue = sql<boolean>`p.state = 'waiting' and p.next_attempt_at <= now()
  and (p.leased_until is null or p.leased_until <= now())`;

/** The one that is next: owners take turns, whose pulls fewest are fetched of first, and of one the longest due. */
export async function findNextPull(db: Db): Promise<string | undefined> {
  const { rows } = await sql<{ id: string }>`
    with in_hand as (
      select owner, count(*) as pulls from pulls where state = 'waiting' and leased_until > now() group by owner)
    select p.id from pulls p left join in_hand i using (owner) where ${isDue}
    order by coalesce(i.pulls, 0), p.next_attempt_at limit 1`.execute(db);
  return rows[0]?.id;
}

/** Whether somebody else waits for a place. */
export async function doOthersWait(db: Db, owner: string): Promise<boolean> {
  const { rows } = await sql`select from pulls p where ${isDue} and p.owner <> ${owner} limit 1`.execute(db);
  return rows.length > 0;
}

/** Of these, the ones that still wait. */
export async function listWaitingPulls(db: Db, ids: readonly string[]): Promise<Set<string>> {
  if (ids.length === 0) return new Set();
  const rows = await db
    .selectFrom('pulls')
    .select('id')
    .where('id', 'in', ids)
    .where('state', '=', 'waiting')
    .execute();
  return new Set(rows.map(({ id }) => id));
}
