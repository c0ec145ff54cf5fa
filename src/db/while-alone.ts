import { sql, type Kysely } from 'kysely';
import type { DB } from './tables.ts';

/**
 * Runs the task unless another process runs one of this name right now; undefined then. The lock belongs to a connection,
 * so that it ends with its process, and needs no transaction that stays open while objects are read.
 */
export async function whileAlone<T>(db: Kysely<DB>, name: string, task: () => Promise<T>): Promise<T | undefined> {
  const key = sql`hashtextextended(${`lading ${name}`}, 0)`;
  return await db.connection().execute(async (held) => {
    const { rows } = await sql<{ got: boolean }>`select pg_try_advisory_lock(${key}) as got`.execute(held);
    if (rows[0]?.got !== true) return undefined;
    try {
      return await task();
    } finally {
      await sql`select pg_advisory_unlock(${key})`.execute(held);
    }
  });
}
