import type { DealEvent, DealEventType } from '../../chain/actor-events.ts';
import type { MarketDeal } from '../../chain/market.ts';
import { RpcError } from '../../chain/rpc-error.ts';
import type { At, DealMessage } from './deal-step.ts';
import { hearWitnesses, type DealRead } from './hear-witnesses.ts';
import { differences, toPresent } from './observe-deal.ts';
import type { Sighting } from './settle-sight.ts';
import { atOf, type Sight, type WatchDeps } from './watch-sight.ts';
import { listByChainIds, listCandidates, pieceAtKey, type DealRecord } from './watch-store.ts';

interface EventfulDeal {
  chainDealId: bigint;
  /** In order of height. */
  events: DealEvent[];
  known: DealRecord | undefined;
}

interface PastState {
  onChain: MarketDeal;
  at: At;
}

/** A deal with events, with its state at the sight or, where it is gone, before. */
interface ReadDeal extends EventfulDeal {
  now: MarketDeal | undefined;
  state: PastState | undefined;
}

/** What became of the deals that these events tell of: who they are, what they are now, and what they were. */
export async function sightingsOf(
  deps: WatchDeps,
  byDeal: readonly (readonly [bigint, DealEvent[]])[],
  sight: Sight,
  signal: AbortSignal,
): Promise<Sighting[]> {
  const ids = byDeal.map(([id]) => id);
  const bound = new Map((await listByChainIds(deps.db, ids)).map((deal) => [deal.chainDealId, deal]));
  const outcomes = await deps.chain.marketDeals(ids, { tipset: sight.tipset.key, signal });
  const read = await Promise.all(
    byDeal.map(([chainDealId, events]) => {
      const outcome = outcomes.get(chainDealId) ?? { value: undefined };
      // The cursor of the events moves past all of them or none.
      if ('error' in outcome) throw outcome.error;
      return readDeal(deps, { chainDealId, events, known: bound.get(chainDealId), now: outcome.value }, sight, signal);
    }),
  );
  // An event is a change: also that nothing is there, where it tells of a deal, wants a witness.
  const reads = read.flatMap((deal) => readsOf(deal, sight));
  const { disputed, witnesses } = await hearWitnesses(deps, reads, { epoch: sight.tipset.height, signal });
  for (const id of disputed) deps.view.disputed.add(id);
  const believed = read.filter(({ chainDealId }) => !disputed.has(chainDealId));
  const proposals = believed.flatMap(({ state }) => state?.onChain.proposal ?? []);
  const candidates = await listCandidates(deps.db, proposals);
  const found = await Promise.all(
    believed.map((deal) => tellDeal({ deps, sight, signal, candidates, witnesses }, deal)),
  );
  // Who lost an id comes before who has it now.
  return found.flat().toSorted((a, b) => Number(b.seen.kind === 'taken') - Number(a.seen.kind === 'taken'));
}

function readsOf({ chainDealId, now, state }: ReadDeal, sight: Sight): DealRead[] {
  const at = { chainDealId, tipset: sight.tipset.key, shown: now };
  if (now !== undefined || state === undefined) return [at];
  return [at, { chainDealId, tipset: state.at.tipset, shown: state.onChain }];
}

async function readDeal(
  deps: WatchDeps,
  deal: EventfulDeal & Pick<ReadDeal, 'now'>,
  sight: Sight,
  signal: AbortSignal,
): Promise<ReadDeal> {
  const { now } = deal;
  const state = now === undefined ? await stateBefore(deps, deal, sight, signal) : { onChain: now, at: atOf(sight) };
  return { ...deal, state };
}

interface Telling {
  deps: WatchDeps;
  sight: Sight;
  signal: AbortSignal;
  candidates: Map<string, DealRecord[]>;
  witnesses: ReadonlyMap<bigint, string>;
}

/** The last message of this type that concerns the deal. */
function messageOf(events: DealEvent[], sought: DealEventType): DealMessage | undefined {
  const event = events.findLast(({ type }) => type === sought);
  return event && { epoch: event.height, message: event.message };
}

async function tellDeal(telling: Telling, deal: ReadDeal): Promise<Sighting[]> {
  const { chainDealId, events, known, now, state } = deal;
  const witness = telling.witnesses.get(chainDealId);
  const seenBy = witness === undefined ? {} : { witness };
  const at = { ...atOf(telling.sight), ...seenBy };
  const terminated = messageOf(events, 'deal-terminated');
  const gone = { seen: { kind: 'absent' as const, ...(terminated && { terminated }) }, at };
  if (state === undefined) return known === undefined ? [] : [{ dealId: known.id, ...gone }];
  const { ours, displaced } = await identify(telling, deal, state.onChain);
  if (ours === undefined) return displaced;
  const published = messageOf(events, 'deal-published');
  const activated = messageOf(events, 'deal-activated');
  const present = {
    dealId: ours.id,
    seen: toPresent(chainDealId, state.onChain, { ...(published && { published }), ...(activated && { activated }) }),
    at: { ...state.at, ...seenBy },
  };
  const after = now === undefined ? [{ dealId: ours.id, ...gone }] : [];
  return [...displaced, present, ...after];
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
async function identify(telling: Telling, deal: ReadDeal, onChain: MarketDeal): Promise<Identified> {
  const { deps, sight, signal, candidates } = telling;
  const { chainDealId, known } = deal;
  if (known !== undefined && (await differences(deps, known, onChain, signal)).length === 0)
    return { ours: known, displaced: [] };
  const { provider, pieceCid } = onChain.proposal;
  const differing: string[][] = [];
  let ours: DealRecord | undefined;
  for (const candidate of candidates.get(pieceAtKey({ provider, pieceCid })) ?? []) {
    const fields = await differences(deps, candidate, onChain, signal);
    if (fields.length > 0) differing.push(fields);
    else if (!(await isElsewhere(telling, candidate, chainDealId))) ours = candidate;
  }
  if (ours === undefined)
    deps.log.warn({ chainDealId: chainDealId.toString(), provider, pieceCid, differing }, 'watch.foreign_deal');
  const taken = { seen: { kind: 'taken' as const, byOurs: ours !== undefined }, at: atOf(sight) };
  return { ours, displaced: known === undefined ? [] : [{ dealId: known.id, ...taken }] };
}

/** Does the chain still hold a deal of ours under the other id that we know of it? A proposal lives once. */
async function isElsewhere({ deps, sight, signal }: Telling, deal: DealRecord, chainDealId: bigint): Promise<boolean> {
  if (deal.chainDealId === null || deal.chainDealId === chainDealId) return false;
  const other = await deps.chain.marketDeal(deal.chainDealId, { tipset: sight.tipset.key, signal });
  return other !== undefined && (await differences(deps, deal, other, signal)).length === 0;
}
