import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { inject } from 'vitest';
import { connect, type Database } from '../../src/db/connect.ts';
import { databaseUrl } from './database-url.ts';

/** A session ends on the server a moment after its client has closed it. */
const LEAK_PATIENCE_MS = 2_000;
const POLL_MS = 20;
const POOL_END_MS = 2_000;

/** One connection for all that is to be done: a session of its own for each look costs more than the look. */
async function asAdmin<T>(folder: string, act: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: databaseUrl(folder, 'postgres') });
  await client.connect();
  try {
    return await act(client);
  } finally {
    await client.end();
  }
}

/** The server of this worker, see postgres-setup.ts; with more workers than servers some share one. */
function ownServer(): string {
  const folders = inject('postgresFolders');
  const worker = Number(process.env['VITEST_POOL_ID'] ?? 1) - 1;
  return folders[worker % folders.length] ?? '';
}

/** Who is still connected to the database, after they had time to go. */
async function sessionsLeft(client: pg.Client, name: string): Promise<string[]> {
  const sql = `select application_name || ': ' || left(query, 200) as session from pg_stat_activity where datname = $1`;
  for (let waitedMs = 0; ; waitedMs += POLL_MS) {
    const { rows } = await client.query<{ session: string }>(sql, [name]);
    if (rows.length === 0 || waitedMs >= LEAK_PATIENCE_MS) return rows.map(({ session }) => session);
    await delay(POLL_MS);
  }
}

/**
 * A migrated database of its own for one test, dropped at its end: `await using db = await testDatabase()`.
 * Connections that are still open then fail the test, because a service that leaks them dies of it.
 */
export async function testDatabase(): Promise<Database> {
  const folder = ownServer();
  const name = `test_${randomBytes(8).toString('hex')}`;
  const create = `create database ${name} template template_lading strategy file_copy`;
  await asAdmin(folder, (client) => client.query(create));
  const database = connect(databaseUrl(folder, name), { name: 'test' });
  return {
    ...database,
    [Symbol.asyncDispose]: async () => {
      // A pool waits without end for a client that was not released: its session is among those left.
      await Promise.race([database[Symbol.asyncDispose](), delay(POOL_END_MS, undefined, { ref: false })]);
      const leaks = await asAdmin(folder, async (client) => {
        const left = await sessionsLeft(client, name);
        await client.query(`drop database ${name} with (force)`);
        return left;
      });
      if (leaks.length > 0) throw new Error(`the test left database connections open:\n  ${leaks.join('\n  ')}`);
    },
  };
}
