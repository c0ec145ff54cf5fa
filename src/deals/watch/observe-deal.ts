import type { MarketDeal } from '../../chain/market.ts';
import { outcomeOf } from '../../chain/rpc-endpoint.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import type { LadingError } from '../../errors.ts';
import { decodeSignedProposal } from '../../filecoin/proposal.ts';
import { compareProposal } from './compare-proposal.ts';
import { decideAll } from './decide.ts';
import type { DealMessage, Seen } from './deal-step.ts';
import { hearWitnesses, type DealRead } from './hear-witnesses.ts';
import type { Sighting } from './settle-sight.ts';
import { atOf, type Sight, type WatchDeps } from './watch-sight.ts';
import type { DealRecord } from './watch-store.ts';

/** The ID address of one of our clients; undefined while the chain does not know it, when none of its deals can be there. */
export async function findClientId(
  { chain, view }: WatchDeps,
  client: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const known = view.clientIds.get(client);
  if (known !== undefined) return known;
  const id = await chain.lookupId(client, { signal });
  if (id !== undefined) view.clientIds.set(client, id);
  return id;
}

/** The fields in which a deal on chain differs from ours; none: it is ours. */
export async function differences(
  deps: WatchDeps,
  deal: DealRecord,
  onChain: MarketDeal,
  signal: AbortSignal,
): Promise<string[]> {
  const clientId = await findClientId(deps, deal.client, signal);
  if (clientId === undefined) {
    throw new RpcError('RPC_BAD_RESULT', `knows no ${deal.client}, but the deals of that client`, {
      method: 'StateLookupID',
    });
  }
  return compareProposal(decodeSignedProposal(deal.signedProposal).proposal, clientId, onChain.proposal);
}

interface DealMessages {
  published?: DealMessage;
  activated?: DealMessage;
}

export function toPresent(chainDealId: bigint, onChain: MarketDeal, messages: DealMessages = {}): Seen {
  const { sectorNumber, sectorStartEpoch, slashEpoch } = onChain;
  return { kind: 'present', chainDealId, sectorNumber, sectorStartEpoch, slashEpoch, ...messages };
}

/** Is a deal that is absent now absent from the finalized state, too? */
async function isAbsentAtFinalized(
  { chain }: WatchDeps,
  chainDealId: bigint,
  sight: Sight,
  signal: AbortSignal,
): Promise<boolean> {
  if (sight.tipset.height <= sight.finalized.height) return true;
  return (await chain.marketDeal(chainDealId, { tipset: sight.finalized.key, signal })) === undefined;
}

/** What the chain showed of one deal, or why it could not be read. */
export interface Observed {
  deal: DealRecord;
  sightings: Sighting[];
  fault?: LadingError;
  /** The nodes show it differently, so that nothing is known of it. */
  disputed?: true;
}

/** With what was read for it. */
interface Told {
  sightings: Sighting[];
  reads: DealRead[];
}

/**
 * Reads deals that have chain deal ids, as of the tipset of the sight. One that cannot be read says nothing of the
 * others. What would change one is asked of a second node.
 */
export async function observeDeals(
  deps: WatchDeps,
  deals: readonly DealRecord[],
  sight: Sight,
  signal: AbortSignal,
): Promise<Observed[]> {
  const ids = deals.flatMap(({ chainDealId }) => chainDealId ?? []);
  const outcomes = await deps.chain.marketDeals(ids, { tipset: sight.tipset.key, signal });
  const observed = await Promise.all(
    deals.map(async (deal): Promise<Observed & Told> => {
      const outcome = deal.chainDealId === null ? undefined : outcomes.get(deal.chainDealId);
      if (outcome === undefined) return { deal, sightings: [], reads: [] };
      if ('error' in outcome) return { deal, sightings: [], reads: [], fault: outcome.error };
      const seen = await outcomeOf(tellOf(deps, { deal, onChain: outcome.value, sight }, signal));
      if ('error' in seen) return { deal, sightings: [], reads: [], fault: seen.error };
      return { deal, ...seen.value };
    }),
  );
  const reads = observed.flatMap((one) => (isTelling(one) ? one.reads : []));
  const heard = await hearWitnesses(deps, reads, { epoch: sight.tipset.height, signal });
  return observed.map(({ deal, sightings, fault }) => {
    const id = deal.chainDealId ?? -1n;
    if (heard.disputed.has(id)) {
      deps.view.disputed.add(id);
      return { deal, sightings: [], disputed: true };
    }
    const witness = heard.witnesses.get(id);
    const told = witness === undefined ? sightings : sightings.map((one) => ({ ...one, at: { ...one.at, witness } }));
    return { deal, sightings: told, ...(fault !== undefined && { fault }) };
  });
}

/** Would it change the deal, or does it show what an honest node hardly ever does? */
function isTelling({ deal, sightings }: Observed): boolean {
  return sightings.some(({ seen, at }) => seen.kind !== 'present' || decideAll(deal, seen, at).length > 0);
}

interface Shown {
  deal: DealRecord;
  /** Undefined: it is not in the state. */
  onChain: MarketDeal | undefined;
  sight: Sight;
}

async function tellOf(deps: WatchDeps, { deal, onChain, sight }: Shown, signal: AbortSignal): Promise<Told> {
  const { id: dealId, chainDealId } = deal;
  if (chainDealId === null) return { sightings: [], reads: [] };
  const at = atOf(sight);
  const read = { chainDealId, tipset: sight.tipset.key, shown: onChain };
  if (onChain === undefined) {
    const asks = deal.state === 'active' && at.epoch < deal.endEpoch;
    const absentAtFinalized = asks && (await isAbsentAtFinalized(deps, chainDealId, sight, signal));
    const final = { ...read, tipset: sight.finalized.key };
    const reads = absentAtFinalized && final.tipset.join() !== read.tipset.join() ? [read, final] : [read];
    return { sightings: [{ dealId, seen: { kind: 'absent', absentAtFinalized }, at }], reads };
  }
  const differing = await differences(deps, deal, onChain, signal);
  if (differing.length === 0) {
    return { sightings: [{ dealId, seen: toPresent(chainDealId, onChain), at }], reads: [read] };
  }
  deps.log.warn({ dealId, chainDealId: chainDealId.toString(), differing }, 'watch.another_proposal');
  return { sightings: [{ dealId, seen: { kind: 'taken', byOurs: false }, at }], reads: [read] };
}
