import { isLive } from '../deal-states.ts';
import type { WantedSlot } from './filling.ts';
import type { Policy } from './policy.ts';
import type { PastDeal } from './proposal-store.ts';
import { renewalEpoch } from './renewal-time.ts';
import type { UsedProvider } from './rule-out.ts';

export function toUsed(deal: PastDeal): UsedProvider {
  return {
    provider: deal.provider,
    slot: deal.slot,
    live: isLive(deal.state),
    settledAt: deal.settledAt,
    refusalCode: deal.state === 'rejected' ? deal.reasonCode : undefined,
    policyVersion: deal.policyVersion,
  };
}

/** Could this aggregate want a deal now or by and by? Cheaper than asking the chain for its height. */
export function mayWant(policy: Policy, past: readonly PastDeal[]): boolean {
  const filled = new Set(past.filter(({ state }) => isLive(state)).map(({ slot }) => slot));
  const empty = Array.from({ length: policy.replicas }, (_, slot) => slot).some((slot) => !filled.has(slot));
  return empty || past.some(({ state }) => state === 'active');
}

interface Aggregate {
  aggregateId: bigint;
  policy: Policy;
  past: readonly PastDeal[];
  headEpoch: number;
}

/**
 * The slots of an aggregate that want a deal: those below the policy's replicas that no live deal fills, in the
 * generation they are in, and those whose last deal is due for renewal, in the next one. Pure.
 */
export function wantedSlots(aggregate: Aggregate): WantedSlot[] {
  return Array.from({ length: aggregate.policy.replicas }, (_, slot) => wantOf(aggregate, slot)).flatMap(
    (want) => want ?? [],
  );
}

function wantOf(aggregate: Aggregate, slot: number): WantedSlot | undefined {
  const deals = aggregate.past.filter((deal) => deal.slot === slot);
  const live = deals.filter(({ state }) => isLive(state));
  const last = live.toSorted((a, b) => b.endEpoch - a.endEpoch)[0];
  const generation = Math.max(0, ...deals.map((deal) => deal.generation));
  if (last === undefined) return { slot, generation };
  if (!isDue(aggregate, last)) return undefined;
  return { slot, generation: Math.max(...live.map((deal) => deal.generation)) + 1, renews: last.provider };
}

/** A renewal runs on before the old deal ends: too late for that, the slot is filled again once it is empty. */
function isDue({ aggregateId, policy, past, headEpoch }: Aggregate, deal: PastDeal): boolean {
  if (deal.state !== 'active' || policy.renewBeforeEpochs === 0) return false;
  const startEpoch = headEpoch + policy.startDelayEpochs + past.length;
  if (startEpoch >= deal.endEpoch) return false;
  return headEpoch >= renewalEpoch({ ...deal, aggregateId }, policy.renewBeforeEpochs);
}
