/**
 * How a node compares with the others. `behind`: its head is far below the best. `ahead`: it shows what by the clock
 * cannot be. `differs`: most others show another chain. `disputed`: there is no majority, so that neither is believed.
 */
export type Standing = 'unknown' | 'agrees' | 'behind' | 'ahead' | 'differs' | 'disputed';

/** Nodes hear of a tipset within a few seconds of each other; two or three apart are honest, more is a node in trouble. */
const MAX_LAG_EPOCHS = 5;
/** Heads of honest nodes often differ; so far below them they almost never do. */
const SETTLED_EPOCHS = 10;

export interface Heads<N> {
  level: N[];
  behind: N[];
  ahead: N[];
  /** The height at which all that are level are compared. */
  commonHeight: number;
}

/**
 * Sorts nodes by their heads. `lastEpoch`: the highest that there can be by now. `lookbackEpochs`: where reads are taken
 * nearer to the head than nodes are settled, they are compared there, so that the lowest of them shows what it is read of.
 */
export function judgeHeads<N>(
  heads: ReadonlyMap<N, number>,
  { lastEpoch, lookbackEpochs = SETTLED_EPOCHS }: { lastEpoch: number; lookbackEpochs?: number | undefined },
): Heads<N> {
  const all = [...heads];
  const possible = all.filter(([, height]) => height <= lastEpoch);
  const best = Math.max(0, ...possible.map(([, height]) => height));
  const level = possible.filter(([, height]) => best - height <= MAX_LAG_EPOCHS);
  const depth = Math.min(SETTLED_EPOCHS, lookbackEpochs);
  const nodes = (some: [N, number][]) => some.map(([node]) => node);
  return {
    level: nodes(level),
    behind: nodes(possible.filter(([, height]) => best - height > MAX_LAG_EPOCHS)),
    ahead: nodes(all.filter(([, height]) => height > lastEpoch)),
    commonHeight: Math.max(0, Math.min(best, ...level.map(([, height]) => height)) - depth),
  };
}

/** Who shows what more than half of them show; all are `disputed` where there is no such thing. */
export function judgeTipsets<N>(tipsets: ReadonlyMap<N, string>): Map<N, 'agrees' | 'differs' | 'disputed'> {
  const byTipset = Map.groupBy(tipsets, ([, tipset]) => tipset);
  const chosen = [...byTipset].find(([, nodes]) => nodes.length * 2 > tipsets.size)?.[0];
  return new Map(
    [...tipsets].map(([node, tipset]) => {
      if (chosen === undefined) return [node, 'disputed'];
      return [node, tipset === chosen ? 'agrees' : 'differs'];
    }),
  );
}
