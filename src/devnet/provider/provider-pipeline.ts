import { CID } from 'multiformats/cid';
import { decodeSignedProposal, encodeSignedProposal } from '../../filecoin/proposal.ts';
import { removeChunks } from './piece-chunks.ts';
import type { ProviderContext } from './provider-context.ts';
import { isPast, type ProviderDeal } from './provider-deals.ts';
import { nextProviderStep, startElapsed, type SeenOnChain } from './provider-steps.ts';
import { PublishBatch } from './publish-batch.ts';
import { receiptOf } from '../ledger/publish-receipt.ts';
import { piecePath, PieceReceiver } from './receive-piece.ts';

/**
 * A devnet often starts together with the service it fetches from (the demo on a kept folder). A transfer that is
 * taken up again then waits about half a minute for it, where Boost would fail the deal at once.
 */
const RESUMED_HEAD_ATTEMPTS = 180;
/** A proof that is not on the chain after so many epochs is pushed again; a reorg may have lost it. */
const PROVE_AGAIN_EPOCHS = 10;

/**
 * Takes accepted deals through transfer, check, publish and proof. All it knows is in the deal book, the piece files
 * and the ledger, so it goes on after a SIGKILL.
 */
export class ProviderPipeline {
  readonly #context: ProviderContext;
  readonly #receiver: PieceReceiver;
  readonly #batch = new PublishBatch<ProviderDeal>();
  /** Published deals whose proof is not final yet. */
  readonly #followed = new Set<ProviderDeal>();
  readonly #provePushed = new Map<string, number>();
  readonly #tasks = new Set<Promise<void>>();
  #unsubscribe: () => void = () => undefined;

  constructor(context: ProviderContext) {
    this.#context = context;
    this.#receiver = new PieceReceiver(context);
  }

  /** Goes on with every deal of the book that is not at its end, and follows the chain. */
  start(): void {
    for (const deal of this.#context.book.list()) this.take(deal, RESUMED_HEAD_ATTEMPTS);
    this.#unsubscribe = this.#context.ledger.onEpoch((epoch) => this.#atEpoch(epoch));
  }

  /** After the context's signal: waits for what is under way to let go. */
  async close(): Promise<void> {
    this.#unsubscribe();
    this.#receiver.close();
    await Promise.all(this.#tasks);
  }

  /** An offline deal waits for its data to be imported; one that rests with an error waits for its operator. */
  take(deal: ProviderDeal, minHeadAttempts = 1): void {
    if (deal.checkpoint === 'Complete') return;
    if (isPast(deal, 'Published')) this.#followed.add(deal);
    else if (isUnpublished(deal)) this.#batch.add(deal, this.#headEpoch());
    else if (deal.checkpoint === 'Accepted' && !deal.params.isOffline && !this.#context.persona().neverFetch)
      this.#track(this.#receive(deal, minHeadAttempts));
  }

  #headEpoch(): number {
    return this.#context.ledger.head().height;
  }

  #track(task: Promise<void>): void {
    const { log, id } = this.#context;
    const settled = task.catch((error: unknown) => log.error({ provider: id, err: error }, 'provider.task_failed'));
    this.#tasks.add(settled);
    void settled.finally(() => this.#tasks.delete(settled));
  }

  async #receive(deal: ProviderDeal, minHeadAttempts: number): Promise<void> {
    const { signal, book, log, id } = this.#context;
    try {
      await this.#receiver.receive(deal, minHeadAttempts);
      book.advance(deal, { checkpoint: 'Transferred', error: '' });
      this.#batch.add(deal, this.#headEpoch());
      log.info({ provider: id, deal: deal.uuid, bytes: deal.params.transfer.sizeBytes }, 'provider.transferred');
    } catch (error) {
      // A closing provider leaves the deal where it is: the next start goes on.
      if (!signal.aborted) await this.#fail(deal, error instanceof Error ? error.message : String(error));
    }
  }

  async #fail(deal: ProviderDeal, error: string): Promise<void> {
    const { book, log, id } = this.#context;
    book.advance(deal, { checkpoint: 'Complete', error });
    log.warn({ provider: id, deal: deal.uuid, error }, 'provider.deal_failed');
    await removeChunks({ path: piecePath(this.#context, deal.uuid), sizeBytes: deal.params.transfer.sizeBytes });
  }

  #atEpoch(epoch: number): void {
    try {
      this.#publishDue(epoch);
      for (const deal of this.#followed) this.#follow(deal, epoch);
    } catch (error) {
      // The chain does not stop for a provider's fault; the next epoch tries again.
      this.#context.log.error({ provider: this.#context.id, err: error }, 'provider.epoch_failed');
    }
  }

  #publishDue(epoch: number): void {
    const { publishBatchDeals, publishBatchEpochs, publishDelayEpochs } = this.#context.persona();
    // One that publishes late waits for time alone, however full its batch is.
    const maxDeals = publishDelayEpochs > 0 ? Number.MAX_SAFE_INTEGER : publishBatchDeals;
    const due = this.#batch.takeDue(epoch, { maxDeals, maxEpochs: publishBatchEpochs + publishDelayEpochs });
    try {
      const fresh = due.filter((deal) => !this.#isElapsed(deal, epoch) && !this.#adoptPublish(deal));
      if (fresh.length > 0) this.#publish(fresh);
    } catch (error) {
      for (const deal of due.filter(isUnpublished)) this.#batch.add(deal, epoch);
      throw error;
    }
  }

  #isElapsed(deal: ProviderDeal, headEpoch: number): boolean {
    const { startEpoch } = deal.proposal;
    if (headEpoch <= startEpoch || this.#context.persona().publishElapsed) return false;
    this.#track(this.#fail(deal, startElapsed({ startEpoch, headEpoch })));
    return true;
  }

  /** A provider killed between publishing and remembering it finds its message on the ledger. */
  #adoptPublish(deal: ProviderDeal): boolean {
    const { ledger, id } = this.#context;
    const message = ledger.findPublish(id, deal.params.signedProposal);
    if (message !== undefined) this.#published(deal, message);
    return message !== undefined;
  }

  #publish(deals: ProviderDeal[]): void {
    const { ledger, id, book } = this.#context;
    const { changeTerms } = this.#context.persona();
    const attempt = ledger.publish(
      id,
      deals.map(({ params }) => (changeTerms ? withOtherPrice(params.signedProposal) : params.signedProposal)),
    );
    const reasons = new Map(attempt.dropped.map(({ index, reason }) => [index, reason]));
    for (const [index, deal] of deals.entries()) {
      const reason = reasons.get(index) ?? (attempt.kind === 'refused' ? attempt.reason : undefined);
      if (reason === undefined && attempt.kind === 'pushed') this.#published(deal, attempt.message);
      else book.advance(deal, { error: `recoverable error to publish deal ${deal.uuid}: ${reason}` });
    }
  }

  #published(deal: ProviderDeal, message: CID): void {
    this.#context.book.advance(deal, { checkpoint: 'Published', publishCid: message.toString() });
    this.#followed.add(deal);
    this.#context.log.info(
      { provider: this.#context.id, deal: deal.uuid, message: message.toString() },
      'provider.published',
    );
  }

  /** One step an epoch, so that whoever asks for the status sees each of them. */
  #follow(deal: ProviderDeal, headEpoch: number): void {
    const seen = this.#look(deal, headEpoch);
    if (this.#isLost(deal, seen)) {
      this.#publishAgain(deal, headEpoch);
      return;
    }
    const step = nextProviderStep(deal, seen);
    if (step.kind === 'advance') this.#context.book.advance(deal, step.change);
    if (step.kind === 'prove' && !this.#context.persona().neverProve) this.#prove(deal, step.dealId, headEpoch);
    const provenAt = seen.sectorStartEpoch ?? seen.receipt?.height;
    const isSettled = deal.isProven && provenAt !== undefined && this.#context.ledger.isFinal(provenAt);
    if (isSettled || deal.checkpoint === 'Complete') this.#followed.delete(deal);
  }

  /** The chain was killed before it kept the message: it is neither in a block nor in the pool. */
  #isLost(deal: ProviderDeal, { receipt }: SeenOnChain): boolean {
    const { ledger, id } = this.#context;
    const isWaiting = deal.checkpoint === 'Published' && receipt === undefined;
    return isWaiting && ledger.findPublish(id, deal.params.signedProposal) === undefined;
  }

  #publishAgain(deal: ProviderDeal, headEpoch: number): void {
    this.#followed.delete(deal);
    this.#context.book.advance(deal, { checkpoint: 'Transferred', publishCid: '' });
    this.#batch.add(deal, headEpoch);
  }

  #look(deal: ProviderDeal, headEpoch: number): SeenOnChain {
    const { ledger, persona } = this.#context;
    const receipt = receiptOf(ledger, CID.parse(deal.publishCid), deal.proposal);
    return {
      headEpoch,
      startEpoch: deal.proposal.startEpoch,
      proveEpochs: persona().proveEpochs,
      receipt,
      sectorStartEpoch: receipt?.dealId === undefined ? undefined : ledger.deal(receipt.dealId)?.sectorStartEpoch,
    };
  }

  #prove(deal: ProviderDeal, dealId: bigint, epoch: number): void {
    const { ledger, log, id } = this.#context;
    if (epoch < (this.#provePushed.get(deal.uuid) ?? Number.NEGATIVE_INFINITY) + PROVE_AGAIN_EPOCHS) return;
    this.#provePushed.set(deal.uuid, epoch);
    const attempt = ledger.proveSector(id, [dealId]);
    const fields = { provider: id, deal: deal.uuid, dealId: dealId.toString() };
    if (attempt.kind === 'pushed') log.info({ ...fields, sector: attempt.sectorNumber }, 'provider.proved');
    else log.warn({ ...fields, reason: attempt.reason }, 'provider.proof_refused');
  }
}

/** The deal at a price that its client never signed. */
function withOtherPrice(signedProposal: Uint8Array): Uint8Array {
  const { proposal, signature } = decodeSignedProposal(signedProposal);
  const dearer = { ...proposal, pricePerEpoch: proposal.pricePerEpoch * 2n + 1n };
  return encodeSignedProposal({ proposal: dearer, signature });
}

function isUnpublished(deal: ProviderDeal): boolean {
  return deal.checkpoint === 'Transferred' && deal.error === '';
}
