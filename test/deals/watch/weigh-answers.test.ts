import { expect, test } from 'vitest';
import type { MarketDeal } from '../../../src/chain/market.ts';
import { tellAnswers, weighAnswers, type Answer } from '../../../src/deals/watch/weigh-answers.ts';

function shows(sectorStartEpoch: number): MarketDeal {
  const proposal = {
    pieceCid: 'baga',
    pieceBytes: 2_048n,
    verified: false,
    client: 'f0103',
    provider: 'f01002',
    label: '',
    startEpoch: 500,
    endEpoch: 600_000,
    pricePerEpoch: 1n,
    providerCollateral: 12n,
    clientCollateral: 0n,
  };
  return { proposal, sectorNumber: 5n, sectorStartEpoch, slashEpoch: -1 };
}

const proven = (node: string): Answer => ({ node, shown: shows(101) });
const unproven = (node: string): Answer => ({ node, shown: shows(-1) });
const gone = (node: string): Answer => ({ node, shown: undefined });

test.each<[string, [Answer, ...Answer[]], object]>([
  ['one alone', [proven('a')], { kind: 'alone' }],
  ['two alike', [proven('a'), proven('b')], { kind: 'agreed', with: ['a', 'b'], against: [] }],
  ['two that show none', [gone('a'), gone('b')], { kind: 'agreed', with: ['a', 'b'], against: [] }],
  ['two that differ', [proven('a'), unproven('b')], { kind: 'disputed' }],
  ['the second lies', [proven('a'), gone('b'), proven('c')], { kind: 'agreed', with: ['a', 'c'], against: ['b'] }],
  [
    'the first lies',
    [proven('a'), unproven('b'), unproven('c')],
    { kind: 'outvoted', with: ['b', 'c'], against: ['a'] },
  ],
  ['three that differ', [proven('a'), unproven('b'), gone('c')], { kind: 'disputed' }],
])('%s', (_, answers, verdict) => {
  expect(weighAnswers(answers)).toEqual(verdict);
});

test('what each node said is told', () => {
  expect(tellAnswers(7n, [proven('a:1'), gone('b:2')])).toBe(
    'the nodes disagree about chain deal 7: a:1 shows piece baga with a sector since 101, b:2 shows none',
  );
});
