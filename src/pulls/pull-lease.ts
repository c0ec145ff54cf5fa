import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import type { Jobs } from '../jobs/jobs.ts';

type Db = Kysely<DB>;

/** A pull that this process fetches. */
export interface ClaimedPull {
  id: string;
  owner: string;
  url: string;
  wantedRoot: string | undefined;
  attempts: number;
  /** Since its last step forward. */
  failingMs: number;
  /** What the bytes that may be here are of. */
  validator: string | undefined;
  sizeBytes: number | undefined;
}

export interface PullHold {
  id: string;
  holder: string;
}

/** A pull has one process that fetches it, until this long after it last said so. */
const LEASE_MS = 60_000;
/** Often enough for a process that stood still for a while. */
export const RENEW_MS = 10_000;
const lease = sql`clock_timestamp() + ${LEASE_MS} * interval '1 ms'`;

/** Undefined when it is not due, is settled, or is fetched by another. */
export async function claimPull(db: Db, { id, holder }: PullHold): Promise<ClaimedPull | undefined> {
  const { rows } = await sql<{
    id: string;
    owner: string;
    url: string;
    wanted_root: string | null;
    attempts: number;
    failing_ms: number;
    validator: string | null;
    size_bytes: bigint | null;
  }>`
    update pulls set leased_by = ${holder}::uuid, leased_until = ${lease}
    where id = ${id}::uuid and state = 'waiting' and next_attempt_at <= clock_timestamp()
      and (leased_until is null or leased_until <= clock_timestamp())
    returning id, owner, url, wanted_root, attempts, validator, size_bytes,
      coalesce(extract(epoch from clock_timestamp() - failing_since) * 1000, 0)::float8 as failing_ms`.execute(db);
  const [row] = rows;
  if (row === undefined) return undefined;
  const { wanted_root: root, validator, size_bytes: size, failing_ms: failingMs, owner, url, attempts } = row;
  const known = { validator: validator ?? undefined, sizeBytes: size === null ? undefined : Number(size) };
  return { id: row.id, owner, url, wantedRoot: root ?? undefined, attempts, failingMs, ...known };
}

/** A change by whoever holds it; false when it is held no more, and nothing was changed. */
async function asHolder(db: Db, { id, holder }: PullHold, change: ReturnType<typeof sql>): Promise<boolean> {
  const { numAffectedRows } = await sql`
    update pulls set ${change} where id = ${id}::uuid and state = 'waiting' and leased_by = ${holder}::uuid
      and leased_until > clock_timestamp()`.execute(db);
  return numAffectedRows === 1n;
}

/** What is fetched, as its origin told. */
export function noteOrigin(
  db: Db,
  hold: PullHold,
  {
    validator,
    sizeBytes,
    pulledBytes,
  }: { validator: string | undefined; sizeBytes: number | undefined; pulledBytes: number },
): Promise<boolean> {
  const told = sql`validator = ${validator ?? null}, size_bytes = ${sizeBytes ?? null}, pulled_bytes = ${pulledBytes}`;
  return asHolder(db, hold, sql`${told}, leased_until = ${lease}`);
}

export function renewPull(db: Db, hold: PullHold, pulledBytes: number): Promise<boolean> {
  return asHolder(db, hold, sql`pulled_bytes = ${pulledBytes}, leased_until = ${lease}`);
}

/** Called off in the middle: whoever comes next goes on. */
export function releasePull(db: Db, hold: PullHold): Promise<boolean> {
  return asHolder(db, hold, sql`leased_by = null, leased_until = null`);
}

const released = sql`leased_by = null, leased_until = null`;
const settled = sql`${released}, settled_at = clock_timestamp(), failing_since = null`;

interface Fault {
  code: string;
  message: string;
}

export async function settlePulled(
  db: Db,
  hold: PullHold,
  { root, pulledBytes }: { root: string; pulledBytes: number },
): Promise<boolean> {
  const change = sql`${settled}, state = 'pulled', root = ${root}, pulled_bytes = ${pulledBytes}, attempts = attempts + 1,
    error_code = null, error = null`;
  return await withEvent(db, hold, change, { kind: 'pulled', pulledBytes });
}

export async function settleFailed(
  db: Db,
  hold: PullHold,
  { fault, pulledBytes }: { fault: Fault; pulledBytes: number },
): Promise<boolean> {
  const change = sql`${settled}, state = 'failed', pulled_bytes = ${pulledBytes}, attempts = attempts + 1,
    error_code = ${fault.code}, error = ${fault.message}`;
  return await withEvent(db, hold, change, { kind: 'failed', pulledBytes, fault });
}

interface Interrupted {
  fault: Fault;
  pulledBytes: number;
  waitMs: number;
  /** It got further: what failed before does not count any more. */
  isForward: boolean;
  /** By the service's clock, as the job's. */
  at: Date;
}

/** It is tried again, by a job of its own. */
export async function settleInterrupted(
  { db, jobs }: { db: Db; jobs: Pick<Jobs, 'send'> },
  hold: PullHold,
  { fault, pulledBytes, waitMs, isForward, at }: Interrupted,
): Promise<boolean> {
  const since = isForward ? sql`clock_timestamp()` : sql`coalesce(failing_since, clock_timestamp())`;
  const change = sql`${released}, pulled_bytes = ${pulledBytes}, failing_since = ${since},
    attempts = ${isForward ? sql`1` : sql`attempts + 1`}, error_code = ${fault.code}, error = ${fault.message},
    next_attempt_at = now() + ${waitMs} * interval '1 ms'`;
  const wake = (trx: Db) =>
    jobs.send(trx, 'pull', { pullId: hold.id }, { startAfter: new Date(at.getTime() + waitMs) });
  return await withEvent(db, hold, change, { kind: 'interrupted', pulledBytes, fault, wake });
}

interface Told {
  kind: string;
  pulledBytes: number;
  fault?: Fault;
}

async function withEvent(
  db: Db,
  hold: PullHold,
  change: ReturnType<typeof sql>,
  { kind, pulledBytes, fault, wake }: Told & { wake?: (trx: Db) => Promise<void> },
): Promise<boolean> {
  return await db.transaction().execute(async (trx) => {
    if (!(await asHolder(trx, hold, change))) return false;
    const error = { error_code: fault?.code ?? null, error: fault?.message ?? null };
    await trx
      .insertInto('pull_events')
      .values({ pull_id: hold.id, kind, pulled_bytes: BigInt(pulledBytes), ...error })
      .execute();
    await wake?.(trx);
    return true;
  });
}

/** Nobody else works on a database of ours alone: whoever held these is dead. */
export async function endPullLeases(db: Db): Promise<void> {
  await sql`update pulls set ${released} where leased_by is not null`.execute(db);
}
