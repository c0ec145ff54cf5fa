import { sql, type Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';

/** Whether the cluster answers, as the processes that ask it wrote down. */
export interface ClusterStanding {
  answeredAt: Date | undefined;
  failing: { since: Date; error: string } | undefined;
}

/** For each answer there is no need to write that it came. */
const NOTED_MS = 10_000;

export async function findClusterStanding(db: Kysely<DB>): Promise<ClusterStanding> {
  const row = await db.selectFrom('pin_cluster').selectAll().executeTakeFirstOrThrow();
  const { answered_at: answeredAt, failing_since: since, error } = row;
  return { answeredAt: answeredAt ?? undefined, failing: since === null ? undefined : { since, error: error ?? '' } };
}

/** True: it did not until now. */
export async function noteAnswered(db: Kysely<DB>): Promise<boolean> {
  const { rows } = await sql<{ failed: boolean }>`
    with was as (select failing_since is not null as failed from pin_cluster)
    update pin_cluster set answered_at = clock_timestamp(), failing_since = null, error = null
    where failing_since is not null or answered_at is null
      or answered_at < clock_timestamp() - ${NOTED_MS} * interval '1 ms'
    returning (select failed from was)`.execute(db);
  return rows[0]?.failed ?? false;
}

/** True: it did until now. */
export async function noteFailing(db: Kysely<DB>, error: string): Promise<boolean> {
  const { rows } = await sql<{ failed: boolean }>`
    with was as (select failing_since is not null as failed from pin_cluster)
    update pin_cluster set failing_since = coalesce(failing_since, clock_timestamp()), error = ${error}
    returning (select failed from was)`.execute(db);
  return rows[0]?.failed === false;
}

/** In words, for answers that tell pin statuses; undefined: they are as the cluster has them. Pure. */
export function staleWords({ answeredAt, failing }: ClusterStanding): string | undefined {
  if (failing === undefined) return undefined;
  const asOf = answeredAt === undefined ? 'and never did' : `pin statuses are as of ${answeredAt.toISOString()}`;
  return `the IPFS Cluster has not answered since ${failing.since.toISOString()} (${asOf}): ${failing.error}`;
}
