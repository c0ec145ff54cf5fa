import { expect, test } from 'vitest';
import type { ChainProposal } from '../../../src/chain/market.ts';
import { compareProposal } from '../../../src/deals/watch/compare-proposal.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';
import { parseCid } from '../../../src/filecoin/cid.ts';
import type { DealProposal } from '../../../src/filecoin/proposal.ts';

const ours: DealProposal = {
  pieceCid: parseCid('baga6ea4seaqk2u3pntxj2duujpuhqrn6ifbhpp7hlyvt6e6kcs3uymacxtsiebq'),
  pieceBytes: 2_048n,
  verified: false,
  client: parseAddress('f15beo44zxg3rrewhkrzklbw26a65qfhsykaehm7q'),
  provider: parseAddress('f01002'),
  label: 'plain',
  startEpoch: 1_843,
  endEpoch: 520_243,
  pricePerEpoch: 1_000n,
  providerCollateral: 5n,
  clientCollateral: 0n,
};

const onChain: ChainProposal = {
  pieceCid: 'baga6ea4seaqk2u3pntxj2duujpuhqrn6ifbhpp7hlyvt6e6kcs3uymacxtsiebq',
  pieceBytes: 2_048n,
  verified: false,
  client: 'f0103',
  provider: 'f01002',
  label: 'plain',
  startEpoch: 1_843,
  endEpoch: 520_243,
  pricePerEpoch: 1_000n,
  providerCollateral: 5n,
  clientCollateral: 0n,
};

test('a deal of ours is the same in all eleven fields, the client by its ID address', () => {
  expect(Object.keys(onChain)).toHaveLength(11);
  expect(compareProposal(ours, 'f0103', onChain)).toEqual([]);
});

const others: ChainProposal = {
  pieceCid: 'baga6ea4seaqbv2dxmp4z64i2bz76tabmxw67tltcydqtau6fu775zzqpbyonada',
  pieceBytes: 4_096n,
  verified: true,
  client: 'f0104',
  provider: 'f01003',
  label: 'Plain',
  startEpoch: 1_844,
  endEpoch: 520_244,
  pricePerEpoch: 1_001n,
  providerCollateral: 6n,
  clientCollateral: 1n,
};

test.each(Object.keys(others) as (keyof ChainProposal)[])('another %s is another deal, and is named', (field) => {
  expect(compareProposal(ours, 'f0103', { ...onChain, [field]: others[field] })).toEqual([field]);
});

test('all differences are named', () => {
  expect(compareProposal(ours, 'f0103', others)).toHaveLength(11);
});

test('a label of bytes shows as nothing', () => {
  const labelled = { ...ours, label: Uint8Array.of(0xff) };
  expect(compareProposal(labelled, 'f0103', { ...onChain, label: '' })).toEqual([]);
  expect(compareProposal(labelled, 'f0103', onChain)).toEqual(['label']);
});
