import { describe, expect, test } from 'vitest';
import { checkDeal } from '../../src/client/check-deal.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { provenUploads } from '../support/proven-upload.ts';

const [upload] = await provenUploads([sampleUpload('one').blocks], [42]);
if (upload === undefined) throw new Error('no upload');
const { proof } = upload;

const proposal = {
  PieceCID: { '/': proof.pieceCid },
  PieceSize: proof.pieceSize,
  VerifiedDeal: true,
  Client: 't01001',
  Provider: 'f01000',
  Label: proof.batchRootCid,
  StartEpoch: 100,
  EndEpoch: 2_000,
};
const state = { SectorNumber: 3, SectorStartEpoch: 90, LastUpdatedEpoch: -1, SlashEpoch: -1 };

interface Asked {
  url: string;
  method: string;
  params: unknown[];
  authorization: string | null;
}

/** A node that answers `deal` and the height of its head. */
function node(deal: unknown, height = 500) {
  const asked: Asked[] = [];
  const answer: typeof fetch = async (url, init) => {
    const { id, jsonrpc, method, params } = JSON.parse(typeof init?.body === 'string' ? init.body : '');
    asked.push({
      url: new Request(url).url,
      method,
      params,
      authorization: new Headers(init?.headers).get('authorization'),
    });
    const result = method === 'Filecoin.ChainHead' ? { Height: height } : deal;
    return Response.json({ jsonrpc, id, result });
  };
  return { asked, url: 'https://node.example/rpc/v1', fetch: answer };
}

const check = (chain: ReturnType<typeof node>) => checkDeal(chain, { dealId: 42, proof });

describe('a deal on chain', () => {
  test('that holds the piece in a sector is active', async () => {
    const chain = node({ Proposal: proposal, State: state });
    expect(await checkDeal({ ...chain, token: 'secret' }, { dealId: 42, proof })).toEqual({
      verified: true,
      dealId: 42,
      provider: 'f01000',
      state: 'active',
      startEpoch: 100,
      endEpoch: 2_000,
      namesBatchRoot: true,
    });
    expect(chain.asked[0]).toEqual({
      url: 'https://node.example/rpc/v1',
      method: 'Filecoin.StateMarketStorageDeal',
      params: [42, null],
      authorization: 'Bearer secret',
    });
  });

  test.each([
    ['published', { SectorStartEpoch: -1 }, 50],
    ['published', { SectorStartEpoch: -1 }, 500],
    ['active', {}, 1_999],
    ['expired', {}, 2_000],
    ['slashed', { SlashEpoch: 400 }, 500],
  ])('is %s with %o at epoch %i', async (expected, change, height) => {
    expect(await check(node({ Proposal: proposal, State: { ...state, ...change } }, height))).toMatchObject({
      state: expected,
    });
  });

  test('with another label says so', async () => {
    const chain = node({ Proposal: { ...proposal, Label: 'bafyother' }, State: state });
    expect(await check(chain)).toMatchObject({ verified: true, namesBatchRoot: false });
  });

  test('of another piece or of another size of it is not verified', async () => {
    const other = {
      ...proposal,
      PieceCID: { '/': 'baga6ea4seaqcfs2mrjyaqnwgdheb4ny76i6yaeeklcylqijaha3kpcwmutnb6ma' },
    };
    for (const Proposal of [other, { ...proposal, PieceSize: proof.pieceSize * 2 }]) {
      expect(await check(node({ Proposal, State: state }))).toMatchObject({ verified: false, code: 'ANOTHER_PIECE' });
    }
  });

  test.each([
    [null],
    [{}],
    ['text'],
    [{ Proposal: proposal }],
    [{ Proposal: proposal, State: { ...state, SlashEpoch: '-1' } }],
  ])('that the node describes as %o is unreadable', async (deal) => {
    expect(await check(node(deal))).toMatchObject({ verified: false, code: 'CHAIN_UNREADABLE' });
  });

  test('that the node does not know, and a node that does not answer', async () => {
    const refusing = async () =>
      Response.json({ jsonrpc: '2.0', id: 1, error: { code: 1, message: 'deal 42 not found' } });
    const failing = async () => Promise.reject(new Error('connection refused'));
    const html = async () => new Response('<html>');
    const url = 'https://node.example';
    const code = async (call: typeof fetch) => checkDeal({ url, fetch: call }, { dealId: 42, proof });
    expect(await code(refusing)).toMatchObject({
      code: 'CHAIN_REFUSED',
      reason: expect.stringContaining('deal 42 not found'),
    });
    expect(await code(failing)).toMatchObject({ code: 'CHAIN_UNREACHABLE' });
    expect(await code(html)).toMatchObject({ code: 'CHAIN_UNREACHABLE' });
  });
});
