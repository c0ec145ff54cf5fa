import {
  dealEventTypes,
  MAX_EVENT_RANGE_EPOCHS,
  type DealEvent,
  type DealEventType,
} from '../../chain/actor-events.ts';
import type { MarketDeal } from '../../chain/market.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import { saveCursor } from './chain-cursor-store.ts';
import type { At, DealMessage } from './deal-step.ts';
import { differences, findClientId, toPresent } from './observe-deal.ts';
import type { Sighting } from './settle-sight.ts';
import { atOf, commitSightings, type Sight, type WatchDeps } from './watch-sight.ts';
import { listByChainIds, listCandidates, listClients, type DealRecord } from './watch-store.ts';

/** A week of downtime is seven ranges: after so many a pass ends, and the next goes on at once. */
const MAX_RANGES = 4;

export interface Discovery {
  /** Every deal event in a tipset below this height was looked at. */
  eventsBelow: number;
  changes: number;
  /** Everything that the sight's state has the effects of was looked at. */
  complete: boolean;
}

/** Looks at the events of our clients' deals, range by range, each committed with what was found in it. */
export async function discoverDeals(deps: WatchDeps, sight: Sight, signal: AbortSignal): Promise<Discovery> {
  const clients = await knownClients(deps, signal);
  const end = sight.tipset.height;
  let eventsBelow = sight.eventsBelow;
  let changes = 0;
  for (let ranges = 0; eventsBelow < end && ranges < MAX_RANGES; ranges += 1) {
    signal.throwIfAborted();
    // Without a client on chain there was nothing to publish for; a tipset's own messages show in the next one's state.
    const next = clients.length === 0 ? end : Math.min(end, eventsBelow + MAX_EVENT_RANGE_EPOCHS);
    const events = clients.length === 0 ? [] : await readRange(deps, { from: eventsBelow, next, clients }, signal);
    const sightings = await sightingsOf(deps, events, sight, signal);
    changes += await commitSightings(deps, sight, sightings, (trx, now) =>
      saveCursor(trx, 'events', { height: next, tipset: sight.tipset.key }, now),
    );
    eventsBelow = next;
  }
  return { eventsBelow, changes, complete: eventsBelow >= end };
}

async function knownClients(deps: WatchDeps, signal: AbortSignal): Promise<string[]> {
  const ids: string[] = [];
  for (const client of await listClients(deps.db)) {
    const id = await findClientId(deps, client, signal);
    if (id !== undefined) ids.push(id);
  }
  return ids;
}

async function readRange(
  { chain }: WatchDeps,
  range: { from: number; next: number; clients: string[] },
  signal: AbortSignal,
) {
  const { from: fromHeight, next, clients } = range;
  return chain.dealEvents({ fromHeight, toHeight: next - 1, types: dealEventTypes, clients, signal });
}

async function sightingsOf(
  deps: WatchDeps,
  events: DealEvent[],
  sight: Sight,
  signal: AbortSignal,
): Promise<Sighting[]> {
  const byDeal = Map.groupBy(events, ({ dealId }) => dealId);
  const bound = await listByChainIds(deps.db, [...byDeal.keys()]);
  const found = await Promise.all(
    [...byDeal].map(([chainDealId, own]) => {
      const known = bound.find((deal) => deal.chainDealId === chainDealId);
      return lookInto(deps, { chainDealId, events: own, known }, sight, signal);
    }),
  );
  // Who lost an id comes before who has it now.
  return found.flat().toSorted((a, b) => Number(b.seen.kind === 'taken') - Number(a.seen.kind === 'taken'));
}

interface EventfulDeal {
  chainDealId: bigint;
  /** In order of height. */
  events: DealEvent[];
  known: DealRecord | undefined;
}

/** The last message of this type that concerns the deal. */
function messageOf(events: DealEvent[], sought: DealEventType): DealMessage | undefined {
  const event = events.findLast(({ type }) => type === sought);
  return event && { epoch: event.height, message: event.message };
}

/** What became of one deal with events: who it is, what its state is now, and what it was when it is gone. */
async function lookInto(deps: WatchDeps, deal: EventfulDeal, sight: Sight, signal: AbortSignal): Promise<Sighting[]> {
  const { chainDealId, events, known } = deal;
  const now = await deps.chain.marketDeal(chainDealId, { tipset: sight.tipset.key, signal });
  const state = now === undefined ? await stateBefore(deps, deal, sight, signal) : { onChain: now, at: atOf(sight) };
  const terminated = messageOf(events, 'deal-terminated');
  const gone = { seen: { kind: 'absent' as const, ...(terminated && { terminated }) }, at: atOf(sight) };
  if (state === undefined) return known === undefined ? [] : [{ dealId: known.id, ...gone }];
  const { ours, displaced } = await identify(deps, deal, { ...state, sight }, signal);
  if (ours === undefined) return displaced;
  const published = messageOf(events, 'deal-published');
  const activated = messageOf(events, 'deal-activated');
  const present = {
    dealId: ours.id,
    seen: toPresent(chainDealId, state.onChain, { ...(published && { published }), ...(activated && { activated }) }),
    at: state.at,
  };
  const after = now === undefined ? [{ dealId: ours.id, ...gone }] : [];
  return [...displaced, present, ...after];
}

interface PastState {
  onChain: MarketDeal;
  at: At;
}

/**
 * A deal that came and went between two looks, as it was before its last event took it out of the state. Undefined when
 * that is not needed, or the node has no such old state: then what became of it is decided from what we knew.
 */
async function stateBefore(
  deps: WatchDeps,
  deal: EventfulDeal,
  sight: Sight,
  signal: AbortSignal,
): Promise<PastState | undefined> {
  const { chainDealId, events, known } = deal;
  if (known !== undefined && known.state !== 'published') return undefined;
  const ending = events.findLast(({ type }) => type === 'deal-terminated' || type === 'deal-completed');
  try {
    const past = ending ?? (await nextTipset(deps, events.at(-1), sight, signal));
    if (past === undefined) return undefined;
    const key = 'tipset' in past ? past.tipset : past.key;
    const onChain = await deps.chain.marketDeal(chainDealId, { tipset: key, signal });
    return onChain && { onChain, at: { ...atOf(sight), epoch: past.height, tipset: key } };
  } catch (error) {
    if (!(error instanceof RpcError) || error.code !== 'RPC_ERROR') throw error;
    deps.log.warn({ chainDealId: chainDealId.toString(), error: error.message }, 'watch.no_old_state');
    return undefined;
  }
}

/** The first tipset whose state has the effects of the event. */
async function nextTipset({ chain }: WatchDeps, event: DealEvent | undefined, sight: Sight, signal: AbortSignal) {
  if (event === undefined || event.height + 1 >= sight.tipset.height) return undefined;
  const tipset = await chain.tipsetAt(event.height + 1, signal);
  // After an empty round that is the tipset of the event itself: the deal does not show yet.
  return tipset.height > event.height ? tipset : undefined;
}

interface Identified {
  ours: DealRecord | undefined;
  /** What it means for a deal that had this id before. */
  displaced: Sighting[];
}

/** Whose proposal a chain deal is, by all eleven fields. */
async function identify(
  deps: WatchDeps,
  { chainDealId, known }: EventfulDeal,
  { onChain, sight }: PastState & { sight: Sight },
  signal: AbortSignal,
): Promise<Identified> {
  if (known !== undefined && (await differences(deps, known, onChain, signal)).length === 0)
    return { ours: known, displaced: [] };
  const { provider, pieceCid } = onChain.proposal;
  const differing: string[][] = [];
  let ours: DealRecord | undefined;
  for (const candidate of await listCandidates(deps.db, { provider, pieceCid })) {
    const fields = await differences(deps, candidate, onChain, signal);
    if (fields.length > 0) differing.push(fields);
    else if (!(await isElsewhere(deps, candidate, { chainDealId, sight }, signal))) ours = candidate;
  }
  if (ours === undefined)
    deps.log.warn({ chainDealId: chainDealId.toString(), provider, pieceCid, differing }, 'watch.foreign_deal');
  const taken = { seen: { kind: 'taken' as const, byOurs: ours !== undefined }, at: atOf(sight) };
  return { ours, displaced: known === undefined ? [] : [{ dealId: known.id, ...taken }] };
}

/** Does the chain still hold a deal of ours under the other id that we know of it? A proposal lives once. */
async function isElsewhere(
  deps: WatchDeps,
  deal: DealRecord,
  { chainDealId, sight }: { chainDealId: bigint; sight: Sight },
  signal: AbortSignal,
): Promise<boolean> {
  if (deal.chainDealId === null || deal.chainDealId === chainDealId) return false;
  const other = await deps.chain.marketDeal(deal.chainDealId, { tipset: sight.tipset.key, signal });
  return other !== undefined && (await differences(deps, deal, other, signal)).length === 0;
}
