import type { Kysely } from 'kysely';
import { listAggregatesToHash } from './aggregate/seal/chunks.ts';
import { findAnyWaiting } from './aggregate/place/waiting-queue.ts';
import { listOpen, listSealing } from './aggregate/aggregate-rows.ts';
import { sealReason, type SealRules } from './aggregate/place/placement-rules.ts';
import type { Clock } from './clock.ts';
import type { DB } from './db/tables.ts';
import { listDealsToSend } from './deals/send/send-store.ts';
import { listAggregatesShortOfDeals } from './deals/propose/proposal-store.ts';
import type { JobData, JobEngine, QueueName } from './jobs.ts';

interface SweepDeps {
  kysely: Kysely<DB>;
  jobs: JobEngine;
  clock: Clock;
  rules: SealRules;
}

/** Rows of one kind looked at in one sweep: the oldest. What lies behind them is looked at when they are done. */
const SWEEP_ROWS = 1_000;

type Due = { [Q in QueueName]: JobData[Q][] };

/** Everything that is due, by the queue that would see to it. */
async function listDue({ kysely, clock, rules }: SweepDeps): Promise<Due> {
  const now = clock.now();
  const ofAge = (await listOpen(kysely)).some((aggregate) => sealReason(aggregate, rules, now) !== undefined);
  const stow = ofAge || (await findAnyWaiting(kysely)) !== undefined;
  const toJob = (id: bigint) => ({ aggregateId: id.toString() });
  return {
    stow: stow ? [{}] : [],
    hash: (await listAggregatesToHash(kysely, SWEEP_ROWS)).map(toJob),
    seal: (await listSealing(kysely, SWEEP_ROWS)).map(toJob),
    propose: (await listAggregatesShortOfDeals(kysely, SWEEP_ROWS)).map(toJob),
    send: (await listDealsToSend(kysely, now, SWEEP_ROWS)).map((dealId) => ({ dealId })),
  };
}

async function resend<Q extends QueueName>({ kysely, jobs }: SweepDeps, queue: Q, due: JobData[Q][]): Promise<number> {
  const missing = due.length === 0 ? [] : await jobs.missing(queue, due);
  for (const data of missing) await kysely.transaction().execute((trx) => jobs.send(trx, queue, data));
  return missing.length;
}

/** Sends the job of every row that is due and has none; says how many there were, by queue. Normally none. */
export async function sweepJobs(deps: SweepDeps): Promise<Record<QueueName, number>> {
  const due = await listDue(deps);
  return {
    stow: await resend(deps, 'stow', due.stow),
    hash: await resend(deps, 'hash', due.hash),
    seal: await resend(deps, 'seal', due.seal),
    propose: await resend(deps, 'propose', due.propose),
    send: await resend(deps, 'send', due.send),
  };
}
