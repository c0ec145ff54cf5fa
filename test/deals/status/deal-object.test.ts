import { expect, test } from 'vitest';
import { dealObject, publicDealStates, publicStatus, type DealRow } from '../../../src/deals/status/deal-object.ts';
import { formatOffsetTime } from '../../../src/deals/status/time-format.ts';

const mainnet = { genesisSeconds: 1_598_306_400, addressLetter: 'f' } as const;

/** The example of "Getting upload status", the documentation that existing clients were written by. */
const row: DealRow = {
  state: 'active',
  providerId: 'f0840770',
  changedAt: new Date('2022-03-13T04:17:47.969Z'),
  startEpoch: 1_631_918,
  endEpoch: 3_100_718,
  chainDealId: 4_486_352n,
  sectorStartEpoch: 1_628_556,
  reasonCode: null,
  reasonText: null,
  pieceCid: 'baga6ea4seaqcfs2mrjyaqnwgdheb4ny76i6yaeeklcylqijaha3kpcwmutnb6ma',
  batchRoot: 'bafybeig2qsdu6nfmmaxlpnrpcz63jzyb6bzc4ngllv4mcj7q66ei4rq72y',
  selector: 'Links/197/Hash/Links/22/Hash/Links/0/Hash',
};

test('an active deal is the documented example, but for the microseconds that our clock does not count', () => {
  expect(dealObject(row, mainnet)).toEqual({
    status: 'active',
    stage: 'active',
    lastChanged: '2022-03-13T04:17:47.969000+00:00',
    chainDealID: 4_486_352,
    datamodelSelector: 'Links/197/Hash/Links/22/Hash/Links/0/Hash',
    statusText: 'containing sector active as of 2022-03-13 09:18:00 at epoch 1628556',
    dealActivation: '2022-03-14T13:19:00+00:00',
    dealExpiration: '2023-08-06T13:19:00+00:00',
    miner: 'f0840770',
    pieceCid: 'baga6ea4seaqcfs2mrjyaqnwgdheb4ny76i6yaeeklcylqijaha3kpcwmutnb6ma',
    batchRootCid: 'bafybeig2qsdu6nfmmaxlpnrpcz63jzyb6bzc4ngllv4mcj7q66ei4rq72y',
  });
});

const waiting = { chainDealId: null, sectorStartEpoch: null } as const;

test.each([
  [{ ...row, ...waiting, state: 'signed' }, 'queued', null, 'proposal signed, not yet sent'],
  [{ ...row, ...waiting, state: 'sent' }, 'queued', null, 'proposal sent, awaiting the answer of f0840770'],
  [{ ...row, ...waiting, state: 'accepted' }, 'queued', null, 'accepted by f0840770, awaiting publication on chain'],
  [
    { ...row, ...waiting, state: 'accepted', reasonCode: 'reorg', reasonText: 'a reorg dropped its publish message' },
    'queued',
    null,
    'accepted by f0840770, awaiting publication on chain again: a reorg dropped its publish message',
  ],
  [
    { ...row, sectorStartEpoch: null, state: 'published' },
    'queued',
    4_486_352,
    'published as deal 4486352, awaiting its sector',
  ],
  [{ ...row, state: 'expired', reasonCode: 'deal_ended' }, 'terminated', 4_486_352, 'deal_ended'],
  [{ ...row, state: 'slashed', reasonCode: 'x', reasonText: 'sector lost' }, 'terminated', 4_486_352, 'sector lost'],
  [{ ...row, state: 'missed', reasonCode: 'start_passed' }, 'terminated', 4_486_352, 'start_passed'],
] satisfies [DealRow, string, number | null, string][])('$0.state', (deal, status, chainDealID, statusText) => {
  expect(dealObject(deal, mainnet)).toMatchObject({ status, stage: deal.state, chainDealID, statusText });
});

test('miners have the letter of their network', () => {
  expect(dealObject(row, { ...mainnet, addressLetter: 't' }).miner).toBe('t0840770');
});

test('proposals that came to nothing are not public', () => {
  for (const state of ['rejected', 'failed', 'abandoned'] as const) expect(publicStatus(state)).toBeUndefined();
  expect(publicDealStates.map(publicStatus)).not.toContain(undefined);
  expect(publicDealStates).toHaveLength(8);
});

test('times carry +00:00', () => {
  const at = new Date('2023-01-02T03:04:05.006Z');
  expect(formatOffsetTime(at, 'seconds')).toBe('2023-01-02T03:04:05+00:00');
  expect(formatOffsetTime(at, 'microseconds')).toBe('2023-01-02T03:04:05.006000+00:00');
});
