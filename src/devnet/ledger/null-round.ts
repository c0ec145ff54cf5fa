import { drawFraction } from '../seeded-draw.ts';

/** One round in so many has a tipset however high the rate: a chain of null rounds alone would never move. */
const SURE_ROUND = 6;

/** Whether the round of this height has no tipset, when so large a share of rounds has none. */
export function isNullRound(seed: string, height: number, rate: number): boolean {
  return rate > 0 && height % SURE_ROUND !== 0 && drawFraction(seed, `null/${height}`) < rate;
}
