import { settleNamedDeal } from '../watch/settle-named-deal.ts';
import type { WatchDeps } from '../watch/watch-sight.ts';
import { findRecord } from '../watch/watch-store.ts';

/** What a chain deal id that a provider named turned out to be. */
export type ChainDealFinding =
  /** Not in the state as of our last look at the chain, somebody has looked since, or the nodes disagree. */
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
  if (deal === undefined) return { kind: 'pending' };
  const settled = await settleNamedDeal(deps, { deal, chainDealId }, signal);
  if (settled.kind === 'absent') return { kind: 'pending' };
  return settled.kind === 'differs' ? { kind: 'differs', fields: settled.fields } : { kind: settled.kind };
}
