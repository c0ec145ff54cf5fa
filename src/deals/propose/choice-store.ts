import type { Kysely } from 'kysely';
import type { DB, Json } from '../../db/tables.ts';
import { storableText } from '../../storable-text.ts';
import type { Choice, Chosen } from './choose.ts';
import type { Refusal } from './rule-out.ts';

/** A decision on whom to propose an aggregate to, as it is kept. */
export interface StoredChoice {
  at: Date;
  policyVersion: number;
  chosen: Chosen[];
  refused: Refusal[];
}

interface NewChoice extends Omit<StoredChoice, 'chosen' | 'refused'>, Choice {}

/** What makes two decisions the same: who got which slot, and who was refused by which rule. Times and counts do not. */
function essence({ chosen, refused }: Pick<StoredChoice, 'chosen' | 'refused'>): string {
  const slots = chosen.map(({ slot, generation, provider }) => `${slot}/${generation} ${provider}`).sort();
  const reasons = refused.map(({ provider, code }) => `${provider} ${code}`).sort();
  return JSON.stringify([slots, reasons]);
}

/** Columns of jsonb that this file alone writes. */
function stored<T>(json: Json): T[] {
  return (Array.isArray(json) ? json : []) as unknown as T[];
}

/** Keeps a decision in the transaction that acts on it, unless it is the aggregate's last one over again. */
export async function noteChoice(trx: Kysely<DB>, choice: NewChoice): Promise<void> {
  const { aggregateId, at, policyVersion, chosen, refused } = choice;
  if (chosen.length === 0 && refused.length === 0) return;
  const [last] = await listChoices(trx, aggregateId, { limit: 1 });
  if (last !== undefined && chosen.length === 0 && essence(last) === essence(choice)) return;
  await trx
    .insertInto('choices')
    .values({
      aggregate_id: aggregateId,
      at,
      policy_version: policyVersion,
      chosen: JSON.stringify(chosen),
      // A reason may hold a provider's own words.
      refused: JSON.stringify(refused.map((refusal) => ({ ...refusal, reason: storableText(refusal.reason) }))),
    })
    .execute();
}

/** Newest first. */
export async function listChoices(
  db: Kysely<DB>,
  aggregateId: bigint,
  { limit }: { limit: number },
): Promise<StoredChoice[]> {
  const rows = await db
    .selectFrom('choices')
    .select(['at', 'policy_version', 'chosen', 'refused'])
    .where('aggregate_id', '=', aggregateId)
    .orderBy('id', 'desc')
    .limit(limit)
    .execute();
  return rows.map((row) => ({
    at: row.at,
    policyVersion: row.policy_version,
    chosen: stored<Chosen>(row.chosen),
    refused: stored<Refusal>(row.refused),
  }));
}
