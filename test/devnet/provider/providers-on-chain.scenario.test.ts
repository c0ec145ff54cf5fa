import { Piece } from '@web3-storage/data-segment';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openLedger, type Ledger } from '../../../src/devnet/ledger/ledger.ts';
import { isPast } from '../../../src/devnet/provider/provider-deals.ts';
import { startProviders, type Providers } from '../../../src/devnet/provider/providers.ts';
import { packSamples } from '../../../src/demo/sample-files.ts';
import { idOf, parseAddress } from '../../../src/filecoin/address.ts';
import { httpTransferParams } from '../../../src/filecoin/mk12-propose.ts';
import { encodeProposal } from '../../../src/filecoin/proposal.ts';
import { temporaryFolder } from '../../support/temporary-folder.ts';
import { CLIENT_ADDRESS, DealClient, dealParams, pieceCidOf } from './deal-client.ts';
import { servePiece, type PieceServer } from './piece-server.ts';

/** Providers on the devnet's real chain: the market actor's checks, receipts, reorgs, and both journals after a stop. */

let client: DealClient;
let car: Uint8Array;
let server: PieceServer;

beforeAll(async () => {
  client = await DealClient.start();
  const chunks: Uint8Array[] = [];
  for await (const { name, car: bytes } of packSamples({ seed: 'chain', count: 6 })) {
    if (name === 'website') for await (const chunk of bytes) chunks.push(chunk);
  }
  car = Buffer.concat(chunks);
  server = await servePiece(car);
});
afterAll(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
});

interface World extends AsyncDisposable {
  ledger: Ledger;
  devnet: Providers;
}

async function open(dir?: string): Promise<World> {
  const folder = dir === undefined ? {} : { dir };
  const ledger = openLedger({ epochMs: 1_000, seed: 'chain', isPaused: true, ...folder });
  const persona = { proveEpochs: 2, publishBatchDeals: 2, publishBatchEpochs: 1_000 };
  const devnet = await startProviders({ ledger, personas: [persona, persona], seed: 'chain', ...folder });
  const close = async () => {
    await devnet.close();
    ledger.close();
  };
  return { ledger, devnet, [Symbol.asyncDispose]: close };
}

function dealOf({ ledger }: World, provider: string, label: string) {
  const piece = Piece.fromPayload(car);
  const head = ledger.head().height;
  const pieceBytes = 32n << BigInt(piece.height);
  return dealParams({
    proposal: {
      pieceCid: pieceCidOf(piece.root),
      pieceBytes,
      provider: parseAddress(provider),
      label,
      startEpoch: head + 5_000,
      endEpoch: head + 5_000 + 518_400,
      pricePerEpoch: 1_000_000n,
      providerCollateral: (ledger.collateralBounds(pieceBytes, false).min * 6n) / 5n,
    },
    transfer: { params: httpTransferParams({ url: server.url, headers: {} }), sizeBytes: car.length },
  });
}

/** Proposes two deals to each provider. */
async function proposeAll(world: World): Promise<void> {
  world.ledger.fund(CLIENT_ADDRESS, { attoFil: 10n ** 18n, dataCapBytes: 0n });
  for (const provider of world.devnet.providers) {
    for (const label of ['one', 'two']) {
      expect(await client.propose(provider, dealOf(world, provider.id, label))).toEqual({
        accepted: true,
        message: '',
      });
    }
  }
}

function deals({ devnet }: World) {
  return devnet.providers.flatMap((provider) => [...provider.deals()]);
}

async function until(world: World, what: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!what()) {
    if (Date.now() > deadline)
      throw new Error(JSON.stringify(deals(world).map(({ checkpoint, error }) => [checkpoint, error])));
    await new Promise((resolve) => setTimeout(resolve, 10));
    world.ledger.advance(1);
  }
}

function expectActive({ ledger, devnet }: World): void {
  const all = devnet.providers.flatMap((provider) => provider.deals().map((deal) => ({ provider, deal })));
  expect(all).toHaveLength(4);
  expect(new Set(all.map(({ deal }) => deal.chainDealId)).size).toBe(4);
  for (const { provider, deal } of all) {
    const onChain = ledger.deal(deal.chainDealId) ?? expect.fail('the chain does not know the deal');
    expect(onChain.sectorStartEpoch).toBeGreaterThan(0);
    expect(idOf(onChain.proposal.provider)).toBe(BigInt(provider.id.slice(2)));
    const clientId = ledger.lookupId(CLIENT_ADDRESS) ?? expect.fail('no client');
    expect(encodeProposal(onChain.proposal)).toEqual(encodeProposal({ ...deal.proposal, client: clientId }));
    expect(deal).toMatchObject({ checkpoint: 'IndexedAndAnnounced', error: '', isProven: true });
  }
}

it('makes four deals active, one publish message for each provider', async () => {
  await using world = await open();
  await proposeAll(world);
  await until(world, () => deals(world).every(({ isProven }) => isProven));
  expectActive(world);
  expect(new Set(deals(world).map(({ publishCid }) => publishCid)).size).toBe(2);
});

it('follows reorgs of the tipsets that hold the publish and the proof', async () => {
  await using world = await open();
  await proposeAll(world);
  await until(world, () => deals(world).every((deal) => isPast(deal, 'PublishConfirmed')));
  world.ledger.reorg({ depth: 4, reuseIds: true });
  await until(world, () => deals(world).every(({ isProven }) => isProven));
  world.ledger.reorg({ depth: 3 });
  world.ledger.advance(20);
  await until(world, () =>
    deals(world).every(({ chainDealId }) => (world.ledger.deal(chainDealId)?.sectorStartEpoch ?? -1) > 0),
  );
  expectActive(world);
});

it('goes on from both journals, whenever they were stopped', async () => {
  await using folder = await temporaryFolder();
  const lives: ((world: World) => boolean)[] = [
    (world) => deals(world).some((deal) => isPast(deal, 'Transferred')),
    (world) => deals(world).some((deal) => isPast(deal, 'Published')),
    (world) => deals(world).some((deal) => isPast(deal, 'AddedPiece')),
    (world) => deals(world).every(({ isProven }) => isProven),
  ];
  const peers = new Set<string>();
  for (const [life, isOver] of lives.entries()) {
    await using world = await open(folder.path);
    for (const { id, peerId, multiaddrs } of world.devnet.providers) {
      peers.add(peerId);
      expect(world.ledger.miner(id)).toMatchObject({ peerId, multiaddrs });
    }
    if (life === 0) await proposeAll(world);
    await until(world, () => isOver(world));
    if (life === lives.length - 1) expectActive(world);
  }
  expect(peers.size).toBe(2);
});
