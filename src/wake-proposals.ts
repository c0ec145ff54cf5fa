import type { Kysely } from 'kysely';
import type { DB } from './db/tables.ts';
import { listAggregatesShortOfDeals } from './deals/propose/proposal-store.ts';
import type { Jobs } from './jobs.ts';

/** What waits beyond this is found by the sweep. */
const MOST = 1_000;

/** A provider or a policy changed: aggregates that are short of deals are looked at now, not at their next turn. */
export async function wakeProposals(kysely: Kysely<DB>, jobs: Jobs): Promise<void> {
  const short = await listAggregatesShortOfDeals(kysely, MOST);
  await kysely.transaction().execute(async (trx) => {
    for (const id of short) await jobs.send(trx, 'propose', { aggregateId: id.toString() });
  });
}
