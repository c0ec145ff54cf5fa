import type { DealState } from '../db/tables.ts';

/** The closed union of docs/deals.md, as PostgreSQL has it. */
export type { DealState } from '../db/tables.ts';

/** Live: the deal fills its slot. */
export const liveStates = ['signed', 'sent', 'accepted', 'published', 'active'] as const satisfies DealState[];
export type LiveState = (typeof liveStates)[number];

/** Live, and the chain has not shown it yet. */
export const offChainStates = ['signed', 'sent', 'accepted'] as const satisfies DealState[];

/**
 * Every way from one state to another. The first lines are the life of a deal; those marked "the chain wins" and
 * "reorg" put right what was concluded from an answer, or from a part of the chain that is no more.
 */
const transitions: Record<DealState, readonly DealState[]> = {
  signed: ['sent', 'published', 'abandoned'],
  sent: ['accepted', 'published', 'rejected', 'abandoned'],
  accepted: ['published', 'failed', 'abandoned'],
  // Reorg: accepted, as a provider that published it once holds it.
  published: ['active', 'missed', 'expired', 'slashed', 'accepted'],
  // Reorg: published when only the sector's proof is undone.
  active: ['expired', 'slashed', 'published', 'accepted'],
  // The chain wins.
  rejected: ['published'],
  failed: ['published'],
  abandoned: ['published'],
  // Reorg.
  missed: ['published', 'active', 'expired', 'accepted'],
  expired: ['published', 'active', 'slashed', 'accepted'],
  slashed: ['published', 'active', 'expired', 'accepted'],
};

export function canMove(from: DealState, to: DealState): boolean {
  return transitions[from].includes(to);
}

export function isLive(state: DealState): state is LiveState {
  return (liveStates as readonly DealState[]).includes(state);
}

/** Nothing of it fills a slot any more. */
export function isOver(state: DealState): boolean {
  return !isLive(state);
}

/** The chain has shown it: it has a chain deal id. */
export const onChainStates = ['published', 'active', 'missed', 'expired', 'slashed'] as const satisfies DealState[];
export type OnChainState = (typeof onChainStates)[number];

export function isOnChain(state: DealState): state is OnChainState {
  return (onChainStates as readonly DealState[]).includes(state);
}

export const dealStates = Object.keys(transitions) as DealState[];
