import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/**
 * How far watching has come. `reads`: the tipset as of which deals were last read. `finalized`: the highest height
 * known to be final. `events`: every deal event in a tipset below this height was looked at. `confirmed`: what was
 * seen up to here was read again once it was final. `reorg`: a reorg undid tipsets above this height, and what was seen
 * in them is not read again yet; its tipset is the one that was undone. `round`: where the last reading of all live
 * deals began. `reconciled`: the chain deal id that it has come to, while it is under way.
 */
export type CursorName = 'reads' | 'finalized' | 'events' | 'confirmed' | 'reorg' | 'round' | 'reconciled';

export interface Cursor {
  height: number;
  /** Key of the tipset that the height was taken from. */
  tipset: string[];
}

export type Cursors = Partial<Record<CursorName, Cursor & { at: Date }>>;

const PREFIX = 'watch.';

export async function listCursors(db: Kysely<DB>): Promise<Cursors> {
  const rows = await db.selectFrom('chain_cursors').selectAll().where('name', 'like', `${PREFIX}%`).execute();
  return Object.fromEntries(
    rows.map(({ name, height, tipset, at }) => [name.slice(PREFIX.length), { height: Number(height), tipset, at }]),
  );
}

export async function saveCursor(
  trx: Kysely<DB>,
  name: CursorName,
  { height, tipset }: Cursor,
  at: Date,
): Promise<void> {
  const row = { height: BigInt(height), tipset: [...tipset], at };
  await trx
    .insertInto('chain_cursors')
    .values({ name: PREFIX + name, ...row })
    .onConflict((conflict) => conflict.column('name').doUpdateSet(row))
    .execute();
}

export async function deleteCursor(trx: Kysely<DB>, name: CursorName): Promise<void> {
  await trx
    .deleteFrom('chain_cursors')
    .where('name', '=', PREFIX + name)
    .execute();
}

/**
 * Holds until the transaction ends that nobody has read the chain as of another tipset since: findings of an older
 * sight must never overwrite those of a newer one. False when somebody has.
 */
export async function holdSight(trx: Kysely<DB>, sight: Cursor): Promise<boolean> {
  const row = await trx
    .selectFrom('chain_cursors')
    .select(['height', 'tipset'])
    .where('name', '=', `${PREFIX}reads`)
    .forShare()
    .executeTakeFirst();
  return row !== undefined && Number(row.height) === sight.height && row.tipset.join() === sight.tipset.join();
}

/**
 * Runs the task unless another process watches right now; undefined then. The lock belongs to a connection, so that it
 * ends with its process, and needs no transaction that stays open across network calls.
 */
export async function whileWatcher<T>(db: Kysely<DB>, task: () => Promise<T>): Promise<T | undefined> {
  const key = sql`hashtextextended('lading watch', 0)`;
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
