/** What a refusal means for what we do next (reference: Boost deal_acceptance.go and provider.go, Curio mk12.go). */
export type RefusalClass =
  /** This provider will not take this deal under this policy. */
  | 'permanent'
  /** The same provider may take it later. */
  | 'later'
  /** The same provider may take it with fresh epochs or collateral. */
  | 'change-terms'
  /** We built something wrong, or the wallet cannot pay: a person has to look. */
  | 'bug';

export interface Refused {
  kind: 'refused';
  code: string;
  class: RefusalClass;
  /** 'provider': the reason holds for any deal, so the provider rests; 'deal': other deals may well be taken. */
  scope: 'provider' | 'deal';
  /**
   * The provider checks for duplicates before it gives this reason (Boost's order), so it does not hold an earlier copy
   * of the same bytes: the refusal is final even when an earlier attempt had no answer.
   */
  afterDuplicateCheck: boolean;
}

export type Refusal = { kind: 'duplicate' } | Refused;

interface Rule {
  pattern: RegExp;
  code: string;
  class: RefusalClass;
  scope: 'provider' | 'deal';
  afterDuplicateCheck?: true;
}

type RuleRow = [code: string, ruleClass: RefusalClass, scope: 'provider' | 'deal', pattern: RegExp, after?: 'after'];

const BOOST_DUPLICATE = /^deal (?:proposal is identical to|has the same uuid as) deal ([0-9a-f-]{36})/;
/** By proposal CID, and by uuid: neither can be known to an SP but from our own message. */
const CURIO_DUPLICATE = /^store deal: .*(market deal with the same proposalCID|updated 0 rows instead of 1)/;

/** Read from top to bottom; the first pattern that matches the text (without `failed validation: `) names the reason. */
const rules: Rule[] = (
  [
    ['duplicate_of_other', 'bug', 'deal', BOOST_DUPLICATE, 'after'],
    ['piece_cid_invalid', 'bug', 'deal', /^proposal PieceCID (undefined|had wrong prefix)/],
    ['signature_invalid', 'bug', 'deal', /^(server error: validating signature|invalid signature)/],
    ['wrong_provider', 'bug', 'provider', /^incorrect provider for deal/],
    ['label_too_long', 'bug', 'deal', /^deal label can be at most/],
    [
      'piece_size_invalid',
      'bug',
      'deal',
      /^(proposal piece size is invalid|deal proposal piece size \d+ doesn't match)/,
    ],
    ['epochs_out_of_order', 'bug', 'deal', /^proposal end \S+ before proposal start/],
    ['start_elapsed', 'change-terms', 'deal', /^deal start epoch \S+ has already elapsed/],
    ['start_too_soon', 'change-terms', 'deal', /^cannot seal a sector before/, 'after'],
    ['start_too_late', 'change-terms', 'deal', /^deal start epoch is too far in the future/, 'after'],
    ['duration_out_of_bounds', 'permanent', 'deal', /^(deal duration out of bounds|invalid deal end epoch)/],
    ['collateral_too_low', 'change-terms', 'deal', /^proposed provider collateral \S+ below minimum/],
    ['collateral_too_high', 'change-terms', 'deal', /^proposed provider collateral \S+ above maximum/],
    ['client_unknown', 'bug', 'deal', /^server error: getting market balance/],
    ['client_funds_short', 'bug', 'deal', /^client available funds in escrow/],
    ['client_not_verified', 'bug', 'deal', /^(client is not a verified client|server error: getting verified datacap)/],
    ['datacap_short', 'bug', 'deal', /^verified deal DataCap \S+ too small/],
    ['price_too_low', 'permanent', 'deal', /storage price per epoch (is )?less than/],
    ['piece_too_small', 'permanent', 'deal', /piece size (less than minimum|is smaller)/],
    ['piece_too_large', 'permanent', 'deal', /piece size (more than maximum|is greater)/],
    ['duration_refused', 'permanent', 'deal', /^deal rejected as (the )?(deal )?duration is (greater|smaller)/],
    [
      'transfer_invalid',
      'bug',
      'deal',
      /^(server error: get deal transfer host|failed to de-serialize transport params)/,
    ],
    [
      'proposal_unreadable',
      'bug',
      'deal',
      /^(json\.Marshal|get proposal CID|marshal client signature|address\.IDFromAddress|cbor marshal label|failed to marshal headers)/,
    ],
    ['libp2p_urls_unsupported', 'bug', 'deal', /^libp2p URLs are not supported/],
    ['mode_refused', 'permanent', 'provider', /^miner is not (considering|accepting) \S+ storage deals/, 'after'],
    ['mode_refused', 'permanent', 'provider', /^(offline|online) deals are not allowed/],
    ['market_disabled', 'permanent', 'provider', /^libp2p is disabled for the provider/i],
    ['client_refused', 'permanent', 'provider', /^client not allowed by provider/],
    ['piece_blocklisted', 'permanent', 'deal', /^miner has blocklisted piece CID/, 'after'],
    ['provider_without_funds', 'later', 'provider', /provider has insufficient funds/, 'after'],
    ['provider_without_space', 'later', 'provider', /provider has no space left/, 'after'],
    [
      'provider_busy',
      'later',
      'provider',
      /^deal rejected (due to backpressure|as cumulative size|as .*deals per hour)/,
    ],
    ['filter_unavailable', 'later', 'provider', /CIDGravity service is not available/i],
    // Curio hides behind these words that price or size do not suit its ask, which is read before each proposal.
    ['filters_failed', 'later', 'provider', /^internal server error: failed to apply filters/],
    [
      'provider_error',
      'later',
      'provider',
      /^(internal )?server error\b|^miner error|^failed to get chain head|^store deal:/,
    ],
  ] satisfies RuleRow[]
).map(([code, ruleClass, scope, pattern, after]: RuleRow) => ({
  pattern,
  code,
  class: ruleClass,
  scope,
  ...(after === undefined ? {} : { afterDuplicateCheck: true }),
}));

/** Any other words come from the provider's own deal filter: the deal is refused, and the provider rests a while. */
const OWN_FILTER: Rule = { pattern: /^/, code: 'refused_by_filter', class: 'later', scope: 'provider' };

const VALIDATION_PREFIX = /^failed validation: /;

/** The class of a stored reason code, as `classifyRefusal` gave it; 'later' for a code it never gives. */
export function refusalClass(code: string): RefusalClass {
  return rules.find((rule) => rule.code === code)?.class ?? OWN_FILTER.class;
}

/**
 * What an SP's refusal text means. A duplicate of our own bytes is no refusal: Boost names the uuid it holds, Curio
 * the proposal or the uuid, which only we can have sent. A duplicate under a foreign uuid is our fault ('bug').
 */
export function classifyRefusal(text: string, { ourUuid }: { ourUuid: string }): Refusal {
  const reason = text.trim().replace(VALIDATION_PREFIX, '');
  if (BOOST_DUPLICATE.exec(reason)?.[1] === ourUuid || CURIO_DUPLICATE.test(reason)) return { kind: 'duplicate' };
  const rule = rules.find(({ pattern }) => pattern.test(reason)) ?? OWN_FILTER;
  const { code, class: ruleClass, scope, afterDuplicateCheck = false } = rule;
  return { kind: 'refused', code, class: ruleClass, scope, afterDuplicateCheck };
}
