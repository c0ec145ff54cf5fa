import { sql, type Kysely, type Selectable } from 'kysely';
import type { DB, Policies } from '../../db/tables.ts';
import { LadingError } from '../../errors.ts';
import { storableText } from '../../storable-text.ts';
import { writeAudit, type Act } from '../audit.ts';
import { changePolicy, type Policy, type PolicyTerms } from './policy.ts';

/** The policy in force: the highest version. The first migration gives one, so there always is. */
export async function findPolicy(db: Kysely<DB>): Promise<Policy> {
  const row = await db.selectFrom('policies').selectAll().orderBy('version', 'desc').limit(1).executeTakeFirstOrThrow();
  return toPolicy(row);
}

export interface PolicyVersion {
  policy: Policy;
  at: Date;
  by: string;
  reason: string | null;
}

/** Newest first, from below a version on. */
export async function listPolicyVersions(
  db: Kysely<DB>,
  { below, limit }: { below: number | undefined; limit: number },
): Promise<PolicyVersion[]> {
  let query = db.selectFrom('policies').selectAll().orderBy('version', 'desc').limit(limit);
  if (below !== undefined) query = query.where('version', '<', below);
  const rows = await query.execute();
  return rows.map((row) => ({ policy: toPolicy(row), at: row.created_at, by: row.created_by, reason: row.reason }));
}

function toPolicy(row: Selectable<Policies>): Policy {
  return {
    version: row.version,
    replicas: row.replicas,
    verified: row.verified,
    maxPrice: BigInt(row.max_price),
    maxVerifiedPrice: BigInt(row.max_verified_price),
    durationEpochs: Number(row.duration_epochs),
    startDelayEpochs: Number(row.start_delay_epochs),
    fastRetrieval: row.fast_retrieval,
    maxPerOrg: row.max_per_org ?? undefined,
    maxPerRegion: row.max_per_region ?? undefined,
    allowProviders: row.allow_providers,
    denyProviders: row.deny_providers,
    maxInFlightBytes: row.max_in_flight_bytes ?? undefined,
    maxProposalsPerHour: row.max_proposals_per_hour ?? undefined,
    renewBeforeEpochs: Number(row.renew_before_epochs),
    callOffAfterSeconds: row.call_off_after_seconds,
    proposing: row.proposing,
    offline: row.offline,
    readsPerSecond: row.reads_per_second,
  };
}

/** Adds a version of the policy, in force from this transaction on. Answers it. */
export async function insertPolicy(db: Kysely<DB>, terms: PolicyTerms, made: Act & { at: Date }): Promise<Policy> {
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
      max_per_org: terms.maxPerOrg ?? null,
      max_per_region: terms.maxPerRegion ?? null,
      allow_providers: terms.allowProviders,
      deny_providers: terms.denyProviders,
      max_in_flight_bytes: terms.maxInFlightBytes ?? null,
      max_proposals_per_hour: terms.maxProposalsPerHour ?? null,
      renew_before_epochs: BigInt(terms.renewBeforeEpochs),
      call_off_after_seconds: terms.callOffAfterSeconds,
      proposing: terms.proposing,
      offline: terms.offline,
      reads_per_second: terms.readsPerSecond,
      created_at: made.at,
      created_by: made.by,
      reason: made.reason === undefined || made.reason === '' ? null : storableText(made.reason),
    })
    .returning('version')
    .executeTakeFirstOrThrow();
  return { ...terms, version };
}

export interface PolicyChange extends Act {
  /** `key=value`, by the names of `policy show`. */
  pairs: string[];
  /** The version that the caller looked at; a LadingError `POLICY_CHANGED` when another is in force. */
  ifVersion?: number | undefined;
  at: Date;
}

/** Whoever changes the policy holds this until the transaction ends: each change is made to what the one before has left. */
export async function holdPolicy(trx: Kysely<DB>): Promise<Policy> {
  await sql`select pg_advisory_xact_lock(hashtextextended('lading policy', 0))`.execute(trx);
  return await findPolicy(trx);
}

/**
 * Changes some terms of the policy in force, with the audit row. Those who change it at the same time wait for each
 * other, so that each change is made to what the one before has left, and none is lost.
 */
export async function replacePolicy(
  db: Kysely<DB>,
  { pairs, ifVersion, by, reason, at }: PolicyChange,
): Promise<Policy> {
  return await db.transaction().execute(async (trx) => {
    const current = await holdPolicy(trx);
    if (ifVersion !== undefined && ifVersion !== current.version) {
      throw new LadingError(
        'POLICY_CHANGED',
        `the policy is at version ${current.version} now, not ${ifVersion}: read it again, then change it`,
        { details: { version: current.version } },
      );
    }
    const policy = await insertPolicy(trx, changePolicy(current, pairs), { at, by, reason });
    const detail = { from: current.version, to: policy.version, changes: pairs };
    await writeAudit(trx, { actor: by, action: 'policy.set', subject: 'policy', reason, detail, at });
    return policy;
  });
}
