import { formatBytes } from '../../filecoin/units.ts';
import { refusalClass, type RefusalClass } from '../send/refusals.ts';
import type { Candidate, Load } from './candidate.ts';
import { freshAsk, priceRefusal, sizeRefusal } from './judge-ask.ts';
import type { Policy } from './policy.ts';

/** Why a provider is not chosen. `code` is from a closed set, `reason` for people. */
export interface Refusal {
  provider: string;
  code: RefusalReason;
  reason: string;
}

export type RefusalReason =
  | 'removed'
  | 'paused'
  | 'denied'
  | 'not_allowed'
  | 'unreachable'
  | 'sector_unknown'
  | 'resting'
  | 'price'
  | 'ask'
  | 'piece_size'
  | 'has_deal'
  | 'refused_before'
  | 'in_flight'
  | 'rate'
  | 'org_cap'
  | 'region_cap'
  | 'escrow'
  | 'datacap'
  | NobodyReason;

/** Why nobody is asked at all: told of provider `*`. */
export type NobodyReason = 'proposing_off' | 'bytes_released' | 'not_owned' | 'too_small' | 'client_unknown';

export type Why = Pick<Refusal, 'code' | 'reason'>;

/** A deal of this aggregate that was signed before, whatever became of it. */
export interface UsedProvider {
  provider: string;
  slot: number;
  live: boolean;
  /** Nothing more can come of it. */
  settledAt: Date | undefined;
  /** The reason code, when it ended by the provider's refusal. */
  refusalCode: string | undefined;
  policyVersion: number;
}

/**
 * How long a provider that refused this aggregate is left alone with it under the same policy: its asks and lists change
 * in days; a fault of ours is mended or funded in an hour. 'later' and 'change-terms' are the provider's own back-off.
 */
const REFUSAL_REST_MS: Record<RefusalClass, number> = {
  permanent: 7 * 24 * 3_600_000,
  bug: 3_600_000,
  later: 0,
  'change-terms': 0,
};
/** After this many refusals in a day the provider is left alone with this aggregate: its words did not mean what we read. */
const MAX_REFUSALS_A_DAY = 3;
const DAY_MS = 24 * 3_600_000;
/** A start that the policy made, or that came of a proposal sent late: if a fresh one is no better, it is the policy's. */
const START_REFUSALS: ReadonlySet<string | undefined> = new Set(['start_too_soon', 'start_too_late']);
const MAX_START_REFUSALS_A_DAY = 2;

/** Why a provider is asked for nothing at all now, whatever the aggregate; undefined when it may be. */
export function refusesAll(candidate: Candidate, policy: Policy, now: Date): Why | undefined {
  const { id, state, peerId, multiaddrs, sectorBytes, retryAt, resolveError } = candidate;
  if (state === 'removed' || state === 'paused') return { code: state, reason: `it is ${state}` };
  if (policy.denyProviders.includes(id)) return { code: 'denied', reason: 'the policy denies it' };
  if (policy.allowProviders.length > 0 && !policy.allowProviders.includes(id))
    return { code: 'not_allowed', reason: 'the policy allows others only' };
  const error = resolveError === undefined ? '' : `: ${resolveError}`;
  if (peerId === undefined || multiaddrs.length === 0)
    return { code: 'unreachable', reason: `no peer id or address is known${error}` };
  if (sectorBytes === undefined) return { code: 'sector_unknown', reason: `its sector size is not known${error}` };
  if (retryAt !== undefined && retryAt > now)
    return { code: 'resting', reason: `it rests until ${retryAt.toISOString()}` };
  const ask = freshAsk(candidate.ask, now);
  const price = ask && priceRefusal(ask, policy);
  return price === undefined ? undefined : { code: 'price', reason: price };
}

/** Why a provider takes no piece of this padded size; undefined when it does, as far as is known. */
export function refusesSize(candidate: Candidate, pieceBytes: bigint, now: Date): Why | undefined {
  const { sectorBytes } = candidate;
  if (sectorBytes !== undefined && pieceBytes > sectorBytes) {
    const reason = `a piece of ${formatBytes(pieceBytes)} is larger than its sectors of ${formatBytes(sectorBytes)}`;
    return { code: 'piece_size', reason };
  }
  const ask = freshAsk(candidate.ask, now);
  const size = ask && sizeRefusal(ask, pieceBytes);
  return size === undefined ? undefined : { code: 'ask', reason: size };
}

/** Has a provider enough of us for now? */
export function isFull(load: Load, { maxInFlightBytes, maxProposalsPerHour }: Policy, pieceBytes: bigint): boolean {
  if (maxProposalsPerHour !== undefined && load.proposalsLastHour >= maxProposalsPerHour) return true;
  return maxInFlightBytes !== undefined && load.inFlightBytes + pieceBytes > maxInFlightBytes;
}

/** Why a provider has enough of us for now; undefined when it may get one more piece. */
export function refusesLoad(
  { inFlightBytes, proposalsLastHour }: Load,
  { maxInFlightBytes, maxProposalsPerHour }: Policy,
  pieceBytes: bigint,
): Why | undefined {
  if (maxInFlightBytes !== undefined && inFlightBytes + pieceBytes > maxInFlightBytes) {
    const of = `of the ${formatBytes(maxInFlightBytes)} that the policy allows`;
    return { code: 'in_flight', reason: `${formatBytes(inFlightBytes)} are on their way to it, ${of}` };
  }
  if (maxProposalsPerHour !== undefined && proposalsLastHour >= maxProposalsPerHour) {
    const reason = `it got ${proposalsLastHour} proposals within the hour, as many as the policy allows`;
    return { code: 'rate', reason };
  }
  return undefined;
}

interface History {
  past: readonly UsedProvider[];
  policyVersion: number;
  now: Date;
  /** The slot whose own deal does not stand against its renewal. */
  renewing?: number | undefined;
}

/** Why a provider's deals of this aggregate speak against another one; undefined when they do not. */
export function refusesHistory({ past, policyVersion, now, renewing }: History): Why | undefined {
  const stands = ({ live, settledAt, slot }: UsedProvider) => (live ? slot !== renewing : settledAt === undefined);
  if (past.some(stands)) return { code: 'has_deal', reason: 'it has a deal for this aggregate that may live' };
  const refusals = past.filter((deal) => deal.refusalCode !== undefined && deal.policyVersion === policyVersion);
  const ageMs = ({ settledAt }: UsedProvider) => now.getTime() - (settledAt?.getTime() ?? 0);
  const resting = refusals.find((deal) => ageMs(deal) < REFUSAL_REST_MS[refusalClass(deal.refusalCode ?? '')]);
  if (resting !== undefined)
    return { code: 'refused_before', reason: `it refused this aggregate: ${resting.refusalCode}` };
  const recent = refusals.filter((deal) => ageMs(deal) < DAY_MS);
  const starts = recent.filter(({ refusalCode }) => START_REFUSALS.has(refusalCode));
  if (starts.length >= MAX_START_REFUSALS_A_DAY)
    return {
      code: 'refused_before',
      reason: `the policy's start_delay does not suit it: ${starts.at(-1)?.refusalCode}`,
    };
  if (recent.length < MAX_REFUSALS_A_DAY) return undefined;
  return { code: 'refused_before', reason: `it refused this aggregate ${recent.length} times within a day` };
}
