import { parseCid } from '../../filecoin/cid.ts';
import { encodeDealParams, httpTransferParams, type Transfer } from '../../filecoin/mk12-propose.ts';
import type { PieceTokens } from './piece-token.ts';
import type { DealToSend } from './send-store.ts';

export interface ParamsDeps {
  pieceTokens: PieceTokens;
  /** Where SPs reach `/piece/…`, without a slash at its end. */
  publicUrl: string;
}

/** What the provider of a deal fetches its piece with. */
export function pieceAccess({ publicUrl, pieceTokens }: ParamsDeps, dealId: string, pieceCid: string) {
  return {
    url: `${publicUrl}/piece/${pieceCid}`,
    headers: { Authorization: `Bearer ${pieceTokens.tokenFor(dealId)}` },
  };
}

/** Nothing to fetch for an offline deal: its operator imports the CAR of this size (Boost storagemarket/types.Transfer). */
function transferOf(deal: DealToSend, deps: ParamsDeps): Transfer {
  const sizeBytes = Number(deal.piece.carBytes);
  if (deal.offline) return { type: '', clientId: '', params: new Uint8Array(), sizeBytes };
  const params = httpTransferParams(pieceAccess(deps, deal.id, deal.piece.pieceCid));
  return { type: 'http', clientId: '', params, sizeBytes };
}

/** DealParams of mk/1.2.1. The ClientDealProposal is byte for byte the committed one; only Transfer is made afresh. */
export function dealParams(deal: DealToSend, deps: ParamsDeps): Uint8Array {
  return encodeDealParams({
    dealUuid: deal.id,
    transfer: transferOf(deal, deps),
    isOffline: deal.offline,
    dealDataRoot: parseCid(deal.piece.batchRoot),
    skipIpniAnnounce: !deal.fastRetrieval,
    signedProposal: deal.signedProposal,
    removeUnsealedCopy: !deal.fastRetrieval,
  });
}
