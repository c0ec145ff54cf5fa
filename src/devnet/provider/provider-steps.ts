import type { DealProgress } from './provider-deals.ts';

/** What the chain shows of a deal that has been handed to the publisher. */
export interface SeenOnChain {
  headEpoch: number;
  startEpoch: number;
  /** From a confirmed publish to the proof. */
  proveEpochs: number;
  /** The receipt of the publish message; undefined while there is none, and again after a reorg. */
  receipt: { height: number; exitCode: number; dealId: bigint | undefined } | undefined;
  /** −1 until proven; undefined when the market does not know the deal. */
  sectorStartEpoch: number | undefined;
}

/** The next thing to do for a deal; `wait` until the chain has moved on. */
export type ProviderStep =
  | { kind: 'wait' }
  | { kind: 'advance'; change: Partial<DealProgress> }
  | { kind: 'prove'; dealId: bigint };

const wait: ProviderStep = { kind: 'wait' };

function advance(change: Partial<DealProgress>): ProviderStep {
  return { kind: 'advance', change };
}

/**
 * From a published deal to a proven sector, as Boost goes (deal_execution.go): confirm the publish, hand the piece to
 * the sealer, index and announce it, and meanwhile the sector gets proven. A reorg is followed in each state.
 */
export function nextProviderStep(deal: DealProgress, seen: SeenOnChain): ProviderStep {
  switch (deal.checkpoint) {
    case 'Accepted':
    case 'Transferred':
    case 'Complete':
      return wait;
    case 'Published':
      return confirm(deal, seen);
    case 'PublishConfirmed':
      if (seen.headEpoch > seen.startEpoch) {
        return advance({ checkpoint: 'Complete', error: `failed to add piece: ${startElapsed(seen)}` });
      }
      return advance({ checkpoint: 'AddedPiece' });
    case 'AddedPiece':
      return advance({ checkpoint: 'IndexedAndAnnounced' });
    case 'IndexedAndAnnounced':
      return prove(deal, seen);
    default:
      return deal.checkpoint satisfies never;
  }
}

function confirm(deal: DealProgress, { receipt }: SeenOnChain): ProviderStep {
  if (receipt === undefined) return wait;
  const stem = `wait for confirmation of publish message ${deal.publishCid} failed`;
  if (receipt.exitCode !== 0) return pause(deal, `${stem}: exit code ${receipt.exitCode}`);
  if (receipt.dealId === undefined) return pause(deal, `${stem}: deal is not among the valid deals`);
  return advance({ checkpoint: 'PublishConfirmed', chainDealId: receipt.dealId, error: '' });
}

function pause(deal: DealProgress, error: string): ProviderStep {
  return deal.error === error ? wait : advance({ error });
}

function prove(deal: DealProgress, { receipt, headEpoch, proveEpochs, sectorStartEpoch }: SeenOnChain): ProviderStep {
  if (receipt?.dealId === undefined) return wait;
  // After a reorg the same message can have made another deal id.
  if (receipt.dealId !== deal.chainDealId) return advance({ chainDealId: receipt.dealId, isProven: false });
  if (sectorStartEpoch === undefined) return wait;
  if (sectorStartEpoch >= 0) return deal.isProven ? wait : advance({ isProven: true });
  return headEpoch >= receipt.height + proveEpochs ? { kind: 'prove', dealId: deal.chainDealId } : wait;
}

/** Boost's words for a deal that can no longer be proven in time. */
export function startElapsed({ startEpoch, headEpoch }: Pick<SeenOnChain, 'startEpoch' | 'headEpoch'>): string {
  return (
    `deal proposal must be proven on chain by deal proposal start epoch ${startEpoch}, ` +
    `but it has expired: current chain height: ${headEpoch}`
  );
}
