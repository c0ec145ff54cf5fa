import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseActorEvents, readDealEvents, toDealEvent } from '../../src/chain/actor-events.ts';
import { createChain } from '../../src/chain/chain.ts';
import { parseTipset } from '../../src/chain/head.ts';
import { parseMarketDeal, readMarketDeal } from '../../src/chain/market.ts';
import { parseMinerInfo } from '../../src/chain/miner.ts';
import { RpcError } from '../../src/chain/rpc-error.ts';
import { given, rpcOf, signal } from './ask.ts';
import { base64CborInt, base64CborText } from '../../src/filecoin/cbor.ts';

function rpcThat(answer: (method: string, params: readonly unknown[]) => unknown) {
  const calls: [string, readonly unknown[]][] = [];
  const rpc = rpcOf((method, params) => {
    calls.push([method, params]);
    return answer(method, params);
  });
  return { ...rpc, calls };
}

function refuse(method: string, message: string, rpcCode = 1): never {
  throw new RpcError('RPC_ERROR', message, { method, rpcCode });
}

function rawTipset(height: number) {
  return {
    Cids: [{ '/': `bafyt${height}` }],
    Blocks: [{ Timestamp: 1_000 + height * 30, Miner: 'f01000' }],
    Height: height,
  };
}

function rawEvent(type: string, dealId: number, fields: object = {}) {
  const entries = [
    ['$type', base64CborText(type)],
    ['id', base64CborInt(dealId)],
    ['client', base64CborInt(103)],
    ['provider', base64CborInt(1_002)],
  ].map(([Key, Value]) => ({ Flags: 3, Key, Codec: 81, Value }));
  return {
    entries,
    emitter: 'f05',
    reverted: false,
    height: 50,
    tipsetKey: [{ '/': 'bafyt' }],
    msgCid: { '/': 'bafym' },
    ...fields,
  };
}

test('what is missing in an answer is named, with the method', () => {
  expect(() => parseTipset({ Cids: [{ '/': 'b' }], Blocks: [{}] }, 'ChainHead')).toThrow(
    /ChainHead: answered in a shape we do not know: .*Height.*Timestamp/,
  );
  expect(() => parseTipset(undefined, 'ChainHead')).toThrow(/must be object/);
  expect(() => parseMarketDeal(null, 'StateMarketStorageDeal')).toThrow(RpcError);
});

test('a large sector number survives', async () => {
  const deal = await readMarketDeal(
    rpcThat(() => ({
      Proposal: {
        PieceCID: { '/': 'baga' },
        PieceSize: 128,
        VerifiedDeal: false,
        Client: 't0103',
        Provider: 't01002',
        Label: '',
        StartEpoch: 1,
        EndEpoch: 2,
        StoragePricePerEpoch: '123456789012345678901234567890',
        ProviderCollateral: '0',
        ClientCollateral: '0',
      },
      State: { SectorNumber: 9_007_199_254_740_993n, SectorStartEpoch: 7, SlashEpoch: -1, LastUpdatedEpoch: -1 },
    })),
    1n,
    given,
  );
  expect(deal).toMatchObject({
    sectorNumber: 9_007_199_254_740_993n,
    proposal: { client: 'f0103', provider: 'f01002', pricePerEpoch: 123456789012345678901234567890n },
  });
});

test.each([
  'deal 12 not found - deal may have been slashed',
  'failed to load state: blockstore: block not found',
  'actor not found',
  'deal 1 not found in the other table, deal 11 not found',
])('%j does not mean that deal 1 or 111 is gone', async (message) => {
  const rpc = rpcThat((method) => refuse(method, message));
  await expect(readMarketDeal(rpc, 111n, given)).rejects.toThrow(RpcError);
});

test('reads as of a tipset pass its key, others null', async () => {
  const rpc = rpcThat((method) => refuse(method, 'deal 5 not found - …'));
  const chain = createChain(rpc);
  await chain.marketDeal(5n, { tipset: ['bafya', 'bafyb'], signal });
  await chain.marketDeal(5n, given);
  expect(rpc.calls.map(([, params]) => params)).toEqual([
    [5, [{ '/': 'bafya' }, { '/': 'bafyb' }]],
    [5, null],
  ]);
});

test('a node without finality answers head less 900 epochs, a young chain genesis', async () => {
  const nodeWithHead = (head: number) =>
    rpcThat((method, [height]) => {
      if (method === 'ChainHead') return rawTipset(head);
      if (method === 'ChainGetTipSetByHeight') return rawTipset(Number(height));
      throw new RpcError('RPC_METHOD_NOT_FOUND', 'no', { method, rpcCode: -32_601 });
    });
  expect((await createChain(nodeWithHead(5_000)).finalized(signal)).height).toBe(4_100);
  expect((await createChain(nodeWithHead(20)).finalized(signal)).height).toBe(0);
});

test('a finality call that fails is not taken for a missing one', async () => {
  const rpc = rpcThat((method) => refuse(method, 'busy'));
  await expect(createChain(rpc).finalized(signal)).rejects.toThrow('busy');
  expect(rpc.calls).toHaveLength(1);
});

test('a tipset above the height that was asked for is refused', async () => {
  await expect(createChain(rpcThat(() => rawTipset(12))).tipsetAt(11, signal)).rejects.toThrow(/height 12 for 11/);
});

test('no events are null, reverted ones are left out, other types are no deal events', () => {
  expect(parseActorEvents(null, 'X')).toEqual([]);
  expect(parseActorEvents([rawEvent('deal-published', 4, { reverted: true })], 'X')).toEqual([]);
  expect(parseActorEvents([rawEvent('verifier-balance', 4)], 'X').map(toDealEvent)).toEqual([undefined]);
});

test('an event that is no event is a bad result', () => {
  const broken = rawEvent('deal-published', 4);
  broken.entries = broken.entries.map((entry) => ({ ...entry, Value: 'AA' + entry.Value }));
  expect(() => parseActorEvents([broken], 'X')).toThrow(RpcError);
});

const filter = { fromHeight: 40, toHeight: 60, types: ['deal-published' as const], clients: ['f0103'], signal };

test('the filter is written as a node reads it (FIP-0083)', async () => {
  const rpc = rpcThat(() => null);
  await readDealEvents(rpc, { ...filter, types: ['deal-published', 'deal-terminated'], clients: ['f01000', 'f024'] });
  expect(rpc.calls).toEqual([
    [
      'GetActorEventsRaw',
      [
        {
          addresses: ['f05'],
          fromHeight: 40,
          toHeight: 60,
          fields: {
            $type: [
              { codec: 81, value: 'bmRlYWwtcHVibGlzaGVk' },
              { codec: 81, value: 'b2RlYWwtdGVybWluYXRlZA==' },
            ],
            client: [
              { codec: 81, value: 'GQPo' },
              { codec: 81, value: 'GBg=' },
            ],
          },
        },
      ],
    ],
  ]);
});

test('events that were not asked for are left out', async () => {
  const rpc = rpcThat(() => [
    rawEvent('deal-published', 1),
    rawEvent('deal-activated', 2),
    rawEvent('deal-published', 3, { height: 61 }),
  ]);
  expect((await readDealEvents(rpc, filter)).map(({ dealId }) => dealId)).toEqual([1n]);
  expect(await readDealEvents(rpc, { ...filter, clients: ['f0104'] })).toEqual([]);
});

test('events of some providers alone are asked for, and others left out', async () => {
  const rpc = rpcThat(() => [rawEvent('deal-published', 1)]);
  const [{ provider } = { provider: '' }] = await readDealEvents(rpc, filter);
  const own = await readDealEvents(rpc, { ...filter, providers: ['f024', provider] });
  expect(own.map(({ dealId }) => dealId)).toEqual([1n]);
  expect(rpc.calls.at(-1)).toMatchObject([
    'GetActorEventsRaw',
    [{ fields: { provider: [{ codec: 81, value: 'GBg=' }, expect.anything()] } }],
  ]);
  expect(await readDealEvents(rpc, { ...filter, providers: ['f024'] })).toEqual([]);
});

test('a range with too many events is halved until it fits, and none is lost or read twice', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.integer({ min: 0, max: 99 }), { maxLength: 60 }),
      fc.integer({ min: 3, max: 10 }),
      async (heights, most) => {
        const perHeight = Map.groupBy(heights, (height) => height);
        fc.pre([...perHeight.values()].every((group) => group.length <= most));
        const rpc = rpcThat((method, [asked]) => {
          const { fromHeight, toHeight } = asked as { fromHeight: number; toHeight: number };
          const inside = heights.flatMap((height, id) =>
            height >= fromHeight && height <= toHeight ? [rawEvent('deal-published', id, { height })] : [],
          );
          return inside.length > most
            ? refuse(method, 'filter matches too many events, try a more restricted filter')
            : inside;
        });
        const events = await readDealEvents(rpc, { ...filter, fromHeight: 0, toHeight: 99 });
        expect(events.map(({ dealId }) => Number(dealId)).toSorted((a, b) => a - b)).toEqual(
          heights.map((_, id) => id),
        );
        expect(events.map(({ height }) => height)).toEqual(heights.toSorted((a, b) => a - b));
      },
    ),
  );
});

test('one height with too many events is an error, not a loop', async () => {
  const rpc = rpcThat((method) => refuse(method, 'range exceeded', -32_005));
  await expect(readDealEvents(rpc, { ...filter, toHeight: 40 })).rejects.toThrow(RpcError);
  expect(rpc.calls).toHaveLength(1);
});

const miner = { Owner: 'f01', Worker: 'f02', PeerId: null, SectorSize: 34_359_738_368 };

test('a multiaddr of an unknown kind does not hide the others; all unknown is an error, and no fault of the node', async () => {
  const good = 'BAECAwQGXcE=';
  expect(parseMinerInfo({ ...miner, Multiaddrs: ['////', good] }, 'X').multiaddrs).toEqual(['/ip4/1.2.3.4/tcp/24001']);
  const strange = rpcThat(() => ({ ...miner, Multiaddrs: ['////'] }));
  await expect(createChain(strange).minerInfo('f01', given)).rejects.toMatchObject({
    code: 'MINER_ADDRESSES_UNREADABLE',
  });
  expect(parseMinerInfo({ ...miner, Multiaddrs: [] }, 'X')).toMatchObject({ peerId: undefined, multiaddrs: [] });
});

test.each([
  ['invalid epoch range: range exceeds max of 20', 1, 20],
  ['to height is too big: limited to 25 epochs', 1, 25],
  ['block range is too wide', -32_602, 25],
  ['limit exceeded', -32_005, 25],
] as const)('a range that a node refuses with %j is cut as it says', async (message, code, longest) => {
  const rpc = rpcThat((method, [asked]) => {
    const { fromHeight, toHeight } = asked as { fromHeight: number; toHeight: number };
    if (toHeight - fromHeight + 1 > longest) return refuse(method, message, code);
    return [rawEvent('deal-published', toHeight, { height: toHeight })];
  });
  const events = await readDealEvents(rpc, { ...filter, fromHeight: 0, toHeight: 99 });
  expect(events.map(({ height }) => height)).toEqual(
    Array.from({ length: 100 / longest }, (_, at) => (at + 1) * longest - 1),
  );
});

test('a node that is asked too often is not asked more often', async () => {
  const rpc = rpcThat((method) => refuse(method, 'request rate exceeded', -32_005));
  await expect(readDealEvents(rpc, filter)).rejects.toThrow('rate exceeded');
  expect(rpc.calls).toHaveLength(1);
});

function searching(found: unknown) {
  return rpcThat((method, [, , limit]) =>
    limit === -1 ? refuse(method, 'message lookback limit is 20 epochs') : found,
  );
}

test('where a gateway searches the newest tipsets alone, these are searched', async () => {
  const rpc = searching({
    Message: { '/': 'bafym' },
    Receipt: { ExitCode: 0, Return: null },
    TipSet: [{ '/': 'bafyt' }],
    Height: 40,
  });
  expect(await createChain(rpc).searchMessage('bafym', signal)).toMatchObject({ message: 'bafym', height: 40 });
  expect(rpc.calls.map(([, [, , limit]]) => limit)).toEqual([-1, 20]);
});

test('a message that is not in these is not said to be unexecuted', async () => {
  await expect(createChain(searching(null)).searchMessage('bafym', signal)).rejects.toMatchObject({
    code: 'RPC_LOOKBACK',
  });
});
