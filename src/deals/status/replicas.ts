import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { findPolicy } from '../propose/policy-store.ts';

/** How many copies an aggregate should have by the policy in force, has deals for, and has in sectors. */
export interface Replicas {
  wanted: number;
  live: number;
  active: number;
}

/** Of the sealed ones among these aggregates. */
export async function listReplicas(db: Kysely<DB>, ids: readonly bigint[]): Promise<Map<bigint, Replicas>> {
  if (ids.length === 0) return new Map();
  const { replicas: wanted } = await findPolicy(db);
  const rows = await db
    .selectFrom('aggregate_replicas')
    .select(['aggregate_id', 'live_replicas', 'active_replicas'])
    .where('aggregate_id', 'in', [...ids])
    .execute();
  return new Map(
    rows.map((row) => [
      row.aggregate_id ?? 0n,
      { wanted, live: row.live_replicas ?? 0, active: row.active_replicas ?? 0 },
    ]),
  );
}
