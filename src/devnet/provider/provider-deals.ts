import { decodeDealParams, type DealParams } from '../../filecoin/mk12-propose.ts';
import { decodeSignedProposal, signedProposalCid, type SignedProposal } from '../../filecoin/proposal.ts';
import type { ProviderJournal } from './provider-journal.ts';

/** Boost's checkpoints in their order (storagemarket/types/dealcheckpoints); Complete means failed or cancelled. */
export const CHECKPOINTS = [
  'Accepted',
  'Transferred',
  'Published',
  'PublishConfirmed',
  'AddedPiece',
  'IndexedAndAnnounced',
  'Complete',
] as const;
export type Checkpoint = (typeof CHECKPOINTS)[number];

/** What changes in a deal after it was accepted. */
export interface DealProgress {
  checkpoint: Checkpoint;
  /** With Complete: why it failed for good. Before: why it rests; the provider may go on with it. */
  error: string;
  /** The publish message, once it is in the message pool. */
  publishCid: string;
  chainDealId: bigint;
  /** The provider has seen its sector's proof on chain. */
  isProven: boolean;
}

/** A deal that a provider has accepted. */
export interface ProviderDeal extends DealProgress {
  readonly uuid: string;
  readonly params: DealParams;
  readonly proposal: SignedProposal['proposal'];
  readonly acceptedAt: Date;
}

/** One line of the journal. */
export type DealEntry =
  | { kind: 'accepted'; at: string; params: string }
  | { kind: 'moved'; uuid: string; change: Partial<Omit<DealProgress, 'chainDealId'>> & { chainDealId?: string } };

/** All deals of one provider, found by uuid and by proposal. Every change is in the journal before it counts. */
export class DealBook {
  readonly #journal: ProviderJournal<DealEntry>;
  readonly #byUuid = new Map<string, ProviderDeal>();
  readonly #byProposal = new Map<string, ProviderDeal>();

  constructor(journal: ProviderJournal<DealEntry>) {
    this.#journal = journal;
    for (const entry of journal.entries) this.#apply(entry);
  }

  list(): ProviderDeal[] {
    return [...this.#byUuid.values()];
  }

  find(uuid: string): ProviderDeal | undefined {
    return this.#byUuid.get(uuid);
  }

  /** By the CID of the whole ClientDealProposal, as Boost looks for duplicates. */
  findByProposal(signedProposal: Uint8Array): ProviderDeal | undefined {
    return this.#byProposal.get(signedProposalCid(signedProposal).toString());
  }

  /** `request` is the DealParams message as received. */
  accept(request: Uint8Array, at: Date): ProviderDeal {
    return this.#write({
      kind: 'accepted',
      at: at.toISOString(),
      params: Buffer.from(request).toString('base64'),
    });
  }

  advance(deal: ProviderDeal, change: Partial<DealProgress>): void {
    const { chainDealId, ...plain } = change;
    const id = chainDealId === undefined ? {} : { chainDealId: chainDealId.toString() };
    this.#write({ kind: 'moved', uuid: deal.uuid, change: { ...plain, ...id } });
  }

  #write(entry: DealEntry): ProviderDeal {
    this.#journal.append(entry);
    return this.#apply(entry);
  }

  #apply(entry: DealEntry): ProviderDeal {
    if (entry.kind === 'accepted') return this.#insert(entry);
    const deal = this.#byUuid.get(entry.uuid);
    if (deal === undefined) throw new Error(`the journal moves deal ${entry.uuid}, which it never accepted`);
    const { chainDealId, ...plain } = entry.change;
    Object.assign(deal, plain, chainDealId === undefined ? {} : { chainDealId: BigInt(chainDealId) });
    return deal;
  }

  #insert({ at, params: text }: Extract<DealEntry, { kind: 'accepted' }>): ProviderDeal {
    const params = decodeDealParams(Uint8Array.from(Buffer.from(text, 'base64')));
    const deal: ProviderDeal = {
      uuid: params.dealUuid,
      params,
      proposal: decodeSignedProposal(params.signedProposal).proposal,
      acceptedAt: new Date(at),
      checkpoint: 'Accepted',
      error: '',
      publishCid: '',
      chainDealId: 0n,
      isProven: false,
    };
    this.#byUuid.set(deal.uuid, deal);
    this.#byProposal.set(signedProposalCid(params.signedProposal).toString(), deal);
    return deal;
  }
}

export function isPast(deal: ProviderDeal, checkpoint: Checkpoint): boolean {
  return CHECKPOINTS.indexOf(deal.checkpoint) >= CHECKPOINTS.indexOf(checkpoint);
}
