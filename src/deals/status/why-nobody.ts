import type { RefusalReason } from '../propose/rule-out.ts';

/** What the last decision on whom to propose an aggregate to refused providers for, counted. */
export interface LastChoice {
  refused: { code: string; providers: number }[];
}

/** One reason for which providers were not asked, in our own words: what they and the operator said is for operators. */
export interface Why {
  code: string;
  /** How many were refused for it; 0: it concerns no provider by itself. */
  providers: number;
  text: string;
}

const NOBODY_IS_ASKED: ReadonlySet<string> = new Set<RefusalReason>([
  'proposing_off',
  'bytes_released',
  'not_owned',
  'too_small',
  'client_unknown',
]);

const TEXTS: Record<RefusalReason, string> = {
  removed: 'removed from those that are asked',
  paused: 'paused by the operator',
  denied: 'denied by the policy',
  not_allowed: 'not among those that the policy allows',
  unreachable: 'cannot be reached',
  sector_unknown: 'sector size not known yet',
  resting: 'rests after a failure, and is asked again',
  price: 'asks for more than the policy pays',
  ask: 'does not take such a piece, by its own terms',
  piece_size: 'the piece is larger than its sectors',
  has_deal: 'has a deal for this piece that may live',
  refused_before: 'refused this piece before',
  in_flight: 'has enough of our pieces under way',
  rate: 'got as many proposals within the hour as the policy allows',
  org_cap: 'too many replicas at its organization',
  region_cap: 'too many replicas in its region',
  escrow: 'the market balance does not suffice',
  datacap: 'DataCap does not suffice',
  proposing_off: 'nothing is proposed now: the operator has paused it',
  bytes_released: 'the bytes are not here: they are fetched back, where a provider has them',
  not_owned: 'nobody owns any upload in the aggregate any more',
  too_small: 'the piece is too small for a verified deal',
  client_unknown: 'our own address is not on the chain yet: it has got no funds',
};

function textOf(code: string): string {
  return (TEXTS as Record<string, string | undefined>)[code] ?? code;
}

/** Proposing as a whole is paused, by the policy in force. */
export const PAUSED: Why = { code: 'proposing_off', providers: 0, text: TEXTS.proposing_off };

/** The reason of the most providers first. That all is paused is told as it is now, not as it was at the last decision. */
export function whyNobody({ refused }: LastChoice): Why[] {
  const counted = refused
    .filter(({ code }) => code !== PAUSED.code)
    .map(({ code, providers }) => ({
      code,
      providers: NOBODY_IS_ASKED.has(code) ? 0 : providers,
      text: textOf(code),
    }));
  return counted.toSorted((a, b) => b.providers - a.providers || a.code.localeCompare(b.code));
}

/** What a sealed aggregate without deals waits for. Who lacks the means found providers that would be asked with them. */
export function reasonWithoutDeals(last: LastChoice | undefined) {
  const has = (code: RefusalReason) => last?.refused.some((one) => one.code === code) === true;
  if (has('datacap')) return 'waiting_for_datacap';
  return has('escrow') || has('client_unknown') ? 'waiting_for_escrow' : 'waiting_for_provider';
}
