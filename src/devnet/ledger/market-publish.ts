import type { Address } from '../../filecoin/address.ts';
import { formatAddress, idAddress } from '../../filecoin/address.ts';
import { FIL_COMMITMENT_UNSEALED, SHA2_256_TRUNC254_PADDED } from '../../filecoin/codes.ts';
import { FormatError } from '../../filecoin/format-error.ts';
import {
  MAX_DEAL_DURATION_EPOCHS,
  MAX_LABEL_BYTES,
  MIN_DEAL_DURATION_EPOCHS,
  MIN_PIECE_BYTES,
} from '../../filecoin/limits.ts';
import { decodeSignedProposal, encodeProposal, proposalCid, type DealProposal } from '../../filecoin/proposal.ts';
import { verifySignature } from '../../filecoin/signature.ts';
import { actorCollateralMin, TOTAL_SUPPLY, type ChainPolicy } from './chain-policy.ts';
import type { ChainState, MarketDeal } from './chain-state.ts';
import type { DroppedDeal } from './ledger-port.ts';

/** One proposal of a publish message, decoded once: the message is tried before it is sent, and again in its block. */
export type Candidate = { proposal: DealProposal; isSignedBy: (key: Address) => boolean } | { fault: string };

export interface PublishPlan {
  accepted: { index: number; clientId: bigint; deal: MarketDeal }[];
  dropped: DroppedDeal[];
}

/** The market actor as it stands when the message runs. */
export interface PublishContext {
  state: ChainState;
  policy: ChainPolicy;
  epoch: number;
  providerId: bigint;
}

/** What the deals accepted so far take, so that a batch cannot spend the same money twice. */
interface Tally {
  locked: Map<bigint, bigint>;
  dataCap: Map<bigint, bigint>;
  cids: Set<string>;
}

/** Longest piece a sector can hold: 64 GiB (go-state-types). */
const MAX_PIECE_BYTES = 1n << 36n;
/** Smallest allocation of the verified registry (builtin-actors verifreg). */
const MIN_VERIFIED_BYTES = 1n << 20n;
const PIECE_DIGEST_BYTES = 32;

export function decodeCandidate(signedProposal: Uint8Array): Candidate {
  try {
    const { proposal, proposalBytes, signature } = decodeSignedProposal(signedProposal);
    const seen = new Map<string, boolean>();
    const isSignedBy = (key: Address): boolean => {
      const name = formatAddress(key);
      const known = seen.get(name) ?? verifySignature(signature, proposalBytes, key);
      seen.set(name, known);
      return known;
    };
    return { proposal, isSignedBy };
  } catch (error) {
    if (error instanceof FormatError) return { fault: `the deal cannot be read: ${error.message}` };
    throw error;
  }
}

/** PublishStorageDeals: which proposals the market actor takes, and why it drops the others (builtin-actors market). */
export function planPublish(context: PublishContext, candidates: readonly Candidate[]): PublishPlan {
  const plan: PublishPlan = { accepted: [], dropped: [] };
  const tally: Tally = { locked: new Map(), dataCap: new Map(), cids: new Set() };
  for (const [index, candidate] of candidates.entries()) {
    const reason = 'fault' in candidate ? candidate.fault : takeDeal(context, candidate, { index, tally, plan });
    if (reason !== undefined) plan.dropped.push({ index, reason });
  }
  return plan;
}

/** What the client has to have free in escrow: the whole price and its collateral. */
export function clientLock(proposal: DealProposal): bigint {
  return proposal.pricePerEpoch * BigInt(proposal.endEpoch - proposal.startEpoch) + proposal.clientCollateral;
}

function takeDeal(
  context: PublishContext,
  candidate: Exclude<Candidate, { fault: string }>,
  into: { index: number; tally: Tally; plan: PublishPlan },
): string | undefined {
  const { proposal } = candidate;
  const { state, providerId } = context;
  const fault = termsFault(proposal, context);
  if (fault !== undefined) return fault;
  const clientId = state.idOf(proposal.client);
  const key = state.keyOf(proposal.client);
  if (clientId === undefined || key === undefined) return 'the client is not an account on this chain';
  if (!candidate.isSignedBy(key)) return 'signature proposal invalid';

  const normal = { ...proposal, client: idAddress(clientId), provider: idAddress(providerId) };
  const deal = { proposal: normal, proposalCid: proposalCid(encodeProposal(normal)), ...freshState };
  const refusal = moneyFault(context, { clientId, deal }, into.tally);
  if (refusal === undefined) into.plan.accepted.push({ index: into.index, clientId, deal });
  return refusal;
}

const freshState = { sectorNumber: 0, sectorStartEpoch: -1, lastUpdatedEpoch: -1 };

function moneyFault(
  { state, providerId }: PublishContext,
  { clientId, deal: { proposal, proposalCid: cid } }: { clientId: bigint; deal: MarketDeal },
  tally: Tally,
): string | undefined {
  const needs = [
    ['client', clientId, clientLock(proposal)],
    ['provider', providerId, proposal.providerCollateral],
  ] as const;
  for (const [name, id, amount] of needs) {
    const { escrow, locked } = state.escrowOf(id);
    const free = escrow - locked - (tally.locked.get(id) ?? 0n);
    if (amount > free) return `insufficient ${name} funds: has ${free} available, needs ${amount}`;
  }
  const name = cid.toString();
  if (tally.cids.has(name) || state.pending.get(name) !== undefined) {
    return `cannot publish duplicate deal proposal ${name}`;
  }
  const spent = tally.dataCap.get(clientId) ?? 0n;
  const dataCap = (state.dataCaps.get(clientId) ?? 0n) - spent;
  if (proposal.verified && proposal.pieceBytes > dataCap) {
    return `insufficient DataCap: has ${dataCap}, needs ${proposal.pieceBytes}`;
  }
  for (const [, id, amount] of needs) tally.locked.set(id, (tally.locked.get(id) ?? 0n) + amount);
  if (proposal.verified) tally.dataCap.set(clientId, spent + proposal.pieceBytes);
  tally.cids.add(name);
  return undefined;
}

function termsFault(proposal: DealProposal, context: PublishContext): string | undefined {
  return (
    pieceFault(proposal) ??
    epochFault(proposal, context.epoch) ??
    amountFault(proposal, context.policy) ??
    (context.state.idOf(proposal.provider) === context.providerId
      ? undefined
      : `the provider ${formatAddress(proposal.provider)} is not the batch's, f0${context.providerId}`)
  );
}

function pieceFault({ label, pieceBytes, pieceCid, verified }: DealProposal): string | undefined {
  if (Buffer.byteLength(label) > MAX_LABEL_BYTES) return `the label has more than ${MAX_LABEL_BYTES} bytes`;
  if (pieceBytes < MIN_PIECE_BYTES || pieceBytes > MAX_PIECE_BYTES || (pieceBytes & (pieceBytes - 1n)) !== 0n) {
    return `piece size ${pieceBytes} is not a power of two from ${MIN_PIECE_BYTES} to ${MAX_PIECE_BYTES}`;
  }
  if (verified && pieceBytes < MIN_VERIFIED_BYTES) return `a verified piece has at least ${MIN_VERIFIED_BYTES} bytes`;
  const { version, code, multihash } = pieceCid;
  const isPiece = version === 1 && code === FIL_COMMITMENT_UNSEALED && multihash.code === SHA2_256_TRUNC254_PADDED;
  return isPiece && multihash.size === PIECE_DIGEST_BYTES ? undefined : `${pieceCid} is not a piece CID`;
}

function epochFault({ startEpoch, endEpoch }: DealProposal, epoch: number): string | undefined {
  if (endEpoch <= startEpoch) return `the deal ends at ${endEpoch}, not after its start at ${startEpoch}`;
  if (epoch > startEpoch) return `deal start epoch ${startEpoch} has already elapsed (current epoch: ${epoch})`;
  const duration = endEpoch - startEpoch;
  const isInBounds = duration >= MIN_DEAL_DURATION_EPOCHS && duration <= MAX_DEAL_DURATION_EPOCHS;
  return isInBounds ? undefined : `deal duration out of bounds: ${duration} epochs`;
}

function amountFault(proposal: DealProposal, policy: ChainPolicy): string | undefined {
  const { pricePerEpoch, providerCollateral, clientCollateral, pieceBytes } = proposal;
  if (pricePerEpoch < 0n || pricePerEpoch > TOTAL_SUPPLY) return `storage price ${pricePerEpoch} out of bounds`;
  if (clientCollateral < 0n || clientCollateral > TOTAL_SUPPLY) {
    return `client collateral ${clientCollateral} out of bounds`;
  }
  const min = actorCollateralMin(policy, pieceBytes);
  const isInBounds = providerCollateral >= min && providerCollateral <= TOTAL_SUPPLY;
  return isInBounds ? undefined : `provider collateral ${providerCollateral} out of bounds: ${min} to ${TOTAL_SUPPLY}`;
}
