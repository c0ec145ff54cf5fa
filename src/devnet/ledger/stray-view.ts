import type { CID } from 'multiformats/cid';

import type { ChainCore } from './chain-core.ts';
import type { Tipset } from './chain-tipset.ts';
import { ChainView } from './chain-view.ts';
import { emptyTipset, emptyTipsetAfter, readBlockName, type EmptyStretch } from './empty-stretch.ts';

/** Forks of this number and above are those of nodes that left the chain; a reorg never counts so far. */
const FIRST_STRAY_FORK = 0xff0000;

interface Straying {
  /** Where the node left the chain. */
  baseHeight: number;
  headHeight: number;
  /** Which of the nodes: each is on a fork of its own. */
  node: number;
}

/** How a node's sight of the chain differs from a good one's. */
export interface NodeSight {
  /** It lags so many epochs. */
  behind?: number;
  /** It shows so many epochs that are not there. */
  ahead?: number;
  /** Above this height it has blocks of its own. */
  forkedAt?: number | undefined;
  /** Its number among the nodes of this devnet. */
  node?: number;
}

export function viewOf(core: ChainCore, { behind = 0, ahead = 0, forkedAt, node = 0 }: NodeSight): ChainView {
  const known = Math.max(0, core.head.height - behind);
  const baseHeight = Math.min(known, forkedAt ?? known);
  const headHeight = known + ahead;
  if (headHeight > baseHeight) return new StrayView(core, { baseHeight, headHeight, node });
  return new ChainView(core, behind === 0 ? core.head : core.store.atOrBelow(known));
}

/** What a node knows that left the chain: above `base` it has blocks of its own, in which nothing happens. */
class StrayView extends ChainView {
  readonly #stretch: EmptyStretch;

  constructor(core: ChainCore, { baseHeight, headHeight, node }: Straying) {
    const base = core.store.atOrBelow(baseHeight);
    const minerIds = [...core.state.miners.entries()].map(([id]) => id);
    const place = { base, fromHeight: base.height + 1, toHeight: headHeight };
    const stretch = { ...place, fork: FIRST_STRAY_FORK + node, nullRounds: 0, minerIds };
    super(core, emptyTipset(core.policy.seed, stretch, headHeight));
    this.#stretch = stretch;
  }

  override get executedHeight(): number {
    return Math.min(this.head.height - 1, this.#stretch.base.height);
  }

  override atOrBelow(height: number): Tipset {
    const isOwn = height >= this.#stretch.fromHeight;
    return isOwn ? emptyTipset(this.policy.seed, this.#stretch, height) : this.store.atOrBelow(height);
  }

  override childOf(tipset: Tipset): Tipset | undefined {
    const isOwn = tipset.height >= this.#stretch.base.height;
    return isOwn ? emptyTipsetAfter(this.policy.seed, this.#stretch, tipset.height) : this.store.childOf(tipset);
  }

  override byBlock(cid: CID): Tipset | undefined {
    const name = readBlockName(this.policy.seed, cid);
    const { fork, fromHeight, toHeight } = this.#stretch;
    const isOwn = name?.fork === fork && name.height >= fromHeight && name.height <= toHeight;
    return isOwn ? this.atOrBelow(name.height) : this.store.byBlock(cid);
  }

  override isOnChain(tipset: Tipset): boolean {
    const [own] = this.atOrBelow(tipset.height).key;
    return own !== undefined && tipset.key[0]?.equals(own) === true;
  }

  override stateHeight(tipset: Tipset): number {
    return Math.min(tipset.height, this.#stretch.fromHeight);
  }
}
