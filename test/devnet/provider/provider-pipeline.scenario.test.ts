import { randomUUID } from 'node:crypto';
import { readFile, stat, writeFile } from 'node:fs/promises';
import type { ServerResponse } from 'node:http';
import { join } from 'node:path';
import { Piece } from '@web3-storage/data-segment';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { PersonaPatch } from '../../../src/devnet/provider/provider-persona.ts';
import { isPast } from '../../../src/devnet/provider/provider-deals.ts';
import { startProviders, type Providers, type RunningProvider } from '../../../src/devnet/provider/providers.ts';
import { httpTransferParams, type DealParams } from '../../../src/filecoin/mk12-propose.ts';
import { packSamples } from '../../../src/demo/sample-files.ts';
import { filesBelow, temporaryFolder } from '../../support/temporary-folder.ts';
import { CLIENT_ADDRESS, DealClient, dealParams, pieceCidOf } from './deal-client.ts';
import { FakeLedger } from './fake-ledger.ts';
import { servePiece, type PieceServer } from './piece-server.ts';

async function sampleCar(name: string): Promise<Uint8Array> {
  for await (const sample of packSamples({ seed: 'pipeline', count: 12 })) {
    if (sample.name !== name) continue;
    const chunks: Uint8Array[] = [];
    for await (const chunk of sample.car) chunks.push(chunk);
    return Buffer.concat(chunks);
  }
  throw new Error(`no sample is called ${name}`);
}

/** A deal for these bytes at this address; the piece CID comes from an implementation of its own. */
function dealFor(
  car: Uint8Array,
  url: string,
  options: { label?: string; grow?: bigint; car?: Uint8Array } = {},
): DealParams {
  const piece = Piece.fromPayload(car);
  const natural = 32n << BigInt(piece.height);
  const pieceBytes = natural * (options.grow ?? 1n);
  const padded = new Uint8Array(Number((pieceBytes * 127n) / 128n));
  padded.set(car);
  const root = options.grow === undefined ? piece.root : Piece.fromPayload(padded).root;
  return dealParams({
    proposal: {
      pieceCid: pieceCidOf(root),
      pieceBytes,
      pricePerEpoch: 10n ** 9n,
      label: options.label ?? 'piece',
    },
    transfer: { params: httpTransferParams({ url, headers: { Authorization: 'Bearer x' } }), sizeBytes: car.length },
  });
}

const FAST: PersonaPatch = { publishBatchEpochs: 1, proveEpochs: 2, retryMinMs: 1, retryMaxMs: 5 };

interface Devnet extends AsyncDisposable {
  ledger: FakeLedger;
  devnet: Providers;
  provider: RunningProvider;
}

async function startDevnet(options: { ledger?: FakeLedger; dir?: string; patch?: PersonaPatch } = {}): Promise<Devnet> {
  const ledger = options.ledger ?? new FakeLedger(CLIENT_ADDRESS);
  const dir = options.dir === undefined ? {} : { dir: options.dir };
  const devnet = await startProviders({ ledger, personas: [{ ...FAST, ...options.patch }], seed: 'p', ...dir });
  const provider = devnet.providers[0] ?? expect.fail('no provider');
  return { ledger, devnet, provider, [Symbol.asyncDispose]: () => devnet.close() };
}

/** Moves the chain until it is so. */
async function until({ ledger }: { ledger: FakeLedger }, what: () => boolean): Promise<void> {
  const deadline = Date.now() + 20_000;
  while (!what()) {
    if (Date.now() > deadline) throw new Error('it never came to that');
    await new Promise((resolve) => setTimeout(resolve, 5));
    ledger.tick();
  }
}

describe('the pipeline of a storage provider', () => {
  let client: DealClient;
  let car: Uint8Array;
  let server: PieceServer;

  beforeAll(async () => {
    client = await DealClient.start();
    car = await sampleCar('pebbles');
    server = await servePiece(car);
  });
  afterAll(async () => {
    await client.close();
    await server[Symbol.asyncDispose]();
  });

  const find = ({ provider }: Devnet, params: DealParams) =>
    provider.deals().find(({ uuid }) => uuid === params.dealUuid) ?? expect.fail('no such deal');

  it('transfers, checks, publishes, and proves, and its status moves as that of Boost', async () => {
    await using net = await startDevnet();
    const params = dealFor(car, server.url);
    await client.propose(net.provider, params);
    const steps: string[] = [];
    await until(net, () => {
      const { checkpoint } = find(net, params);
      if (steps.at(-1) !== checkpoint) steps.push(checkpoint);
      return find(net, params).isProven;
    });
    const order = ['Accepted', 'Transferred', 'Published', 'PublishConfirmed', 'AddedPiece', 'IndexedAndAnnounced'];
    expect(steps.filter((step) => step !== 'Transferred')).toEqual(order.filter((step) => step !== 'Transferred'));
    const deal = find(net, params);
    expect(deal.chainDealId).toBe(1n);
    expect(deal.publishCid).toBe(net.ledger.published[0]?.message.toString());
    expect(net.ledger.published[0]?.deals).toEqual([params.signedProposal]);
    expect(net.ledger.deal(1n)?.sectorStartEpoch).toBeGreaterThan(0);
    expect(net.ledger.proofs).toEqual([1n]);
  });

  it('takes a piece that is larger than its data needs', async () => {
    await using net = await startDevnet();
    const params = dealFor(car, server.url, { grow: 4n });
    await client.propose(net.provider, params);
    await until(net, () => isPast(find(net, params), 'Published'));
    expect(find(net, params).error).toBe('');
  });

  it('fails a deal whose bytes are others than proposed', async () => {
    await using net = await startDevnet();
    const spoiled = Uint8Array.from(car);
    spoiled[spoiled.length - 5] = (spoiled.at(-5) ?? 0) ^ 1;
    await using wrong = await servePiece(spoiled);
    const params = dealFor(car, wrong.url);
    await client.propose(net.provider, params);
    await until(net, () => find(net, params).checkpoint === 'Complete');
    expect(find(net, params).error).toMatch(
      /^failed to verify CommP: commP expected=baga6ea4\w+, actual=baga6ea4\w+: commp mismatch$/,
    );
    expect(net.ledger.published).toEqual([]);
  });

  it('fails a deal whose file is no CAR, at its head or further on', async () => {
    await using net = await startDevnet();
    const junk = new Uint8Array(5_000).fill(0xa5);
    await using junkServer = await servePiece(junk);
    const cut = car.subarray(0, -3);
    await using cutServer = await servePiece(cut);
    const [first, second] = [dealFor(junk, junkServer.url), dealFor(cut, cutServer.url)];
    await client.propose(net.provider, first);
    await client.propose(net.provider, second);
    await until(net, () => [first, second].every((params) => find(net, params).checkpoint === 'Complete'));
    expect(find(net, first).error).toContain('failed to open carv2 reader');
    expect(find(net, second).error).toContain('failed to add index and announce deal');
  });

  it('fails a deal at the first HEAD that does not come, as Boost does, unless it is told to be patient', async () => {
    await using net = await startDevnet();
    const params = dealFor(car, 'http://127.0.0.1:9/');
    await client.propose(net.provider, params);
    await until(net, () => find(net, params).checkpoint === 'Complete');
    expect(find(net, params).error).toMatch(/^data-transfer failed: failed to send HEAD http req: /);

    net.devnet.setFaults({ f01000: { headAttempts: 4 } });
    await using flaky = await servePiece(car);
    let refused = 3;
    flaky.intercept = (request) => {
      if (refused > 0) request.socket.destroy();
      return (refused -= 1) >= 0;
    };
    const patient = dealFor(car, flaky.url, { label: 'patient' });
    await client.propose(net.provider, patient);
    await until(net, () => isPast(find(net, patient), 'Published'));
    expect(find(net, patient).error).toBe('');
  });

  it('publishes eight deals at once and the rest later, dropping what the chain would not take', async () => {
    await using net = await startDevnet({ patch: { publishBatchEpochs: 1_000 } });
    const all = Array.from({ length: 9 }, (_, i) => dealFor(car, server.url, { label: `batch ${i}` }));
    for (const params of all) await client.propose(net.provider, params);
    net.ledger.drops = [{ index: 2, reason: 'signature invalid' }];
    await until(
      net,
      () => net.ledger.published.length > 0 && all.every((params) => find(net, params).checkpoint !== 'Accepted'),
    );
    expect(net.ledger.published.map(({ deals }) => deals.length)).toEqual([7]);
    const dropped = all.map((params) => find(net, params)).filter(({ error }) => error !== '');
    expect(dropped.map(({ checkpoint, error }) => [checkpoint, error])).toEqual([
      ['Transferred', `recoverable error to publish deal ${dropped[0]?.uuid}: signature invalid`],
    ]);
    net.devnet.setFaults({ f01000: { publishBatchEpochs: 1 } });
    await until(net, () => net.ledger.published.length === 2);
    expect(net.ledger.published[1]?.deals).toHaveLength(1);
  });

  it('follows a reorg: the same message gives another deal id, which is proven again', async () => {
    await using net = await startDevnet();
    const params = dealFor(car, server.url);
    await client.propose(net.provider, params);
    await until(net, () => find(net, params).isProven);
    net.ledger.reorg();
    await until(net, () => find(net, params).isProven && find(net, params).chainDealId === 2n);
    expect(net.ledger.deal(2n)?.sectorStartEpoch).toBeGreaterThan(0);
    expect(net.ledger.published).toHaveLength(1);
  });

  it('fails what it could not publish before the start epoch', async () => {
    await using net = await startDevnet({ patch: { publishBatchEpochs: 1_000_000 } });
    const params = dealFor(car, server.url);
    await client.propose(net.provider, params);
    await until(net, () => find(net, params).checkpoint === 'Transferred');
    net.ledger.height = 12_001;
    net.devnet.setFaults({ f01000: { publishBatchEpochs: 1 } });
    await until(net, () => find(net, params).checkpoint === 'Complete');
    expect(find(net, params).error).toMatch(
      /must be proven on chain by deal proposal start epoch 12000, but it has expired/,
    );
  });

  it('goes on with a transfer after a stop, under the same peer id and address', async () => {
    await using folder = await temporaryFolder();
    const ledger = new FakeLedger(CLIENT_ADDRESS);
    await using slow = await servePiece(car);
    const params = dealFor(car, slow.url);
    const before = await startDevnet({ ledger, dir: folder.path, patch: { fetchBytesPerSecond: 1_000_000 } });
    await client.propose(before.provider, params);
    await until(before, () => slow.seen.length === 2);
    const pieces = join(folder.path, 'f01000', 'pieces');
    await expect.poll(async () => (await stat(join(pieces, `${params.dealUuid}.car`))).size).toBeGreaterThan(0);
    await before.devnet.close();
    const address = ledger.miner('f01000')?.multiaddrs;

    await using after = await startDevnet({ ledger, dir: folder.path });
    expect(after.provider.peerId).toBe(before.provider.peerId);
    expect(ledger.miner('f01000')?.multiaddrs, 'and at the same address').toEqual(address);
    await until(after, () => find(after, params).isProven);
    const [first, second] = slow.seen.flatMap(({ range }) => range ?? []);
    expect(first).toBe(`bytes=0-${car.length}`);
    expect(Number(/=(\d+)-/.exec(second ?? '')?.[1])).toBeGreaterThan(0);
    expect(await filesBelow(pieces)).toEqual([`${params.dealUuid}.car`]);
  });

  it('asks the ledger before it publishes what it may have published before it was killed', async () => {
    await using folder = await temporaryFolder();
    const ledger = new FakeLedger(CLIENT_ADDRESS);
    const params = dealFor(car, server.url);
    const before = await startDevnet({ ledger, dir: folder.path });
    await client.propose(before.provider, params);
    await until(before, () => ledger.published.length === 1);
    await before.devnet.close();
    // Killed in the middle of writing the line that says it was published.
    const path = join(folder.path, 'f01000', 'deals.jsonl');
    const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
    const at = lines.findIndex((line) => line.includes('"Published"'));
    await writeFile(path, `${lines.slice(0, at).join('\n')}\n${lines[at]?.slice(0, 40)}`);

    await using after = await startDevnet({ ledger, dir: folder.path });
    expect(find(after, params).checkpoint).toBe('Transferred');
    await until(after, () => find(after, params).isProven);
    expect(ledger.published).toHaveLength(1);
    expect(find(after, params).publishCid).toBe(ledger.published[0]?.message.toString());
    expect((await client.propose(after.provider, params)).message).toContain(`identical to deal ${params.dealUuid}`);
  });

  it('publishes again what the chain has lost', async () => {
    await using net = await startDevnet();
    const params = dealFor(car, server.url);
    await client.propose(net.provider, params);
    await until(net, () => {
      const hasPublished = net.ledger.published.length > 0;
      net.ledger.published.length = 0;
      return hasPublished;
    });
    await until(net, () => find(net, params).isProven);
    expect(net.ledger.published).toHaveLength(1);
  });

  it('waits for a server that comes back later than the provider itself', async () => {
    await using folder = await temporaryFolder();
    await using late = await servePiece(car);
    late.intercept = (request) => request.method === 'GET';
    const params = dealFor(car, late.url);
    const before = await startDevnet({ dir: folder.path });
    await client.propose(before.provider, params);
    await until(before, () => late.seen.some(({ method }) => method === 'GET'));
    await before.devnet.close();

    let refused = 0;
    late.intercept = (request) => {
      if (refused === 5) return false;
      refused += 1;
      return Boolean(request.socket.destroy());
    };
    await using after = await startDevnet({ dir: folder.path });
    await until(after, () => find(after, params).isProven);
    expect(refused).toBe(5);
  });

  it('transfers as many pieces at once as its persona says, and the others after them', async () => {
    await using net = await startDevnet({ patch: { transfersAtOnce: 2 } });
    await using counted = await servePiece(car);
    let [open, most, served] = [0, 0, 0];
    const held: ServerResponse[] = [];
    counted.intercept = (request, response) => {
      if (request.method === 'HEAD') return false;
      open += 1;
      served += 1;
      most = Math.max(most, open);
      held.push(response);
      response.on('close', () => (open -= 1));
      // Each waits for another beside it, and both for a third, which must not come; the last has none.
      const release = () => held.splice(0).forEach((one) => void one.writeHead(206).end(car));
      if (open === 2 || served === all.length) setTimeout(release, 100);
      return true;
    };
    const all = Array.from({ length: 5 }, (_, i) => dealFor(car, counted.url, { label: `line ${i}` }));
    for (const params of all) await client.propose(net.provider, params);
    await until(net, () => all.every((params) => find(net, params).isProven));
    expect(most).toBe(2);
  });

  it('lets an offline deal wait for its data', async () => {
    await using net = await startDevnet();
    const params = { ...dealFor(car, 'x'), isOffline: true, dealUuid: randomUUID() };
    expect(await client.propose(net.provider, params)).toEqual({ accepted: true, message: '' });
    net.ledger.tick(20);
    expect(find(net, params)).toMatchObject({ checkpoint: 'Accepted', error: '' });
  });
});
