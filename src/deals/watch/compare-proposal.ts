import type { ChainProposal } from '../../chain/market.ts';
import { formatAddress } from '../../filecoin/address.ts';
import { canonicalCid } from '../../filecoin/cid.ts';
import type { DealProposal } from '../../filecoin/proposal.ts';

/** The market actor shows a label of bytes as ''. */
function labelText(label: string | Uint8Array): string {
  return typeof label === 'string' ? label : '';
}

/**
 * The names of the fields in which a deal on chain differs from a proposal that we signed, of all eleven; none means
 * that it is our deal. The chain keeps the client by its ID address, whatever was signed: `clientId` is ours.
 */
export function compareProposal(ours: DealProposal, clientId: string, onChain: ChainProposal): (keyof ChainProposal)[] {
  const expected: ChainProposal = {
    pieceCid: canonicalCid(ours.pieceCid),
    pieceBytes: ours.pieceBytes,
    verified: ours.verified,
    client: clientId,
    provider: formatAddress(ours.provider),
    label: labelText(ours.label),
    startEpoch: ours.startEpoch,
    endEpoch: ours.endEpoch,
    pricePerEpoch: ours.pricePerEpoch,
    providerCollateral: ours.providerCollateral,
    clientCollateral: ours.clientCollateral,
  };
  const fields = Object.keys(expected) as (keyof ChainProposal)[];
  return fields.filter((field) => expected[field] !== onChain[field]);
}
