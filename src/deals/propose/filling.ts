import type { Candidate } from './candidate.ts';
import type { Policy } from './policy.ts';
import { mix, rank, toRanked, type Ranked } from './rank.ts';
import {
  isFull,
  refusesAll,
  refusesHistory,
  refusesLoad,
  refusesSize,
  type Refusal,
  type UsedProvider,
  type Why,
} from './rule-out.ts';
import { Spread } from './spread-caps.ts';

export interface WantedSlot {
  slot: number;
  /** Of the deal to be made. */
  generation: number;
  /** The provider whose deal it follows while that still runs; undefined: the slot is empty. */
  renews?: string;
}

/** One aggregate that wants deals. */
export interface Want {
  aggregateId: bigint;
  /** Padded. */
  pieceBytes: bigint;
  slots: readonly WantedSlot[];
  used: readonly UsedProvider[];
}

export interface ChooseInput {
  policy: Policy;
  /** All providers, removed ones too: their deals count in the caps. */
  candidates: readonly Candidate[];
  /** In the order in which they get what the providers have room for. */
  wants: readonly Want[];
  now: Date;
  /** Breaks ties: the same seed chooses the same. */
  seed: number;
  /** Reasons found outside, such as no answer to a request for its ask: provider → reason. */
  ruledOut?: ReadonlyMap<string, Why>;
}

/** Beyond these one more reason says nothing new of why an aggregate waits. */
export const MAX_REFUSALS_TOLD = 100;

/** What is the same for all aggregates of one call. */
export interface Round extends ChooseInput {
  groups: Ranked[][];
  unproven: Ranked[][];
  byId: ReadonlyMap<string, Ranked>;
  able: ReadonlySet<Ranked>;
  refusedToAll: Refusal[];
  /** One object a provider and reason, however many aggregates it is told to. */
  told: Map<string, Refusal>;
}

export function openRound(input: ChooseInput): Round {
  const { candidates, policy, now } = input;
  const byId = new Map(candidates.map((candidate) => [candidate.id, toRanked(candidate, now)]));
  const able = new Set<Ranked>();
  const refusedToAll: Refusal[] = [];
  for (const ranked of byId.values()) {
    const { candidate } = ranked;
    const why = input.ruledOut?.get(candidate.id) ?? refusesAll(candidate, policy, now);
    if (why === undefined) able.add(ranked);
    // One that was removed is nobody's candidate, and needs no word.
    else if (candidate.state !== 'removed') refusedToAll.push({ provider: candidate.id, ...why });
  }
  const groups = rank([...able], input);
  const unproven = groups.map((group) => group.filter(({ proven }) => !proven)).filter((group) => group.length > 0);
  return { ...input, groups, unproven, byId, able, refusedToAll, told: new Map() };
}

/** One aggregate in the making. */
export interface Filling {
  round: Round;
  want: Want;
  turn: number;
  past: ReadonlyMap<string, UsedProvider[]>;
  spread: Spread;
  refused: Set<Refusal>;
}

export function openFilling(round: Round, want: Want): Filling {
  const past = Map.groupBy(want.used, ({ provider }) => provider);
  const spread = new Spread(round.policy);
  for (const { provider, live, slot } of want.used) {
    const holder = round.byId.get(provider);
    if (live && holder !== undefined) spread.add(holder, slot);
  }
  const turn = mix(round.seed, Number(BigInt.asIntN(32, want.aggregateId)));
  return { round, want, turn, past, spread, refused: new Set() };
}

/** `explain` is called only where its words are kept: most providers are refused to most aggregates. */
export function refuse({ round, refused }: Filling, provider: string, explain: () => Why | undefined): void {
  if (refused.size >= MAX_REFUSALS_TOLD) return;
  const why = explain();
  if (why === undefined) return;
  const key = `${provider} ${why.code} ${why.reason}`;
  const known = round.told.get(key) ?? { provider, ...why };
  round.told.set(key, known);
  refused.add(known);
}

/** Whatever the caps on orgs and regions say: may this provider get this aggregate? */
export function takes(filling: Filling, ranked: Ranked, renewing?: number): boolean {
  const { round, want, past } = filling;
  const { candidate, load } = ranked;
  const { policy, now } = round;
  if (isFull(load, policy, want.pieceBytes)) {
    refuse(filling, candidate.id, () => refusesLoad(load, policy, want.pieceBytes));
    return false;
  }
  const deals = past.get(candidate.id);
  const why =
    refusesSize(candidate, want.pieceBytes, now) ??
    (deals && refusesHistory({ past: deals, policyVersion: policy.version, now, renewing }));
  if (why !== undefined) refuse(filling, candidate.id, () => why);
  return why === undefined;
}

export const capReasons = {
  org_cap: 'its org fills as many slots of this aggregate as the policy allows',
  region_cap: 'its region fills as many slots of this aggregate as the policy allows',
} as const;
