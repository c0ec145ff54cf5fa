import { afterAll, beforeAll, describe, expect, it } from 'vitest';

import { createDevnetChain, type DevnetChain } from '../../../src/devnet/devnet-chain.ts';
import { formatAddress } from '../../../src/filecoin/address.ts';
import {
  activateNow,
  blsClient,
  blsKey,
  client,
  clientText,
  FIL,
  makeDeal,
  PROVIDER,
} from '../ledger/chain-fixture.ts';
import { pairs, type Pair } from './lotus-pairs.ts';

const TOKENS = { reader: 'read', writer: 'write' } as const;
const NO_MESSAGE = { '/': 'bafy2bzacebbxq6is7wvwffxfmokjc3g2ouyxfkxtq4po5zsbf2swpdv7e4edo' };

interface Answer {
  status: number;
  json: unknown;
}

/** The recorded story told again on our chain: what we are asked, after what happened between the recorded calls. */
class Story {
  readonly #chain: DevnetChain;
  #message = '';
  #sector = 0;

  constructor(chain: DevnetChain) {
    this.#chain = chain;
  }

  async ask(index: number, pair: Pair): Promise<Answer> {
    this.#before(pair);
    const token = tokenOf(pair);
    const method = pair.request?.method ?? 'Filecoin.MpoolPush';
    const params = pair.request === undefined ? [null] : this.#params(index, pair.request);
    const headers = {
      'content-type': 'application/json',
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
    };
    const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params });
    const response = await fetch(this.#chain.rpcUrl, { method: 'POST', headers, body });
    const text = await response.text();
    return { status: response.status, json: text === '' ? null : JSON.parse(text) };
  }

  #before(pair: Pair): void {
    const { ledger } = this.#chain;
    if (pair.note === 'provider with multiaddrs') {
      ledger.registerMiner({
        id: PROVIDER,
        multiaddrs: ['/ip4/127.0.0.1/tcp/24001', '/dns/sp.example.com/tcp/443/wss'],
      });
    } else if (pair.note === 'with datacap') ledger.fund(client, { attoFil: 0n, dataCapBytes: 1n << 40n });
    else if (pair.note.startsWith('PublishStorageDeals, 2 of 3')) this.#publish();
    else if (pair.note === 'active' && this.#sector === 0) this.#sector = activateNow(ledger, [1n, 2n]);
    else if (pair.note === 'terminated: gone from the state at once') ledger.land(ledger.terminateSectorOf(1n));
    else if (pair.note.startsWith('its start epoch is past')) this.#letOnePass();
    else if (pair.note === 'timed out and settled: gone') ledger.land(ledger.settle(3n));
    else if (pair.note.startsWith('right after a reorg')) this.#reorg();
  }

  #publish(): void {
    const { ledger } = this.#chain;
    const deals = [
      makeDeal({ label: 'verified', verified: true, price: 0n, pieceBytes: 2 ** 30 }),
      makeDeal({ label: 'plain', pieceBytes: 2_048 }),
      makeDeal({ label: 'its client has no escrow', key: blsKey, price: FIL }),
    ];
    const attempt = ledger.publish(PROVIDER, deals);
    if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
    this.#message = attempt.message.toString();
    ledger.land(attempt.message);
  }

  #letOnePass(): void {
    const { ledger } = this.#chain;
    const startEpoch = ledger.head().height + 5;
    const deal = makeDeal({ label: '', startEpoch, endEpoch: startEpoch + 518_400, price: 0n });
    const attempt = ledger.publish(PROVIDER, [deal]);
    if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
    ledger.advance(10);
  }

  #reorg(): void {
    const { ledger } = this.#chain;
    const attempt = ledger.publish(PROVIDER, [makeDeal({ label: 'dropped' })]);
    if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
    ledger.advance(3);
    expect(ledger.deal(4n)).toBeDefined();
    ledger.reorg({ depth: 3 });
  }

  /** The recorded parameters, with our heights, ids and addresses in place of theirs. */
  #params(index: number, request: { method: string; params: unknown[] }): unknown[] {
    const { ledger } = this.#chain;
    const height = ledger.head().height;
    const note = pairs[index]?.note ?? '';
    const ours = (value: unknown): unknown => {
      if (value === 'f15beo44zxg3rrewhkrzklbw26a65qfhsykaehm7q') return clientText();
      if (value === 'f0103') return formatAddress(ledger.lookupId(client) ?? client);
      if (value === 'f0102') return formatAddress(ledger.lookupId(blsClient) ?? blsClient);
      return value;
    };
    switch (request.method) {
      case 'Filecoin.ChainGetTipSetByHeight':
        return [note === 'beyond the head' ? height + 100_000 : height - 10, null];
      case 'Filecoin.StateMarketStorageDeal':
        return [dealId(request.params[0]), null];
      case 'Filecoin.StateSearchMsg':
        return note === 'no such message' ? [null, NO_MESSAGE, -1, true] : [null, { '/': this.#message }, -1, true];
      case 'Filecoin.ChainGetMessage':
        return note === 'no such message' ? [NO_MESSAGE] : [{ '/': this.#message }];
      case 'Filecoin.GetActorEventsRaw':
        return [eventFilter(note, request.params[0], height)];
      default:
        return request.params.map(ours);
    }
  }
}

/** Theirs were 4 to 7; ours are 1 to 4. */
function dealId(recorded: unknown): number {
  return typeof recorded === 'number' && recorded < 100 ? recorded - 3 : 99_999;
}

function eventFilter(note: string, recorded: unknown, height: number): object {
  const fromHeight = note.includes('terminated') ? height - 1 : 0;
  return { ...(recorded as object), fromHeight };
}

function tokenOf(pair: Pair): string | undefined {
  if (pair.note.endsWith('read token')) return 'reader';
  return pair.note.endsWith('bad token') ? 'somebody else' : undefined;
}

/** Keys in their order and kinds of values; a list shows each kind of item once, in the order they first come. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) {
    const shapes = value.map((item) => JSON.stringify(shapeOf(item)));
    return [...new Set(shapes)].map((shape) => JSON.parse(shape) as unknown);
  }
  if (typeof value !== 'object' || value === null) return kindOf(value);
  return Object.entries(value).map(([key, item]) => [key, shapeOf(item)]);
}

function kindOf(value: unknown): string {
  if (typeof value !== 'string') return value === null ? 'null' : typeof value;
  if (/^-?\d+$/.test(value)) return 'decimal text';
  if (/^(bafy|bafyr|baga|bago)[a-z2-7]+$/.test(value)) return `CID ${value.slice(0, 4)}`;
  return /^f[0-4]/.test(value) ? 'address' : 'text';
}

/** Numbers, CIDs and addresses in an error's text are each node's own. */
function errorText(json: unknown): string | undefined {
  const message = (json as { error?: { message: string } } | null)?.error?.message;
  return message?.replaceAll(/bafy[a-z2-7]+/g, 'CID').replaceAll(/\d+/g, 'N');
}

describe('the recorded answers of a Lotus node beside ours', () => {
  let chain: DevnetChain;
  let story: Story;

  beforeAll(async () => {
    const options = { epochMs: 1_000, isPaused: true, seed: 'pairs', genesisSeconds: 1_785_406_175, tokens: TOKENS };
    chain = await createDevnetChain(options);
    const { ledger } = chain;
    ledger.registerMiner({ id: PROVIDER, peerId: '12D3KooWQzndiPLcCxLV3f7qqqeBzhULUtecqRRi4rMGVgYMRKWa' });
    ledger.fund(client, { attoFil: 500n * FIL, dataCapBytes: 0n });
    ledger.fund(blsClient, { attoFil: 0n, dataCapBytes: 0n });
    ledger.advance(935);
    story = new Story(chain);
  });
  afterAll(() => chain.close());

  it('are all walked', () => {
    expect(pairs).toHaveLength(43);
  });

  it.each(pairs.map((pair, index) => [index, pair.request?.method ?? 'MpoolPush', pair.note, pair] as const))(
    'pair %i: %s %s',
    async (index, _, __, pair) => {
      const ours = await story.ask(index, pair);
      expect(ours.status).toBe(pair.status);
      expect(shapeOf(ours.json)).toEqual(shapeOf(pair.response));
      expect(ours.json).toEqual(pair.response === null ? null : expect.objectContaining({ jsonrpc: '2.0', id: 1 }));
      expect((ours.json as Pair['response'])?.error?.code).toBe(pair.response?.error?.code);
      expect(errorText(ours.json)).toBe(errorText(pair.response));
    },
  );
});

describe('beyond the recorded answers', () => {
  let chain: DevnetChain;
  let deal: bigint;

  beforeAll(async () => {
    chain = await createDevnetChain({ epochMs: 1_000, isPaused: true, seed: 'more' });
    const { ledger } = chain;
    ledger.registerMiner({ id: PROVIDER });
    ledger.fund(client, { attoFil: 500n * FIL, dataCapBytes: 0n });
    ledger.advance(20);
    const attempt = ledger.publish(PROVIDER, [makeDeal()]);
    if (attempt.kind !== 'pushed') throw new Error(attempt.reason);
    ledger.land(attempt.message);
    deal = ledger.publishResult(attempt.message)?.dealIds[0] ?? 0n;
    activateNow(ledger, [deal]);
    ledger.advance(10);
  });
  afterAll(() => chain.close());

  async function call(
    method: string,
    ...params: unknown[]
  ): Promise<{ result?: unknown; error?: { message: string } }> {
    const body = JSON.stringify({ jsonrpc: '2.0', id: 7, method: `Filecoin.${method}`, params });
    const response = await fetch(chain.rpcUrl, { method: 'POST', body });
    return (await response.json()) as { result?: unknown; error?: { message: string } };
  }

  it('state is as of the tipset that is asked for', async () => {
    const states = [];
    for (const height of [21, 22, 23, 24]) {
      const { result } = await call('ChainGetTipSetByHeight', height, null);
      const key = (result as { Cids: unknown[] }).Cids;
      const answer = await call('StateMarketStorageDeal', Number(deal), key);
      states.push((answer.result as { State: { SectorStartEpoch: number } } | undefined)?.State.SectorStartEpoch);
    }
    expect(states).toEqual([undefined, -1, -1, 23]);
  });

  it('no events are null, and fields narrow', async () => {
    const filter = (type: string, id: string) => ({
      addresses: ['f05'],
      fromHeight: 0,
      fields: { $type: [{ codec: 81, value: type }], client: [{ codec: 81, value: id }] },
    });
    const id = Buffer.from([0x18, Number(formatAddress(chain.ledger.lookupId(client) ?? client).slice(2))]);
    const published = 'bmRlYWwtcHVibGlzaGVk';
    const found = await call('GetActorEventsRaw', filter(published, id.toString('base64')));
    expect(found.result).toHaveLength(1);
    expect(await call('GetActorEventsRaw', filter(published, 'GBg='))).toHaveProperty('result', null);
    expect(await call('GetActorEventsRaw', filter('b2RlYWwtdGVybWluYXRlZA==', 'GBg='))).toHaveProperty('result', null);
    expect(await call('GetActorEventsRaw', { addresses: ['f01999'], fromHeight: 0 })).toHaveProperty('result', null);
  });

  it('a tipset after the message has its receipt, and the root its events', async () => {
    const { result } = await call('ChainGetTipSetByHeight', 22, null);
    const [block] = (result as { Cids: { '/': string }[] }).Cids;
    const [message] = (await call('ChainGetParentMessages', block)).result as {
      Cid: unknown;
      Message: { Method: number };
    }[];
    const [receipt] = (await call('ChainGetParentReceipts', block)).result as {
      ExitCode: number;
      EventsRoot: unknown;
    }[];
    expect(message?.Message.Method).toBe(4);
    expect(receipt?.ExitCode).toBe(0);
    const events = (await call('ChainGetEvents', receipt?.EventsRoot)).result;
    expect(events).toMatchObject([{ Emitter: 5, Entries: [{ Key: '$type', Codec: 81 }, {}, {}, {}] }]);
    const searched = await call('StateSearchMsg', null, message?.Cid, -1, true);
    expect(searched.result).toMatchObject({ Height: 22, TipSet: (result as { Cids: unknown }).Cids });
    expect((await call('StateSearchMsg', null, message?.Cid, 2, true)).result).toBeNull();
  });

  it('calls can come in a batch, and wrong ones say why', async () => {
    const one = (id: number, method: string, params: unknown[]) => ({
      jsonrpc: '2.0',
      id,
      method: `Filecoin.${method}`,
      params,
    });
    const post = (body: string) => fetch(chain.rpcUrl, { method: 'POST', body });
    const batch = await post(JSON.stringify([one(1, 'ChainHead', []), one(2, 'StateNetworkVersion', [null])]));
    expect(await batch.json()).toMatchObject([
      { id: 1, result: { Height: 34 } },
      { id: 2, result: 28 },
    ]);
    const short = await post(JSON.stringify(one(1, 'StateMarketStorageDeal', [1])));
    expect(short.status).toBe(500);
    expect(await short.json()).toMatchObject({
      error: { code: -32_602, message: expect.stringContaining('wrong param count') },
    });
    expect((await post('{')).status).toBe(500);
    expect((await post('')).status).toBe(400);
    const lost = await call('ChainGetTipSet', [NO_MESSAGE]);
    expect(lost.error?.message).toMatch(/could not find/);
    expect((await call('StateLookupID', 'f1nonsense', null)).error?.message).toMatch(/unmarshaling/);
  });
});
