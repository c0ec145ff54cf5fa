import type { Chain } from '../../chain/chain.ts';
import { encodeProposal, encodeSignedProposal, proposalCid, type DealProposal } from '../../filecoin/proposal.ts';
import type { Wallet } from '../wallet/wallet.ts';
import { buildProposal } from './build-proposal.ts';
import type { Choice, Chosen } from './choose.ts';
import type { ProviderFacts } from './facts-store.ts';
import { offeredPrice } from './judge-ask.ts';
import { costOf, type ChainFunds, type Cost } from './money.ts';
import type { Policy } from './policy.ts';
import type { NewDeal, PastDeal, Proposable } from './proposal-store.ts';

/** The client as the chain shows it at one tipset. */
export interface ClientState {
  client: string;
  headEpoch: number;
  funds: ChainFunds;
}

/** One aggregate, and what is decided of it before anything is signed. */
export interface Plan {
  piece: Proposable;
  policy: Policy;
  past: readonly PastDeal[];
  /** How many slots want a deal; `empty`: those that no live deal fills meanwhile. */
  wanted: { all: number; empty: number };
}

export interface Draft {
  chosen: Chosen;
  proposal: DealProposal;
  cost: Cost;
}

export type Signed = NewDeal & { cost: Cost; chosen: Chosen };

interface DraftInput {
  plan: Plan;
  choice: Choice;
  facts: ReadonlyMap<string, ProviderFacts>;
  state: ClientState;
}

/** The proposals to the chosen providers, unsigned, with collateral within the chain's bounds of now. */
export async function draftProposals(
  chain: Pick<Chain, 'providerCollateralBounds'>,
  { plan, choice, facts, state }: DraftInput,
  signal: AbortSignal,
): Promise<Draft[]> {
  const { piece, policy, past } = plan;
  if (choice.chosen.length === 0) return [];
  const collateral = await chain.providerCollateralBounds(piece.pieceBytes, policy.verified, { signal });
  return choice.chosen.map((chosen) => {
    const { provider } = chosen;
    const proposal = buildProposal({
      piece,
      policy,
      client: state.client,
      provider,
      headEpoch: state.headEpoch,
      earlier: past.filter((deal) => deal.provider === provider).length,
      pricePerEpoch: offeredPrice(facts.get(provider)?.ask, policy, piece.pieceBytes),
      collateral,
    });
    const durationEpochs = proposal.endEpoch - proposal.startEpoch;
    return { chosen, proposal, cost: costOf({ ...proposal, durationEpochs }) };
  });
}

interface SignDeps {
  wallet: Wallet;
  newUuid: () => string;
}

/** Signs one draft; nothing of it is kept or sent here. */
export async function signDraft(
  { wallet, newUuid }: SignDeps,
  { plan, client }: { plan: Plan; client: string },
  { chosen, proposal, cost }: Draft,
): Promise<Signed> {
  const bytes = encodeProposal(proposal);
  const signature = await wallet.sign(bytes);
  const { slot, generation, provider } = chosen;
  return {
    id: newUuid(),
    aggregateId: plan.piece.aggregateId,
    slot,
    generation,
    provider,
    policyVersion: plan.policy.version,
    client,
    signedProposal: encodeSignedProposal({ proposal, signature }),
    proposalCid: proposalCid(bytes).toString(),
    verified: proposal.verified,
    offline: plan.policy.offline,
    startEpoch: proposal.startEpoch,
    endEpoch: proposal.endEpoch,
    pricePerEpoch: proposal.pricePerEpoch,
    providerCollateral: proposal.providerCollateral,
    cost,
    chosen,
  };
}
