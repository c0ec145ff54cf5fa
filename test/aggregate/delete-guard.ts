import type { Database } from '../../src/db/connect.ts';
import { DELETE_BATCH_ROWS } from '../../src/aggregate/delete-of-upload.ts';

/** From here on the database refuses a statement that deletes more rows of these tables than one has time for. */
export async function refuseLargeDeletes({ pool }: Database, tables: readonly string[]): Promise<void> {
  await pool.query(`
    create function refuse_large() returns trigger language plpgsql as $$
    begin
      if (select count(*) from gone) > ${DELETE_BATCH_ROWS} then
        raise exception 'a statement deletes % rows of %', (select count(*) from gone), tg_table_name;
      end if;
      return null;
    end $$`);
  for (const table of tables) {
    await pool.query(`create trigger refuse_large after delete on ${table}
      referencing old table as gone for each statement execute function refuse_large()`);
  }
}
