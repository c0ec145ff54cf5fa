import { isDeepStrictEqual } from 'node:util';
import type { MarketDeal } from '../../chain/market.ts';

/** What one node showed of a deal as of a tipset; `shown` undefined: it is not in the state. */
export interface Answer {
  node: string;
  shown: MarketDeal | undefined;
}

/**
 * `alone`: nobody else has answered. `agreed`: more than half show what the first does. `outvoted`: more than half show
 * something else. `disputed`: there is no majority, so that nobody is believed.
 */
export type Verdict =
  | { kind: 'alone' }
  | { kind: 'agreed' | 'outvoted'; with: string[]; against: string[] }
  | { kind: 'disputed' };

/** Weighs the answers of several nodes to the same question; the first is that of the node that is read from. Pure. */
export function weighAnswers([first, ...others]: readonly [Answer, ...Answer[]]): Verdict {
  if (others.length === 0) return { kind: 'alone' };
  const all = [first, ...others];
  for (const { shown } of all) {
    const same = all.filter((answer) => isDeepStrictEqual(answer.shown, shown));
    if (same.length * 2 <= all.length) continue;
    const against = all.filter((answer) => !same.includes(answer)).map(({ node }) => node);
    return { kind: same.includes(first) ? 'agreed' : 'outvoted', with: same.map(({ node }) => node), against };
  }
  return { kind: 'disputed' };
}

/** In words for operators, who see what each node said. */
export function tellAnswers(chainDealId: bigint, answers: readonly Answer[]): string {
  const told = answers.map(({ node, shown }) => `${node} shows ${tellShown(shown)}`);
  return `the nodes disagree about chain deal ${chainDealId}: ${told.join(', ')}`;
}

function tellShown(shown: MarketDeal | undefined): string {
  if (shown === undefined) return 'none';
  const { proposal, sectorStartEpoch, slashEpoch } = shown;
  const piece = `piece ${proposal.pieceCid}`;
  return `${piece} with a sector since ${sectorStartEpoch}${slashEpoch < 0 ? '' : `, slashed at ${slashEpoch}`}`;
}
