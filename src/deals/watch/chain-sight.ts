import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/** How fresh and how final our view of the chain is; null: it was never looked at. */
interface ChainSight {
  asOf: Date | null;
  epoch: number | null;
  finalizedEpoch: number | null;
  lookedAt: Date | null;
  degradedSince: Date | null;
  degradedReason: string | null;
  limited: string | null;
  openDifferences: number;
}

export interface OpenDifference {
  dealId: string;
  kind: string;
  detail: string;
  epoch: number;
  foundAt: Date;
}

/** As the view `ops_chain` has it, so that nobody reads two truths. */
export async function findChainSight(db: Kysely<DB>): Promise<ChainSight> {
  const { rows } = await sql<ChainSight>`
    select as_of as "asOf", epoch::float8 as epoch, finalized_epoch::float8 as "finalizedEpoch", looked_at as "lookedAt",
      degraded_since as "degradedSince", degraded_reason as "degradedReason", limited,
      open_differences::integer as "openDifferences"
    from ops_chain`.execute(db);
  const [sight] = rows;
  if (sight === undefined) throw new Error('ops_chain has one row');
  return sight;
}

/** Deals that the chain has otherwise than we know, the newest first. */
export async function listOpenDifferences(db: Kysely<DB>, limit: number): Promise<OpenDifference[]> {
  const rows = await db
    .selectFrom('chain_differences')
    .select(['deal_id', 'kind', 'detail', 'epoch', 'found_at'])
    .where('cleared_at', 'is', null)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    dealId: row.deal_id,
    kind: row.kind,
    detail: row.detail,
    epoch: Number(row.epoch),
    foundAt: row.found_at,
  }));
}
