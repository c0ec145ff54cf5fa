import { holdSight, listCursors } from '../watch/chain-cursor-store.ts';
import { differences, toPresent } from '../watch/observe-deal.ts';
import { settleSightings } from '../watch/settle-sight.ts';
import type { WatchDeps } from '../watch/watch-sight.ts';
import { findRecord } from '../watch/watch-store.ts';

/** What a chain deal id that a provider named turned out to be. */
export type ChainDealFinding =
  /** Not in the state as of our last look at the chain, or somebody has looked since. */
  { kind: 'pending' } | { kind: 'differs'; fields: string[] } | { kind: 'published' };

/**
 * Reads the chain deal that a provider names as ours, and compares all eleven fields: of its word alone nothing is
 * believed. Where it is ours the deal moves, as by an event.
 */
export async function lookIntoChainDeal(
  deps: WatchDeps,
  { dealId, chainDealId }: { dealId: string; chainDealId: bigint },
  signal: AbortSignal,
): Promise<ChainDealFinding> {
  const deal = await findRecord(deps.db, dealId);
  const { reads, finalized, events } = await listCursors(deps.db);
  if (deal === undefined || reads === undefined) return { kind: 'pending' };
  const onChain = await deps.chain.marketDeal(chainDealId, { tipset: reads.tipset, signal });
  if (onChain === undefined) return { kind: 'pending' };
  const fields = await differences(deps, deal, onChain, signal);
  if (fields.length > 0) return { kind: 'differs', fields };
  const at = {
    epoch: reads.height,
    tipset: reads.tipset,
    finalizedEpoch: finalized?.height ?? 0,
    discoveredEpoch: events?.height ?? 0,
  };
  const { db, jobs, clock } = deps;
  const changes = await db.transaction().execute(async (trx) => {
    // What the watch has seen since is newer: the next question finds it.
    if (!(await holdSight(trx, reads))) return undefined;
    const seen = toPresent(chainDealId, onChain);
    return await settleSightings({ trx, jobs, now: clock.now() }, [{ dealId, seen, at }]);
  });
  if (changes === undefined) return { kind: 'pending' };
  for (const { to, ...told } of changes) deps.log.info({ ...told, to }, `deal.${to}`);
  return { kind: 'published' };
}
