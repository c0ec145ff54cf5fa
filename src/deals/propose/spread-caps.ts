/** A provider as the caps see it. */
export interface Placed {
  org: string;
  region: string;
}

export interface SpreadLimits {
  maxPerOrg: number | undefined;
  maxPerRegion: number | undefined;
}

/** How many slots of one aggregate each org and region fill, counted by slot: a slot that is renewed counts once. */
export class Spread {
  readonly #limits: SpreadLimits;
  readonly #orgs = new Map<string, Set<number>>();
  readonly #regions = new Map<string, Set<number>>();

  constructor(limits: SpreadLimits) {
    this.#limits = limits;
  }

  add({ org, region }: Placed, slot: number): void {
    slotsOf(this.#orgs, org).add(slot);
    slotsOf(this.#regions, region).add(slot);
  }

  usesOrg(org: string): boolean {
    return (this.#orgs.get(org)?.size ?? 0) > 0;
  }

  /** How many more slots the org may fill. */
  orgRoom(org: string): number {
    return roomIn(this.#orgs.get(org), this.#limits.maxPerOrg);
  }

  regionRoom(region: string): number {
    return roomIn(this.#regions.get(region), this.#limits.maxPerRegion);
  }

  /** May this provider renew the slot? The slot's own deal leaves room for its next generation. */
  fits({ org, region }: Placed, slot: number): 'org_cap' | 'region_cap' | undefined {
    if (!(this.#orgs.get(org)?.has(slot) ?? false) && this.orgRoom(org) < 1) return 'org_cap';
    if (!(this.#regions.get(region)?.has(slot) ?? false) && this.regionRoom(region) < 1) return 'region_cap';
    return undefined;
  }
}

function slotsOf(all: Map<string, Set<number>>, key: string): Set<number> {
  const known = all.get(key);
  if (known !== undefined) return known;
  const slots = new Set<number>();
  all.set(key, slots);
  return slots;
}

function roomIn(slots: Set<number> | undefined, limit: number | undefined): number {
  return limit === undefined ? Number.POSITIVE_INFINITY : limit - (slots?.size ?? 0);
}

/**
 * One provider more than `picked`, where caps on orgs and regions allow it by exchanging some: the shortest augmenting
 * path of the intersection of two partition matroids. Undefined when no choice of `others` holds more. Greedy alone can
 * end with fewer: the best provider may use up an org and a region that two others need.
 */
export function augment<T extends Placed>(picked: readonly T[], others: readonly T[], spread: Spread): T[] | undefined {
  const orgCount = countBy(picked, ({ org }) => org);
  const regionCount = countBy(picked, ({ region }) => region);
  const orgFree = ({ org }: T) => spread.orgRoom(org) > (orgCount.get(org) ?? 0);
  const regionFree = ({ region }: T) => spread.regionRoom(region) > (regionCount.get(region) ?? 0);
  const cameFrom = new Map<T, T | undefined>();
  let edge = others.filter(orgFree);
  for (const one of edge) cameFrom.set(one, undefined);
  while (edge.length > 0) {
    const end = edge.find(regionFree);
    if (end !== undefined) return exchange(picked, cameFrom, end);
    edge = nextEdge({ edge, picked, others, cameFrom });
  }
  return undefined;
}

interface Search<T> {
  edge: readonly T[];
  picked: readonly T[];
  others: readonly T[];
  cameFrom: Map<T, T | undefined>;
}

/** Two steps: to the picked whose leaving makes room in the region of one of the edge, then to the others of their orgs. */
function nextEdge<T extends Placed>({ edge, picked, others, cameFrom }: Search<T>): T[] {
  const reach = (from: readonly T[], to: readonly T[], key: (one: T) => string) => {
    const byKey = new Map(from.map((one) => [key(one), one]));
    const found = to.filter((one) => !cameFrom.has(one) && byKey.has(key(one)));
    for (const one of found) cameFrom.set(one, byKey.get(key(one)));
    return found;
  };
  const leaving = reach(edge, picked, ({ region }) => region);
  return reach(leaving, others, ({ org }) => org);
}

/** `picked` with every second one of the path taken out and the others put in; `end` last. */
function exchange<T>(picked: readonly T[], cameFrom: ReadonlyMap<T, T | undefined>, end: T): T[] {
  const added: T[] = [];
  const removed = new Set<T>();
  let at: T | undefined = end;
  for (let adding = true; at !== undefined; adding = !adding) {
    if (adding) added.unshift(at);
    else removed.add(at);
    at = cameFrom.get(at);
  }
  return [...picked.filter((one) => !removed.has(one)), ...added];
}

function countBy<T>(all: readonly T[], key: (one: T) => string): Map<string, number> {
  const counts = new Map<string, number>();
  for (const one of all) counts.set(key(one), (counts.get(key(one)) ?? 0) + 1);
  return counts;
}
