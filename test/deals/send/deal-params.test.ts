import { describe, expect, it } from 'vitest';
import { dealParams } from '../../../src/deals/send/deal-params.ts';
import { createPieceTokens } from '../../../src/deals/send/piece-token.ts';
import type { DealToSend } from '../../../src/deals/send/send-store.ts';
import { keyAddress, signWithKey, type LotusKey } from '../../../src/filecoin/lotus-key.ts';
import { decodeDealParams, parseHttpTransferParams } from '../../../src/filecoin/mk12-propose.ts';
import { encodeProposal, encodeSignedProposal } from '../../../src/filecoin/proposal.ts';
import { pieceCidV1 } from '../../../src/filecoin/piece.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';

const key: LotusKey = { type: 'secp256k1', privateKey: new Uint8Array(32).fill(7) };
const pieceCid = pieceCidV1(new Uint8Array(32).fill(1));
const batchRoot = 'bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi';
const proposal = {
  pieceCid,
  pieceBytes: 2_048n,
  verified: false,
  client: keyAddress(key),
  provider: parseAddress('f01000'),
  label: batchRoot,
  startEpoch: 500,
  endEpoch: 600_000,
  pricePerEpoch: 0n,
  providerCollateral: 12n,
  clientCollateral: 0n,
};
const signature = signWithKey(key, encodeProposal(proposal));

function deal(offline: boolean): DealToSend {
  return {
    id: '5a3f0c2e-8f7b-4a0e-9a51-0d2a64b0a111',
    aggregateId: 1n,
    provider: 'f01000',
    state: 'sent',
    attempts: 1,
    maybeReceived: true,
    nextAttemptAt: undefined,
    startEpoch: 500,
    signedProposal: encodeSignedProposal({ proposal, signature }),
    fastRetrieval: true,
    offline,
    piece: { aggregateId: 1n, pieceCid: pieceCid.toString(), pieceBytes: 2_048n, carBytes: 1_600n, batchRoot },
  };
}

const tokens = createPieceTokens('a secret of at least 32 characters');
const deps = { pieceTokens: tokens, publicUrl: 'https://lading.example.com' };

describe('DealParams', () => {
  it('of an offline deal name nothing to fetch but the size of the CAR', () => {
    const params = decodeDealParams(dealParams(deal(true), deps));
    expect(params.isOffline).toBe(true);
    expect(params.transfer).toEqual({ type: '', clientId: '', params: new Uint8Array(), sizeBytes: 1_600 });
  });

  it('differ from those of an online deal in the transfer alone', () => {
    const online = decodeDealParams(dealParams(deal(false), deps));
    const offline = decodeDealParams(dealParams(deal(true), deps));
    expect({ ...online, transfer: offline.transfer, isOffline: true }).toEqual(offline);
    const { url, headers } = parseHttpTransferParams(online.transfer.params);
    expect(url).toBe(`https://lading.example.com/piece/${pieceCid.toString()}`);
    expect(headers).toEqual({ Authorization: `Bearer ${tokens.tokenFor(deal(false).id)}` });
  });

  it('are the same bytes at every call', () => {
    expect(dealParams(deal(false), deps)).toEqual(dealParams(deal(false), deps));
  });
});
