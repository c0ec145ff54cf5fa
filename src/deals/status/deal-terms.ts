import type { Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';

/** What a deal was proposed with, and where the chain has it. Money in attoFIL. */
export interface DealTerms {
  client: string;
  verified: boolean;
  /** Padded. */
  pieceBytes: bigint;
  pricePerEpoch: string;
  providerCollateral: string;
  policyVersion: number;
  startEpoch: number;
  endEpoch: number;
  publishMessage: string | null;
  publishedEpoch: number | null;
  sectorNumber: bigint | null;
  sectorStartEpoch: number | null;
  /** When it is sent again; null: it is not waited for. */
  nextAttemptAt: Date | null;
}

export async function findDealTerms(db: Kysely<DB>, dealId: string): Promise<DealTerms> {
  const row = await db
    .selectFrom('deals as d')
    .innerJoin('aggregates as a', 'a.id', 'd.aggregate_id')
    .select(['d.client', 'd.verified', 'a.piece_bytes', 'd.price_per_epoch', 'd.provider_collateral'])
    .select(['d.policy_version', 'd.start_epoch', 'd.end_epoch', 'd.publish_message', 'd.published_epoch'])
    .select(['d.sector_number', 'd.sector_start_epoch', 'd.next_attempt_at'])
    .where('d.id', '=', dealId)
    .executeTakeFirstOrThrow();
  const epoch = (value: bigint | null) => (value === null ? null : Number(value));
  return {
    client: row.client,
    verified: row.verified,
    pieceBytes: row.piece_bytes ?? 0n,
    pricePerEpoch: row.price_per_epoch,
    providerCollateral: row.provider_collateral,
    policyVersion: row.policy_version,
    startEpoch: Number(row.start_epoch),
    endEpoch: Number(row.end_epoch),
    publishMessage: row.publish_message,
    publishedEpoch: epoch(row.published_epoch),
    sectorNumber: row.sector_number,
    sectorStartEpoch: epoch(row.sector_start_epoch),
    nextAttemptAt: row.next_attempt_at,
  };
}
