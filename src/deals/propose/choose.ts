import {
  MAX_REFUSALS_TOLD,
  openFilling,
  openRound,
  type ChooseInput,
  type Filling,
  type Round,
  type Want,
  type WantedSlot,
} from './filling.ts';
import { askedPrice, freshAsk } from './judge-ask.ts';
import { pickForEmpty, pickForRenewal, type Pick } from './pick-providers.ts';
import type { Refusal } from './rule-out.ts';
import { PROVEN_OUTCOMES } from './score.ts';

export interface Chosen extends WantedSlot {
  provider: string;
  /** 0 to 1. */
  score: number;
  reasons: string[];
}

/** What was decided for one aggregate. Who is neither chosen nor refused was not needed. */
export interface Choice {
  aggregateId: bigint;
  chosen: Chosen[];
  refused: Refusal[];
}

function reasonsFor({ round }: Filling, { ranked, explored }: Pick, renews: string | undefined): string[] {
  const { candidate } = ranked;
  const { successes, failures } = candidate;
  const ask = freshAsk(candidate.ask, round.now);
  const record =
    successes + failures === 0
      ? 'nothing is known of how its deals go'
      : `${successes} of ${successes + failures} deals went well`;
  return [
    record,
    ...(explored ? [`exploration: fewer than ${PROVEN_OUTCOMES} of its deals have ended or become active`] : []),
    ...(ask === undefined ? [] : [`it asks ${askedPrice(ask, round.policy)} attoFIL per GiB and epoch`]),
    ...(renews === candidate.id ? ['it holds the piece'] : []),
  ];
}

function give(filling: Filling, { slot, generation, renews }: WantedSlot, pick: Pick): Chosen {
  const { load, candidate, score } = pick.ranked;
  load.inFlightBytes += filling.want.pieceBytes;
  load.proposalsLastHour += 1;
  filling.spread.add(pick.ranked, slot);
  const reasons = reasonsFor(filling, pick, renews);
  return { slot, generation, ...(renews !== undefined && { renews }), provider: candidate.id, score, reasons };
}

function chooseOne(round: Round, want: Want): Choice {
  const filling = openFilling(round, want);
  const empty = want.slots.filter(({ renews }) => renews === undefined);
  const chosen: Chosen[] = [];
  for (const [at, pick] of pickForEmpty(filling, empty.length).entries()) {
    const slot = empty[at];
    if (slot !== undefined) chosen.push(give(filling, slot, pick));
  }
  const taken = new Set(chosen.map(({ provider }) => provider));
  for (const slot of want.slots.filter(({ renews }) => renews !== undefined)) {
    const ranked = pickForRenewal(filling, slot, taken);
    if (ranked === undefined) continue;
    taken.add(ranked.candidate.id);
    chosen.push(give(filling, slot, { ranked, explored: false }));
  }
  const filled = chosen.length === want.slots.length;
  // Who is refused whatever the aggregate matters only where a slot is left.
  const toAll = filled ? [] : round.refusedToAll.slice(0, MAX_REFUSALS_TOLD);
  return { aggregateId: want.aggregateId, chosen, refused: [...toAll, ...filling.refused] };
}

/**
 * Which providers to ask for which slots of which aggregates. Hard rules: policy, reachability, rest, piece size, price,
 * history with the aggregate, load of each provider over all of the aggregates, caps on orgs and regions over all live
 * replicas of an aggregate. Among those left the surest first (Wilson's lower bound × freshness), then the cheapest and
 * quickest; another org where there is one, and one slot to explore. Pure; every choice and every refusal says why.
 */
export function choose(input: ChooseInput): Choice[] {
  const round = openRound(input);
  return input.wants.map((want) => chooseOne(round, want));
}
