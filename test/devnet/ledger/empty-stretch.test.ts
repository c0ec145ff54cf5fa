import { join } from 'node:path';

import { describe, expect, it } from 'vitest';

import type { LedgerOptions } from '../../../src/devnet/ledger/chain-driver.ts';
import type { Ledger } from '../../../src/devnet/ledger/ledger.ts';
import { clearingEpoch } from '../../../src/devnet/ledger/market-deals.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { activateNow, client, END, makeDeal, publishNow, pushDeals, standingLedger } from './chain-fixture.ts';

const DAY = 2_880;

/** A listener makes every tipset up to a thousand a whole one; without it a long advance goes over the empty rounds. */
function pair(options: Partial<LedgerOptions> = {}): { drawn: Ledger; whole: Ledger } {
  const whole = standingLedger(options);
  whole.onEpoch(() => undefined);
  return { drawn: standingLedger(options), whole };
}

function advanceWhole(ledger: Ledger, epochs: number): void {
  for (let left = epochs; left > 0; left -= 1_000) ledger.advance(Math.min(left, 1_000));
}

describe('rounds in which nothing happens', () => {
  it.each([0, 0.3])('leave the same chain whether they are drawn or made (null rounds: %d)', (nullRounds) => {
    const { drawn, whole } = pair({ nullRounds });
    const startEpoch = 3_000;
    for (const ledger of [drawn, whole]) {
      const deal = makeDeal({ startEpoch, endEpoch: startEpoch + 518_400 });
      const ids = publishNow(ledger, [deal, makeDeal({ label: 'never proven', startEpoch, endEpoch: END })]);
      activateNow(ledger, ids.slice(0, 1));
      pushDeals(ledger, [makeDeal({ label: 'in the pool' })]);
      if (ledger === drawn) ledger.advance(5_000);
      else advanceWhole(ledger, 5_000);
    }
    expect(drawn.head().height).toBe(whole.head().height);
    const [one, other] = [drawn.view(), whole.view()];
    expect([...one.state.deals.entries()]).toEqual([...other.state.deals.entries()]);
    expect(drawn.marketBalance(client)).toEqual(whole.marketBalance(client));
    for (let height = 0; height < 5_000; height += 7) {
      expect(one.atOrBelow(height).height).toBe(other.atOrBelow(height).height);
      expect([...one.state.deals.entries(height)]).toEqual([...other.state.deals.entries(height)]);
    }
  });

  it('end where the cron clears a deal, in the very epoch', () => {
    const ledger = standingLedger();
    const [id = 0n] = publishNow(ledger, [makeDeal()]);
    const due = clearingEpoch(id, 5_000);
    ledger.advance(due + 2_000);
    const { deals } = ledger.view().state;
    expect(deals.get(id, due)).toBeDefined();
    expect(deals.get(id, due + 1)).toBeUndefined();
    expect(ledger.view().atOrBelow(due).height).toBe(due);
  });

  it('hang together: each tipset is its child of its parent, and is found by its block', () => {
    const ledger = standingLedger({ nullRounds: 0.5 });
    ledger.advance(3 * DAY);
    publishNow(ledger, [makeDeal({ startEpoch: 20_000, endEpoch: 600_000 })]);
    ledger.advance(DAY);
    const view = ledger.view();
    const keys = new Set<string>();
    let tipset = view.head;
    for (let steps = 0; tipset.height > 0; steps += 1) {
      const parent = view.parentOf(tipset);
      if (parent === undefined) throw new Error(`the tipset at ${tipset.height} has no parent`);
      expect(parent.height).toBeLessThan(tipset.height);
      expect(parent.weight).toBeLessThan(tipset.weight);
      if (steps % 50 === 0) {
        expect(view.tipset(tipset.key)?.height).toBe(tipset.height);
        expect(view.childOf(parent)?.key).toEqual(tipset.key);
      }
      keys.add(tipset.key.join());
      tipset = parent;
    }
    expect(keys.size).toBe(view.store.count() - 1);
  });

  it('can be dropped from the middle on; the dropped blocks can still be read', () => {
    const ledger = standingLedger({ finalityEpochs: 900 });
    publishNow(ledger, [makeDeal()]);
    ledger.advance(DAY);
    const before = ledger.view();
    const { height } = before.head;
    const [kept, dropped] = [before.atOrBelow(height - 500), before.atOrBelow(height - 499)];
    ledger.fund(client, { attoFil: 5n, dataCapBytes: 0n });
    const escrow = ledger.marketBalance(client)?.escrow;
    ledger.reorg({ depth: 500 });
    const after = ledger.view();
    expect(after.head.height).toBe(height);
    expect(after.atOrBelow(height - 500).key).toEqual(kept.key);
    expect(after.atOrBelow(height - 499).key).not.toEqual(dropped.key);
    expect(after.tipset(dropped.key)?.height).toBe(height - 499);
    expect(after.isOnChain(dropped)).toBe(false);
    expect(after.isOnChain(kept)).toBe(true);
    expect(ledger.marketBalance(client)?.escrow).toBe(escrow);
    expect(ledger.deal(1n)).toBeDefined();
    expect(() => ledger.reorg({ depth: 901 })).toThrow(/finalized/);
  });

  it('come back from the journal', async () => {
    await using folder = await temporaryFolder();
    const open = () => standingLedger({ dir: join(folder.path, 'chain'), seed: 'kept', nullRounds: 0.2 });
    const ledger = open();
    publishNow(ledger, [makeDeal()]);
    ledger.advance(DAY);
    ledger.reorg({ depth: 7 });
    ledger.advance(DAY);
    const again = open();
    const keysOf = (each: Ledger): string[] =>
      Array.from({ length: 2 * DAY }, (_, height) => each.view().atOrBelow(height).key.join());
    expect(keysOf(again)).toEqual(keysOf(ledger));
  });

  it('cost next to nothing: 540 days, a day at a time, with a deal a month', () => {
    const ledger = standingLedger({ nullRounds: 0.1, collateralPerGib: 0n });
    const start = performance.now();
    for (let day = 0; day < 540; day += 1) {
      const startEpoch = (day + 7) * DAY;
      const terms = { price: 0n, startEpoch, endEpoch: startEpoch + 520_000, providerCollateral: 0n };
      if (day % 30 === 0) publishNow(ledger, [makeDeal({ label: `${day}`, ...terms })]);
      ledger.advance(DAY);
    }
    expect(ledger.head().height).toBe(540 * DAY + 18 * 2);
    // Takes half a second: whole tipsets would take minutes and a gigabyte.
    expect(performance.now() - start).toBeLessThan(15_000);
  });
});
