import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';

/** How fresh our view of the chain is: the one row that every process reads and the watching one writes. */
export interface WatchStatus {
  /** When deals were last compared with the chain; undefined: never. */
  asOf: Date | undefined;
  /** The height as of which they were. */
  epoch: number | undefined;
  /** The chain cannot be read, or cannot be believed. No text here names a host. */
  degraded?: { since: Date; reason: string };
  /** What our nodes cannot show, though all else is fresh. */
  limited?: string;
}

/** A pass every epoch or so moves the row; many missed ones mean that no process watches. */
const SILENCE_MS = 5 * 60_000;

export async function findWatchStatus(db: Kysely<DB>, clock: Clock): Promise<WatchStatus> {
  const row = await db.selectFrom('chain_freshness').selectAll().executeTakeFirst();
  if (row === undefined) return { asOf: undefined, epoch: undefined };
  const status = {
    asOf: row.as_of ?? undefined,
    epoch: row.epoch === null ? undefined : Number(row.epoch),
    ...(row.limited !== null && { limited: row.limited }),
  };
  if (row.degraded_since !== null && row.degraded_reason !== null) {
    return { ...status, degraded: { since: row.degraded_since, reason: row.degraded_reason } };
  }
  const silent = clock.now().getTime() - row.looked_at.getTime() > SILENCE_MS;
  const degraded = { since: row.looked_at, reason: 'no process has read the chain since' };
  return silent ? { ...status, degraded } : status;
}

/** Everything was read as of this epoch. */
export async function saveFresh(
  db: Kysely<DB>,
  { epoch, limited, at }: { epoch: number; limited: string | undefined; at: Date },
): Promise<void> {
  const row = {
    as_of: at,
    epoch: BigInt(epoch),
    degraded_since: null,
    degraded_reason: null,
    limited: limited ?? null,
    looked_at: at,
  };
  await db
    .insertInto('chain_freshness')
    .values(row)
    .onConflict((conflict) => conflict.column('singleton').doUpdateSet(row))
    .execute();
}

/** What is known stays as of when it was read; `degraded_since` stays at the first failure. */
export async function saveDegraded(db: Kysely<DB>, reason: string, at: Date): Promise<void> {
  await db
    .insertInto('chain_freshness')
    .values({ degraded_since: at, degraded_reason: reason, looked_at: at })
    .onConflict((conflict) =>
      conflict.column('singleton').doUpdateSet((eb) => ({
        degraded_since: eb.fn.coalesce('chain_freshness.degraded_since', eb.val(at)),
        degraded_reason: reason,
        looked_at: at,
      })),
    )
    .execute();
}
