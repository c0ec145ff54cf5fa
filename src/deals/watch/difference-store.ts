import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { dealQuery, toRecord, type DealRecord } from './watch-store.ts';

/**
 * `untold`: a change without its event. `absent`: gone from the state. `another_proposal`: the id holds other fields.
 * `nodes_disagree`: they showed differently what was about to change.
 */
export type DifferenceKind = 'untold' | 'absent' | 'another_proposal' | 'nodes_disagree';

export interface Difference {
  dealId: string;
  kind: DifferenceKind;
  detail: string;
}

/** Keeps one open row a deal: the first that was found. */
export async function insertDifferences(
  trx: Kysely<DB>,
  found: readonly Difference[],
  { epoch, tipset, at }: { epoch: number; tipset: readonly string[]; at: Date },
): Promise<void> {
  if (found.length === 0) return;
  const rows = found.map(({ dealId, kind, detail }) => ({
    deal_id: dealId,
    kind,
    detail,
    epoch: BigInt(epoch),
    tipset: [...tipset],
    found_at: at,
  }));
  await trx
    .insertInto('chain_differences')
    .values(rows)
    .onConflict((conflict) => conflict.column('deal_id').where('cleared_at', 'is', null).doNothing())
    .execute();
}

/** The chain and we agree again on these deals. An untold change stays open: it is settled, but somebody should know. */
export async function clearDifferences(trx: Kysely<DB>, dealIds: readonly string[], at: Date): Promise<void> {
  if (dealIds.length === 0) return;
  await trx
    .updateTable('chain_differences')
    .set({ cleared_at: at })
    .where('cleared_at', 'is', null)
    .where('kind', '!=', 'untold')
    .where('deal_id', '=', sql<string>`any(${[...dealIds]}::uuid[])`)
    .execute();
}

/** Active deals that were absent from the state, and are still believed to be active. */
export async function listSuspects(db: Kysely<DB>, limit: number): Promise<DealRecord[]> {
  const rows = await dealQuery(db)
    .innerJoin('chain_differences as f', 'f.deal_id', 'd.id')
    .where('f.cleared_at', 'is', null)
    .where('f.kind', '=', 'absent')
    .where('d.state', '=', 'active')
    .orderBy('f.id')
    .limit(limit)
    .execute();
  return rows.map(toRecord);
}
