import type { Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import { listAggregatesShortOfDeals } from '../deals/propose/proposal-store.ts';
import type { ManyJobs } from '../jobs/jobs.ts';

/** What waits beyond this is found by the sweep. */
const MOST = 1_000;

/** A provider or a policy changed: aggregates that are short of deals are looked at now, not at their next turn. */
export async function wakeProposals(kysely: Kysely<DB>, jobs: ManyJobs): Promise<void> {
  const short = await listAggregatesShortOfDeals(kysely, MOST);
  const due = short.map((id) => ({ aggregateId: id.toString() }));
  await kysely.transaction().execute((trx) => jobs.sendAll(trx, 'propose', due));
}
