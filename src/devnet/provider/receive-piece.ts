import { join } from 'node:path';
import { CID } from 'multiformats/cid';
import { create as createDigest } from 'multiformats/hashes/digest';
import { FIL_COMMITMENT_UNSEALED, SHA2_256_TRUNC254_PADDED } from '../../filecoin/codes.ts';
import { parseHttpTransferParams } from '../../filecoin/mk12-propose.ts';
import { fetchPiece } from './fetch-piece.ts';
import { padCommitment } from './piece-commitment.ts';
import type { ProviderContext } from './provider-context.ts';
import type { ProviderDeal } from './provider-deals.ts';
import { startElapsed } from './provider-steps.ts';

/** Boost's MaxTransferDuration. */
const MAX_TRANSFER_MS = 24 * 60 * 60 * 1_000;

/** Where a deal's piece is, or gathers. */
export function piecePath(context: Pick<ProviderContext, 'piecesFolder'>, uuid: string): string {
  return join(context.piecesFolder, `${uuid}.car`);
}

/** Brings the pieces of accepted deals, a bounded number at a time, and checks what came. */
export class PieceReceiver {
  readonly #context: ProviderContext;
  readonly #inLine: (() => void)[] = [];
  #transfers = 0;
  #connections = 0;

  constructor(context: ProviderContext) {
    this.#context = context;
  }

  /** Resolves when the piece is on disk and is the one proposed; else rejects with the error of Boost's deal status. */
  async receive(deal: ProviderDeal, minHeadAttempts: number): Promise<void> {
    await this.#transfer(deal, minHeadAttempts);
    await this.#verify(deal);
  }

  /** After the context's signal: whoever waits in line finds that it is over. */
  close(): void {
    for (const enter of this.#inLine.splice(0)) enter();
  }

  async #transfer(deal: ProviderDeal, minHeadAttempts: number): Promise<void> {
    await this.#enterLine();
    try {
      this.#context.signal.throwIfAborted();
      this.#checkStartEpoch(deal);
      const { transfer } = deal.params;
      await fetchPiece({
        ...parseHttpTransferParams(transfer.params),
        sizeBytes: transfer.sizeBytes,
        path: piecePath(this.#context, deal.uuid),
        persona: this.#context.persona,
        minHeadAttempts,
        random: this.#context.random,
        signal: AbortSignal.any([this.#context.signal, AbortSignal.timeout(MAX_TRANSFER_MS)]),
        nextConnection: () => this.#connections++,
      });
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      throw new Error(`data-transfer failed: ${text}`, { cause: error });
    } finally {
      this.#leaveLine();
    }
  }

  async #enterLine(): Promise<void> {
    while (!this.#context.signal.aborted && this.#transfers >= Math.max(1, this.#context.persona().transfersAtOnce)) {
      await new Promise<void>((resolve) => this.#inLine.push(resolve));
    }
    this.#transfers += 1;
  }

  #leaveLine(): void {
    this.#transfers -= 1;
    this.#inLine.shift()?.();
  }

  #checkStartEpoch({ proposal }: ProviderDeal): void {
    const headEpoch = this.#context.ledger.head().height;
    if (headEpoch > proposal.startEpoch) throw new Error(startElapsed({ startEpoch: proposal.startEpoch, headEpoch }));
  }

  /** Boost looks at the CAR's head first, then compares commitments; a body that is no CAR comes up when it indexes. */
  async #verify(deal: ProviderDeal): Promise<void> {
    const { pieceCid, pieceBytes } = deal.proposal;
    const stem = 'failed to verify CommP:';
    const report = await this.#context.hashes.hash(piecePath(this.#context, deal.uuid));
    if (report.headerError !== '') {
      const cause = `performing local commp: failed to open carv2 reader: ${report.headerError}`;
      throw new Error(`${stem} failed to generate CommP: ${cause}`);
    }
    const root = padCommitment(report, pieceBytes);
    if (this.#context.persona().mistakeCommP) root[0] = (root[0] ?? 0) ^ 1;
    const actual = CID.createV1(FIL_COMMITMENT_UNSEALED, createDigest(SHA2_256_TRUNC254_PADDED, root));
    if (!actual.equals(pieceCid)) {
      throw new Error(`${stem} commP expected=${pieceCid}, actual=${actual}: commp mismatch`);
    }
    if (report.carError !== '') throw new Error(`failed to add index and announce deal: ${report.carError}`);
  }
}
