import { describe, expect, it } from 'vitest';

import { parseAddress } from '../../../src/filecoin/address.ts';
import {
  activateNow,
  blsKey,
  client,
  eventTypes,
  FIL,
  makeDeal,
  PROVIDER,
  publishNow,
  pushDeals,
  standingLedger,
} from './chain-fixture.ts';

describe('a reorg', () => {
  it('takes a publish away, which lands again with other ids', () => {
    const ledger = standingLedger();
    ledger.advance(20);
    const message = pushDeals(ledger, [makeDeal()]);
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
    const ours = pushDeals(ledger, [makeDeal()]);
    const theirs = pushDeals(ledger, [makeDeal({ provider: 'f01003', key: blsKey })], 'f01003');
    ledger.advance(2);
    expect([ours, theirs].map((cid) => ledger.publishResult(cid)?.dealIds)).toEqual([[1n], [2n]]);
    ledger.reorg({ depth: 3, reuseIds: true });
    ledger.advance(4);
    expect([ours, theirs].map((cid) => ledger.publishResult(cid)?.dealIds)).toEqual([[2n], [1n]]);
  });

  it('can drop a publish for good; the provider may send it again', () => {
    const ledger = standingLedger();
    ledger.advance(20);
    pushDeals(ledger, [makeDeal()]);
    ledger.advance(1);
    pushDeals(ledger, [makeDeal({ label: 'later' })]);
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
    pushDeals(ledger, [makeDeal({ provider: 'f01003' })], 'f01003');
    pushDeals(ledger, [makeDeal({ piece: 'mine' })]);
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
