import { EPOCHS_PER_DAY } from '../../filecoin/limits.ts';
import { findPolicy } from '../propose/policy-store.ts';
import { deleteCursor, listCursors, saveCursor, type Cursor } from './chain-cursor-store.ts';
import { clearDifferences, insertDifferences, type Difference } from './difference-store.ts';
import { decideAll } from './decide.ts';
import { observeDeals } from './observe-deal.ts';
import type { Sighting } from './settle-sight.ts';
import { commitSightings, type Sight, type WatchDeps } from './watch-sight.ts';
import { listLiveOnChain, type DealRecord } from './watch-store.ts';

/** One commit's worth of deals read by id. */
const BATCH = 100;
/** After a pause, or at the first pass, no more than this is made up for. */
const MAX_CREDIT_SECONDS = 60;
/** Before the first deals are read a moment of credit must have come together: devnets look several times a second. */
const MIN_CREDIT = 10;

/** Changes that no event tells, so that finding them here is no difference. */
const UNTOLD_CODES: ReadonlySet<string> = new Set(['term_over', 'not_proven', 'republished', 'sector_changed']);

/** What remains of the rate between passes; kept by the caller, lost at a restart without harm. */
export interface Credit {
  deals: number;
  at: Date | undefined;
}

function earn(credit: Credit, now: Date, perSecond: number): void {
  const seconds = credit.at === undefined ? 1 : (now.getTime() - credit.at.getTime()) / 1_000;
  credit.deals += Math.max(0, Math.min(seconds, MAX_CREDIT_SECONDS)) * perSecond;
  credit.deals = Math.min(credit.deals, MAX_CREDIT_SECONDS * perSecond);
  credit.at = now;
}

/**
 * Once a day reads every live deal by its id, some at a time and no faster than the policy lets it, going on where it
 * was after any stop. It should find nothing: a difference is written down, and logged as an error. Where nodes have no
 * events it is how ends are seen, and goes on without a pause. Answers how many deals changed.
 */
export async function reconcile(
  deps: WatchDeps,
  { sight, hasEvents, credit }: { sight: Sight; hasEvents: boolean; credit: Credit },
  signal: AbortSignal,
): Promise<number> {
  const cursors = await listCursors(deps.db);
  const { height: epoch, key } = sight.tipset;
  const isDue = !hasEvents || cursors.round === undefined || epoch >= cursors.round.height + EPOCHS_PER_DAY;
  if (cursors.reconciled === undefined && !isDue) return 0;
  earn(credit, deps.clock.now(), deps.reconcilePerSecond ?? (await findPolicy(deps.db)).readsPerSecond);
  let after = cursors.reconciled === undefined ? -1n : BigInt(cursors.reconciled.height);
  let changes = 0;
  if (cursors.reconciled === undefined) {
    await beginRound(deps, { height: epoch, tipset: key });
  }
  while (credit.deals >= MIN_CREDIT) {
    signal.throwIfAborted();
    const limit = Math.min(BATCH, Math.floor(credit.deals));
    const deals = await listLiveOnChain(deps.db, after, limit);
    credit.deals -= deals.length;
    after = deals.at(-1)?.chainDealId ?? after;
    const done = deals.length < limit;
    changes += await compareBatch(deps, { sight, deals, hasEvents, reached: done ? undefined : after }, signal);
    if (done) return changes;
  }
  return changes;
}

/** From here on the round goes on at every pass, in whatever process, until it is through. */
async function beginRound({ db, clock }: WatchDeps, { height, tipset }: Cursor): Promise<void> {
  const at = clock.now();
  await db.transaction().execute(async (trx) => {
    await saveCursor(trx, 'round', { height, tipset }, at);
    await saveCursor(trx, 'reconciled', { height: -1, tipset }, at);
  });
}

interface Batch {
  sight: Sight;
  deals: DealRecord[];
  hasEvents: boolean;
  /** Undefined: the round is over. */
  reached: bigint | undefined;
}

async function compareBatch(deps: WatchDeps, batch: Batch, signal: AbortSignal): Promise<number> {
  const { sight, deals, hasEvents, reached } = batch;
  const { height, key } = sight.tipset;
  const read = await observeDeals(deps, deals, sight, signal);
  const unread = read.filter(({ fault }) => fault !== undefined);
  const fault = unread[0]?.fault;
  // A node that shows none of them has a fault of its own: they are read again.
  if (fault !== undefined && unread.length === read.length) throw fault;
  const found = read.flatMap(({ deal, sightings }) =>
    sightings.flatMap((one) => differenceOf(deal, one, hasEvents) ?? []),
  );
  const unknown = read.flatMap(({ deal, disputed }) => (disputed ? [deal.id] : []));
  const differing = new Set([...found.map(({ dealId }) => dealId), ...unread.map(({ deal }) => deal.id), ...unknown]);
  const agreed = deals.filter(({ id }) => !differing.has(id)).map(({ id }) => id);
  for (const difference of found) deps.log.error({ ...difference, epoch: height }, 'watch.difference');
  const changes = await commitSightings(
    deps,
    sight,
    read.flatMap(({ sightings }) => sightings),
    async (trx, now) => {
      await insertDifferences(trx, found, { epoch: height, tipset: key, at: now });
      await clearDifferences(trx, agreed, now);
      if (reached === undefined) await deleteCursor(trx, 'reconciled');
      else await saveCursor(trx, 'reconciled', { height: Number(reached), tipset: key }, now);
    },
  );
  // The round goes on behind a deal that cannot be read, and the next one reads it again.
  if (fault !== undefined) throw fault;
  return changes;
}

/** What this sight of a deal means that all events up to here were read of; undefined: we agree. */
function differenceOf(deal: DealRecord, { dealId, seen, at }: Sighting, hasEvents: boolean): Difference | undefined {
  if (seen.kind === 'taken') {
    return {
      dealId,
      kind: 'another_proposal',
      detail: `chain deal ${deal.chainDealId} is not the one that was signed`,
    };
  }
  const steps = decideAll(deal, seen, at);
  const untold = steps.flatMap((step) =>
    (step.kind === 'advance' || step.kind === 'update') && !UNTOLD_CODES.has(step.reason.code)
      ? [step.reason.text]
      : [],
  );
  if (untold.length > 0 && hasEvents) {
    return { dealId, kind: 'untold', detail: `no event told: ${untold.join('; ')}` };
  }
  if (seen.kind === 'absent' && steps.length === 0 && hasEvents) {
    return {
      dealId,
      kind: 'absent',
      detail: `chain deal ${deal.chainDealId} is not in the state, and nothing ended it`,
    };
  }
  return undefined;
}
