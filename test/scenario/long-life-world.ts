import { onTestFinished } from 'vitest';

import { createChainPool } from '../../src/chain/chain.ts';
import { createRpc } from '../../src/chain/rpc.ts';
import { createDevnetChain, type DevnetChain } from '../../src/devnet/devnet-chain.ts';
import { drawFraction } from '../../src/devnet/seeded-draw.ts';
import { parseAddress } from '../../src/filecoin/address.ts';
import { epochAt } from '../../src/filecoin/epoch.ts';
import { blsClient, blsKey, FIL, makeDeal } from '../devnet/ledger/chain-fixture.ts';
import { CLIENT, openWatch, type SeededDeal } from '../support/watch-fixture.ts';

export const PROVIDERS = ['f01011', 'f01013'];
export const LOOKBACK = 5;
export const FINALITY = 30;
export const NODES = 3;
const DAY = 2_880;
/** Epochs before the first deal is signed, so that no height is near genesis. */
const PRELUDE = 90;
const MIN_DURATION = 518_400;

export interface PlannedDeal extends SeededDeal {
  provider: string;
  startEpoch: number;
  endEpoch: number;
}

/** A chain with three nodes, two providers and a client on it, and the watch of it through all three. */
export class LongLife {
  readonly seed: string;
  readonly chain: DevnetChain;
  readonly watched: Awaited<ReturnType<typeof openWatch>>;
  readonly deals: PlannedDeal[] = [];

  private constructor(seed: string, chain: DevnetChain, watched: LongLife['watched']) {
    this.seed = seed;
    this.chain = chain;
    this.watched = watched;
  }

  static async open(seed: string): Promise<LongLife> {
    const genesisSeconds = new Date('2026-01-01T00:00:00Z').getTime() / 1_000;
    const chain = await createDevnetChain({
      epochMs: 1_000,
      isPaused: true,
      seed,
      collateralPerGib: 0n,
      finalityEpochs: FINALITY,
      genesisSeconds,
      rpcNodes: NODES,
    });
    onTestFinished(() => chain.close());
    const { ledger } = chain;
    for (const id of PROVIDERS) ledger.registerMiner({ id, escrow: FIL });
    ledger.fund(parseAddress(CLIENT), { attoFil: 10_000n * FIL, dataCapBytes: 0n });
    ledger.fund(blsClient, { attoFil: 10_000n * FIL, dataCapBytes: 0n });
    const [rpcUrl = '', ...otherUrls] = chain.rpcUrls;
    const watched = await openWatch({ rpcUrl, otherUrls, lookbackEpochs: LOOKBACK });
    onTestFinished(() => watched[Symbol.asyncDispose]());
    const { clock, deps } = watched;
    const rpc = createRpc({
      endpoints: chain.rpcUrls.map((url) => ({ url })),
      timeoutMs: 20_000,
      clock,
      random: () => 0.5,
      lastEpoch: () => epochAt(genesisSeconds, clock.now()) + 10,
    });
    onTestFinished(() => rpc.close());
    deps.chain = createChainPool(rpc);
    deps.chainTime = { genesisSeconds };
    const life = new LongLife(seed, chain, watched);
    life.advance(PRELUDE);
    return life;
  }

  get height(): number {
    return this.chain.ledger.head().height;
  }

  draw(what: string): number {
    return drawFraction(this.seed, what);
  }

  drawWhole(what: string, below: number): number {
    return Math.floor(this.draw(what) * below);
  }

  /** The chain and the clock on the wall go on together. */
  advance(epochs: number): void {
    if (epochs > 0) this.chain.ledger.advance(epochs);
    this.setClock();
  }

  setClock(): void {
    const { clock } = this.watched;
    const due = (this.chain.ledger.genesisSeconds() + this.height * 30) * 1_000;
    if (due > clock.now().getTime()) clock.advance(due - clock.now().getTime());
  }

  async sign(piece: number): Promise<PlannedDeal> {
    const provider = PROVIDERS[piece % PROVIDERS.length] ?? '';
    const startEpoch = this.height + 3 * DAY + this.drawWhole(`start ${piece}`, 7 * DAY);
    const endEpoch = startEpoch + MIN_DURATION + this.drawWhole(`end ${piece}`, 60 * DAY);
    const seeded = await this.watched.seed({ provider, piece, startEpoch, endEpoch });
    const deal = { ...seeded, provider, startEpoch, endEpoch };
    this.deals.push(deal);
    return deal;
  }

  /** A deal of somebody else; a forged one is dropped by the market actor. */
  stranger({ provider, startEpoch, endEpoch }: PlannedDeal, label: string, isForged: boolean): Uint8Array {
    const terms = { provider, startEpoch, endEpoch, price: 1n, providerCollateral: 0n, pieceBytes: 2_048 };
    return makeDeal({ key: blsKey, label, isForged, ...terms });
  }

  async setFaults(faults: readonly (object | null)[]): Promise<void> {
    for (const [node, url] of this.chain.rpcUrls.entries()) {
      const body = JSON.stringify({ rpc: faults[node] ?? null });
      const response = await fetch(new URL('/devnet/faults', url), { method: 'POST', body });
      if (!response.ok) throw new Error(await response.text());
    }
  }
}
