import type { Kysely } from 'kysely';
import { listAggregatesToHash } from '../aggregate/seal/chunks.ts';
import { findAnyWaiting, listUncut } from '../aggregate/place/waiting-queue.ts';
import { listOpen, listSealing } from '../aggregate/aggregate-rows.ts';
import { emptyRoomBytes, sealReason, type SealRules } from '../aggregate/place/placement-rules.ts';
import type { Clock } from '../clock.ts';
import type { DB } from '../db/tables.ts';
import { listDealsToSend } from '../deals/send/send-store.ts';
import { listDealsToAsk } from '../deals/send/status-store.ts';
import { listAggregatesShortOfDeals } from '../deals/propose/proposal-store.ts';
import { pieceCapacity } from '../filecoin/piece.ts';
import { listRootsToFetch } from '../pins/requests/request-store.ts';
import { isActDue } from '../pins/pin-store.ts';
import type { JobData, QueueName } from '../jobs/job-queues.ts';
import type { JobEngine } from '../jobs/jobs.ts';
import { listPullsDue } from '../pulls/pull-store.ts';

interface SweepDeps {
  kysely: Kysely<DB>;
  jobs: JobEngine;
  clock: Clock;
  rules: SealRules;
}

/** Where the sweep of each kind of row goes on: after the row with this id; undefined: with the first. */
export interface SweepCursors {
  cut?: bigint | undefined;
  seal?: bigint | undefined;
  propose?: bigint | undefined;
  send?: string | undefined;
}

/** Rows of one kind looked at in one sweep. The next one goes on behind them, and begins anew after the last. */
const SWEEP_ROWS = 1_000;

type Due = { [Q in QueueName]: JobData[Q][] };

/** Everything that is due, by the queue that would see to it, `limit` rows of a kind; moves the cursors on. */
async function listDue({ kysely, clock, rules }: SweepDeps, cursors: SweepCursors, limit: number): Promise<Due> {
  const now = clock.now();
  const ofAge = (await listOpen(kysely)).some((aggregate) => sealReason(aggregate, rules, now) !== undefined);
  const stow = ofAge || (await findAnyWaiting(kysely)) !== undefined;
  const room = emptyRoomBytes(pieceCapacity(rules.pieceBytes));
  const cut = await listUncut(kysely, room, { afterId: cursors.cut ?? 0n, limit });
  const seal = await listSealing(kysely, limit, cursors.seal);
  const propose = await listAggregatesShortOfDeals(kysely, limit, cursors.propose);
  const send = await listDealsToSend(kysely, now, { limit, afterId: cursors.send });
  Object.assign(cursors, {
    cut: endOf(cut, limit),
    seal: endOf(seal, limit),
    propose: endOf(propose, limit),
    send: endOf(send, limit),
  });
  const toJob = (id: bigint) => ({ aggregateId: id.toString() });
  return {
    stow: stow ? [{}] : [],
    cut: cut.map((id) => ({ uploadId: id.toString() })),
    // Open aggregates alone, of which configuration allows a few.
    hash: (await listAggregatesToHash(kysely, limit)).map(toJob),
    seal: seal.map(toJob),
    propose: propose.map(toJob),
    // Proposing asks for it, each time that it wants bytes which are not there.
    restore: [],
    send: send.map((dealId) => ({ dealId })),
    // Needs no cursor: each question sets the time of the next.
    status: (await listDealsToAsk(kysely, now, limit)).map((dealId) => ({ dealId })),
    // Nor here: each attempt sets the time of the next.
    fetch: (await listRootsToFetch(kysely, limit)).map((root) => ({ root })),
    pull: (await listPullsDue(kysely, limit)).map((pullId) => ({ pullId })),
    pin: (await isActDue(kysely)) ? [{}] : [],
  };
}

/** Where the next sweep begins: behind a full page, else with the first row. */
function endOf<T>(page: readonly T[], limit: number): T | undefined {
  return page.length < limit ? undefined : page.at(-1);
}

async function resend<Q extends QueueName>({ kysely, jobs }: SweepDeps, queue: Q, due: JobData[Q][]): Promise<number> {
  const missing = due.length === 0 ? [] : await jobs.missing(queue, due);
  for (const data of missing) await kysely.transaction().execute((trx) => jobs.send(trx, queue, data));
  return missing.length;
}

/**
 * Sends the job of every row that is due and has none; says how many there were, by queue. Normally none. The cursors,
 * kept from one call to the next, let it see all rows in turn, however many are stuck.
 */
export async function sweepJobs(
  deps: SweepDeps,
  cursors: SweepCursors = {},
  limit = SWEEP_ROWS,
): Promise<Record<QueueName, number>> {
  const due = await listDue(deps, cursors, limit);
  return {
    stow: await resend(deps, 'stow', due.stow),
    cut: await resend(deps, 'cut', due.cut),
    hash: await resend(deps, 'hash', due.hash),
    seal: await resend(deps, 'seal', due.seal),
    propose: await resend(deps, 'propose', due.propose),
    restore: await resend(deps, 'restore', due.restore),
    send: await resend(deps, 'send', due.send),
    status: await resend(deps, 'status', due.status),
    fetch: await resend(deps, 'fetch', due.fetch),
    pull: await resend(deps, 'pull', due.pull),
    pin: await resend(deps, 'pin', due.pin),
  };
}
