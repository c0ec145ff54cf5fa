import type { CID } from 'multiformats/cid';

import type { Tipset } from './chain-tipset.ts';
import { countTipsets, emptyTipset, emptyTipsetAfter, readBlockName, type EmptyStretch } from './empty-stretch.ts';

/** A tipset, or a stretch of empty ones. */
export type Link = Tipset | EmptyStretch;

/** The tipsets from genesis to the head in order of height; those of empty stretches are drawn when they are read. */
export class ChainLine {
  readonly #seed: string;
  readonly #genesis: Tipset;
  readonly #links: Link[];
  /** Of forks that were left. */
  readonly #left: EmptyStretch[] = [];
  #head: Tipset;

  constructor(seed: string, genesis: Tipset) {
    this.#seed = seed;
    this.#genesis = genesis;
    this.#links = [genesis];
    this.#head = genesis;
  }

  get head(): Tipset {
    return this.#head;
  }

  get genesis(): Tipset {
    return this.#genesis;
  }

  add(link: Link): void {
    this.#links.push(link);
    this.#head = this.#lastOf(link);
  }

  /** Takes all above `base` away and gives it, lowest first. */
  cutAbove(base: Tipset): Link[] {
    const position = this.#positionAtOrBelow(base.height);
    const dropped = this.#links.splice(position + 1);
    const last = this.#links[position];
    if (last !== undefined && isStretch(last) && last.toHeight > base.height) {
      this.#links[position] = { ...last, toHeight: base.height };
      dropped.unshift({ ...last, base, fromHeight: base.height + 1 });
    }
    this.#left.push(...dropped.filter(isStretch));
    this.#head = base;
    return dropped;
  }

  /** The highest tipset at or below `height`: that before it when its own round is null. */
  atOrBelow(height: number): Tipset {
    const link = this.#links[this.#positionAtOrBelow(height)] ?? this.#genesis;
    return isStretch(link) ? emptyTipset(this.#seed, link, height) : link;
  }

  childOf(tipset: Tipset): Tipset | undefined {
    const position = this.#positionAtOrBelow(tipset.height);
    const own = this.#links[position];
    const child = own !== undefined && isStretch(own) ? emptyTipsetAfter(this.#seed, own, tipset.height) : undefined;
    if (child !== undefined) return child;
    const next = this.#links[position + 1];
    return next !== undefined && isStretch(next) ? emptyTipsetAfter(this.#seed, next, tipset.height) : next;
  }

  /** The tipset `depth` below the head; undefined below genesis. */
  below(depth: number): Tipset | undefined {
    let tipset: Tipset | undefined = this.#head;
    for (let left = depth; left > 0 && tipset !== undefined; left -= 1) {
      tipset = tipset.height === 0 ? undefined : this.atOrBelow(tipset.height - 1);
    }
    return tipset;
  }

  /** An empty tipset by its block's CID, also of forks that were left. */
  emptyTipset(cid: CID): Tipset | undefined {
    const name = readBlockName(this.#seed, cid);
    if (name === undefined) return undefined;
    const isIn = (link: Link): link is EmptyStretch =>
      isStretch(link) && link.fork === name.fork && name.height >= link.fromHeight && name.height <= link.toHeight;
    const own = this.#links[this.#positionAtOrBelow(name.height)];
    const stretch = own !== undefined && isIn(own) ? own : this.#left.find(isIn);
    const tipset = stretch === undefined ? undefined : emptyTipset(this.#seed, stretch, name.height);
    return tipset?.height === name.height ? tipset : undefined;
  }

  count(): number {
    return this.#links.reduce((sum, link) => sum + (isStretch(link) ? countTipsets(this.#seed, link) : 1), 0);
  }

  #lastOf(link: Link): Tipset {
    return isStretch(link) ? emptyTipset(this.#seed, link, link.toHeight) : link;
  }

  #positionAtOrBelow(height: number): number {
    let low = 0;
    let high = this.#links.length - 1;
    while (low < high) {
      const middle = Math.ceil((low + high) / 2);
      if (lowestOf(this.#links[middle] ?? this.#genesis) <= height) low = middle;
      else high = middle - 1;
    }
    return low;
  }
}

export function isStretch(link: Link): link is EmptyStretch {
  return 'fromHeight' in link;
}

function lowestOf(link: Link): number {
  return isStretch(link) ? link.fromHeight : link.height;
}
