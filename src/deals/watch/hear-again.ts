import { MAX_EVENT_RANGE_EPOCHS, type DealEvent } from '../../chain/actor-events.ts';
import { isEndpointFault } from '../../chain/rpc-error.ts';
import { formatAddress } from '../../filecoin/address.ts';
import { decodeSignedProposal } from '../../filecoin/proposal.ts';
import { gatherEvents, hasNoEvents, type EventQuestion } from './hear-events.ts';
import { MAX_WITNESSES } from './hear-witnesses.ts';
import { sightingsOf } from './identify-deals.ts';
import { findClientId } from './observe-deal.ts';
import { commitSightings, LONGEST_START_DELAY_EPOCHS, type Sight, type WatchDeps } from './watch-sight.ts';
import { listByChainIds, type DealRecord } from './watch-store.ts';

/**
 * Before proposals are given up for good, the node and its witnesses are asked once more for publishes at their
 * providers: one that hid an event, or had lost it, may have been alone when the cursor went by. What is found is settled
 * as at any other time. Answers how many deals changed.
 */
export async function hearPublishesAgain(
  deps: WatchDeps,
  overdue: readonly DealRecord[],
  sight: Sight,
  signal: AbortSignal,
): Promise<number> {
  const { clients, providers } = await partiesOf(deps, overdue, signal);
  if (clients.length === 0) return 0;
  const starts = overdue.map(({ startEpoch }) => startEpoch);
  const last = Math.min(Math.max(...starts), sight.tipset.height - 1);
  const heard: DealEvent[] = [];
  let from = Math.max(0, Math.min(...starts) - LONGEST_START_DELAY_EPOCHS);
  for (; from <= last; from += MAX_EVENT_RANGE_EPOCHS) {
    const toHeight = Math.min(last, from + MAX_EVENT_RANGE_EPOCHS - 1);
    const types = ['deal-published'] as const;
    heard.push(...(await hearOnce(deps, { fromHeight: from, toHeight, types, clients, providers, signal })));
  }
  const unknown = await unknownOf(deps, heard);
  if (unknown.length === 0) return 0;
  return commitSightings(deps, sight, await sightingsOf(deps, unknown, sight, signal));
}

async function partiesOf(deps: WatchDeps, deals: readonly DealRecord[], signal: AbortSignal) {
  const clients = new Set<string>();
  for (const client of new Set(deals.map((deal) => deal.client))) {
    const id = await findClientId(deps, client, signal);
    if (id !== undefined) clients.add(id);
  }
  const providers = deals.map(({ signedProposal }) =>
    formatAddress(decodeSignedProposal(signedProposal).proposal.provider),
  );
  return { clients: [...clients], providers: [...new Set(providers)] };
}

/** Who cannot answer says nothing, as a gateway that looks back for a day; a node that fails is not read further. */
async function hearOnce({ chain }: WatchDeps, question: EventQuestion): Promise<DealEvent[]> {
  const nodes = [chain, ...(chain.witnesses ?? []).slice(0, MAX_WITNESSES)];
  const answers = await Promise.allSettled(nodes.map((node) => node.dealEvents(question)));
  question.signal.throwIfAborted();
  const own = answers[0];
  if (own?.status === 'rejected' && isEndpointFault(own.reason) && !hasNoEvents(own.reason)) throw own.reason;
  return gatherEvents(answers);
}

/** What we know already was settled by its own event. */
async function unknownOf({ db }: WatchDeps, heard: readonly DealEvent[]): Promise<[bigint, DealEvent[]][]> {
  const byDeal = Map.groupBy(heard, ({ dealId }) => dealId);
  for (const { chainDealId } of await listByChainIds(db, [...byDeal.keys()])) {
    if (chainDealId !== null) byDeal.delete(chainDealId);
  }
  return [...byDeal];
}
