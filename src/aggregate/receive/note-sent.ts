import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/**
 * What a token sent is its own whatever becomes of its requests to pin the same. Before the rows of uploads are locked, as
 * whoever ends a request locks them after it.
 */
export async function noteSent(trx: Kysely<DB>, sent: readonly { root: string; owner: string }[]): Promise<void> {
  if (sent.length === 0) return;
  // Held in one order: two groups with the same requests must not wait for each other.
  await sql`with theirs as (
      select r.id from pin_requests r
        join owners o on o.id = r.owner_id
        join unnest(${sent.map(({ root }) => root)}::text[], ${sent.map(({ owner }) => owner)}::text[]) as s (root, owner)
          on s.root = r.root and s.owner = o.name
      where r.gives_ownership order by r.id for no key update of r)
    update pin_requests r set gives_ownership = false from theirs where r.id = theirs.id`.execute(trx);
}
