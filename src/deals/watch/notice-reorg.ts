import type { Chain } from '../../chain/chain.ts';
import type { Tipset } from '../../chain/head.ts';
import { LadingError } from '../../errors.ts';
import type { Cursor } from './chain-cursor-store.ts';
import { followHead, sameTipset, type ChainTipset, type HeadMove } from './follow-head.ts';
import type { WatchView } from './watch-view.ts';

type Tipsets = Pick<Chain, 'tipsetAt'>;

/** The last tipset that no reorg will undo. */
export type Final = Pick<Tipset, 'key' | 'height'>;

/** An hour of passes, one an epoch. Forks of honest nodes are a few epochs deep; of a deeper one all is read again. */
const MAX_RECENT = 120;

/** Tipsets that were read as of, all of one chain: ours, unless another process has looked at the chain since. */
export function knownTipsets({ recent }: WatchView, last: Cursor | undefined): ChainTipset[] {
  if (last === undefined) return [];
  const read = { height: last.height, key: last.tipset };
  const newest = recent.at(-1);
  return newest !== undefined && sameTipset(newest, read) ? recent : [read];
}

/** What became of these. Undefined: the last of them is in the chain still. */
export async function findReorg(
  chain: Tipsets,
  known: readonly ChainTipset[],
  tipset: Tipset,
  signal: AbortSignal,
): Promise<HeadMove<ChainTipset> | undefined> {
  const last = known.at(-1);
  // Mostly it is the next one, and says so itself.
  if (last !== undefined && last.height < tipset.height && tipset.parents?.join() === last.key.join()) return undefined;
  const shown: ChainTipset[] = [tipset];
  for (const one of known.toReversed()) {
    const other = tipset.height === one.height ? tipset : await chain.tipsetAt(one.height, signal);
    shown.push(other);
    if (sameTipset(one, other)) break;
  }
  const move = followHead(known, shown);
  return move.undone.length === 0 ? undefined : move;
}

/** What was final stays so, though another node, or one that lost F3, knows it of less. */
export function laterFinal({ height, key }: Tipset, kept: Cursor | undefined): Final {
  return kept === undefined || kept.height <= height ? { height, key } : { height: kept.height, key: kept.tipset };
}

/** A chain without what was final is not ours, or its node is not to be believed. */
export async function checkFinal(chain: Tipsets, kept: Cursor | undefined, signal: AbortSignal): Promise<void> {
  if (kept === undefined) return;
  const { key } = await chain.tipsetAt(kept.height, signal);
  if (key.join() === kept.tipset.join()) return;
  throw new LadingError('FINALITY_BROKEN', `the node shows another tipset at epoch ${kept.height}, which was final`, {
    retry: 'later',
    details: { epoch: kept.height },
  });
}

/** What is known with this tipset, which is read as of from now on. */
export function remember(
  known: readonly ChainTipset[],
  { height, key }: Tipset,
  move: HeadMove<ChainTipset> | undefined,
) {
  const above = move === undefined ? Number.POSITIVE_INFINITY : (move.ancestor?.height ?? -1);
  const kept = known.filter((one) => one.height <= above && one.height < height);
  return [...kept, { height, key }].slice(-MAX_RECENT);
}
