import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/** What an upload's pin becomes that nobody owns any more: to be taken out of the IPFS Cluster. */
export const dropped = sql`wish = pins.wish + 1, status = 'unpinned', step = 'unpin', due_at = clock_timestamp(),
  acted = false, failing_since = null, error = null, changed_at = clock_timestamp()`;

/** Nothing where it was never to be pinned in a cluster. The sweep finds what is due, and wakes who does it. */
export async function dropPin(trx: Kysely<DB>, uploadId: bigint): Promise<void> {
  await sql`update pins set ${dropped} where upload_id = ${uploadId} and status <> 'unpinned'`.execute(trx);
}
