import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { composeMessage } from '../../src/devnet/compose-message.ts';
import { METHOD_WITHDRAW } from '../../src/devnet/execute-market-message.ts';
import type { Ledger } from '../../src/devnet/ledger.ts';
import { clearingEpoch } from '../../src/devnet/market-deals.ts';
import { formatAddress, parseAddress } from '../../src/filecoin/address.ts';
import { verifySignature } from '../../src/filecoin/signature.ts';
import { temporaryFolder } from '../support/temporary-folder.ts';
import {
  activateNow,
  blsKey,
  client,
  END,
  FIL,
  makeDeal,
  PROVIDER,
  publishNow,
  secpKey,
  standingLedger,
  START,
} from './chain-fixture.ts';

const PRICE = 1_000n;
const LOCK = PRICE * BigInt(END - START);

/** Pushes a publish message without making tipsets. */
function push(ledger: Ledger, deals: Uint8Array[], provider = PROVIDER) {
  const attempt = ledger.publish(provider, deals);
  if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
  return attempt.message;
}

/** State of a deal as of each of these heights. */
function dealAt(ledger: Ledger, id: bigint, ...heights: number[]) {
  const { state } = ledger.view();
  return heights.map((height) => state.deals.get(id, height)?.sectorStartEpoch);
}

describe('a published deal', () => {
  it('is in the state from the tipset after its message on', () => {
    const ledger = standingLedger();
    ledger.advance(5);
    const message = push(ledger, [makeDeal()]);
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
    const message = push(ledger, [makeDeal({ label: 'other' }), deal]);
    expect(ledger.findPublish(PROVIDER, deal)?.toString()).toBe(message.toString());
    ledger.advance(2);
    expect(ledger.findPublish(PROVIDER, deal)?.toString()).toBe(message.toString());
    ledger.registerMiner({ id: 'f01003' });
    expect(ledger.findPublish('f01003', deal)).toBeUndefined();
  });

  it('lands with the others of its sender in the order they were pushed', () => {
    const ledger = standingLedger();
    const first = push(ledger, [makeDeal({ label: '1' })]);
    const second = push(ledger, [makeDeal({ label: '2' })]);
    ledger.advance(1);
    const third = push(ledger, [makeDeal({ label: '3' })]);
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

describe('a reorg', () => {
  it('takes a publish away, which lands again with other ids', () => {
    const ledger = standingLedger();
    ledger.advance(20);
    const message = push(ledger, [makeDeal()]);
    ledger.advance(3);
    const dropped = ledger.view().store.atOrBelow(21);
    expect(ledger.publishResult(message)?.dealIds).toEqual([1n]);
    ledger.reorg({ depth: 4 });
    expect(ledger.head().height).toBe(23);
    expect(ledger.view().store.atOrBelow(21).key).not.toEqual(dropped.key);
    expect(ledger.deal(1n)).toBeUndefined();
    expect(ledger.publishResult(message)).toBeUndefined();
    expect(ledger.findPublish(PROVIDER, makeDeal())?.toString()).toBe(message.toString());
    expect(ledger.marketBalance(client)).toEqual({ escrow: 100n * FIL, locked: 0n });
    expect(eventTypes(ledger)).toEqual([]);
    ledger.advance(4);
    expect(ledger.publishResult(message)).toMatchObject({ dealIds: [2n], height: 25 });
    expect(ledger.deal(2n)).toBeDefined();
    expect(ledger.deal(1n)).toBeUndefined();
  });

  it('can give an id to the deal of somebody else', () => {
    const ledger = standingLedger();
    ledger.registerMiner({ id: 'f01003' });
    ledger.advance(20);
    const ours = push(ledger, [makeDeal()]);
    const theirs = push(ledger, [makeDeal({ provider: 'f01003', key: blsKey })], 'f01003');
    ledger.advance(2);
    expect([ours, theirs].map((cid) => ledger.publishResult(cid)?.dealIds)).toEqual([[1n], [2n]]);
    ledger.reorg({ depth: 3, reuseIds: true });
    ledger.advance(4);
    expect([ours, theirs].map((cid) => ledger.publishResult(cid)?.dealIds)).toEqual([[2n], [1n]]);
  });

  it('can drop a publish for good; the provider may send it again', () => {
    const ledger = standingLedger();
    ledger.advance(20);
    push(ledger, [makeDeal()]);
    ledger.advance(1);
    push(ledger, [makeDeal({ label: 'later' })]);
    ledger.reorg({ depth: 1, reland: false });
    ledger.advance(5);
    expect(ledger.findPublish(PROVIDER, makeDeal())).toBeUndefined();
    expect(ledger.deal(1n)).toBeUndefined();
    expect(publishNow(ledger, [makeDeal()])).toEqual([1n]);
  });

  it('undoes an activation, and keeps a late proof off the deal that got the id', () => {
    const ledger = standingLedger();
    ledger.registerMiner({ id: 'f01003' });
    ledger.advance(20);
    push(ledger, [makeDeal({ provider: 'f01003' })], 'f01003');
    push(ledger, [makeDeal({ piece: 'mine' })]);
    ledger.advance(2);
    activateNow(ledger, [2n]);
    ledger.reorg({ depth: 4, reuseIds: true });
    ledger.advance(5);
    // Now deal 2 is f01003's; the proof that lands again is for another piece, and fails.
    expect(ledger.deal(1n)).toMatchObject({ sectorStartEpoch: -1 });
    expect(ledger.deal(2n)).toMatchObject({ sectorStartEpoch: -1, proposal: { provider: parseAddress('f01003') } });
    expect(activateNow(ledger, [1n])).toBeGreaterThan(0);
  });

  it('keeps what the control door did meanwhile', () => {
    const ledger = standingLedger();
    ledger.advance(20);
    ledger.registerMiner({ id: 'f01003', multiaddrs: ['/ip4/127.0.0.1/tcp/1'] });
    ledger.fund(client, { attoFil: FIL, dataCapBytes: 0n });
    ledger.advance(1);
    ledger.reorg({ depth: 2 });
    expect(ledger.miner('f01003')?.multiaddrs).toEqual(['/ip4/127.0.0.1/tcp/1']);
    expect(ledger.marketBalance(client)?.escrow).toBe(101n * FIL);
  });

  it('never reaches what is final', () => {
    const ledger = standingLedger({ finalityEpochs: 5 });
    ledger.advance(20);
    expect(ledger.isFinal(15)).toBe(true);
    expect(ledger.isFinal(16)).toBe(false);
    expect(() => ledger.reorg({ depth: 6 })).toThrow(/finalized/);
    expect(() => ledger.reorg({ depth: 0 })).toThrow(/depth/);
    ledger.reorg({ depth: 5 });
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
      if (tipset.height > 0) expect(store.parentOf(tipset)).toBe(store.atOrBelow(tipset.height - 1));
    }
  });

  it('jumps over years, messages first', () => {
    const ledger = standingLedger();
    const message = push(ledger, [makeDeal()]);
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

describe('money', () => {
  const act = fc.oneof(
    fc.record({
      kind: fc.constant('publish' as const),
      price: fc.bigInt(0n, 10n ** 12n),
      start: fc.integer({ min: 3, max: 60 }),
    }),
    fc.record({ kind: fc.constantFrom('activate' as const, 'terminate' as const, 'settle' as const), pick: fc.nat(9) }),
    fc.record({ kind: fc.constant('advance' as const), epochs: fc.constantFrom(1, 5, 40, 90_000) }),
    fc.record({ kind: fc.constant('reorg' as const), depth: fc.integer({ min: 1, max: 6 }) }),
  );

  it('is neither made nor lost, whatever happens', () => {
    fc.assert(
      fc.property(fc.array(act, { maxLength: 12 }), (acts) => {
        const ledger = standingLedger();
        const minted = totals(ledger).all;
        for (const [index, one] of acts.entries()) perform(ledger, one, index);
        const { all, market, escrow } = totals(ledger);
        expect(all).toBe(minted);
        expect(market).toBe(escrow);
      }),
      { numRuns: 25 },
    );
  });

  type Act = typeof act extends fc.Arbitrary<infer T> ? T : never;

  /** Does what the chain allows at this moment. */
  function perform(ledger: Ledger, one: Act, index: number): void {
    const { height } = ledger.head();
    if (one.kind === 'advance') ledger.advance(one.epochs);
    else if (one.kind === 'publish') {
      const startEpoch = height + one.start;
      const terms = { label: `deal ${index}`, startEpoch, endEpoch: startEpoch + 518_400, price: one.price };
      ledger.publish(PROVIDER, [makeDeal(terms)]);
    } else if (one.kind === 'reorg') {
      const depth = Math.min(one.depth, ledger.view().store.count() - 1);
      const base = ledger.view().store.below(depth);
      if (depth > 0 && base !== undefined && base.height >= ledger.finalized().height) ledger.reorg({ depth });
    } else {
      const open = [...ledger.view().state.deals.entries()].map(([id]) => id);
      const id = open[one.pick % Math.max(1, open.length)];
      if (id === undefined) return;
      if (one.kind === 'activate') ledger.proveSector(PROVIDER, [id]);
      else if (one.kind === 'settle') ledger.settle(id);
      else if ((ledger.deal(id)?.sectorStartEpoch ?? -1) >= 0) ledger.terminateSectorOf(id);
    }
  }

  it('can be withdrawn as far as it is not locked', () => {
    const ledger = standingLedger();
    publishNow(ledger, [makeDeal({ price: PRICE })]);
    // CBOR of [client, 1000 FIL]: more than there is.
    const params = Uint8Array.of(0x82, 0x55, 1, ...client.payload, 0x4a, 0, ...hex('3635c9adc5dea00000'));
    const call = { to: parseAddress('f05'), method: METHOD_WITHDRAW, params };
    ledger.land(ledger.send(composeMessage(ledger.view().core, secpKey, call)));
    expect(ledger.marketBalance(client)).toEqual({ escrow: LOCK, locked: LOCK });
  });
});

describe('the journal', () => {
  /** Everything a reader could ask for, as text. */
  function snapshot(ledger: Ledger): string {
    const { state, store, policy } = ledger.view();
    const tables = [state.accounts, state.miners, state.escrows, state.dataCaps, state.deals, state.sectors].map(
      (table) => [...(table as typeof state.deals).entries()],
    );
    const keys = Array.from({ length: ledger.head().height + 1 }, (_, height) => store.atOrBelow(height).key.join());
    const show = (_: string, value: unknown): unknown => (typeof value === 'bigint' ? value.toString() : value);
    return JSON.stringify({ tables, keys, policy }, show);
  }

  it('gives back the same chain, also when its last line is torn', async () => {
    await using folder = await temporaryFolder();
    const open = () => standingLedger({ dir: join(folder.path, 'chain'), seed: 'kept' });
    const ledger = open();
    ledger.registerMiner({ id: 'f01003', multiaddrs: ['/ip4/127.0.0.1/tcp/4001'] });
    ledger.advance(3);
    const ids = publishNow(ledger, [makeDeal(), makeDeal({ label: 'b', key: blsKey })]);
    activateNow(ledger, ids);
    push(ledger, [makeDeal({ provider: 'f01003' })], 'f01003');
    ledger.advance(2);
    ledger.reorg({ depth: 3 });
    push(ledger, [makeDeal({ label: 'in the pool' })]);
    const before = snapshot(ledger);
    const journal = join(folder.path, 'chain', 'chain.jsonl');
    appendFileSync(journal, '{"op":"tipset","hei');

    const again = standingLedger({ dir: join(folder.path, 'chain'), seed: 'not used' });
    expect(snapshot(again)).toBe(before);
    ledger.advance(6);
    again.advance(6);
    expect(snapshot(again)).toBe(snapshot(ledger));
    expect([...again.view().state.deals.entries()]).toHaveLength(4);
  });

  it('goes on from any line as if the process was killed behind it', async () => {
    await using folder = await temporaryFolder();
    const dir = join(folder.path, 'chain');
    const ledger = standingLedger({ dir, seed: 'kept' });
    publishNow(ledger, [makeDeal()]);
    activateNow(ledger, [1n]);
    const lines = readFileSync(join(dir, 'chain.jsonl'), 'utf8').split('\n');
    for (let count = 1; count < lines.length; count += 1) {
      writeFileSync(join(dir, 'chain.jsonl'), `${lines.slice(0, count).join('\n')}\n`);
      const cut = standingLedger({ dir });
      const ticks = lines.slice(0, count).filter((line) => line.includes('"tipset"'));
      expect(cut.head().height).toBe(ticks.length);
    }
  });
});

function eventTypes(ledger: Ledger): string[] {
  const query = { emitterIds: new Set([5n]), fields: new Map(), fromHeight: 0, toHeight: 10 ** 9, tipset: undefined };
  return [...ledger.view().events(query)].map(([event]) =>
    Buffer.from(event.entries[0]?.value.subarray(1) ?? []).toString(),
  );
}

function totals(ledger: Ledger): { all: bigint; market: bigint; escrow: bigint } {
  const { state } = ledger.view();
  const sum = (amounts: bigint[]): bigint => amounts.reduce((total, amount) => total + amount, 0n);
  return {
    all: sum([...state.accounts.entries()].map(([, { balance }]) => balance)),
    market: state.accounts.get(5n)?.balance ?? 0n,
    escrow: sum([...state.escrows.entries()].map(([, { escrow }]) => escrow)),
  };
}

function hex(text: string): Uint8Array {
  return new Uint8Array(Buffer.from(text, 'hex'));
}
