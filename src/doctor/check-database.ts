import type { Kysely } from 'kysely';
import { sql } from 'kysely';
import { planMigrations, readMigrations, type AppliedMigration } from '../db/migrate.ts';
import type { DB } from '../db/tables.ts';
import { formatDuration } from '../filecoin/units.ts';
import { examine, sound, wrong, type Finding } from './finding.ts';

/** The oldest PostgreSQL that we know to work, as server_version_num. */
const MIN_VERSION = 150_000;
/** Above this share of all connections, the next process may get none. */
const BUSY_SHARE = 0.9;

export async function checkDatabase(db: Kysely<DB>): Promise<Finding[]> {
  const advice = 'see that PostgreSQL runs and that DATABASE_URL (or DATA_DIR) is right';
  return examine('database', advice, async () => [
    await checkVersion(db),
    await checkMigrations(db),
    await checkConnections(db),
  ]);
}

async function checkVersion(db: Kysely<DB>): Promise<Finding> {
  const { rows } = await sql<{ number: number; text: string }>`
    select current_setting('server_version_num')::integer as number, current_setting('server_version') as text`.execute(
    db,
  );
  const { number = 0, text = 'unknown' } = rows[0] ?? {};
  const told = `PostgreSQL ${text}`;
  return number >= MIN_VERSION
    ? sound('database.version', told)
    : wrong('database.version', told, 'move to PostgreSQL 15 or newer');
}

async function checkMigrations(db: Kysely<DB>): Promise<Finding> {
  const { rows } = await sql<AppliedMigration>`
    select version, name, checksum from schema_migrations order by version`.execute(db);
  const due = planMigrations(await readMigrations(), rows);
  const told = `${rows.length} migrations applied, ${due.length} to apply`;
  return due.length === 0
    ? sound('database.migrations', told)
    : wrong('database.migrations', told, 'run lading migrate, or start this version of the service');
}

async function checkConnections(db: Kysely<DB>): Promise<Finding> {
  const { rows } = await sql<{ used: number; most: number }>`
    select count(*)::integer as used, current_setting('max_connections')::integer as most
    from pg_stat_activity where backend_type = 'client backend'`.execute(db);
  const { used = 0, most = 0 } = rows[0] ?? {};
  const told = `${used} of ${most} connections used`;
  return used < most * BUSY_SHARE
    ? sound('database.connections', told)
    : wrong('database.connections', told, 'raise max_connections, or run fewer processes');
}

interface StuckRule {
  now: Date;
  forceAgeMs: number;
}

/** After FORCE_AGE, and this much for the work itself, nothing waits any more. */
const LATE_MS = 3_600_000;
/** Reading and hashing the largest piece takes minutes. */
const SEAL_LIMIT_MS = 6 * 3_600_000;

/** Uploads and aggregates that should have gone on long ago. */
export async function checkStuck(db: Kysely<DB>, { now, forceAgeMs }: StuckRule): Promise<Finding[]> {
  return examine('stuck', 'see the log of the service', async () => {
    const before = (ms: number) => new Date(now.getTime() - ms);
    const waiting = await db
      .selectFrom('uploads')
      .select((eb) => [eb.fn.countAll<bigint>().as('count'), eb.fn.min('root').as('first')])
      .where('state', '=', 'waiting')
      .where('changed_at', '<', before(forceAgeMs + LATE_MS))
      .executeTakeFirstOrThrow();
    const closing = await db
      .selectFrom('aggregates')
      .select((eb) => [eb.fn.countAll<bigint>().as('count'), eb.fn.min('id').as('first')])
      .where((eb) =>
        eb.or([
          eb.and([eb('state', '=', 'sealing'), eb('changed_at', '<', before(SEAL_LIMIT_MS))]),
          eb.and([eb('state', '=', 'open'), eb('oldest_accepted_at', '<', before(forceAgeMs + LATE_MS))]),
        ]),
      )
      .executeTakeFirstOrThrow();
    return [
      judgeStuck('stuck.uploads', `waiting longer than FORCE_AGE (${formatDuration(forceAgeMs)})`, waiting),
      judgeStuck('stuck.aggregates', 'open or sealing for too long', closing),
    ];
  });
}

function judgeStuck(check: string, what: string, found: { count: bigint; first: bigint | string | null }): Finding {
  if (found.count === 0n) return sound(check, `none is ${what}`);
  const advice = 'see that a process with the role aggregate runs, and its log for jobs that fail';
  return wrong(check, `${found.count} ${what}, one is ${found.first}`, advice);
}
