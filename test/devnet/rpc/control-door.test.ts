import { decode, encode } from '@ipld/dag-cbor';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createDevnetChain, type DevnetChain } from '../../../src/devnet/devnet-chain.ts';
import { distort, noRpcFaults } from '../../../src/devnet/rpc/rpc-faults.ts';
import { blsKey, client, clientText, FIL, makeDeal, PROVIDER, START } from '../ledger/chain-fixture.ts';
import { signLotusMessage } from '../ledger/message-signer.ts';

let chain: DevnetChain;
let providerFaults: unknown[] = [];

beforeEach(async () => {
  providerFaults = [];
  const setProviderFaults = (faults: unknown): void => {
    if (faults === 'nonsense') throw new TypeError('no such fault');
    providerFaults.push(faults);
  };
  chain = await createDevnetChain({ epochMs: 1_000, isPaused: true, seed: 'door', setProviderFaults });
});
afterEach(() => chain.close());

interface Reply {
  status: number;
  json: Record<string, unknown> & { error?: { code: string; message: string } };
}

async function door(name: string, body: unknown = {}): Promise<Reply> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const response = await fetch(`${chain.doorUrl}/${name}`, { method: 'POST', body: text });
  return { status: response.status, json: (await response.json()) as Reply['json'] };
}

async function rpc(method: string, ...params: unknown[]): Promise<Response> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method: `Filecoin.${method}`, params });
  return fetch(chain.rpcUrl, { method: 'POST', body });
}

async function result(method: string, ...params: unknown[]): Promise<unknown> {
  return ((await (await rpc(method, ...params)).json()) as { result: unknown }).result;
}

const base64 = (deal: Uint8Array): string => Buffer.from(deal).toString('base64');

async function setUp(): Promise<void> {
  await door('providers', { id: PROVIDER, multiaddrs: ['/ip4/127.0.0.1/tcp/4001'], sectorSize: '32GiB' });
  await door('fund', { address: clientText(), fil: '100', datacap: '10TiB' });
}

describe('the control door', () => {
  it('registers a provider that the chain then knows, and changes it', async () => {
    const registered = await door('providers', {
      id: 't01010',
      peerId: '12D3KooWQzndiPLcCxLV3f7qqqeBzhULUtecqRRi4rMGVgYMRKWa',
      multiaddrs: ['/ip4/127.0.0.1/tcp/4001'],
      sectorSize: '64GiB',
    });
    expect(registered).toMatchObject({ status: 200, json: { id: 'f01010', sectorSize: 2 ** 36 } });
    expect(await result('StateMinerInfo', 'f01010', null)).toMatchObject({
      Multiaddrs: ['BH8AAAEGD6E='],
      SectorSize: 2 ** 36,
      WindowPoStProofType: 14,
    });
    await door('providers', { id: 'f01010', multiaddrs: [] });
    const changed = await result('StateMinerInfo', 'f01010', null);
    expect(changed).toMatchObject({ Multiaddrs: null, SectorSize: 2 ** 36, PeerId: expect.stringContaining('12D3') });
  });

  it('funds a client that is new, and adds to one that is not', async () => {
    const first = await door('fund', { address: clientText().replace('f1', 't1'), fil: '1.5', datacap: '10TiB' });
    expect(first.json).toMatchObject({ address: clientText(), escrow: expect.stringMatching(/^1\.5/) });
    await door('fund', { address: clientText(), fil: 2 });
    expect(await result('StateMarketBalance', clientText(), null)).toEqual({
      Escrow: `${(7n * FIL) / 2n}`,
      Locked: '0',
    });
    expect(await result('StateVerifiedClientStatus', clientText(), null)).toBe(String(10n * (1n << 40n)));
  });

  it('publishes deals or parameters, activates and terminates, and each is on the chain when it answers', async () => {
    await setUp();
    const deals = [makeDeal(), makeDeal({ isForged: true, label: 'b' }), makeDeal({ label: 'c' })];
    const published = await door('publish', { provider: 't01002', deals: deals.map((deal) => base64(deal)) });
    expect(published).toMatchObject({ status: 200, json: { dealIds: [1, 2], valid: [0, 2], dropped: [{ index: 1 }] } });
    const found = await result('StateSearchMsg', null, { '/': published.json['message'] }, -1, true);
    expect(found).toMatchObject({ Receipt: { ExitCode: 0 } });
    const params = base64(encode([[decode(makeDeal({ label: 'd' }))]]));
    expect((await door('publish', { provider: PROVIDER, params })).json).toMatchObject({ dealIds: [3] });

    const activated = await door('activate', { dealId: 1 });
    expect(activated).toMatchObject({ status: 200, json: { sectorNumber: 1 } });
    const deal = await result('StateMarketStorageDeal', 1, null);
    expect(deal).toMatchObject({ State: { SectorStartEpoch: activated.json['sectorStartEpoch'] } });
    expect((await door('activate', { dealId: '1' })).status).toBe(422);
    expect((await door('terminate', { dealId: 2 })).status).toBe(409);
    expect((await door('terminate', { dealId: 1 })).status).toBe(200);
    expect(await result('StateMarketStorageDeal', 1, null)).toBeUndefined();
    expect((await door('terminate', { dealId: 1 })).status).toBe(404);
  });

  it('refuses a batch without a valid deal, as gas estimation does', async () => {
    await setUp();
    const { status, json } = await door('publish', { provider: PROVIDER, deals: [base64(makeDeal({ key: blsKey }))] });
    expect(status).toBe(422);
    expect(json.error).toMatchObject({ message: expect.stringContaining('exit 16'), dropped: [{ index: 0 }] });
  });

  it('moves the chain', async () => {
    const heightAfter = async (name: string, body?: object): Promise<unknown> =>
      (await door(name, body)).json['height'];
    expect(await heightAfter('advance', { epochs: 30 })).toBe(30);
    const before = (await result('ChainHead')) as { Cids: unknown };
    expect(await heightAfter('reorg', { depth: 2 })).toBe(30);
    expect(((await result('ChainHead')) as { Cids: unknown }).Cids).not.toEqual(before.Cids);
    expect((await door('resume')).json['paused']).toBe(false);
    expect((await door('pause')).json['paused']).toBe(true);
    const state = await (await fetch(chain.doorUrl)).json();
    expect(state).toMatchObject({ height: 30, finalized: 20, paused: true });
  });

  it.each([
    ['providers', { id: 'f01010', multiaddrs: ['nonsense'] }, 400],
    ['providers', { id: 'f01010', sectorSize: '3GiB' }, 400],
    ['providers', { id: 'f05' }, 400],
    ['providers', { id: 'f01010', peerID: 'x' }, 400],
    ['publish', { provider: 'f01999', deals: ['gA=='] }, 404],
    ['publish', { provider: PROVIDER, deals: ['not base64!'] }, 400],
    ['publish', { provider: PROVIDER, params: 'gA==' }, 400],
    ['publish', { provider: PROVIDER, deals: [] }, 400],
    ['publish', { provider: PROVIDER }, 400],
    ['publish', { provider: PROVIDER, deals: ['gA=='] }, 422],
    ['fund', { address: 'f1nonsense', fil: '1' }, 400],
    ['fund', { address: 'f0999', fil: '1' }, 404],
    ['fund', { address: clientText(), fil: '-1' }, 400],
    ['fund', { address: clientText(), datacap: '1 parsec' }, 400],
    ['activate', { dealId: 77 }, 404],
    ['activate', { dealId: 'x' }, 400],
    ['settle', { dealId: 77 }, 404],
    ['advance', { epochs: 0 }, 400],
    ['advance', {}, 400],
    ['reorg', { depth: 1_000 }, 409],
    ['faults', { rpc: { http500: 2 } }, 400],
    ['faults', { rpc: { nonsense: 1 } }, 400],
    ['faults', { provider: 'nonsense' }, 400],
    ['nonsense', {}, 404],
    ['advance', 'not json', 400],
    ['advance', [], 400],
  ])('%s %j is %i', async (name, body, status) => {
    await setUp();
    const before = chain.ledger.head().height;
    const reply = await door(name, body);
    expect(reply.status).toBe(status);
    expect(reply.json.error?.message).toMatch(/./);
    expect(chain.ledger.head().height).toBe(before);
  });

  it('takes POST alone', async () => {
    expect((await fetch(`${chain.doorUrl}/advance`)).status).toBe(405);
  });
});

describe('faults', () => {
  const statusesOf = async (count: number): Promise<number[]> => {
    const statuses: number[] = [];
    for (let i = 0; i < count; i += 1) statuses.push((await rpc('Version')).status);
    return statuses;
  };

  it('strike as often as told, the same for the same seed, and go away again', async () => {
    await door('faults', { rpc: { http500: 0.5 } });
    const first = await statusesOf(40);
    const struck = first.filter((status) => status === 500).length;
    expect(struck).toBeGreaterThan(8);
    expect(struck).toBeLessThan(32);
    await door('faults', { rpc: null });
    expect(new Set(await statusesOf(10))).toEqual(new Set([200]));

    const again = await createDevnetChain({ epochMs: 1_000, isPaused: true, seed: 'door' });
    await chain.close();
    chain = again;
    await door('faults', { rpc: { http500: 0.5 } });
    expect(await statusesOf(40)).toEqual(first);
  });

  it('make a page of HTML, nothing, half an answer, and a late one', async () => {
    await door('faults', { rpc: { html: 1 } });
    const page = await rpc('Version');
    expect([page.status, page.headers.get('content-type')]).toEqual([200, 'text/html; charset=utf-8']);
    await door('faults', { rpc: { empty: 1 } });
    expect(await (await rpc('Version')).text()).toBe('');
    await door('faults', { rpc: { truncated: 1 } });
    await expect((await rpc('Version')).json()).rejects.toThrow(SyntaxError);
    await door('faults', { rpc: { delayMs: 60 } });
    const start = performance.now();
    await rpc('Version');
    expect(performance.now() - start).toBeGreaterThan(50);
  });

  it('let the node lag: it knows nothing above its own head', async () => {
    await setUp();
    await door('advance', { epochs: 20 });
    await door('publish', { provider: PROVIDER, deals: [base64(makeDeal())] });
    await door('faults', { rpc: { behind: 5 } });
    expect(await result('ChainHead')).toMatchObject({ Height: 17 });
    expect(await result('StateMarketStorageDeal', 1, null)).toBeUndefined();
    expect(await result('GetActorEventsRaw', { addresses: ['f05'], fromHeight: 0 })).toBeNull();
    const beyond = await (await rpc('ChainGetTipSetByHeight', 18, null)).json();
    expect(beyond).toMatchObject({ error: { message: expect.stringContaining('req: 18, head: 17') } });
    await door('advance', { epochs: 5 });
    expect(await result('StateMarketStorageDeal', 1, null)).toMatchObject({ Proposal: { StartEpoch: START } });
  });

  it('of providers are handed on, those of the RPC stay', async () => {
    const faults = { f01000: { hang: true } };
    await door('faults', { rpc: { http500: 1 } });
    expect((await door('faults', { provider: faults })).status).toBe(200);
    expect(providerFaults).toEqual([faults]);
    expect((await rpc('Version')).status).toBe(500);
  });

  it('change nothing when there are none', () => {
    const reply = { status: 200, body: '{"result":1}\n' };
    for (let turn = 0; turn < 100; turn += 1) expect(distort(reply, noRpcFaults, { seed: 'x', turn })).toBe(reply);
  });
});

describe('messages of a stranger', () => {
  it('AddBalance goes from estimation by push to the chain', async () => {
    await door('fund', { address: clientText(), fil: '10' });
    const draft = { Version: 0, To: 'f05', From: clientText(), Nonce: 0, Value: String(FIL), Method: 2 };
    const params = { Params: Buffer.from([0x55, 1, ...client.payload]).toString('base64') };
    const gas = { GasLimit: 0, GasFeeCap: '0', GasPremium: '0' };
    const nonce = await result('MpoolGetNonce', clientText());
    expect(nonce).toBe(0);
    const estimated = await result('GasEstimateMessageGas', { ...draft, ...params, ...gas }, { MaxFee: '0' }, null);
    const signed = signLotusMessage(estimated as Parameters<typeof signLotusMessage>[0]);
    expect(await result('MpoolPush', signed)).toEqual({ '/': expect.stringMatching(/^bafy2bzace/) });
    expect(await result('MpoolGetNonce', clientText())).toBe(1);
    const forged = { ...signed, Message: { ...signed.Message, Value: '1' } };
    expect(await (await rpc('MpoolPush', forged)).json()).toMatchObject({ error: { code: 1 } });
    await door('advance', { epochs: 2 });
    expect(await result('StateMarketBalance', clientText(), null)).toMatchObject({ Escrow: String(11n * FIL) });
    const balance = BigInt(String(await result('WalletBalance', clientText())));
    expect(balance).toBeLessThan(9n * FIL);
    expect(balance).toBeGreaterThan((89n * FIL) / 10n);
  });
});
