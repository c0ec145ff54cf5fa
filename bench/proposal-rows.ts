import { sql, type Kysely } from 'kysely';
import type { DB } from '../src/db/tables.ts';
import { pieceCidV1 } from '../src/filecoin/piece.ts';

/** The smallest piece that all takers on a devnet take. */
const PIECE_BYTES = 2 ** 20;

/** Sealed aggregates as sealing leaves them, each with a piece of its own; nothing of them is stored. */
export async function insertSealedAggregates(
  db: Kysely<DB>,
  { first, count }: { first: number; count: number },
): Promise<void> {
  const pieces = Array.from({ length: count }, (_, at) => {
    const commitment = new Uint8Array(32);
    new DataView(commitment.buffer).setUint32(0, first + at + 1);
    return pieceCidV1(commitment).toString();
  });
  const root = pieces[0] ?? '';
  await db.connection().execute(async (held) => {
    // The law that each state has its event is for transactions of the service; here rows and events come in bulk.
    await sql`set session_replication_role = replica`.execute(held);
    await sql`insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, tree_key,
        tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
      select 'sealed', 1040384, 900000, 1, now(), 'operator', 'trees/' || piece, 1000, ${root}, 901000, piece, ${PIECE_BYTES}::int,
        now(), now(), now()
      from unnest(${pieces}::text[]) as given (piece)`.execute(held);
    await sql`insert into events (at, aggregate_id, to_state) select now(), id, 'sealed' from aggregates where piece_cid = any(${pieces})`.execute(
      held,
    );
    await sql`set session_replication_role = default`.execute(held);
  });
}
