import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import pg from 'pg';
import { LadingError } from '../errors.ts';

export interface Migration {
  version: number;
  name: string;
  sql: string;
  /** sha2-256 of the file, in hex. */
  checksum: string;
}

export type AppliedMigration = Omit<Migration, 'sql'>;

const MIGRATIONS_FOLDER = fileURLToPath(new URL('../../migrations', import.meta.url));
const VIEWS_FILES = ['views.sql', 'ops-views.sql'];
const FILE_NAME = /^(\d{4})_([a-z0-9_]+)\.sql$/;
/** Any number that no other advisory lock of ours uses: the first half of sha2-256 of 'lading migrate', cut to 31 bits. */
const MIGRATION_LOCK = 1_279_349_836;
/** Another process may be migrating a large table: wait for it, but not for ever. */
const LOCK_LIMIT_MS = 300_000;
const CONNECT_LIMIT_MS = 10_000;

const CREATE_JOURNAL = `
  create table if not exists schema_migrations (
    version integer primary key,
    name text not null,
    checksum text not null,
    applied_at timestamptz not null default now()
  );
  comment on table schema_migrations is 'Which migration files were applied. Written and read by migrate; never deleted.';`;

/** The migration files in order. Files with other names are ignored; two with one number are a fault. */
export async function readMigrations(folder = MIGRATIONS_FOLDER): Promise<Migration[]> {
  const names = (await readdir(folder)).filter((name) => FILE_NAME.test(name)).sort();
  return Promise.all(
    names.map(async (file) => {
      const [, version = '', name = ''] = FILE_NAME.exec(file) ?? [];
      const sql = await readFile(join(folder, file), 'utf8');
      return { version: Number(version), name, sql, checksum: createHash('sha256').update(sql).digest('hex') };
    }),
  );
}

function fault(message: string): LadingError {
  return new LadingError('MIGRATION_REFUSED', message);
}

function fileName({ version, name }: AppliedMigration): string {
  return `${String(version).padStart(4, '0')}_${name}.sql`;
}

/** Which files are to be applied now; throws when files and journal tell different histories. */
export function planMigrations(files: readonly Migration[], applied: readonly AppliedMigration[]): Migration[] {
  for (const [at, file] of files.entries()) {
    if (file.version !== at + 1)
      throw fault(`migration ${String(at + 1).padStart(4, '0')} is missing or there twice: next is ${fileName(file)}`);
  }
  for (const [at, row] of applied.entries()) {
    if (row.version !== at + 1) throw fault(`the database's journal lacks migration ${at + 1}: restore the database`);
    const file = files[at];
    if (file === undefined)
      throw fault(`the database is newer than this program (it has ${fileName(row)}): run a newer version`);
    if (file.name !== row.name)
      throw fault(`migration ${fileName(row)} was applied, and its file is gone (${fileName(file)} is in its place)`);
    if (file.checksum !== row.checksum) {
      throw fault(
        `migration ${fileName(row)} was changed after it was applied: restore the file, and put the change into a new one`,
      );
    }
  }
  return files.slice(applied.length);
}

/**
 * Brings a database to this program's schema, on a connection of its own under an advisory lock: any number of processes
 * may call it at once. Returns the names of the files it applied.
 */
export async function migrate(url: string, folder = MIGRATIONS_FOLDER): Promise<string[]> {
  const files = await readMigrations(folder);
  const client = new pg.Client({
    connectionString: url,
    application_name: 'lading migrate',
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    lock_timeout: LOCK_LIMIT_MS,
  });
  await client.connect();
  try {
    await client.query('select pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await client.query(CREATE_JOURNAL);
    const { rows } = await client.query<AppliedMigration>(
      'select version, name, checksum from schema_migrations order by version',
    );
    const due = planMigrations(files, rows);
    for (const file of due) await apply(client, file);
    await applyViews(client, folder);
    return due.map(fileName);
  } finally {
    await client.end();
  }
}

async function apply(client: pg.Client, file: Migration): Promise<void> {
  await inTransaction(client, fileName(file), async () => {
    await client.query(file.sql);
    await client.query('insert into schema_migrations (version, name, checksum) values ($1, $2, $3)', [
      file.version,
      file.name,
      file.checksum,
    ]);
  });
}

/** Views hold no data, so their files are applied anew each time: they replace what they define. */
async function applyViews(client: pg.Client, folder: string): Promise<void> {
  for (const file of VIEWS_FILES) {
    const sql = await readFile(join(folder, file), 'utf8').catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (sql !== undefined) await inTransaction(client, file, () => client.query(sql));
  }
}

async function inTransaction(client: pg.Client, what: string, act: () => Promise<unknown>): Promise<void> {
  await client.query('begin');
  try {
    await act();
    await client.query('commit');
  } catch (cause) {
    await client.query('rollback');
    throw new LadingError('MIGRATION_FAILED', `${what} failed, and nothing of it was applied`, { cause });
  }
}
