import { randomUUID } from 'node:crypto';
import type { Database } from '../../src/db/connect.ts';

/** The root of the upload at this place of the aggregate that `seedLarge` makes. */
export function rootAt(index: number): string {
  return `bafylarge${index
    .toString(5)
    .padStart(10, '0')
    .replaceAll(/[0-4]/g, (digit) => 'abcde'[Number(digit)] ?? '')}`;
}

/** A sealed aggregate of so many uploads, with an accepted deal. One statement each: rows, not steps. */
export async function seedLarge({ pool }: Database, count: number): Promise<{ aggregateId: bigint; deal: string }> {
  const roots = Array.from({ length: count }, (_, at) => rootAt(at));
  await pool.query(
    `insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
     select root, 'stowed', 100, 90, 1, now(), now() from unnest($1::text[]) with ordinality as g (root, nth) order by nth`,
    [roots],
  );
  const { rows } = await pool.query<{ id: bigint }>(
    `with made as (insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason,
        tree_key, tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
      values ('sealed', 34000000000, 59 + 100 * $1::bigint, $1::integer, now(), 'full', 'trees/1', 1000, 'bafyroot',
        1059 + 100 * $1::bigint, 'bagalarge', 128 * (2 ^ ceil(log(2, (1059 + 100 * $1::numeric) / 127)))::bigint, now(), now(), now())
      returning id)
     , told as (insert into events (at, aggregate_id, to_state) select now(), id, 'sealed' from made)
     select id from made`,
    [count],
  );
  const aggregateId = rows[0]?.id ?? 0n;
  await pool.query(
    `insert into placements (aggregate_id, seq, upload_id, offset_bytes, length_bytes, selector)
     select $1, (row_number() over (order by id) - 1)::integer, id, 59 + 100 * (row_number() over (order by id) - 1), 100, 'Links/0'
     from uploads where root like 'bafylarge%'`,
    [aggregateId],
  );
  await pool.query(
    `insert into providers (id, state, address_source, added_at) values ('f01000', 'enabled', 'chain', now())`,
  );
  const deal = randomUUID();
  await pool.query(
    `with made as (insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client,
        signed_proposal, proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, attempts,
        created_at, changed_at)
      values ($1, $2, 0, 0, 'f01000', 1, 'accepted', 'f1client', '\\x00', 'bafyproposal', false, 1000, 2000, 0, 0, 1, now(), now())
      returning id)
     insert into events (at, deal_id, from_state, to_state) select now(), id, 'sent', 'accepted' from made`,
    [deal, aggregateId],
  );
  await pool.query('analyze uploads, placements, aggregates, events, deals');
  return { aggregateId, deal };
}
