import type { Kysely } from 'kysely';
import { sqlStateOf } from '../../db/sqlstate.ts';
import type { DB } from '../../db/tables.ts';

/** `uncertain`: the connection was lost at COMMIT, so nobody knows whether it happened. */
export type Attempt<T> = { done: true; result: T } | { done: false; error: unknown; uncertain: boolean };

/** Runs a transaction, and tells a fault that surely left nothing from one that may have come after the commit. */
export async function attemptTransaction<T>(
  kysely: Kysely<DB>,
  work: (trx: Kysely<DB>) => Promise<T>,
): Promise<Attempt<T>> {
  let ready = false;
  try {
    const result = await kysely.transaction().execute(async (trx) => {
      const made = await work(trx);
      ready = true;
      return made;
    });
    return { done: true, result };
  } catch (error) {
    return { done: false, error, uncertain: ready && !wasRefused(error) };
  }
}

/** PostgreSQL itself refused the commit (a SQLSTATE other than a lost connection or a shutdown), so no row is there. */
function wasRefused(error: unknown): boolean {
  return /^(?!08|57)/.test(sqlStateOf(error) ?? '08');
}
