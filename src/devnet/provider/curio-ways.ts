import type { DealStatusResponse } from '../../filecoin/mk12-status.ts';
import { naturalPieceBytes } from '../../filecoin/piece.ts';
import { encodeProposal, proposalCid, signedProposalCid } from '../../filecoin/proposal.ts';
import { CID } from 'multiformats/cid';
import { askFault, type Candidate, type KnownDeal } from './check-proposal.ts';
import type { ProviderDeal } from './provider-deals.ts';
import type { Persona } from './provider-persona.ts';

/** Why Curio turns a valid proposal down, in its order and words (market/mk12/mk12.go); undefined: it is accepted. */
export function curioAcceptanceFault(
  { params, proposal }: Candidate,
  persona: Persona,
  seen: { sameProposal: KnownDeal | undefined; sameUuid: KnownDeal | undefined },
): string | undefined {
  if (params.isOffline && !persona.acceptsOffline) return 'offline deals are not allowed on this provider';
  if (!params.isOffline && !persona.acceptsOnline) return 'online deals are not allowed on this provider';
  if (persona.refuse !== '') return persona.refuse;
  // The filters fail of a price or size outside the ask, and nobody is told of which.
  if (askFault(proposal, persona) !== undefined) return 'internal server error: failed to apply filters';
  const padded = naturalPieceBytes(BigInt(params.transfer.sizeBytes));
  if (!params.isOffline && padded !== proposal.pieceBytes) {
    return `deal proposal piece size ${proposal.pieceBytes} doesn't match padded piece size ${padded}`;
  }
  return transferFault(params.transfer) ?? duplicateFault({ params, proposal }, seen);
}

function transferFault({ type, params }: Candidate['params']['transfer']): string | undefined {
  if (type === 'libp2p') return 'libp2p URLs are not supported by this provider';
  const text = Buffer.from(params).toString('utf8');
  try {
    JSON.parse(text === '' ? '{}' : text);
    return undefined;
  } catch (error) {
    return `failed to de-serialize transport params bytes '${text}': ${error instanceof Error ? error.message : ''}`;
  }
}

function duplicateFault(
  { proposal }: Candidate,
  { sameProposal, sameUuid }: { sameProposal: KnownDeal | undefined; sameUuid: KnownDeal | undefined },
): string | undefined {
  if (sameProposal !== undefined) {
    const cid = proposalCid(encodeProposal(proposal));
    return `store deal: market deal with the same proposalCID ${cid} already exists: 1`;
  }
  return sameUuid === undefined ? undefined : 'store deal: store deal success: updated 0 rows instead of 1';
}

/** What Curio says of a deal it has no publish message for, and of one that it never had. */
const NOT_SEALED = 'failed to get sealed deal status';

/**
 * Curio's status (market/mk12 GetDealStatus): `Processing` for as long as a deal is in the pipeline, whatever happens
 * there; afterwards `Sealed`, also for one that failed, whose error tells. Signatures are not looked at.
 */
export function curioStatus(dealUuid: string, deal: ProviderDeal | undefined, lieDealId: boolean): DealStatusResponse {
  const bare = { dealUuid, isOffline: deal?.params.isOffline ?? false, transferSizeBytes: 1, receivedBytes: 1 };
  if (deal === undefined) return { ...bare, error: NOT_SEALED, dealStatus: null };
  const { proposal, error } = deal;
  const stated = { proposal, signedProposalCid: signedProposalCid(deal.params.signedProposal) };
  const isOver = deal.isProven || deal.checkpoint === 'Complete';
  if (!isOver) {
    const sealing = {
      status: 'Processing',
      sealingStatus: 'Not assigned to sector',
      publishCid: null,
      chainDealId: 0n,
    };
    return { ...bare, error: '', dealStatus: { error: '', ...sealing, ...stated } };
  }
  if (deal.publishCid === '') return { ...bare, error: NOT_SEALED, dealStatus: null };
  const publishCid = CID.parse(deal.publishCid);
  const chainDealId = deal.chainDealId + (lieDealId ? 1n : 0n);
  const sealed = { status: 'Sealed', sealingStatus: 'Sealed and Indexed', publishCid, chainDealId };
  return { ...bare, error: '', dealStatus: { error, ...sealed, ...stated } };
}
