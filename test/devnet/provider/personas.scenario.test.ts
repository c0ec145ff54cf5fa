import { randomUUID } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { Piece } from '@web3-storage/data-segment';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { openLedger, type Ledger } from '../../../src/devnet/ledger/ledger.ts';
import type { ProviderDeal } from '../../../src/devnet/provider/provider-deals.ts';
import { personaOf, type PersonaName, type PersonaPatch } from '../../../src/devnet/provider/provider-persona.ts';
import { startProviders, type RunningProvider } from '../../../src/devnet/provider/providers.ts';
import { idAddress, parseAddress } from '../../../src/filecoin/address.ts';
import { signWithKey } from '../../../src/filecoin/lotus-key.ts';
import { decodeAskResponse, encodeAskRequest } from '../../../src/filecoin/mk12-ask.ts';
import { uuidBytes } from '../../../src/filecoin/mk12-fields.ts';
import {
  decodeDealResponse,
  encodeDealParams,
  httpTransferParams,
  MK_PROTOCOLS,
  type DealParams,
} from '../../../src/filecoin/mk12-propose.ts';
import {
  decodeDealStatusResponse,
  encodeDealStatusRequest,
  STATUS_PROTOCOL,
} from '../../../src/filecoin/mk12-status.ts';
import { packSamples } from '../../../src/demo/sample-files.ts';
import { CLIENT, CLIENT_ADDRESS, DealClient, dealParams, pieceCidOf, type ProposalChange } from './deal-client.ts';
import { servePiece, type PieceServer } from './piece-server.ts';

let client: DealClient;
let car: Uint8Array;
let server: PieceServer;

beforeAll(async () => {
  client = await DealClient.start();
  const chunks: Uint8Array[] = [];
  for await (const { name, car: bytes } of packSamples({ seed: 'personas', count: 6 })) {
    if (name === 'website') for await (const chunk of bytes) chunks.push(chunk);
  }
  car = Buffer.concat(chunks);
  server = await servePiece(car);
});
afterAll(async () => {
  await client.close();
  await server[Symbol.asyncDispose]();
});

const FAST: PersonaPatch = { publishBatchEpochs: 1, proveEpochs: 2, retryMinMs: 1, retryMaxMs: 5 };

interface World {
  ledger: Ledger;
  provider: RunningProvider;
  deal(change?: ProposalChange & { startDelay?: number }): DealParams;
  find(params: DealParams): ProviderDeal | undefined;
  /** Moves the chain until it is so. */
  until(what: () => boolean): Promise<void>;
}

/** One provider of these ways on the devnet's real chain, and a client with money. */
async function open(name: PersonaName | PersonaPatch, patch: PersonaPatch = {}): Promise<World> {
  const ledger = openLedger({ epochMs: 1_000, seed: 'personas', isPaused: true });
  const personas = [{ ...personaOf(name), ...FAST, ...patch }];
  const devnet = await startProviders({ ledger, personas, seed: 'personas' });
  onTestFinished(async () => {
    await devnet.close();
    ledger.close();
  });
  ledger.fund(CLIENT_ADDRESS, { attoFil: 10n ** 21n, dataCapBytes: 0n });
  const provider = devnet.providers[0] ?? expect.fail('no provider');
  const find = (params: DealParams) => provider.deals().find(({ uuid }) => uuid === params.dealUuid);
  const until = async (what: () => boolean): Promise<void> => {
    const deadline = Date.now() + 20_000;
    while (!what()) {
      if (Date.now() > deadline)
        throw new Error(`it never came to that: ${JSON.stringify(provider.deals()[0]?.error)}`);
      await new Promise((resolve) => setTimeout(resolve, 5));
      ledger.advance(1);
    }
  };
  return { ledger, provider, deal: (change) => dealFor(ledger, change), find, until };
}

function dealFor(ledger: Ledger, change: ProposalChange & { startDelay?: number } = {}): DealParams {
  const piece = Piece.fromPayload(car);
  const pieceBytes = 32n << BigInt(piece.height);
  const startEpoch = ledger.head().height + (change.startDelay ?? 5_000);
  return dealParams({
    ...change,
    proposal: {
      pieceCid: pieceCidOf(piece.root),
      pieceBytes,
      provider: parseAddress('f01000'),
      startEpoch,
      endEpoch: startEpoch + 518_400,
      pricePerEpoch: 10n ** 12n,
      providerCollateral: (ledger.collateralBounds(pieceBytes, false).min * 6n) / 5n,
      ...change.proposal,
    },
    transfer: {
      params: httpTransferParams({ url: server.url, headers: {} }),
      sizeBytes: car.length,
      ...change.transfer,
    },
  });
}

function statusRequest(dealUuid: string): Uint8Array {
  return encodeDealStatusRequest({ dealUuid, signature: signWithKey(CLIENT, uuidBytes(dealUuid)) });
}

async function statusOf({ provider }: World, dealUuid: string) {
  return decodeDealStatusResponse(await client.exchange(provider, [STATUS_PROTOCOL], statusRequest(dealUuid)));
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 150));

describe('a provider that', () => {
  it('halves its answers has decided all the same', async () => {
    const world = await open('halveAnswers');
    const params = world.deal();
    const answer = await client.exchange(world.provider, MK_PROTOCOLS, encodeDealParams(params));
    expect(answer.length).toBeGreaterThan(0);
    expect(() => decodeDealResponse(answer)).toThrow();
    expect(world.find(params)).toBeDefined();
  });

  it('takes duplicates says yes twice, and has one deal', async () => {
    const world = await open('takeDuplicates');
    const params = world.deal();
    for (const _ of [1, 2]) expect(await client.propose(world.provider, params)).toMatchObject({ accepted: true });
    expect(world.provider.deals()).toHaveLength(1);
  });

  it('never fetches leaves the deal as it was accepted', async () => {
    const world = await open('neverFetch');
    const params = world.deal();
    server.seen.length = 0;
    expect(await client.propose(world.provider, params)).toMatchObject({ accepted: true });
    await settle();
    world.ledger.advance(10);
    expect(server.seen).toEqual([]);
    expect(world.find(params)?.checkpoint).toBe('Accepted');
    expect((await statusOf(world, params.dealUuid)).receivedBytes).toBe(0);
  });

  it('mistakes the commitment fails the deal: Complete, which is no success', async () => {
    const world = await open('mistakeCommP');
    const params = world.deal();
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.checkpoint === 'Complete');
    const { dealStatus } = await statusOf(world, params.dealUuid);
    expect(dealStatus).toMatchObject({ status: 'Complete', error: expect.stringMatching(/commp mismatch$/) });
  });

  it('publishes late does so long after the bytes came', async () => {
    const world = await open('publishLate');
    const params = world.deal();
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.checkpoint === 'Transferred');
    const from = world.ledger.head().height;
    world.ledger.advance(90);
    expect(world.find(params)?.checkpoint).toBe('Transferred');
    await world.until(() => (world.find(params)?.chainDealId ?? 0n) > 0n);
    expect(world.ledger.head().height - from).toBeGreaterThan(95);
  });

  it('publishes after the start epoch is refused by the chain', async () => {
    const world = await open('publishElapsed', { publishDelayEpochs: 60, sealEpochs: 10 });
    const params = world.deal({ startDelay: 30 });
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.error !== '');
    expect(world.find(params)?.error).toMatch(/^recoverable error to publish deal .*[Ss]tart ?[Ee]poch/);
    expect([...world.ledger.view().state.deals.entries()]).toEqual([]);
  });

  it('changes the terms is refused by the chain, as nobody signed them', async () => {
    const world = await open('changeTerms');
    const params = world.deal();
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.error !== '');
    expect(world.find(params)?.error).toMatch(/signature/i);
    expect([...world.ledger.view().state.deals.entries()]).toEqual([]);
  });

  it('never proves leaves a published deal to be missed', async () => {
    const world = await open('neverProve');
    const params = world.deal();
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.checkpoint === 'IndexedAndAnnounced');
    world.ledger.advance(50);
    const id = world.find(params)?.chainDealId ?? 0n;
    expect(world.ledger.deal(id)).toMatchObject({ sectorStartEpoch: -1 });
    expect(world.find(params)?.isProven).toBe(false);
  });

  it('lies about the deal id names that of another', async () => {
    const world = await open('lieDealId');
    const params = world.deal();
    await client.propose(world.provider, params);
    await world.until(() => (world.find(params)?.chainDealId ?? 0n) > 0n);
    const { dealStatus } = await statusOf(world, params.dealUuid);
    expect(dealStatus?.chainDealId).toBe((world.find(params)?.chainDealId ?? 0n) + 1n);
    expect(world.ledger.deal(dealStatus?.chainDealId ?? 0n)).toBeUndefined();
  });
});

/** One message by HTTP, as `sptool` sends it. */
async function post(
  { provider }: World,
  route: string,
  body: Uint8Array,
  contentType = 'application/cbor',
): Promise<{ status: number; bytes: Uint8Array }> {
  const port = Number(/\/tcp\/(\d+)/.exec(provider.multiaddrs[0] ?? '')?.[1]);
  const host = '127.0.0.1';
  const method = route === 'store' ? 'POST' : 'GET';
  const headers = { 'content-type': contentType, 'content-length': body.length };
  return new Promise((resolve, reject) => {
    const sent = httpRequest({ host, port, method, path: `/market/mk12/${route}`, headers }, (response) => {
      buffer(response).then((bytes) => resolve({ status: response.statusCode ?? 0, bytes }), reject);
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

describe('a provider with the ways of Curio', () => {
  const lowAsk: PersonaPatch = { askMinPieceBytes: 256n };

  it('is reached by WebSocket and by HTTP at one address, and calls itself Curio', async () => {
    const world = await open('curio', lowAsk);
    expect(world.provider.multiaddrs).toEqual([expect.stringMatching(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/ws$/)]);
    expect(world.ledger.miner('f01000')?.multiaddrs).toEqual(world.provider.multiaddrs);
    const byWebSocket = world.deal({ proposal: { label: 'ws' } });
    expect(await client.propose(world.provider, byWebSocket)).toEqual({ accepted: true, message: '' });
    const byHttp = world.deal({ proposal: { label: 'http' } });
    const stored = await post(world, 'store', encodeDealParams(byHttp));
    expect([stored.status, decodeDealResponse(stored.bytes)]).toEqual([200, { accepted: true, message: '' }]);
    const peers = await client.node.peerStore.all();
    const agents = peers.map(({ metadata }) => Buffer.from(metadata.get('AgentVersion') ?? []).toString());
    expect(agents).toContainEqual(expect.stringMatching(/^curio-/));
    const ask = decodeAskResponse((await post(world, 'ask', encodeAskRequest(idAddress(1_000n)))).bytes);
    expect(ask?.ask).toMatchObject({ verifiedPrice: 0n, price: 45_211_226_852n });
    expect((await post(world, 'ask', encodeAskRequest(idAddress(1_001n)))).status).toBe(500);
    const status = decodeDealStatusResponse((await post(world, 'status', statusRequest(byHttp.dealUuid))).bytes);
    expect(status.dealStatus?.status).toBe('Processing');
  });

  it('answers 400 to what it cannot read, and nothing is at other paths', async () => {
    const world = await open('curio', lowAsk);
    const good = encodeDealParams(world.deal());
    expect((await post(world, 'store', good, 'application/json')).status).toBe(400);
    expect((await post(world, 'store', Buffer.from('no cbor'))).status).toBe(400);
    expect((await post(world, 'elsewhere', good)).status).toBe(404);
    expect(world.provider.deals()).toEqual([]);
  });

  it('says Processing until the deal is sealed, whatever happens meanwhile', async () => {
    const world = await open('curio', lowAsk);
    const params = world.deal();
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.checkpoint === 'IndexedAndAnnounced');
    const meanwhile = await statusOf(world, params.dealUuid);
    expect(meanwhile).toMatchObject({ error: '', transferSizeBytes: 1, receivedBytes: 1 });
    expect(meanwhile.dealStatus).toMatchObject({
      status: 'Processing',
      sealingStatus: 'Not assigned to sector',
      publishCid: null,
      chainDealId: 0n,
    });
    await world.until(() => world.find(params)?.isProven === true);
    const { dealStatus } = await statusOf(world, params.dealUuid);
    expect(dealStatus).toMatchObject({ status: 'Sealed', sealingStatus: 'Sealed and Indexed', error: '' });
    expect(dealStatus?.publishCid?.toString()).toBe(world.find(params)?.publishCid);
    expect(dealStatus?.chainDealId).toBe(world.find(params)?.chainDealId);
  });

  it('says of a deal that failed before it was published what it says of one it never had', async () => {
    const world = await open('curio', { ...lowAsk, mistakeCommP: true });
    const params = world.deal();
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.checkpoint === 'Complete');
    for (const uuid of [params.dealUuid, randomUUID()]) {
      expect(await statusOf(world, uuid)).toMatchObject({
        error: 'failed to get sealed deal status',
        dealStatus: null,
      });
    }
  });

  it('refuses in its own words', async () => {
    const world = await open('curio', { ...lowAsk, acceptsOffline: false });
    const pieceBytes = 32n << BigInt(Piece.fromPayload(car).height);
    const refusal = async (params: DealParams): Promise<string> => {
      const { accepted, message } = await client.propose(world.provider, params);
      expect(accepted).toBe(false);
      return message;
    };
    const twice = {
      pieceBytes: pieceBytes * 2n,
      pricePerEpoch: 10n ** 13n,
      providerCollateral: (world.ledger.collateralBounds(pieceBytes * 2n, false).min * 6n) / 5n,
    };
    expect(await refusal(world.deal({ proposal: twice }))).toBe(
      `deal proposal piece size ${pieceBytes * 2n} doesn't match padded piece size ${pieceBytes}`,
    );
    expect(await refusal(world.deal({ proposal: { pricePerEpoch: 1n } }))).toBe(
      'internal server error: failed to apply filters',
    );
    expect(await refusal(world.deal({ params: { isOffline: true } }))).toBe(
      'offline deals are not allowed on this provider',
    );
    expect(await refusal(world.deal({ transfer: { type: 'libp2p' } }))).toMatch(/^libp2p URLs are not supported/);
    expect(await refusal(world.deal({ transfer: { params: Buffer.from('x') } }))).toMatch(/^failed to de-serialize/);
    const taken = world.deal();
    expect(await client.propose(world.provider, taken)).toMatchObject({ accepted: true });
    expect(await refusal(taken)).toMatch(/^store deal: market deal with the same proposalCID .* already exists: 1$/);
    const sameUuid = world.deal({ proposal: { label: 'other' }, params: { dealUuid: taken.dealUuid } });
    expect(await refusal(sameUuid)).toBe('store deal: store deal success: updated 0 rows instead of 1');
    const soon = world.deal({ proposal: { label: 'soon' }, startDelay: 100 });
    expect(await client.propose(world.provider, soon)).toMatchObject({ accepted: true });
  });

  it('comes for the bytes with one stream and without HEAD', async () => {
    const world = await open('curio', lowAsk);
    const params = world.deal();
    server.seen.length = 0;
    await client.propose(world.provider, params);
    await world.until(() => world.find(params)?.checkpoint === 'Published');
    expect(server.seen.map(({ method, range }) => [method, range])).toEqual([['GET', `bytes=0-${car.length - 1}`]]);
  });

  it('loses answers over HTTP by ending the connection', async () => {
    const world = await open('curio', { ...lowAsk, loseAnswers: true });
    const params = world.deal();
    await expect(post(world, 'store', encodeDealParams(params))).rejects.toThrow();
    expect(world.find(params)).toBeDefined();
  });

  it('is at the same address after a restart', async () => {
    const ledger = openLedger({ epochMs: 1_000, seed: 'again', isPaused: true });
    const start = () => startProviders({ ledger, personas: ['curio'], seed: 'again' });
    const first = await start();
    const [before] = first.providers;
    await first.close();
    const again = await start();
    expect(again.providers[0]?.multiaddrs).toEqual(before?.multiaddrs);
    await again.close();
    ledger.close();
  });
});
