import type { Kysely } from 'kysely';
import type { Clock } from '../../clock.ts';
import type { DB } from '../../db/tables.ts';
import { describeError } from '../../errors.ts';
import type { Log } from '../../log/log.ts';

/** As long as a dead worker's job takes to be taken over: a process that is gone holds up its deals no longer. */
export const ATTEMPT_LEASE_MS = 30_000;
/** Two renewals may be lost before the lease is. */
const RENEW_MS = 10_000;
/** Jobs come about when they are due, and the clocks of two processes differ a little. */
const EARLY_MS = 1_000;

/** Another attempt is out, or the next one is not due: until then nobody may send. Pure. */
export function isHeld(nextAttemptAt: Date | undefined, now: Date): boolean {
  return nextAttemptAt !== undefined && nextAttemptAt.getTime() - now.getTime() > EARLY_MS;
}

export function leaseEnd(now: Date): Date {
  return new Date(now.getTime() + ATTEMPT_LEASE_MS);
}

interface Lease {
  dealId: string;
  /** Of the attempt that is out. */
  attempts: number;
}

async function renew({ db, clock }: { db: Kysely<DB>; clock: Clock }, { dealId, attempts }: Lease): Promise<void> {
  await db
    .updateTable('deals')
    .set({ next_attempt_at: leaseEnd(clock.now()) })
    .where('id', '=', dealId)
    .where('state', '=', 'sent')
    .where('attempts', '=', attempts)
    .execute();
}

/** Keeps an attempt's lease for as long as the act takes, which may be minutes; no renewal is under way after it. */
export async function whileLeased<T>(
  deps: { db: Kysely<DB>; clock: Clock; log: Log },
  lease: Lease,
  act: () => Promise<T>,
): Promise<T> {
  let renewing = Promise.resolve();
  const timer = setInterval(() => {
    renewing = renewing
      .then(() => renew(deps, lease))
      .catch((error: unknown) => deps.log.warn({ dealId: lease.dealId, err: describeError(error) }, 'send.lease_lost'));
  }, RENEW_MS);
  try {
    return await act();
  } finally {
    clearInterval(timer);
    await renewing;
  }
}

/** Ends all leases. Only for the sole user of a database, before it sends: who held them is dead. */
export async function endLeases(db: Kysely<DB>, now: Date): Promise<void> {
  await db
    .updateTable('deals')
    .set({ next_attempt_at: now })
    .where('state', '=', 'sent')
    .where('next_attempt_at', '>', now)
    .execute();
}
