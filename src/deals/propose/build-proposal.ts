import { idAddress, parseAddress } from '../../filecoin/address.ts';
import { parseCid } from '../../filecoin/cid.ts';
import { MAX_DEAL_DURATION_EPOCHS } from '../../filecoin/limits.ts';
import type { DealProposal } from '../../filecoin/proposal.ts';
import type { Policy } from './policy.ts';
import type { SealedPiece } from './proposal-store.ts';

export interface ProposalInput {
  piece: SealedPiece;
  policy: Policy;
  /** As the wallet signs it: `f1…` or `f3…`. */
  client: string;
  /** `f0…`: SPs compare these bytes with their own id. */
  provider: string;
  headEpoch: number;
  /** How many proposals this provider had for this piece before: moves the start, so that no two are identical. */
  earlier: number;
  /** attoFIL for the whole piece. */
  pricePerEpoch: bigint;
  /** The chain's bounds (StateDealProviderCollateralBounds). */
  collateral: { min: bigint; max: bigint };
}

/** A fifth more, rounded up: the bound may rise until the deal is published, and SPs accept up to twice the minimum. */
function withMargin({ min, max }: ProposalInput['collateral']): bigint {
  const raised = (min * 6n + 4n) / 5n;
  return raised > max ? max : raised;
}

/** The number of an `f0…` id, as text. */
function providerId(provider: string): bigint {
  return BigInt(provider.slice(2));
}

/** The proposal for a sealed piece at one provider. Pure: all that varies is passed in. */
export function buildProposal(input: ProposalInput): DealProposal {
  const { piece, policy } = input;
  const startEpoch = input.headEpoch + policy.startDelayEpochs + input.earlier;
  return {
    pieceCid: parseCid(piece.pieceCid),
    pieceBytes: piece.pieceBytes,
    verified: policy.verified,
    client: parseAddress(input.client),
    provider: idAddress(providerId(input.provider)),
    label: piece.batchRoot,
    startEpoch,
    // SPs count the longest duration from the current epoch, not from the start.
    endEpoch: Math.min(startEpoch + policy.durationEpochs, input.headEpoch + MAX_DEAL_DURATION_EPOCHS),
    pricePerEpoch: input.pricePerEpoch,
    providerCollateral: withMargin(input.collateral),
    clientCollateral: 0n,
  };
}
