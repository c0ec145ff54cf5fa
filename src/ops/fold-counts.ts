import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';

/** Adds what statements changed to the kept counts. Any number may do so at once: each change is added by whoever deletes it. */
export async function foldCounts(kysely: Kysely<DB>): Promise<void> {
  await sql`
    with gone as (delete from count_changes returning what, state, items, bytes)
    insert into kept_counts (what, state, items, bytes)
    select what, state, sum(items), sum(bytes) from gone group by what, state order by what, state
    on conflict (what, state) do update
      set items = kept_counts.items + excluded.items, bytes = kept_counts.bytes + excluded.bytes`.execute(kysely);
}
