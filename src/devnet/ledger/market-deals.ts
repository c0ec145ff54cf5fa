import { idOf } from '../../filecoin/address.ts';
import { BURNT_FUNDS_ACTOR_ID, MARKET_ACTOR_ID, type ChainState, type MarketDeal } from './chain-state.ts';
import { clientLock, type PublishPlan } from './market-publish.ts';

/** The market actor looks at a deal that never began on one epoch a month (builtin-actors deal_updates_interval). */
export const DEAL_UPDATES_INTERVAL = 86_400;

/** Mainnet's ids are far from 0 too; a first id of 1 spares readers the question whether 0 is one. */
const FIRST_DEAL_ID = 1n;
export const DEAL_COUNTER = 'deal';

/** Puts the accepted deals into the state and locks their money. Gives the ids, in order. */
export function applyPublish(state: ChainState, plan: PublishPlan, height: number): bigint[] {
  return plan.accepted.map(({ clientId, deal }) => {
    const { proposal } = deal;
    const id = state.take(DEAL_COUNTER, FIRST_DEAL_ID, height);
    state.deals.set(id, deal, height);
    state.pending.set(deal.proposalCid.toString(), id, height);
    state.addEscrow(clientId, { escrow: 0n, locked: clientLock(proposal) }, height);
    state.addEscrow(idOf(proposal.provider), { escrow: 0n, locked: proposal.providerCollateral }, height);
    if (proposal.verified) {
      const left = (state.dataCaps.get(clientId) ?? 0n) - proposal.pieceBytes;
      state.dataCaps.set(clientId, left > 0n ? left : undefined, height);
    }
    return id;
  });
}

/** Why a deal cannot go into a sector proven at `epoch`; undefined when it can. */
export function activationFault(
  state: ChainState,
  dealId: bigint,
  { minerId, epoch }: { minerId: bigint; epoch: number },
): string | undefined {
  const deal = state.deals.get(dealId);
  if (deal === undefined) return `no such deal ${dealId}`;
  if (idOf(deal.proposal.provider) !== minerId) return `deal ${dealId} is not with f0${minerId}`;
  if (deal.sectorStartEpoch >= 0) return `deal ${dealId} is in sector ${deal.sectorNumber} already`;
  const { startEpoch } = deal.proposal;
  return epoch > startEpoch ? `start epoch ${startEpoch} of deal ${dealId} has already elapsed` : undefined;
}

export function applyActivation(
  state: ChainState,
  dealId: bigint,
  { sectorNumber, epoch }: { sectorNumber: number; epoch: number },
): MarketDeal | undefined {
  const deal = state.deals.get(dealId);
  if (deal === undefined) return undefined;
  state.deals.set(dealId, { ...deal, sectorNumber, sectorStartEpoch: epoch }, epoch);
  return deal;
}

/** The epoch of the cron run that clears a deal nobody proved: the first from its start on that is ≡ its id. */
export function clearingEpoch(dealId: bigint, startEpoch: number): number {
  const phase = Number(dealId % BigInt(DEAL_UPDATES_INTERVAL));
  const wait = (phase - startEpoch) % DEAL_UPDATES_INTERVAL;
  return startEpoch + (wait < 0 ? wait + DEAL_UPDATES_INTERVAL : wait);
}

/** A deal that was not proven in time: the client gets its money back, the provider's collateral burns. No event. */
export function applyTimeout(state: ChainState, dealId: bigint, height: number): void {
  const deal = state.deals.get(dealId);
  if (deal === undefined) return;
  releaseClient(state, deal.proposal, { locked: clientLock(deal.proposal), height });
  burnCollateral(state, deal, height);
  removeDeal(state, dealId, { deal, height });
}

/** The sector of a running deal is terminated: paid up to `epoch`, the rest released, the collateral burnt. */
export function applyTermination(state: ChainState, dealId: bigint, epoch: number): void {
  const deal = state.deals.get(dealId);
  if (deal === undefined) return;
  const paidUntil = payProvider(state, deal, { epoch, height: epoch });
  const rest = deal.proposal.pricePerEpoch * BigInt(deal.proposal.endEpoch - paidUntil);
  releaseClient(state, deal.proposal, { locked: rest + deal.proposal.clientCollateral, height: epoch });
  burnCollateral(state, deal, epoch);
  removeDeal(state, dealId, { deal, height: epoch });
}

/** SettleDealPayments of one deal: 'completed' when it is at its end, and leaves the state. */
export function applySettlement(
  state: ChainState,
  dealId: bigint,
  epoch: number,
): 'none' | 'paid' | 'completed' | 'timed-out' {
  const deal = state.deals.get(dealId);
  if (deal === undefined) return 'none';
  if (deal.sectorStartEpoch < 0) {
    if (epoch <= deal.proposal.startEpoch) return 'none';
    applyTimeout(state, dealId, epoch);
    return 'timed-out';
  }
  if (epoch <= deal.proposal.startEpoch) return 'none';
  const paidUntil = payProvider(state, deal, { epoch, height: epoch });
  if (paidUntil < deal.proposal.endEpoch) {
    state.deals.set(dealId, { ...deal, lastUpdatedEpoch: epoch }, epoch);
    return 'paid';
  }
  releaseClient(state, deal.proposal, { locked: deal.proposal.clientCollateral, height: epoch });
  const unlocked = { escrow: 0n, locked: -deal.proposal.providerCollateral };
  state.addEscrow(idOf(deal.proposal.provider), unlocked, epoch);
  removeDeal(state, dealId, { deal, height: epoch });
  return 'completed';
}

/** Pays for the epochs since the last payment; gives the epoch up to which all is paid. */
function payProvider(state: ChainState, deal: MarketDeal, at: { epoch: number; height: number }): number {
  const { proposal } = deal;
  const from = Math.max(deal.lastUpdatedEpoch, proposal.startEpoch);
  const until = Math.max(from, Math.min(at.epoch, proposal.endEpoch));
  const payment = proposal.pricePerEpoch * BigInt(until - from);
  state.addEscrow(idOf(proposal.client), { escrow: -payment, locked: -payment }, at.height);
  state.addEscrow(idOf(proposal.provider), { escrow: payment, locked: 0n }, at.height);
  return until;
}

function releaseClient(
  state: ChainState,
  proposal: MarketDeal['proposal'],
  { locked, height }: { locked: bigint; height: number },
): void {
  state.addEscrow(idOf(proposal.client), { escrow: 0n, locked: -locked }, height);
}

/** The market actor's own balance is the sum of all escrow, so that burning takes from both. */
function burnCollateral(state: ChainState, { proposal }: MarketDeal, height: number): void {
  const amount = proposal.providerCollateral;
  state.addEscrow(idOf(proposal.provider), { escrow: -amount, locked: -amount }, height);
  state.addBalance(MARKET_ACTOR_ID, -amount, height);
  state.addBalance(BURNT_FUNDS_ACTOR_ID, amount, height);
}

function removeDeal(state: ChainState, dealId: bigint, { deal, height }: { deal: MarketDeal; height: number }): void {
  state.deals.set(dealId, undefined, height);
  state.pending.set(deal.proposalCid.toString(), undefined, height);
}
