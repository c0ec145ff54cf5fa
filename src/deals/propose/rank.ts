import { orgOf, regionOf, type Candidate, type Load } from './candidate.ts';
import { askedPrice, freshAsk } from './judge-ask.ts';
import type { Policy } from './policy.ts';
import { isProven, scoreOf } from './score.ts';
import type { Placed } from './spread-caps.ts';

/** A candidate with what its place among the others goes by; `load` changes as pieces are given to it. */
export interface Ranked extends Placed {
  candidate: Candidate;
  score: number;
  proven: boolean;
  load: Load;
}

/** Candidates that none is better than another of: whose turn it is goes round. */
type Equals = Ranked[];

/** Scores closer than this say the same: the sooner or cheaper one wins. */
const SCORE_STEP = 0.05;
/** Half a day of sealing more or less is chance. */
const QUICKNESS_STEP_EPOCHS = 1_440;

interface Place {
  score: number;
  failures: number;
  price: bigint;
  quickness: number;
}

function placeOf({ candidate, score }: Ranked, policy: Policy, now: Date): Place {
  const ask = freshAsk(candidate.ask, now);
  const step = Math.round(score / SCORE_STEP);
  return {
    score: step,
    // Of those without a score worth the name, who never failed goes first.
    failures: step === 0 ? candidate.failures : 0,
    price: ask === undefined ? 0n : askedPrice(ask, policy),
    quickness: Math.round((candidate.activeEpochsBeforeStart ?? 0) / QUICKNESS_STEP_EPOCHS),
  };
}

/** Negative when `a` goes first: surer, then cheaper, then quicker. */
function compare(a: Place, b: Place): number {
  const price = a.price === b.price ? 0 : a.price < b.price ? -1 : 1;
  return b.score - a.score || a.failures - b.failures || price || b.quickness - a.quickness;
}

export function toRanked(candidate: Candidate, now: Date): Ranked {
  const { inFlightBytes, proposalsLastHour } = candidate;
  return {
    candidate,
    score: scoreOf(candidate, now),
    proven: isProven(candidate),
    org: orgOf(candidate),
    region: regionOf(candidate),
    load: { inFlightBytes, proposalsLastHour },
  };
}

/** A whole number from two, as if drawn: the same for the same, and evenly spread (the finisher of MurmurHash3). */
export function mix(seed: number, value: number): number {
  let hash = Math.imul(seed ^ value, 0x85eb_ca6b) ^ Math.imul(value + 0x9e37_79b9, 0xc2b2_ae35);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85eb_ca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2_ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

/** The best first, in groups of equals; within a group by the seed alone. */
export function rank(
  all: readonly Ranked[],
  { policy, now, seed }: { policy: Policy; now: Date; seed: number },
): Equals[] {
  const placed = all.map((ranked) => ({
    ranked,
    place: placeOf(ranked, policy, now),
    tie: mix(seed, Number(ranked.candidate.id.slice(2)) | 0),
  }));
  placed.sort(
    (a, b) => compare(a.place, b.place) || a.tie - b.tie || (a.ranked.candidate.id < b.ranked.candidate.id ? -1 : 1),
  );
  const groups: Equals[] = [];
  let last: Place | undefined;
  for (const { ranked, place } of placed) {
    if (last === undefined || compare(last, place) !== 0) groups.push([]);
    groups.at(-1)?.push(ranked);
    last = place;
  }
  return groups;
}

/** All, the best first; each group of equals begins at another one for each `turn`. */
export function* inTurn(groups: readonly Equals[], turn: number): Generator<Ranked> {
  for (const group of groups) {
    const first = turn % group.length;
    for (let at = 0; at < group.length; at += 1) {
      const next = group[(first + at) % group.length];
      if (next !== undefined) yield next;
    }
  }
}
