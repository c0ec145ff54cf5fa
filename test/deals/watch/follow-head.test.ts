import fc from 'fast-check';
import { expect, test } from 'vitest';
import { followHead, type ChainTipset } from '../../../src/deals/watch/follow-head.ts';

/** A chain by the heights of its tipsets; the rounds between are empty. Tipsets of `fork` above the root are its own. */
function chainOf(heights: readonly number[], { fork, root }: { fork: string; root: number }): ChainTipset[] {
  return heights.map((height) => ({ height, key: [`${height > root ? fork : 'trunk'}${height}`] }));
}

/** As a node answers: the tipset at this height, or the one before where that round was empty. */
function tipsetAt(chain: readonly ChainTipset[], height: number): ChainTipset {
  const found = chain.findLast((one) => one.height <= height);
  if (found === undefined) throw new Error('genesis is at 0');
  return found;
}

const trunk = fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { maxLength: 40 });

test('over any two forks with empty rounds: what is left is what both have, and nothing is told twice', () => {
  fc.assert(
    fc.property(
      fc.record({ shared: trunk, before: trunk, after: trunk, root: fc.integer({ min: 0, max: 60 }), looks: trunk }),
      ({ shared, before, after, root, looks }) => {
        const branch = (own: number[], fork: string) => {
          const heights = [0, ...shared.filter((height) => height <= root), ...own.filter((height) => height > root)];
          return chainOf(
            heights.toSorted((a, b) => a - b),
            { fork, root },
          );
        };
        const [old, now] = [branch(before, 'old'), branch(after, 'new')];
        const known = looks
          .toSorted((a, b) => a - b)
          .map((height) => tipsetAt(old, height))
          .filter((one, at, all) => one.height !== all[at - 1]?.height);
        const head = now.at(-1) ?? tipsetAt(now, 0);
        const shown = [head, ...known.map(({ height }) => tipsetAt(now, height))];
        const { ancestor, undone, applied } = followHead(known, shown);

        const kept = known.filter(({ height }) => height <= root);
        expect(ancestor).toEqual(kept.at(-1));
        expect(undone).toEqual(known.filter(({ height }) => height > root).toReversed());
        for (const one of applied) expect(now).toContainEqual(one);
        const heights = applied.map(({ height }) => height);
        expect(heights).toEqual([...new Set(heights)].toSorted((a, b) => a - b));
        expect(heights.every((height) => height > (ancestor?.height ?? -1))).toBe(true);
        if (ancestor === undefined || head.height > ancestor.height) expect(applied.at(-1)).toEqual(head);
      },
    ),
  );
});

test('a tipset of the same height with other blocks is another', () => {
  const known = [{ height: 5, key: ['a'] }];
  expect(followHead(known, [{ height: 5, key: ['a', 'b'] }])).toEqual({
    ancestor: undefined,
    undone: known,
    applied: [{ height: 5, key: ['a', 'b'] }],
  });
});
