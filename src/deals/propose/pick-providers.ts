import { capReasons, refuse, takes, type Filling, type WantedSlot } from './filling.ts';
import { inTurn, type Ranked } from './rank.ts';
import { augment, type Spread } from './spread-caps.ts';

/** An aggregate with one replica has none to spare for trying somebody out. */
const MIN_REPLICAS_TO_EXPLORE = 2;

export interface Pick {
  ranked: Ranked;
  explored: boolean;
}

function liesAtUnproven({ round, want }: Filling): boolean {
  return want.used.some(({ live, provider }) => live && round.byId.get(provider)?.proven === false);
}

/**
 * The exploration rule: of an aggregate with two replicas or more, one slot goes to a provider of which fewer than
 * PROVEN_OUTCOMES outcomes are known, when none of its live deals lies at such a one. So every provider gets to show
 * what it can do, and no aggregate hangs on those that have not.
 */
function explore(filling: Filling): Ranked | undefined {
  const { round, past, spread, turn } = filling;
  if (round.policy.replicas < MIN_REPLICAS_TO_EXPLORE || liesAtUnproven(filling)) return undefined;
  for (const ranked of inTurn(round.unproven, turn)) {
    const fresh = !past.has(ranked.candidate.id) && !spread.usesOrg(ranked.org);
    if (fresh && spread.orgRoom(ranked.org) > 0 && spread.regionRoom(ranked.region) > 0 && takes(filling, ranked))
      return ranked;
  }
  return undefined;
}

/** Providers for `count` empty slots: the best ones of other orgs than are used, then any, always within the caps. */
export function pickForEmpty(filling: Filling, count: number): Pick[] {
  if (count === 0) return [];
  const { round, turn, past, spread } = filling;
  const picked: Ranked[] = [];
  const explored = explore(filling);
  if (explored !== undefined) picked.push(explored);
  const usedOrgs = new Set(picked.map(({ org }) => org));
  const tiers: [again: Ranked[], sameOrg: Ranked[], both: Ranked[]] = [[], [], []];
  for (const ranked of inTurn(round.groups, turn)) {
    if (picked.length === count) break;
    if (ranked === explored || !takes(filling, ranked)) continue;
    const again = past.has(ranked.candidate.id);
    const sameOrg = usedOrgs.has(ranked.org) || spread.usesOrg(ranked.org);
    if (again || sameOrg) tiers[again ? (sameOrg ? 2 : 0) : 1].push(ranked);
    else if (hasRoom(spread, picked, ranked)) {
      picked.push(ranked);
      usedOrgs.add(ranked.org);
    } else tiers[1].push(ranked);
  }
  const left = tiers.flat();
  const whole = picked.length === count ? picked : fillUp(filling, { picked, left, count });
  const inOrder = [...whole].sort((a, b) => Number(a === explored) - Number(b === explored));
  return inOrder.map((ranked) => ({ ranked, explored: ranked === explored }));
}

function hasRoom(spread: Spread, picked: readonly Ranked[], { org, region }: Ranked): boolean {
  const inOrg = picked.filter((one) => one.org === org).length;
  const inRegion = picked.filter((one) => one.region === region).length;
  return spread.orgRoom(org) > inOrg && spread.regionRoom(region) > inRegion;
}

interface Unfilled {
  picked: Ranked[];
  /** All others that take the aggregate, best first. */
  left: Ranked[];
  count: number;
}

/** As many more as the caps allow, by exchanges where need be; who is left over is told which cap stands in the way. */
function fillUp(filling: Filling, { picked, left, count }: Unfilled): Ranked[] {
  const { spread } = filling;
  let whole = picked;
  for (const ranked of left) {
    if (whole.length === count) return whole;
    if (hasRoom(spread, whole, ranked)) whole = [...whole, ranked];
  }
  while (whole.length < count) {
    const others = [...picked, ...left].filter((one) => !whole.includes(one));
    const more = augment(whole, others, spread);
    if (more === undefined) {
      for (const one of others) refuseByCap(filling, whole, one);
      return whole;
    }
    whole = more;
  }
  return whole;
}

function refuseByCap(filling: Filling, whole: readonly Ranked[], one: Ranked): void {
  const inOrg = whole.filter(({ org }) => org === one.org).length;
  const code = filling.spread.orgRoom(one.org) > inOrg ? 'region_cap' : 'org_cap';
  refuse(filling, one.candidate.id, () => ({ code, reason: capReasons[code] }));
}

/** Who renews a slot: its holder while it may, as it holds the piece; else the best other one within the caps. */
export function pickForRenewal(
  filling: Filling,
  { slot, renews = '' }: WantedSlot,
  taken: ReadonlySet<string>,
): Ranked | undefined {
  const { round, turn, spread } = filling;
  const fits = (ranked: Ranked) => {
    if (taken.has(ranked.candidate.id) || !takes(filling, ranked, slot)) return false;
    const cap = spread.fits(ranked, slot);
    if (cap !== undefined) refuse(filling, ranked.candidate.id, () => ({ code: cap, reason: capReasons[cap] }));
    return cap === undefined;
  };
  const holder = round.byId.get(renews);
  if (holder !== undefined && round.able.has(holder) && fits(holder)) return holder;
  for (const ranked of inTurn(round.groups, turn)) if (ranked !== holder && fits(ranked)) return ranked;
  return undefined;
}
