import { describe, expect, it } from 'vitest';

import type { Ledger } from '../../../src/devnet/ledger/ledger.ts';
import { clearingEpoch } from '../../../src/devnet/ledger/market-deals.ts';
import { formatAddress, parseAddress } from '../../../src/filecoin/address.ts';
import { verifySignature } from '../../../src/filecoin/signature.ts';
import {
  activateNow,
  blsKey,
  client,
  END,
  eventTypes,
  FIL,
  makeDeal,
  PROVIDER,
  publishNow,
  pushDeals,
  standingLedger,
  START,
} from './chain-fixture.ts';

const PRICE = 1_000n;
const LOCK = PRICE * BigInt(END - START);

/** State of a deal as of each of these heights. */
function dealAt(ledger: Ledger, id: bigint, ...heights: number[]) {
  const { state } = ledger.view();
  return heights.map((height) => state.deals.get(id, height)?.sectorStartEpoch);
}

describe('a published deal', () => {
  it('is in the state from the tipset after its message on', () => {
    const ledger = standingLedger();
    ledger.advance(5);
    const message = pushDeals(ledger, [makeDeal()]);
    expect(ledger.publishResult(message)).toBeUndefined();
    ledger.advance(1);
    expect(ledger.publishResult(message)).toBeUndefined();
    expect(ledger.deal(1n)).toBeUndefined();
    ledger.advance(1);
    expect(ledger.publishResult(message)).toMatchObject({ exitCode: 0, dealIds: [1n], valid: [0], height: 6 });
    expect(ledger.deal(1n)).toMatchObject({ dealId: 1n, sectorStartEpoch: -1, slashEpoch: -1 });
    expect(dealAt(ledger, 1n, 6, 7)).toEqual([undefined, -1]);
    expect(formatAddress(ledger.deal(1n)?.proposal.client ?? client)).toMatch(/^f0\d+$/);
  });

  it('locks the money of both', () => {
    const ledger = standingLedger();
    publishNow(ledger, [makeDeal({ price: PRICE, clientCollateral: 5n })]);
    expect(ledger.marketBalance(client)).toEqual({ escrow: 100n * FIL, locked: LOCK + 5n });
    expect(ledger.marketBalance(parseAddress(PROVIDER))).toEqual({ escrow: 5_000n * FIL, locked: FIL });
  });

  it('can be found by its signed proposal, also before it landed', () => {
    const ledger = standingLedger();
    const deal = makeDeal();
    const message = pushDeals(ledger, [makeDeal({ label: 'other' }), deal]);
    expect(ledger.findPublish(PROVIDER, deal)?.toString()).toBe(message.toString());
    ledger.advance(2);
    expect(ledger.findPublish(PROVIDER, deal)?.toString()).toBe(message.toString());
    ledger.registerMiner({ id: 'f01003' });
    expect(ledger.findPublish('f01003', deal)).toBeUndefined();
  });

  it('lands with the others of its sender in the order they were pushed', () => {
    const ledger = standingLedger();
    const first = pushDeals(ledger, [makeDeal({ label: '1' })]);
    const second = pushDeals(ledger, [makeDeal({ label: '2' })]);
    ledger.advance(1);
    const third = pushDeals(ledger, [makeDeal({ label: '3' })]);
    ledger.advance(2);
    expect([first, second, third].map((cid) => ledger.publishResult(cid)?.dealIds)).toEqual([[1n], [2n], [3n]]);
  });
});

describe('a sector', () => {
  it('makes its deals active at the epoch of the proof', () => {
    const ledger = standingLedger();
    const ids = publishNow(ledger, [makeDeal(), makeDeal({ label: 'b', key: blsKey })]);
    const before = ledger.head().height;
    const epoch = activateNow(ledger, ids);
    expect(epoch).toBe(before + 1);
    expect(dealAt(ledger, 2n, epoch, epoch + 1)).toEqual([-1, epoch]);
    expect(ledger.deal(1n)).toMatchObject({ sectorNumber: 1, sectorStartEpoch: epoch, lastUpdatedEpoch: -1 });
    expect(ledger.proveSector(PROVIDER, [1n])).toMatchObject({ kind: 'refused' });
  });

  it('takes no deal after its start, of another miner, or one that is not there', () => {
    const ledger = standingLedger();
    ledger.registerMiner({ id: 'f01003' });
    publishNow(ledger, [makeDeal({ startEpoch: 5, endEpoch: 5 + 518_400 })]);
    expect(ledger.proveSector('f01003', [1n])).toMatchObject({ kind: 'refused' });
    expect(ledger.proveSector(PROVIDER, [9n])).toMatchObject({ kind: 'refused' });
    ledger.advance(2);
    // The proof lands at the start epoch itself, which is the last moment.
    expect(ledger.head().height).toBe(4);
    expect(ledger.proveSector(PROVIDER, [1n])).toMatchObject({ kind: 'pushed' });
    const late = standingLedger();
    publishNow(late, [makeDeal({ startEpoch: 5, endEpoch: 5 + 518_400 })]);
    late.advance(3);
    expect(late.proveSector(PROVIDER, [1n])).toMatchObject({ kind: 'refused' });
  });

  it('that is terminated takes its deals out of the state at once', () => {
    const ledger = standingLedger();
    const [id = 0n] = publishNow(ledger, [makeDeal({ startEpoch: 10, endEpoch: 10 + 518_400, price: PRICE })]);
    activateNow(ledger, [id]);
    ledger.advance(100);
    const { height } = ledger.land(ledger.terminateSectorOf(id));
    expect(dealAt(ledger, id, height, height + 1)).toEqual([3, undefined]);
    const paid = PRICE * BigInt(height - 10);
    expect(ledger.marketBalance(client)).toEqual({ escrow: 100n * FIL - paid, locked: 0n });
    expect(ledger.marketBalance(parseAddress(PROVIDER))).toEqual({ escrow: 4_999n * FIL + paid, locked: 0n });
    expect(eventTypes(ledger)).toEqual(['deal-published', 'deal-activated', 'deal-terminated']);
  });

  it('that has paid out its deals lets them go with an event', () => {
    const ledger = standingLedger();
    const [id = 0n] = publishNow(ledger, [makeDeal({ startEpoch: 10, endEpoch: 10 + 518_400, price: PRICE })]);
    activateNow(ledger, [id]);
    ledger.advance(50);
    ledger.land(ledger.settle(id));
    expect(ledger.deal(id)?.lastUpdatedEpoch).toBe(ledger.head().height - 1);
    ledger.advance(518_400);
    expect(ledger.deal(id)?.sectorStartEpoch).toBe(3);
    ledger.land(ledger.settle(id));
    expect(ledger.deal(id)).toBeUndefined();
    expect(ledger.marketBalance(client)).toEqual({ escrow: 100n * FIL - PRICE * 518_400n, locked: 0n });
    expect(eventTypes(ledger)).toEqual(['deal-published', 'deal-activated', 'deal-completed']);
  });
});

describe('a deal that nobody proves', () => {
  const deal = () => makeDeal({ startEpoch: 10, endEpoch: 10 + 518_400, price: PRICE });

  it('stays as it is until cron clears it, up to 30 days after its start, without an event', () => {
    const ledger = standingLedger();
    const [id = 0n] = publishNow(ledger, [deal()]);
    const due = clearingEpoch(id, 10);
    expect(due).toBe(86_401);
    ledger.advance(due - ledger.head().height);
    expect(ledger.deal(id)).toMatchObject({ sectorStartEpoch: -1, sectorNumber: 0 });
    ledger.advance(1);
    expect(ledger.deal(id)).toBeUndefined();
    expect(ledger.marketBalance(client)).toEqual({ escrow: 100n * FIL, locked: 0n });
    expect(ledger.marketBalance(parseAddress(PROVIDER))).toEqual({ escrow: 4_999n * FIL, locked: 0n });
    expect(eventTypes(ledger)).toEqual(['deal-published']);
  });

  it('goes early when somebody settles it', () => {
    const ledger = standingLedger();
    const [id = 0n] = publishNow(ledger, [deal()]);
    ledger.land(ledger.settle(id));
    expect(ledger.deal(id)).toBeDefined();
    ledger.advance(20);
    ledger.land(ledger.settle(id));
    expect(ledger.deal(id)).toBeUndefined();
    expect(eventTypes(ledger)).toEqual(['deal-published']);
  });

  it.each([
    [1n, 1, 1],
    [1n, 2, 86_401],
    [86_400n, 1, 86_400],
    [86_405n, 5, 5],
    [7n, 200_000, 259_207],
  ])('deal %s with start %s is due at %s', (id, start, due) => {
    expect(clearingEpoch(id, start)).toBe(due);
  });
});

describe('the clock', () => {
  it('tells each new head once, also for many at once', () => {
    const ledger = standingLedger();
    const seen: number[] = [];
    const stop = ledger.onEpoch((height) => seen.push(height));
    ledger.advance(3);
    ledger.reorg({ depth: 2 });
    stop();
    ledger.advance(1);
    expect(seen).toEqual([1, 2, 3, 3]);
  });

  it('ticks by itself, pauses and goes on', async () => {
    const ledger = standingLedger({ epochMs: 5, isPaused: false });
    const ticked = (): Promise<number> => new Promise((done) => ledger.onEpoch(done));
    await ticked();
    ledger.pause();
    const { height } = ledger.head();
    await new Promise((done) => setTimeout(done, 30));
    expect(ledger.head().height).toBe(height);
    ledger.resume();
    expect(await ticked()).toBe(height + 1);
    ledger.close();
  });

  it('leaves rounds out when told to, and a tipset is found below a null round', () => {
    const ledger = standingLedger({ nullRounds: 0.4 });
    ledger.advance(100);
    expect(ledger.head().height).toBe(100);
    const { store } = ledger.view();
    const heights = new Set(Array.from({ length: 101 }, (_, height) => store.atOrBelow(height).height));
    expect(heights.size).toBeGreaterThan(40);
    expect(heights.size).toBeLessThan(90);
    for (let height = 1; height <= 100; height += 1) {
      const tipset = store.atOrBelow(height);
      expect(tipset.height).toBeLessThanOrEqual(height);
      if (tipset.height > 0) expect(ledger.view().parentOf(tipset)).toBe(store.atOrBelow(tipset.height - 1));
    }
  });

  it('jumps over years, messages first', () => {
    const ledger = standingLedger();
    const message = pushDeals(ledger, [makeDeal()]);
    ledger.advance(1_000_000);
    expect(ledger.head().height).toBe(1_000_000);
    expect(ledger.publishResult(message)).toMatchObject({ exitCode: 0, height: 1 });
    expect(() => ledger.advance(0)).toThrow(/epochs/);
  });
});

it('signs as a worker, of either kind', () => {
  const ledger = standingLedger();
  for (const id of ['f01002', 'f01003']) {
    const { worker } = ledger.registerMiner({ id });
    const message = Buffer.from('an ask');
    expect(verifySignature(ledger.signAsWorker(id, message), message, worker)).toBe(true);
    expect(ledger.accountKey(worker)).toEqual(worker);
  }
  expect(ledger.miner('f01002')?.worker.protocol).toBe(3);
  expect(ledger.miner('f01003')?.worker.protocol).toBe(1);
  expect(() => ledger.signAsWorker('f01999', Buffer.from(''))).toThrow(/not a miner/);
});
