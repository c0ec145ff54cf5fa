import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseAccountKey, parseLookupId } from '../../src/chain/account.ts';
import { parseActorEvents, toDealEvent } from '../../src/chain/actor-events.ts';
import { createChain } from '../../src/chain/chain.ts';
import { parseNetworkName, parseTipset } from '../../src/chain/head.ts';
import { parseCollateralBounds, parseDataCap, parseMarketBalance, parseMarketDeal } from '../../src/chain/market.ts';
import { parseFoundMessage, parseMessage } from '../../src/chain/messages.ts';
import { parseMinerInfo } from '../../src/chain/miner.ts';
import type { AnswerParser } from '../../src/chain/parse-answer.ts';
import { readResult } from '../../src/chain/rpc-envelope.ts';
import { RpcError } from '../../src/chain/rpc-error.ts';
import { given, rpcOf, signal } from './ask.ts';

interface Pair {
  note: string;
  status: number;
  request?: { method: string; params: unknown[] };
  response: { result?: unknown; error?: { code: number; message: string } } | null;
}

const vectorsUrl = new URL('../vectors/lotus-rpc.json', import.meta.url);
const { pairs } = JSON.parse(readFileSync(vectorsUrl, 'utf8')) as { pairs: Pair[] };

/** Methods whose answers nothing of ours reads: their envelopes are checked all the same. */
const asIs: AnswerParser<unknown> = (answer) => answer;

const parsers: Record<string, AnswerParser<unknown>> = {
  ChainHead: parseTipset,
  ChainGetFinalizedTipSet: parseTipset,
  ChainGetGenesis: parseTipset,
  ChainGetTipSetByHeight: parseTipset,
  StateNetworkName: parseNetworkName,
  StateMinerInfo: parseMinerInfo,
  StateLookupID: parseLookupId,
  StateAccountKey: parseAccountKey,
  StateMarketBalance: parseMarketBalance,
  StateVerifiedClientStatus: parseDataCap,
  StateDealProviderCollateralBounds: parseCollateralBounds,
  StateMarketStorageDeal: parseMarketDeal,
  StateSearchMsg: parseFoundMessage,
  ChainGetMessage: parseMessage,
  GetActorEventsRaw: parseActorEvents,
  Version: asIs,
  StateNetworkVersion: asIs,
  WalletBalance: asIs,
  StateSectorGetInfo: asIs,
  NoSuchMethod: asIs,
  MpoolPush: asIs,
};

function methodOf({ request, note }: Pair): string {
  return request?.method.replace('Filecoin.', '') ?? /(\w+):/.exec(note.split(', ')[1] ?? '')?.[1] ?? '';
}

function answerOf(pair: Pair): unknown {
  const method = methodOf(pair);
  const text = pair.response === null ? '' : JSON.stringify(pair.response);
  const parse = parsers[method];
  if (parse === undefined) throw new Error(`no parser for ${method}`);
  return parse(readResult({ status: pair.status, text }, { method, host: 'lotus', token: undefined }), method);
}

test('there are 43 recorded pairs', () => {
  expect(pairs).toHaveLength(43);
});

test.each(pairs.map((pair, at) => [at, methodOf(pair), pair.note, pair] as const))(
  'recorded pair %i, %s: %s',
  (_at, _method, _note, pair) => {
    const { response, status } = pair;
    if (response !== null && 'result' in response) {
      expect(() => answerOf(pair)).not.toThrow();
      return;
    }
    const thrown = catchRpcError(() => answerOf(pair));
    if (response === null) expect(thrown).toMatchObject({ code: 'RPC_HTTP_STATUS', status });
    else {
      const unknownMethod = response.error?.code === -32_601;
      expect(thrown.code).toBe(unknownMethod ? 'RPC_METHOD_NOT_FOUND' : 'RPC_ERROR');
      expect(thrown.rpcCode).toBe(response.error?.code);
      expect(thrown.message).toContain(response.error?.message);
    }
  },
);

function catchRpcError(act: () => unknown): RpcError {
  try {
    act();
  } catch (error) {
    if (error instanceof RpcError) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

/** The pairs as a node: the first pair of this method and these parameters answers. */
const recorded = rpcOf((method, params) => {
  const pair = pairs.find(
    ({ request }) =>
      request?.method === `Filecoin.${method}` && JSON.stringify(request.params) === JSON.stringify(params),
  );
  if (pair === undefined) throw new Error(`nothing recorded for ${method} ${JSON.stringify(params)}`);
  const text = JSON.stringify(pair.response);
  return readResult({ status: pair.status, text }, { method, host: 'lotus', token: undefined });
});
const chain = createChain(recorded);

test('reads tipsets', async () => {
  expect(await chain.head(signal)).toEqual({
    key: ['bafy2bzacedc5lgwy7us66mhbxxvbhjrvevvxjotzz6kftqbmp3qyqatplnb2k'],
    height: 935,
    timestampSeconds: 1_785_434_225,
    parents: ['bafy2bzacebv4pwtzsjz2tou7j3vc5lzalvvspehvbyb4wbruk7726xxjfuup6'],
  });
  expect((await chain.finalized(signal)).height).toBe(23);
  expect(await chain.genesis(signal)).toMatchObject({ height: 0, timestampSeconds: 1_785_406_175 });
  expect((await chain.tipsetAt(900, signal)).height).toBe(884);
  await expect(chain.tipsetAt(100_935, signal)).rejects.toMatchObject({ code: 'RPC_ERROR', rpcCode: 1 });
  expect(await chain.networkName(signal)).toBe('testing');
});

test('reads accounts and balances', async () => {
  const address = 'f15beo44zxg3rrewhkrzklbw26a65qfhsykaehm7q';
  expect(await chain.lookupId(address, given)).toBe('f0103');
  expect(await chain.lookupId('f1m2swr32yrlouzs7ijui3jttwgc6lxa5n5sookhi', given)).toBeUndefined();
  expect(await chain.accountKey('f0103', given)).toBe(address);
  expect(await chain.marketBalance(address, given)).toEqual({ escrow: 500n * 10n ** 18n, locked: 0n });
  expect(await chain.verifiedClientStatus(address, given)).toBeUndefined();
  expect(parseDataCap('1099511627776', 'X')).toBe(2n ** 40n);
  expect(await chain.providerCollateralBounds(34_359_738_368n, false, given)).toEqual({
    min: 0n,
    max: 2n * 10n ** 27n,
  });
});

test('reads a provider with its binary multiaddrs', async () => {
  expect(await chain.minerInfo('f01002', given)).toMatchObject({ multiaddrs: [], sectorBytes: 34_359_738_368n });
  const second = pairs.find(({ note }) => note === 'provider with multiaddrs');
  expect(parseMinerInfo(second?.response?.result, 'StateMinerInfo')).toEqual({
    peerId: '12D3KooWMe15VK4Pytf8JbAzmekDYUDQzFaGbExvERhUG3mLYaJk',
    multiaddrs: ['/ip4/127.0.0.1/tcp/24001', '/dns/sp.example/tcp/443/https'],
    sectorBytes: 34_359_738_368n,
    unreadable: 0,
    owner: 'f0101',
    worker: 'f0102',
  });
  await expect(chain.minerInfo('f01999', given)).rejects.toMatchObject({ code: 'RPC_ERROR' });
});

test("reads deals, and takes only the node's own words for one that is gone", async () => {
  expect(await chain.marketDeal(99_999n, given)).toBeUndefined();
  expect(await chain.marketDeal(5n, given)).toEqual({
    proposal: {
      pieceCid: 'baga6ea4seaqk2u3pntxj2duujpuhqrn6ifbhpp7hlyvt6e6kcs3uymacxtsiebq',
      pieceBytes: 2_048n,
      verified: false,
      client: 'f0103',
      provider: 'f01002',
      label: 'plain',
      startEpoch: 1_843,
      endEpoch: 520_243,
      pricePerEpoch: 1_000n,
      providerCollateral: 0n,
      clientCollateral: 0n,
    },
    sectorNumber: 0n,
    sectorStartEpoch: -1,
    slashEpoch: -1,
  });
});

test('reads messages and their receipts', async () => {
  const cid = 'bafy2bzacecp7xowxd3ljhiilxmylgupbgczztjh36s2wrtohnniibfzpl3ewk';
  const unknown = 'bafy2bzacebbxq6is7wvwffxfmokjc3g2ouyxfkxtq4po5zsbf2swpdv7e4edo';
  const found = await chain.searchMessage(cid, signal);
  expect(found).toMatchObject({ message: cid, exitCode: 0, height: 945 });
  expect(Buffer.from(found?.returned ?? []).toString('hex')).toBe('828204054154');
  expect(await chain.getMessage(cid, signal)).toMatchObject({ to: 'f05', method: 4n, value: 0n });
  expect(await chain.searchMessage(unknown, signal)).toBeUndefined();
  expect(await chain.getMessage(unknown, signal)).toBeUndefined();
});

test('decodes events of the market actor', () => {
  const pair = pairs.find(({ note }) => note.startsWith("market actor's events: terminated"));
  const events = parseActorEvents(pair?.response?.result, 'GetActorEventsRaw').map(toDealEvent);
  expect(events).toEqual(
    [4n, 5n].map((dealId) => ({
      type: 'deal-terminated',
      dealId,
      client: 'f0103',
      provider: 'f01002',
      height: 963,
      tipset: ['bafy2bzaceatriy3g6dfp3yxldglgoj6kqkjbi3e3o2tnvsu33q67pt5ncalxk'],
      message: 'bafy2bzaceaoaz2xpkbnimv7as27vk2mdzm2vd3bb77ikslbgsdi7gewr3vyl4',
    })),
  );
});

test('reads the samples of FIP-0083 and of real multiaddrs', () => {
  const url = new URL('../vectors/chain.json', import.meta.url);
  const samples = JSON.parse(readFileSync(url, 'utf8')) as {
    event: unknown;
    multiaddrs: { base64: string; text: string }[];
  };
  const miner = { Owner: 'f01', Worker: 'f02', PeerId: '12D3', SectorSize: 1 };
  for (const { base64, text } of samples.multiaddrs) {
    expect(parseMinerInfo({ ...miner, Multiaddrs: [base64] }, 'X').multiaddrs).toEqual([text]);
  }
  // Its values are plain text, not CBOR: an event that we cannot read is refused, not guessed at.
  expect(() => parseActorEvents([samples.event], 'X')).toThrow(RpcError);
});
