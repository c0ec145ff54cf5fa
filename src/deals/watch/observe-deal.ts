import type { MarketDeal } from '../../chain/market.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import { decodeSignedProposal } from '../../filecoin/proposal.ts';
import { compareProposal } from './compare-proposal.ts';
import type { DealMessage, Seen } from './deal-step.ts';
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

/** Reads one deal that has a chain deal id, as of the tipset of the sight. */
export async function observeDeal(
  deps: WatchDeps,
  deal: DealRecord,
  sight: Sight,
  signal: AbortSignal,
): Promise<Sighting[]> {
  const { id: dealId, chainDealId } = deal;
  if (chainDealId === null) return [];
  const at = atOf(sight);
  const onChain = await deps.chain.marketDeal(chainDealId, { tipset: sight.tipset.key, signal });
  if (onChain === undefined) {
    const asks = deal.state === 'active' && at.epoch < deal.endEpoch;
    const absentAtFinalized = asks && (await isAbsentAtFinalized(deps, chainDealId, sight, signal));
    return [{ dealId, seen: { kind: 'absent', absentAtFinalized }, at }];
  }
  const differing = await differences(deps, deal, onChain, signal);
  if (differing.length === 0) return [{ dealId, seen: toPresent(chainDealId, onChain), at }];
  deps.log.warn({ dealId, chainDealId: chainDealId.toString(), differing }, 'watch.another_proposal');
  return [{ dealId, seen: { kind: 'taken', byOurs: false }, at }];
}
