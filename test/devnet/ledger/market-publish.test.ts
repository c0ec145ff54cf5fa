import { describe, expect, it } from 'vitest';

import { ChainState } from '../../../src/devnet/ledger/chain-state.ts';
import { decodeCandidate, planPublish } from '../../../src/devnet/ledger/market-publish.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';
import { decodePublishParams, encodePublishReturn } from '../../../src/filecoin/publish.ts';
import {
  blsClient,
  blsKey,
  client,
  END,
  FIL,
  makeDeal,
  publishNow,
  standingLedger,
  START,
  type DealTerms,
} from './chain-fixture.ts';
import { resultOf } from '../rpc/lotus-pairs.ts';

describe('the market actor of a real node', () => {
  /** The recorded message, on a chain that stands as that node's did. */
  it('takes the same two of three deals, and gives the same return', () => {
    const message = resultOf('Filecoin.ChainGetMessage') as { Params: string };
    const { Receipt: receipt } = resultOf('Filecoin.StateSearchMsg') as { Receipt: { Return: string } };
    const deals = decodePublishParams(Buffer.from(message.Params, 'base64'));
    const candidates = deals.map((deal) => decodeCandidate(deal));
    const state = new ChainState();
    const parties = candidates.flatMap((candidate) => ('proposal' in candidate ? [candidate.proposal.client] : []));
    for (const address of parties) state.ensureAccount(address, 0);
    const rich = state.idOf(parseAddress('f15beo44zxg3rrewhkrzklbw26a65qfhsykaehm7q')) ?? 0n;
    state.addEscrow(rich, { escrow: 500n * FIL, locked: 0n }, 0);
    state.dataCaps.set(rich, 1n << 40n, 0);
    const policy = { seed: '', networkName: '', genesisSeconds: 0, finalityEpochs: 10, collateralPerGib: 0n };
    state.miners.set(
      1002n,
      { owner: rich, worker: rich, peerId: undefined, multiaddrs: [], sectorBytes: 1n << 35n },
      0,
    );

    const plan = planPublish({ state, policy, epoch: 944, providerId: 1002n }, candidates);
    expect(plan.dropped).toEqual([{ index: 2, reason: expect.stringContaining('insufficient client funds') }]);
    const returned = encodePublishReturn({ ids: [4n, 5n], valid: plan.accepted.map(({ index }) => index) });
    expect(Buffer.from(returned).toString('base64')).toBe(receipt.Return);
  });
});

const tooLong = 'x'.repeat(257);

describe('a deal is dropped', () => {
  const cases: [string, DealTerms, RegExp][] = [
    ['with a signature over other bytes', { isForged: true }, /signature/],
    ['signed by another key', { key: blsKey, client }, /signature/],
    ['of a client that the chain has not seen', { client: parseAddress('f01999') }, /client is not an account/],
    ['with a label of 257 bytes', { label: tooLong }, /label|bytes/],
    ['with a piece size that is no power of two', { pieceBytes: 3_000 }, /piece size/],
    ['with a piece below 128 bytes', { pieceBytes: 64 }, /piece size/],
    ['with a piece of 128 GiB', { pieceBytes: 2 ** 37 }, /piece size/],
    ['that began before', { startEpoch: -1, endEpoch: 518_399 }, /elapsed/],
    ['an epoch too short', { endEpoch: START + 518_399 }, /duration/],
    ['an epoch too long', { endEpoch: START + 3_680_641 }, /duration/],
    ['that ends before it starts', { endEpoch: START - 1 }, /not after its start/],
    ['for another provider than the batch', { provider: 'f01003' }, /not the batch's/],
    ['that the client cannot pay', { price: FIL }, /insufficient client funds/],
    ['whose client collateral is not there', { clientCollateral: 101n * FIL }, /insufficient client funds/],
    ['whose provider collateral is not there', { providerCollateral: 5_001n * FIL }, /insufficient provider funds/],
    ['below the least collateral', { pieceBytes: 2 ** 30, providerCollateral: 1n }, /collateral .* out of bounds/],
    ['verified and below 1 MiB', { verified: true, pieceBytes: 2 ** 19 }, /verified piece/],
    ['beyond the DataCap', { verified: true, pieceBytes: 2 ** 36, price: 0n }, /DataCap/],
  ];
  it.each(cases)('%s', (_, terms, reason) => {
    const ledger = standingLedger();
    ledger.registerMiner({ id: 'f01003' });
    if (reason.source === 'DataCap') spendDataCap(ledger);
    const attempt = ledger.publish('f01002', [makeDeal({ label: 'a good one' }), makeDeal(terms)]);
    expect(attempt).toMatchObject({ kind: 'pushed', dropped: [{ index: 1, reason: expect.stringMatching(reason) }] });
  });

  it('when an equal one is pending, also written with the other address of the client', () => {
    const ledger = standingLedger();
    publishNow(ledger, [makeDeal()]);
    const again = makeDeal({ client: ledger.lookupId(client) ?? client });
    expect(ledger.publish('f01002', [again])).toMatchObject({
      kind: 'refused',
      reason: expect.stringMatching(/duplicate/),
    });
    const twice = ledger.publish('f01002', [makeDeal({ label: 'b' }), makeDeal({ label: 'b' })]);
    expect(twice).toMatchObject({ kind: 'pushed', dropped: [{ index: 1 }] });
  });

  it('when the ones before it in the batch took the money', () => {
    const ledger = standingLedger();
    const price = (40n * FIL) / BigInt(END - START);
    const deals = ['a', 'b', 'c'].map((label) => makeDeal({ label, price }));
    expect(ledger.publish('f01002', deals)).toMatchObject({
      dropped: [{ index: 2, reason: expect.stringMatching(/insufficient client/) }],
    });
  });

  it('but not at the bounds of what is allowed', () => {
    const ledger = standingLedger();
    const deals = [
      makeDeal({ label: 'x'.repeat(256) }),
      makeDeal({ label: Uint8Array.of(0xff, 0), pieceBytes: 128 }),
      makeDeal({ startEpoch: 1, endEpoch: 518_401 }),
      makeDeal({ label: 'long', endEpoch: START + 3_680_640 }),
      makeDeal({ label: 'bls', key: blsKey, verified: true, price: 0n }),
    ];
    expect(publishNow(ledger, deals)).toEqual([1n, 2n, 3n, 4n, 5n]);
    expect(ledger.dataCap(blsClient)).toBe((1n << 40n) - (1n << 20n));
  });
});

it('nothing reaches the chain when all deals are invalid', () => {
  const ledger = standingLedger();
  const attempt = ledger.publish('f01002', [makeDeal({ isForged: true })]);
  expect(attempt).toMatchObject({ kind: 'refused', reason: expect.stringContaining('exit 16') });
  ledger.advance(3);
  expect(ledger.findPublish('f01002', makeDeal({ isForged: true }))).toBeUndefined();
});

function spendDataCap(ledger: ReturnType<typeof standingLedger>): void {
  const deals = Array.from({ length: 16 }, (_, i) =>
    makeDeal({ label: `cap ${i}`, verified: true, pieceBytes: 2 ** 36, price: 0n }),
  );
  publishNow(ledger, deals);
  expect(ledger.dataCap(client)).toBeUndefined();
}
