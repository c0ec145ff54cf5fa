import { afterEach, beforeEach, describe, expect, it } from 'vitest';

import { createDevnetChain, type DevnetChain } from '../../../src/devnet/devnet-chain.ts';
import { signLotusMessage } from '../ledger/message-signer.ts';
import { client, clientText, FIL, makeDeal, PROVIDER, START } from '../ledger/chain-fixture.ts';

interface TipsetJson {
  Height: number;
  Cids: { '/': string }[];
  Blocks: { Parents: { '/': string }[]; Height: number }[];
}

interface EventJson {
  height: number;
  reverted: boolean;
  msgCid: { '/': string };
}

interface Answer {
  status: number;
  json: { id?: unknown; result?: unknown; error?: { code: number; message: string } };
}

let chain: DevnetChain;

beforeEach(async () => {
  chain = await createDevnetChain({ epochMs: 1_000, isPaused: true, seed: 'nodes', rpcNodes: 2, finalityEpochs: 30 });
  chain.ledger.registerMiner({ id: PROVIDER });
  chain.ledger.fund(client, { attoFil: 100n * FIL, dataCapBytes: 0n });
  chain.ledger.advance(40);
});
afterEach(() => chain.close());

async function door(name: string, body: object = {}, node = 0): Promise<Record<string, unknown>> {
  const url = new URL(`/devnet/${name}`, chain.rpcUrls[node]);
  const response = await fetch(url, { method: 'POST', body: JSON.stringify(body) });
  const answer = (await response.json()) as Record<string, unknown>;
  if (!response.ok) throw new Error(JSON.stringify(answer));
  return answer;
}

async function ask(method: string, params: unknown[] = [], node = 0): Promise<Answer> {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 3, method: `Filecoin.${method}`, params });
  const response = await fetch(chain.rpcUrls[node] ?? '', { method: 'POST', body });
  return { status: response.status, json: (await response.json()) as Answer['json'] };
}

async function result<T = unknown>(method: string, params: unknown[] = [], node = 0): Promise<T> {
  const { json } = await ask(method, params, node);
  if (json.error !== undefined) throw new Error(json.error.message);
  return json.result as T;
}

const faults = (rpc: object | null, node = 0): Promise<unknown> => door('faults', { rpc }, node);
const head = (node = 0): Promise<TipsetJson> => result<TipsetJson>('ChainHead', [], node);
const base64 = (deal: Uint8Array): string => Buffer.from(deal).toString('base64');

async function publish(body: object = {}): Promise<{ message: string; dealIds: number[]; height: number }> {
  const answer = await door('publish', { provider: PROVIDER, deals: [base64(makeDeal())], ...body });
  return answer as unknown as { message: string; dealIds: number[]; height: number };
}

describe('answers', () => {
  it('429 tells when to come again', async () => {
    await faults({ http429: 1, retryAfterSeconds: 7 });
    const response = await fetch(chain.rpcUrl, { method: 'POST', body: '{}' });
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '7']);
  });

  it('have the id of another call, or null where there is a result', async () => {
    await faults({ wrongId: 1 });
    expect((await ask('ChainHead')).json.id).toBe(4);
    await faults({ nullResult: 1 });
    expect((await ask('ChainHead')).json).toEqual({ id: 3, jsonrpc: '2.0', result: null });
    expect((await ask('StateLookupID', ['f01999', null])).json.error?.code).toBe(11);
  });

  it('of a node without a method say so as for one that never was', async () => {
    await faults({ refuse: ['ChainGetFinalizedTipSet', 'GetActorEventsRaw'] });
    for (const method of ['ChainGetFinalizedTipSet', 'GetActorEventsRaw', 'NoSuchMethod']) {
      const { status, json } = await ask(method, []);
      expect([status, json.error]).toEqual([500, { code: -32_601, message: `method 'Filecoin.${method}' not found` }]);
    }
    expect((await ask('ChainHead')).status).toBe(200);
  });

  it.each([{ http429: 2 }, { gateway: 1 }, { refuse: 'x' }, { refuse: [1] }, { ahead: -1 }, { fakeActive: 'yes' }])(
    '%j is no fault',
    async (rpc) => {
      await expect(faults(rpc)).rejects.toThrow('BAD_INPUT');
    },
  );
});

describe('events', () => {
  const filter = { addresses: ['f05'], fromHeight: 0 };

  it('that a reorg undid stay, marked, beside those that came after', async () => {
    const { message, height } = await publish();
    await door('advance', { epochs: 5 });
    await door('reorg', { depth: 8 });
    const undone = await result<EventJson[]>('GetActorEventsRaw', [filter]);
    expect(undone).toMatchObject([{ height, reverted: true, msgCid: { '/': message } }]);
    await door('advance', { epochs: 6 });
    const both = await result<EventJson[]>('GetActorEventsRaw', [filter]);
    expect(both.map(({ reverted }) => reverted)).toEqual([true, false]);
    expect(both[1]?.height).toBeGreaterThan(height);
  });

  it('have the limits of the node, in its words', async () => {
    await publish();
    await publish({ deals: [base64(makeDeal({ label: 'b' }))] });
    await faults({ maxEvents: 1 });
    expect((await ask('GetActorEventsRaw', [filter])).json.error?.message).toMatch(/too many events/);
    await faults({ maxEventRange: 10 });
    const range = { ...filter, fromHeight: 5, toHeight: 16 };
    expect((await ask('GetActorEventsRaw', [range])).json.error?.message).toMatch(/too large \(maximum: 10\)/);
    await faults({ eventsDisabled: true });
    expect((await ask('GetActorEventsRaw', [filter])).json.error).toEqual({
      code: 1,
      message: 'module disabled, enable with Events.EnableActorEventsAPI',
    });
  });
});

describe('a gateway', () => {
  it('looks back 20 epochs for a message, and a day for a tipset', async () => {
    const { message } = await publish();
    const search = [null, { '/': message }, -1, true];
    const [old] = [await head()];
    await door('advance', { epochs: 30 });
    expect(await result('StateSearchMsg', search)).toMatchObject({ Message: { '/': message } });
    await faults({ gateway: true });
    expect(await result('StateSearchMsg', search)).toBeNull();
    await door('advance', { epochs: 2_880 });
    const low = await ask('ChainGetTipSetByHeight', [old.Height, null]);
    expect(low.json.error?.message).toBe('bad tipset height: lookbacks of more than 24h0m0s are disallowed');
    const state = await ask('StateMarketStorageDeal', [1, old.Cids]);
    expect(state.json.error?.message).toBe('bad tipset: lookbacks of more than 24h0m0s are disallowed');
    const events = await ask('GetActorEventsRaw', [{ addresses: ['f05'], fromHeight: 30, toHeight: 40 }]);
    expect(events.json.error?.message).toMatch(/lookbacks/);
    expect((await ask('StateGetNetworkParams')).json.error?.code).toBe(-32_601);
    await faults(null);
    expect(await result('StateMarketStorageDeal', [1, old.Cids])).toMatchObject({ State: { SectorStartEpoch: -1 } });
  });
});

describe('lies', () => {
  it('a height that is not there yet', async () => {
    const { Height } = await head();
    await faults({ ahead: 100 });
    const shown = await head();
    expect([shown.Height, shown.Blocks[0]?.Height]).toEqual([Height + 100, Height + 100]);
    expect(await result('ChainGetTipSet', [shown.Cids])).toEqual(shown);
    await faults(null);
    expect((await head()).Height).toBe(Height);
  });

  it('deals shown active, or not at all', async () => {
    const { dealIds } = await publish();
    const read = (): Promise<Answer> => ask('StateMarketStorageDeal', [dealIds[0], null]);
    await faults({ fakeActive: 1 });
    const { json } = await read();
    const { State } = json.result as { State: { SectorStartEpoch: number } };
    expect(State.SectorStartEpoch).toBeGreaterThan(0);
    await faults({ hideDeals: 1 });
    expect((await read()).json.error?.message).toMatch(/not found/);
    await faults(null);
    expect((await read()).json.result).toMatchObject({ State: { SectorStartEpoch: -1 } });
  });

  it('events that are not told', async () => {
    await publish();
    const { Height } = await head();
    const read = () => result('GetActorEventsRaw', [{ fromHeight: Math.max(0, Height - 2_000), toHeight: Height }]);
    const told = await read();
    expect(told).not.toBeNull();
    await faults({ hideEvents: 1 });
    expect(await read(), 'as where nothing happened').toBeNull();
    await faults(null);
    expect(await read()).toEqual(told);
  });
});

describe('two nodes of one chain', () => {
  it('agree, until one has faults of its own', async () => {
    expect(chain.rpcUrls).toHaveLength(2);
    expect(await head(1)).toEqual(await head(0));
    await faults({ behind: 5 }, 1);
    expect((await head(1)).Height).toBe((await head(0)).Height - 5);
    expect((await ask('ChainHead', [], 0)).status).toBe(200);
  });

  it('one that left the chain has blocks of its own above, and nothing happens in them', async () => {
    const before = await head();
    await faults({ fork: 4 }, 1);
    const [ours, theirs] = [await head(0), await head(1)];
    expect(theirs.Height).toBe(ours.Height);
    expect(theirs.Cids).not.toEqual(ours.Cids);
    const { dealIds, height } = await publish();
    await door('advance', { epochs: 3 });
    expect((await head(1)).Height).toBe((await head(0)).Height);
    expect((await ask('StateMarketStorageDeal', [dealIds[0], null], 0)).json.result).toBeDefined();
    expect((await ask('StateMarketStorageDeal', [dealIds[0], null], 1)).json.error?.message).toMatch(/not found/);
    expect(await result('GetActorEventsRaw', [{ addresses: ['f05'], fromHeight: 0 }], 1)).toBeNull();
    let tipset = await head(1);
    while (tipset.Height > before.Height - 4) {
      const parents = tipset.Blocks[0]?.Parents;
      tipset = await result<TipsetJson>('ChainGetTipSet', [parents], 1);
    }
    expect(tipset).toEqual(await result('ChainGetTipSetByHeight', [before.Height - 4, null], 0));
    expect(height).toBeGreaterThan(tipset.Height);
    await faults(null, 1);
    expect(await head(1)).toEqual(await head(0));
  });
});

describe('a message that waits', () => {
  it('is replaced by one with a higher fee, under which the old one is found', async () => {
    const { message, dealIds } = await publish({ land: false });
    expect(dealIds).toEqual([]);
    const { message: dearer } = (await door('replace', { message })) as { message: string };
    expect(dearer).not.toBe(message);
    await door('advance', { epochs: 2 });
    const found = await result('StateSearchMsg', [null, { '/': message }, -1, true]);
    expect(found).toMatchObject({ Message: { '/': dearer }, Receipt: { ExitCode: 0 } });
    expect(await result('StateSearchMsg', [null, { '/': message }, -1, false])).toBeNull();
    expect(await result('StateMarketStorageDeal', [1, null])).toMatchObject({ Proposal: { StartEpoch: START } });
    await expect(door('replace', { message: dearer })).rejects.toThrow('NOT_PENDING');
  });

  it('is replaced by whoever signed it, for a quarter more tip', async () => {
    await door('fund', { address: clientText(), fil: '10' });
    const params = { Params: Buffer.from([0x55, 1, ...client.payload]).toString('base64') };
    const draft = { Version: 0, To: 'f05', From: clientText(), Nonce: 0, Value: String(FIL), Method: 2, ...params };
    const gas = { GasLimit: 10_000_000, GasFeeCap: '2000' };
    const push = (GasPremium: string): Promise<Answer> =>
      ask('MpoolPush', [signLotusMessage({ ...draft, ...gas, GasPremium })]);
    const first = (await push('1000')).json.result;
    expect((await push('1100')).json.error?.message).toMatch(/replace by fee has too low GasPremium: minimum 1251/);
    const second = (await push('1251')).json.result;
    expect(await result('MpoolGetNonce', [clientText()])).toBe(1);
    await door('advance', { epochs: 2 });
    expect(await result('StateSearchMsg', [null, first, -1, true])).toMatchObject({ Message: second });
    expect(await result('StateMarketBalance', [clientText(), null])).toMatchObject({ Escrow: String(111n * FIL) });
  });
});

it('null rounds can be switched on and off', async () => {
  await door('faults', { chain: { nullRounds: 0.5 } });
  const from = chain.ledger.head().height;
  await door('advance', { epochs: 1_000 });
  await door('faults', { chain: { nullRounds: 0 } });
  await door('advance', { epochs: 50 });
  const view = chain.ledger.view();
  const heights = Array.from({ length: 1_000 }, (_, at) => view.atOrBelow(from + at).height);
  const share = new Set(heights).size / heights.length;
  expect(share).toBeGreaterThan(0.4);
  expect(share).toBeLessThan(0.75);
  await expect(door('faults', { chain: { nullRounds: 1 } })).rejects.toThrow('BAD_INPUT');
});

it('a proposal signed as f1 is told of by ID, and is itself on the chain as it was signed', async () => {
  const { message } = await publish();
  const id = await result<string>('StateLookupID', [clientText(), null]);
  expect(id).toMatch(/^f01\d\d$/);
  expect(await result('StateMarketStorageDeal', [1, null])).toMatchObject({ Proposal: { Client: id } });
  const [event] = await result<{ entries: { Key: string; Value: string }[] }[]>('GetActorEventsRaw', [
    { addresses: ['f05'], fromHeight: 0 },
  ]);
  const value = event?.entries.find(({ Key }) => Key === 'client')?.Value ?? '';
  expect([...Buffer.from(value, 'base64')]).toEqual([0x18, Number(id.slice(2))]);
  const { Params } = await result<{ Params: string }>('ChainGetMessage', [{ '/': message }]);
  expect(Buffer.from(Params, 'base64').includes(Buffer.from(client.payload))).toBe(true);
});

it('a sector is gone when its time is over', async () => {
  const { dealIds } = await publish();
  await door('activate', { dealId: dealIds[0] });
  const sector = (): Promise<{ Expiration: number } | null> => result('StateSectorGetInfo', [PROVIDER, 1, null]);
  const { Expiration } = (await sector()) ?? { Expiration: 0 };
  await door('advance', { epochs: Expiration - chain.ledger.head().height });
  expect(await sector()).not.toBeNull();
  await door('advance', { epochs: 1 });
  expect(await sector()).toBeNull();
  expect(await result('StateMarketStorageDeal', [dealIds[0], null])).toMatchObject({ State: { SectorNumber: 1 } });
  expect(await door('settle', { dealId: dealIds[0] })).toMatchObject({ gone: true });
  expect((await ask('StateMarketStorageDeal', [dealIds[0], null])).json.error?.message).toMatch(/not found/);
});
