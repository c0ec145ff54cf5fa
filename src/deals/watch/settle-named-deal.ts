import { holdSight, listCursors } from './chain-cursor-store.ts';
import type { At, DealMessage } from './deal-step.ts';
import { hearWitnesses } from './hear-witnesses.ts';
import { differences, toPresent } from './observe-deal.ts';
import { settleSightings } from './settle-sight.ts';
import type { WatchDeps } from './watch-sight.ts';
import type { DealRecord } from './watch-store.ts';

/** What a chain deal id that somebody names turned out to be. */
export type NamedDeal =
  /** Somebody has looked since, nobody has looked yet, or the nodes disagree. */
  | { kind: 'pending' }
  | { kind: 'absent' | 'published'; at: At }
  /** The state holds the id, and not with our eleven fields. */
  | { kind: 'differs'; fields: string[]; at: At };

/**
 * Reads a chain deal that is named as ours from one node, as of where the watch reads, and compares all eleven fields;
 * where it is ours and another node shows it too, the deal moves, as by an event.
 */
export async function settleNamedDeal(
  deps: WatchDeps,
  { deal, chainDealId, published }: { deal: DealRecord; chainDealId: bigint; published?: DealMessage | undefined },
  signal: AbortSignal,
): Promise<NamedDeal> {
  const { db, jobs, clock, log } = deps;
  const { reads, finalized, events } = await listCursors(db);
  if (reads === undefined) return { kind: 'pending' };
  const chain = (await deps.chain.session?.(signal, deps.lookbackEpochs)) ?? deps.chain;
  const shown = await chain.marketDeal(chainDealId, { tipset: reads.tipset, signal });
  const at: At = {
    ...(chain.node !== undefined && { node: chain.node }),
    epoch: reads.height,
    tipset: reads.tipset,
    finalizedEpoch: finalized?.height ?? 0,
    discoveredEpoch: events?.height ?? 0,
  };
  if (shown === undefined) return { kind: 'absent', at };
  const fields = await differences({ ...deps, chain }, deal, shown, signal);
  if (fields.length > 0) return { kind: 'differs', fields, at };
  const read = { chainDealId, tipset: reads.tipset, shown };
  const { disputed, witnesses } = await hearWitnesses({ ...deps, chain }, [read], { epoch: reads.height, signal });
  if (disputed.size > 0) return { kind: 'pending' };
  const witness = witnesses.get(chainDealId);
  const seen = toPresent(chainDealId, shown, published === undefined ? {} : { published });
  const changes = await db.transaction().execute(async (trx) => {
    // What the watch has seen since is newer: the next question finds it.
    if (!(await holdSight(trx, reads))) return undefined;
    const sighting = { dealId: deal.id, seen, at: { ...at, ...(witness !== undefined && { witness }) } };
    return await settleSightings({ trx, jobs, now: clock.now() }, [sighting]);
  });
  if (changes === undefined) return { kind: 'pending' };
  for (const { to, ...told } of changes) log.info({ ...told, to }, `deal.${to}`);
  return { kind: 'published', at };
}
