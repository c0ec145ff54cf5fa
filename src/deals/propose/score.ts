import type { Evidence } from './candidate.ts';

/** 95 % confidence. */
const Z = 1.96;
/** Providers change their software and their people within months: evidence counts half after one. */
const HALF_LIFE_MS = 30 * 86_400_000;
/** With fewer outcomes than this a provider's score says more of luck than of the provider. */
export const PROVEN_OUTCOMES = 10;

/** Lower bound of Wilson's confidence interval for a share of successes: 0 without any success, below 1 always. */
export function wilsonLowerBound(successes: number, total: number): number {
  // The formula comes to 0 as well, but for the rounding of its root.
  if (successes === 0) return 0;
  const share = successes / total;
  const spread = Z * Math.sqrt((share * (1 - share) + (Z * Z) / (4 * total)) / total);
  return Math.max(0, (share + (Z * Z) / (2 * total) - spread) / (1 + (Z * Z) / total));
}

/** 1 for what happened now, halved each HALF_LIFE_MS; 0 when nothing ever happened. */
function freshness(at: Date | undefined, now: Date): number {
  if (at === undefined) return 0;
  return 0.5 ** (Math.max(0, now.getTime() - at.getTime()) / HALF_LIFE_MS);
}

/** What a score is made of: `score` is the product of the two before it. */
export interface ScoreParts {
  /** Lower bound of the share of deals that go well, by those that ended. */
  sureShare: number;
  /** What the evidence is worth still, by its age. */
  freshness: number;
  score: number;
  proven: boolean;
}

export function scoreParts(evidence: Evidence, now: Date): ScoreParts {
  const { successes, failures, lastOutcomeAt } = evidence;
  const sureShare = wilsonLowerBound(successes, successes + failures);
  const fresh = freshness(lastOutcomeAt, now);
  return { sureShare, freshness: fresh, score: sureShare * fresh, proven: isProven(evidence) };
}

/** How surely deals with this provider go well, from 0 to 1. */
export function scoreOf(evidence: Evidence, now: Date): number {
  return scoreParts(evidence, now).score;
}

export function isProven({ successes, failures }: Evidence): boolean {
  return successes + failures >= PROVEN_OUTCOMES;
}
