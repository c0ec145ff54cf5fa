import { describe, expect, it } from 'vitest';
import { classifyRefusal, refusalClass } from '../../../src/deals/send/refusals.ts';

const ourUuid = '6ba7b810-9dad-11d1-80b4-00c04fd430c8';
const otherUuid = '6ba7b811-9dad-11d1-80b4-00c04fd430c8';

/** Texts of Boost (deal_acceptance.go, provider.go) and Curio (mk12.go), with values filled in. */
const table: [text: string, code: string, ruleClass: string, scope: string][] = [
  ['failed validation: server error: getting chain head', 'provider_error', 'later', 'provider'],
  ['failed validation: proposal PieceCID undefined', 'piece_cid_invalid', 'bug', 'deal'],
  ['failed validation: invalid signature', 'signature_invalid', 'bug', 'deal'],
  ['failed validation: server error: validating signature', 'signature_invalid', 'bug', 'deal'],
  [
    'failed validation: incorrect provider for deal; proposal.Provider: f01; provider.Address: f02',
    'wrong_provider',
    'bug',
    'provider',
  ],
  ['failed validation: deal label can be at most 256 bytes, is 300', 'label_too_long', 'bug', 'deal'],
  ['failed validation: proposal piece size is invalid: must be a power of 2', 'piece_size_invalid', 'bug', 'deal'],
  ["deal proposal piece size 256 doesn't match padded piece size 128", 'piece_size_invalid', 'bug', 'deal'],
  ['failed validation: proposal PieceCID had wrong prefix', 'piece_cid_invalid', 'bug', 'deal'],
  ['failed validation: proposal end 10 before proposal start 20', 'epochs_out_of_order', 'bug', 'deal'],
  [
    'failed validation: deal start epoch 5 has already elapsed (current epoch: 9)',
    'start_elapsed',
    'change-terms',
    'deal',
  ],
  [
    'failed validation: deal duration out of bounds (min, max, provided): 518400, 3680640, 3',
    'duration_out_of_bounds',
    'permanent',
    'deal',
  ],
  [
    'failed validation: invalid deal end epoch 9: cannot be more than 3680640 past current epoch 1',
    'duration_out_of_bounds',
    'permanent',
    'deal',
  ],
  ['failed validation: proposed provider collateral 5 below minimum 6', 'collateral_too_low', 'change-terms', 'deal'],
  ['failed validation: proposed provider collateral 50 above maximum 6', 'collateral_too_high', 'change-terms', 'deal'],
  ['failed validation: server error: getting market balance', 'client_unknown', 'bug', 'deal'],
  [
    'failed validation: client available funds in escrow 1 not enough to meet storage cost for deal 2',
    'client_funds_short',
    'bug',
    'deal',
  ],
  ['failed validation: server error: getting verified datacap', 'client_not_verified', 'bug', 'deal'],
  ['failed validation: client is not a verified client', 'client_not_verified', 'bug', 'deal'],
  ['failed validation: verified deal DataCap 1 too small for proposed piece size 2', 'datacap_short', 'bug', 'deal'],
  ['failed validation: storage price per epoch less than asking price: 1 < 2', 'price_too_low', 'permanent', 'deal'],
  ['failed validation: piece size less than minimum required size: 1 < 2', 'piece_too_small', 'permanent', 'deal'],
  ['failed validation: piece size more than maximum allowed size: 2 > 1', 'piece_too_large', 'permanent', 'deal'],
  ['failed validation: server error: getting collateral bounds', 'provider_error', 'later', 'provider'],
  ['server error: get deal transfer host: parse error', 'transfer_invalid', 'bug', 'deal'],
  ['miner is not considering online storage deals', 'mode_refused', 'permanent', 'provider'],
  ['miner is not accepting verified storage deals', 'mode_refused', 'permanent', 'provider'],
  ['miner has blocklisted piece CID baga6', 'piece_blocklisted', 'permanent', 'deal'],
  ['cannot seal a sector before 1234', 'start_too_soon', 'change-terms', 'deal'],
  ['deal start epoch is too far in the future: 9 > 8', 'start_too_late', 'change-terms', 'deal'],
  ['miner error', 'provider_error', 'later', 'provider'],
  ['server error: provider has insufficient funds to accept deal', 'provider_without_funds', 'later', 'provider'],
  ['server error: provider has no space left for storage deals', 'provider_without_space', 'later', 'provider'],
  ['Libp2p is disabled for the provider', 'market_disabled', 'permanent', 'provider'],
  ['online deals are not allowed on this provider', 'mode_refused', 'permanent', 'provider'],
  ['client not allowed by provider', 'client_refused', 'permanent', 'provider'],
  ['deal rejected due to backpressure. Please retry in some time.', 'provider_busy', 'later', 'provider'],
  ['deal rejected as cumulative size of deals in past 1 hour is too large', 'provider_busy', 'later', 'provider'],
  ['deal rejected as maximum allowed deals per hour limit reached', 'provider_busy', 'later', 'provider'],
  ['deal rejected as piece size is greater than the maximum', 'piece_too_large', 'permanent', 'deal'],
  ['deal rejected as piece size is smaller than the minimum', 'piece_too_small', 'permanent', 'deal'],
  ['deal rejected as duration is smaller than the minimum', 'duration_refused', 'permanent', 'deal'],
  ['deal rejected as storage price per epoch is less than the minimum', 'price_too_low', 'permanent', 'deal'],
  ['internal server error: failed to apply filters', 'filters_failed', 'later', 'provider'],
  ['internal server error: failed to apply backpressure', 'provider_error', 'later', 'provider'],
  ['store deal: could not commit the transaction', 'provider_error', 'later', 'provider'],
  ['store deal: inserting parked piece ref: conn closed', 'provider_error', 'later', 'provider'],
  ['libp2p URLs are not supported by this provider', 'libp2p_urls_unsupported', 'bug', 'deal'],
  ['json.Marshal(piece.DealProposal): bad', 'proposal_unreadable', 'bug', 'deal'],
  ['get proposal CID: bad', 'proposal_unreadable', 'bug', 'deal'],
  ['marshal client signature: bad', 'proposal_unreadable', 'bug', 'deal'],
  ['address.IDFromAddress: not an ID address', 'proposal_unreadable', 'bug', 'deal'],
  ['cbor marshal label: bad', 'proposal_unreadable', 'bug', 'deal'],
  ['failed to marshal headers: bad', 'proposal_unreadable', 'bug', 'deal'],
  ['failed validation: server error: tip set key from bytes', 'provider_error', 'later', 'provider'],
  ['miner is not accepting offline storage deals', 'mode_refused', 'permanent', 'provider'],
  ['miner is not accepting unverified storage deals', 'mode_refused', 'permanent', 'provider'],
  ['offline deals are not allowed on this provider', 'mode_refused', 'permanent', 'provider'],
  ['server error: deal filter error', 'provider_error', 'later', 'provider'],
  ['failed to get chain head', 'provider_error', 'later', 'provider'],
  ['deal rejected as duration is greater than the maximum', 'duration_refused', 'permanent', 'deal'],
  ['Client is not on our list. Please apply', 'refused_by_filter', 'later', 'provider'],
  ['deal rejected as CIDGravity service is not available', 'filter_unavailable', 'later', 'provider'],
  ['failed to de-serialize transport params bytes: EOF', 'transfer_invalid', 'bug', 'deal'],
  ['store deal: begin transaction: timeout', 'provider_error', 'later', 'provider'],
  ['We do not know you. Write to deals@sp.example', 'refused_by_filter', 'later', 'provider'],
  ['', 'refused_by_filter', 'later', 'provider'],
  [`deal proposal is identical to deal ${otherUuid} (proposed at 2026-01-01)`, 'duplicate_of_other', 'bug', 'deal'],
];

describe('classifyRefusal', () => {
  it.each(table)('%s', (text, code, ruleClass, scope) => {
    expect(classifyRefusal(text, { ourUuid })).toMatchObject({ kind: 'refused', code, class: ruleClass, scope });
    expect(refusalClass(code)).toBe(ruleClass);
  });

  it.each([
    `deal proposal is identical to deal ${ourUuid} (proposed at 2026-01-01)`,
    `deal has the same uuid as deal ${ourUuid} (proposed at 2026-01-01)`,
    'store deal: market deal with the same proposalCID bafy2 already exists: 1',
    'store deal: store deal success: updated 0 rows instead of 1',
  ])('takes our own duplicate for what it is: %s', (text) => {
    expect(classifyRefusal(text, { ourUuid })).toEqual({ kind: 'duplicate' });
  });

  it('knows which reasons come after the duplicate check, and so prove that nothing is held', () => {
    const final = (text: string) => {
      const refusal = classifyRefusal(text, { ourUuid });
      return refusal.kind === 'refused' && refusal.afterDuplicateCheck;
    };
    expect(final('miner is not considering online storage deals')).toBe(true);
    expect(final('cannot seal a sector before 1234')).toBe(true);
    expect(final('failed validation: client available funds in escrow 1 not enough')).toBe(false);
    expect(final('deal rejected due to backpressure. Please retry in some time.')).toBe(false);
  });

  it('gives a code that it never gave the mildest class', () => {
    expect(refusalClass('unreachable')).toBe('later');
  });
});
