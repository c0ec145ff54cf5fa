import { sql, type Kysely } from 'kysely';
import type { DB } from '../src/db/tables.ts';
import { formatAddress } from '../src/filecoin/address.ts';
import { signWithKey } from '../src/filecoin/lotus-key.ts';
import { encodeProposal, encodeSignedProposal } from '../src/filecoin/proposal.ts';
import { ID_STEP, KEY, proposal } from './watch-chain.ts';

/** The last `unproven` of them are published, all others active; each as the watch leaves it, with its events. */
export async function insertDeals(db: Kysely<DB>, deals: number, unproven: number): Promise<void> {
  const signed = encodeSignedProposal({ proposal, signature: signWithKey(KEY, encodeProposal(proposal)) });
  const perAggregate = 10;
  await db.connection().execute(async (held) => {
    // The law that each state has its event is for transactions of the service; here rows and events come in bulk.
    await sql`set statement_timeout = 0`.execute(held);
    await sql`set session_replication_role = replica`.execute(held);
    await sql`insert into providers (id, state, address_source, added_at)
      values (${formatAddress(proposal.provider)}, 'enabled', 'chain', now())`.execute(held);
    await sql`insert into aggregates (state, capacity_bytes, length_bytes, entry_count, oldest_accepted_at, seal_reason, tree_key,
        tree_bytes, batch_root, car_bytes, piece_cid, piece_bytes, opened_at, sealed_at, changed_at)
      select 'sealed', 2032, 1500, 1, now(), 'operator', 'trees/' || i, 100, 'bench', 1600, 'piece' || i, 2048, now(), now(), now()
      from generate_series(1, ${Math.ceil(deals / perAggregate)}::int) as i`.execute(held);
    await sql`insert into deals (id, aggregate_id, slot, generation, provider_id, policy_version, state, client, signed_proposal,
        proposal_cid, verified, start_epoch, end_epoch, price_per_epoch, provider_collateral, attempts, chain_deal_id,
        publish_message, published_epoch, sector_number, sector_start_epoch, created_at, changed_at)
      select gen_random_uuid(), (i - 1) / ${perAggregate}::int + 1, 0, i % ${perAggregate}::int, ${formatAddress(proposal.provider)}, 1,
        (case when i > ${deals - unproven}::int then 'published' else 'active' end)::deal_state,
        ${formatAddress(proposal.client)}, ${Buffer.from(signed)}, 'bafy' || i, false, ${proposal.startEpoch}::int, ${proposal.endEpoch}::int, 0, 0, 1,
        i * ${ID_STEP}::bigint, 'bafypublish' || i, 1,
        case when i > ${deals - unproven}::int then null else i * ${ID_STEP}::bigint end,
        case when i > ${deals - unproven}::int then null else 1 end, now(), now()
      from generate_series(1, ${deals}::int) as i`.execute(held);
    await sql`insert into events (at, deal_id, from_state, to_state, epoch)
      select now(), id, 'accepted', state::text, 2 from deals`.execute(held);
    await sql`set session_replication_role = default`.execute(held);
  });
  await sql`analyze`.execute(db);
}
