import { formatAddress, sameAddress, type Address } from '../../filecoin/address.ts';
import { FIL_COMMITMENT_UNSEALED, SHA2_256_TRUNC254_PADDED } from '../../filecoin/codes.ts';
import {
  MAX_DEAL_DURATION_EPOCHS,
  MAX_LABEL_BYTES,
  MIN_PIECE_BYTES,
  MIN_DEAL_DURATION_EPOCHS,
} from '../../filecoin/limits.ts';
import type { DealParams, Transfer } from '../../filecoin/mk12-propose.ts';
import type { DealProposal } from '../../filecoin/proposal.ts';
import type { Persona } from './provider-persona.ts';

/** A decoded proposal as it came from the wire. */
export interface Candidate {
  params: DealParams;
  proposal: DealProposal;
}

/** What the chain says at the moment of deciding; undefined where it has no answer. */
export interface ChainFacts {
  headEpoch: number;
  /** False for a wrong signature and for a client that no key can be found for: Boost answers both alike. */
  isSigned: boolean;
  collateralMin: bigint | undefined;
  /** Escrow that is not locked; undefined for a client without an actor. */
  clientAvailable: bigint | undefined;
  dataCap: bigint | undefined;
}

/** A deal this provider has already taken, by what makes it a duplicate. */
export interface KnownDeal {
  uuid: string;
  acceptedAt: Date;
}

const GIB = 1n << 30n;
/** Boost puts at most this multiple of the minimum into escrow (provider.go, maxDealCollateralMultiplier). */
const MAX_COLLATERAL_MULTIPLE = 2n;
const PIECE_DIGEST_BYTES = 32;

/**
 * Why Boost's validation turns a proposal down, in its order and words (storagemarket/deal_acceptance.go): the first
 * fault counts. Undefined when there is none. The client hears `failed validation: ` before it.
 */
export function validationFault(
  { proposal }: Candidate,
  provider: { address: Address; persona: Persona },
  facts: ChainFacts,
): string | undefined {
  if (!facts.isSigned) return 'server error: validating signature';
  return (
    identityFault(proposal, provider.address) ??
    epochFault(proposal, facts.headEpoch) ??
    collateralFault(proposal, facts.collateralMin) ??
    (provider.persona.software === 'curio' ? undefined : askFault(proposal, provider.persona)) ??
    fundsFault(proposal, facts.clientAvailable) ??
    dataCapFault(proposal, facts.dataCap)
  );
}

function identityFault(proposal: DealProposal, provider: Address): string | undefined {
  if (!sameAddress(proposal.provider, provider)) {
    const [theirs, ours] = [formatAddress(proposal.provider), formatAddress(provider)];
    return `incorrect provider for deal; proposal.Provider: ${theirs}; provider.Address: ${ours}`;
  }
  const labelBytes = Buffer.byteLength(proposal.label);
  if (labelBytes > MAX_LABEL_BYTES) return `deal label can be at most ${MAX_LABEL_BYTES} bytes, is ${labelBytes}`;
  const size = proposal.pieceBytes;
  if (size < MIN_PIECE_BYTES) return 'proposal piece size is invalid: minimum padded piece size is 128 bytes';
  if ((size & (size - 1n)) !== 0n) return 'proposal piece size is invalid: padded piece size must be a power of 2';
  const { version, code, multihash } = proposal.pieceCid;
  const isPiece = version === 1 && code === FIL_COMMITMENT_UNSEALED && multihash.code === SHA2_256_TRUNC254_PADDED;
  return isPiece && multihash.size === PIECE_DIGEST_BYTES ? undefined : 'proposal PieceCID had wrong prefix';
}

function epochFault({ startEpoch, endEpoch }: DealProposal, headEpoch: number): string | undefined {
  if (endEpoch <= startEpoch) return `proposal end ${endEpoch} before proposal start ${startEpoch}`;
  if (headEpoch > startEpoch) {
    return `deal start epoch ${startEpoch} has already elapsed (current epoch: ${headEpoch})`;
  }
  const duration = endEpoch - startEpoch;
  const [min, max] = [MIN_DEAL_DURATION_EPOCHS, MAX_DEAL_DURATION_EPOCHS];
  if (duration < min || duration > max) {
    return `deal duration out of bounds (min, max, provided): ${min}, ${max}, ${duration}`;
  }
  if (endEpoch > headEpoch + max) {
    return `invalid deal end epoch ${endEpoch}: cannot be more than ${max} past current epoch ${headEpoch}`;
  }
  return undefined;
}

function collateralFault({ providerCollateral: offered }: DealProposal, min: bigint | undefined): string | undefined {
  if (min === undefined) return 'server error: getting collateral bounds';
  const max = min * MAX_COLLATERAL_MULTIPLE;
  if (offered < min) return `proposed provider collateral ${offered} below minimum ${min}`;
  return offered > max ? `proposed provider collateral ${offered} above maximum ${max}` : undefined;
}

/** Boost tells it while it validates; Curio's filters fail of it later. */
export function askFault({ pieceBytes, pricePerEpoch, verified }: DealProposal, persona: Persona): string | undefined {
  const price = verified ? persona.askVerifiedPrice : persona.askPrice;
  const least = (price * pieceBytes) / GIB;
  if (pricePerEpoch < least) return `storage price per epoch less than asking price: ${pricePerEpoch} < ${least}`;
  const { askMinPieceBytes: smallest, askMaxPieceBytes: largest } = persona;
  if (pieceBytes < smallest) return `piece size less than minimum required size: ${pieceBytes} < ${smallest}`;
  return pieceBytes > largest ? `piece size more than maximum allowed size: ${pieceBytes} > ${largest}` : undefined;
}

function fundsFault(proposal: DealProposal, available: bigint | undefined): string | undefined {
  if (available === undefined) return 'server error: getting market balance';
  const duration = BigInt(proposal.endEpoch - proposal.startEpoch);
  const needed = proposal.pricePerEpoch * duration + proposal.clientCollateral;
  if (available >= needed) return undefined;
  return `client available funds in escrow ${available} not enough to meet storage cost for deal ${needed}`;
}

function dataCapFault({ verified, pieceBytes }: DealProposal, dataCap: bigint | undefined): string | undefined {
  if (!verified) return undefined;
  if (dataCap === undefined) return 'client is not a verified client';
  return dataCap >= pieceBytes
    ? undefined
    : `verified deal DataCap ${dataCap} too small for proposed piece size ${pieceBytes}`;
}

/**
 * Why Boost turns a valid proposal down, in its order and words (provider_loop.go, node/modules/dealfilter.go).
 * Undefined: the deal is accepted.
 */
export function acceptanceFault(
  candidate: Candidate,
  persona: Persona,
  seen: { headEpoch: number; sameProposal: KnownDeal | undefined; sameUuid: KnownDeal | undefined },
): string | undefined {
  return (
    (candidate.params.isOffline ? undefined : hostFault(candidate.params.transfer)) ??
    duplicateFault('deal proposal is identical to', seen.sameProposal) ??
    duplicateFault('deal has the same uuid as', seen.sameUuid) ??
    filterFault(candidate, persona, seen.headEpoch)
  );
}

/** Go's `url.Parse` finds a scheme by this rule. */
const SCHEME = /^[a-z][a-z0-9+.-]*:/i;

function hostFault({ type, params }: Transfer): string | undefined {
  const stem = 'server error: get deal transfer host:';
  if (type !== 'http' && type !== 'libp2p') {
    return `${stem} cannot parse params for unrecognized transfer type '${type}'`;
  }
  const text = Buffer.from(params).toString('utf8');
  const url = urlIn(text);
  if (url instanceof Error) {
    return `${stem} failed to de-serialize transport params bytes '${text}': ${url.message}`;
  }
  if (!SCHEME.test(url)) return `${stem} cannot parse url '${url}': parsing url '${url}': could not parse scheme`;
  return type === 'http' && !URL.canParse(url) ? `${stem} cannot parse url '${url}'` : undefined;
}

function urlIn(json: string): string | Error {
  try {
    const parsed: unknown = JSON.parse(json);
    if (typeof parsed !== 'object' || parsed === null) return new Error('json: cannot unmarshal into HttpRequest');
    return 'URL' in parsed && typeof parsed.URL === 'string' ? parsed.URL : '';
  } catch (error) {
    return error instanceof Error ? error : new Error(String(error));
  }
}

function duplicateFault(stem: string, known: KnownDeal | undefined): string | undefined {
  return known === undefined ? undefined : `${stem} deal ${known.uuid} (proposed at ${goTime(known.acceptedAt)})`;
}

function filterFault({ params, proposal }: Candidate, persona: Persona, headEpoch: number): string | undefined {
  if (!params.isOffline && !persona.acceptsOnline) return 'miner is not considering online storage deals';
  if (params.isOffline && !persona.acceptsOffline) return 'miner is not accepting offline storage deals';
  if (proposal.verified && !persona.acceptsVerified) return 'miner is not accepting verified storage deals';
  if (!proposal.verified && !persona.acceptsUnverified) return 'miner is not accepting unverified storage deals';
  const earliest = headEpoch + persona.sealEpochs;
  if (proposal.startEpoch < earliest) return `cannot seal a sector before ${proposal.startEpoch}`;
  const latest = earliest + persona.maxStartDelayEpochs;
  if (!params.isOffline && proposal.startEpoch > latest) {
    return `deal start epoch is too far in the future: ${proposal.startEpoch} > ${latest}`;
  }
  return persona.refuse === '' ? undefined : persona.refuse;
}

/** `2026-11-24 06:10:00.123 +0000 UTC`, as Go prints a time. */
function goTime(time: Date): string {
  return `${time.toISOString().replace('T', ' ').slice(0, -1)} +0000 UTC`;
}
