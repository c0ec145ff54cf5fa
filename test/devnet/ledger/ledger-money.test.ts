import fc from 'fast-check';
import { describe, expect, it } from 'vitest';

import { composeMessage } from '../../../src/devnet/ledger/compose-message.ts';
import { METHOD_WITHDRAW } from '../../../src/devnet/ledger/execute-market-message.ts';
import type { Ledger } from '../../../src/devnet/ledger/ledger.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';
import { client, END, makeDeal, PROVIDER, publishNow, secpKey, standingLedger, START } from './chain-fixture.ts';

const PRICE = 1_000n;
const LOCK = PRICE * BigInt(END - START);

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
