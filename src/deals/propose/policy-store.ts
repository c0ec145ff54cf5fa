import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import type { Policy, PolicyTerms } from './policy.ts';

/** The policy in force: the highest version. The first migration gives one, so there always is. */
export async function findPolicy(db: Kysely<DB>): Promise<Policy> {
  const row = await db.selectFrom('policies').selectAll().orderBy('version', 'desc').limit(1).executeTakeFirstOrThrow();
  return {
    version: row.version,
    replicas: row.replicas,
    verified: row.verified,
    maxPrice: BigInt(row.max_price),
    maxVerifiedPrice: BigInt(row.max_verified_price),
    durationEpochs: Number(row.duration_epochs),
    startDelayEpochs: Number(row.start_delay_epochs),
    fastRetrieval: row.fast_retrieval,
  };
}

/** Adds a version of the policy, in force from this transaction on. Answers it. */
export async function insertPolicy(
  db: Kysely<DB>,
  terms: PolicyTerms,
  made: { at: Date; by: string },
): Promise<Policy> {
  const { version } = await db
    .insertInto('policies')
    .values({
      replicas: terms.replicas,
      verified: terms.verified,
      max_price: terms.maxPrice.toString(),
      max_verified_price: terms.maxVerifiedPrice.toString(),
      duration_epochs: BigInt(terms.durationEpochs),
      start_delay_epochs: BigInt(terms.startDelayEpochs),
      fast_retrieval: terms.fastRetrieval,
      created_at: made.at,
      created_by: made.by,
    })
    .returning('version')
    .executeTakeFirstOrThrow();
  return { ...terms, version };
}
