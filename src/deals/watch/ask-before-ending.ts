import type { WatchDeps } from './watch-sight.ts';
import type { DealRecord } from './watch-store.ts';

/** A provider that does not answer for so long is not waited for. */
const ASK_WAIT_MS = 10 * 60_000;

/**
 * Those of these deals, past their start and never seen on chain, whose providers are still to be asked: where the node
 * has no events, a publish by way of another actor is not seen, and the provider may name it. Sends the jobs that ask.
 */
export async function awaitingWord(deps: WatchDeps, deals: readonly DealRecord[]): Promise<Set<string>> {
  const { db, jobs, clock, view } = deps;
  const now = clock.now();
  const ids = deals.flatMap(({ id, state }) => (state === 'accepted' ? [id] : []));
  const unasked = ids.filter((id) => !view.askedBeforeEnd.has(id));
  if (unasked.length > 0) {
    await db.transaction().execute(async (trx) => {
      for (const dealId of unasked) await jobs.send(trx, 'status', { dealId });
    });
    for (const id of unasked) view.askedBeforeEnd.set(id, now);
  }
  const said =
    ids.length === 0 ? [] : await db.selectFrom('deals').select(['id', 'said_at']).where('id', 'in', ids).execute();
  const saidAt = new Map(said.map(({ id, said_at: at }) => [id, at]));
  const waiting = new Set<string>();
  for (const id of ids) {
    const asked = view.askedBeforeEnd.get(id) ?? now;
    const isAnswered = (saidAt.get(id)?.getTime() ?? 0) >= asked.getTime() && !unasked.includes(id);
    if (isAnswered || now.getTime() - asked.getTime() >= ASK_WAIT_MS) view.askedBeforeEnd.delete(id);
    else waiting.add(id);
  }
  return waiting;
}
