/** A tipset that is or was in the chain. */
export interface ChainTipset {
  height: number;
  key: readonly string[];
}

/** What a new head means for what was read before. */
export interface HeadMove<T extends ChainTipset> {
  /** The highest known tipset that is in the chain still: what was read as of it holds. Undefined: none of them is. */
  ancestor: T | undefined;
  /** Known ones that are in the chain no more, newest first. */
  undone: T[];
  /** Those of the new chain above the ancestor, oldest first. */
  applied: ChainTipset[];
}

export function sameTipset(a: ChainTipset, b: ChainTipset): boolean {
  return a.height === b.height && a.key.join() === b.key.join();
}

/**
 * Pure. `known`: tipsets of one chain, lowest first. `shown`: of the chain as it is now, in any order, among them what it
 * has at the heights of the known ones: after an empty round that is a lower one, which may come more than once.
 */
export function followHead<T extends ChainTipset>(known: readonly T[], shown: readonly ChainTipset[]): HeadMove<T> {
  const ancestor = known.findLast((one) => shown.some((other) => sameTipset(one, other)));
  const above = ancestor?.height ?? -1;
  const byHeight = new Map(shown.map((one) => [one.height, one]));
  return {
    ancestor,
    undone: known.filter(({ height }) => height > above).toReversed(),
    applied: [...byHeight.values()].filter(({ height }) => height > above).toSorted((a, b) => a.height - b.height),
  };
}
