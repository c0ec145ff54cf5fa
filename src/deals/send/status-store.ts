import { sql, type Kysely } from 'kysely';
import type { DB } from '../../db/tables.ts';
import { storableText } from '../../storable-text.ts';

/** A deal whose provider is to be asked. */
export interface DealToAsk {
  id: string;
  aggregateId: bigint;
  provider: string;
  state: 'sent' | 'accepted';
  attempts: number;
  /** When it came into its state. */
  since: Date;
  nextStatusAt: Date | undefined;
}

/** The deal, when its provider holds it or may hold it, and the chain has not shown it. */
export async function findDealToAsk(db: Kysely<DB>, id: string): Promise<DealToAsk | undefined> {
  const row = await db
    .selectFrom('deals')
    .select(['id', 'aggregate_id', 'provider_id', 'state', 'attempts', 'changed_at', 'next_status_at'])
    .where('id', '=', id)
    .executeTakeFirst();
  if (row === undefined || (row.state !== 'sent' && row.state !== 'accepted')) return undefined;
  return {
    id: row.id,
    aggregateId: row.aggregate_id,
    provider: row.provider_id,
    state: row.state,
    attempts: row.attempts,
    since: row.changed_at,
    nextStatusAt: row.next_status_at ?? undefined,
  };
}

/** Sets when it is asked next, before it is asked now. False when another process took the turn, or the deal moved on. */
export async function takeTurn(db: Kysely<DB>, deal: DealToAsk, nextAt: Date): Promise<boolean> {
  const { numUpdatedRows } = await db
    .updateTable('deals')
    .set({ next_status_at: nextAt })
    .where('id', '=', deal.id)
    .where('state', '=', deal.state)
    .where('next_status_at', 'is not distinct from', deal.nextStatusAt ?? null)
    .executeTakeFirst();
  return numUpdatedRows > 0n;
}

/** Words of Boost for a deal whose bytes it has. It says so by itself: good enough to leave the deal alone. */
export const HAS_BYTES = [
  'Transferred',
  'Published',
  'PublishConfirmed',
  'AddedPiece',
  'IndexedAndAnnounced',
  'Sealed',
];

/**
 * Keeps the provider's words on the deal. A publish message that it named before stays until it names another; that it
 * had the bytes stays for good, whatever it says later.
 */
export async function noteSaid(
  db: Kysely<DB>,
  id: string,
  said: { text: string; publishMessage: string | undefined; at: Date },
): Promise<void> {
  const { text, publishMessage, at } = said;
  const words = storableText(text);
  await db
    .updateTable('deals')
    .set({
      said_status: sql<string>`case
        when split_part(said_status, ':', 1) in (${sql.join(HAS_BYTES)})
          and split_part(${words}::text, ':', 1) not in (${sql.join(HAS_BYTES)})
        then split_part(said_status, ':', 1) || ': by now it says: ' || ${words}::text
        else ${words}::text end`,
      said_at: at,
      ...(publishMessage !== undefined && { said_publish_message: storableText(publishMessage) }),
    })
    .where('id', '=', id)
    .execute();
}

/** Deals whose providers are to be asked by now, the longest due first: for the sweep. */
export async function listDealsToAsk(db: Kysely<DB>, now: Date, limit: number): Promise<string[]> {
  const rows = await db
    .selectFrom('deals')
    .select('id')
    .where(sql<boolean>`state in ('sent', 'accepted')`)
    .where('next_status_at', 'is not', null)
    .where('next_status_at', '<=', now)
    .orderBy('next_status_at')
    .limit(limit)
    .execute();
  return rows.map(({ id }) => id);
}
