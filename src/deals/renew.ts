import type { Kysely } from 'kysely';
import type { DB } from '../db/tables.ts';
import type { JobEngine } from '../jobs/jobs.ts';
import type { Log } from '../log/log.ts';
import { findPolicy } from './propose/policy-store.ts';
import { listEnding, type EndingDeal } from './propose/proposal-store.ts';
import { renewalEpoch } from './propose/renewal-time.ts';

export interface RenewDeps {
  db: Kysely<DB>;
  jobs: Pick<JobEngine, 'send' | 'missing'>;
  log: Log;
}

/** Deals looked at in one query; a round goes on until all are seen. */
const PAGE_DEALS = 1_000;

/** Wakes proposing for the aggregates that have none of it waiting; answers how many. */
async function wake({ db, jobs }: RenewDeps, due: readonly EndingDeal[]): Promise<number> {
  const ids = [...new Set(due.map(({ aggregateId }) => aggregateId.toString()))];
  const missing =
    ids.length === 0
      ? []
      : await jobs.missing(
          'propose',
          ids.map((aggregateId) => ({ aggregateId })),
        );
  if (missing.length === 0) return 0;
  await db.transaction().execute(async (trx) => {
    for (const data of missing) await jobs.send(trx, 'propose', data);
  });
  return missing.length;
}

/**
 * Wakes proposing for each aggregate with a deal that is due for its next generation at `headEpoch`; what is proposed,
 * and whether, proposing decides by itself. Answers how many aggregates were woken. Doing it twice changes nothing.
 */
export async function wakeRenewals(deps: RenewDeps, headEpoch: number): Promise<number> {
  const { renewBeforeEpochs, proposing, startDelayEpochs } = await findPolicy(deps.db);
  if (!proposing || renewBeforeEpochs === 0) return 0;
  let woken = 0;
  for (let after: EndingDeal | undefined, more = true; more; ) {
    const page = await listEnding(deps.db, { endsBy: headEpoch + renewBeforeEpochs, after, limit: PAGE_DEALS });
    const due = page.filter(
      (deal) => headEpoch >= renewalEpoch(deal, renewBeforeEpochs) && headEpoch + startDelayEpochs < deal.endEpoch,
    );
    woken += await wake(deps, due);
    after = page.at(-1);
    more = page.length === PAGE_DEALS;
  }
  if (woken > 0) deps.log.info({ aggregates: woken }, 'deals.renewals_due');
  return woken;
}
