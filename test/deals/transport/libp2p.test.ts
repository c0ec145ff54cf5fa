import { noise } from '@libp2p/noise';
import { identify } from '@libp2p/identify';
import type { Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { webSockets } from '@libp2p/websockets';
import { yamux } from '@libp2p/yamux';
import { createLibp2p, type Libp2p } from 'libp2p';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { CourierLimits } from '../../../src/deals/transport/courier.ts';
import { createProviderTransport } from '../../../src/deals/transport/provider-transport.ts';
import type { Transport } from '../../../src/deals/transport/transport.ts';
import { encode } from '@ipld/dag-cbor';
import chain from '../../vectors/chain.json' with { type: 'json' };
import mk12 from '../../vectors/mk12.json' with { type: 'json' };
import { idAddress } from '../../../src/filecoin/address.ts';
import { parseCid } from '../../../src/filecoin/cid.ts';
import { encodeAskResponse } from '../../../src/filecoin/mk12-ask.ts';
import { decodeDealParams, encodeDealParams, encodeDealResponse } from '../../../src/filecoin/mk12-propose.ts';
import { encodeDealStatusResponse } from '../../../src/filecoin/mk12-status.ts';
import { decodeSignedProposal } from '../../../src/filecoin/proposal.ts';

const vectors = { ...mk12, multiaddrs: chain.multiaddrs };
const signal = new AbortController().signal;
const params = Uint8Array.from(Buffer.from(vectors.dealParams121, 'hex'));
const every = (ms: number) => ({ propose: ms, status: ms, ask: ms, transports: ms });
/** Patient, because only a test of a wait should end by one; whose cores are busy needs seconds for a handshake. */
const PATIENCE_MS = 20_000;
const limits: Partial<CourierLimits> = {
  dialMs: PATIENCE_MS,
  addressDialMs: PATIENCE_MS,
  readMs: every(PATIENCE_MS),
  writeMs: PATIENCE_MS,
  replyBytes: 4_096,
};

const open: { stop: () => Promise<void> | void }[] = [];
afterEach(async () => {
  // The client first: two ends that stop at once wait for each other.
  for (const one of open.splice(0).toReversed()) await one.stop();
});

type Handler = (stream: Stream, request: Uint8Array) => Promise<void> | void;

let listen = '/ip4/127.0.0.1/tcp/0';

/** A provider on a port of its own, which hands each request to `handler` when as many bytes as expected are there. */
async function provider(protocols: Record<string, Handler>, expectedBytes = params.length): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: [listen] },
    transports: [tcp(), webSockets()],
    nodeInfo: { userAgent: 'boost-2.4.0' },
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() },
  });
  for (const [protocol, handler] of Object.entries(protocols)) {
    await node.handle(protocol, async (stream) => {
      let request = Buffer.alloc(0);
      for await (const chunk of stream) {
        request = Buffer.concat([request, chunk.subarray()]);
        if (request.length >= expectedBytes) break;
      }
      await handler(stream, request);
    });
  }
  open.push(node);
  return node;
}

async function client(change: Partial<CourierLimits> = {}): Promise<Transport> {
  const transport = await createProviderTransport({
    isDevnet: false,
    allowPrivate: true,
    limits: { ...limits, ...change },
  });
  open.push({ stop: () => transport.close() });
  return transport;
}

const targetOf = (node: Libp2p) => ({ peerId: node.peerId.toString(), multiaddrs: node.getMultiaddrs().map(String) });

const reply =
  (bytes: Uint8Array): Handler =>
  async (stream) => {
    stream.send(bytes);
    await stream.close();
  };
const accepted = encodeDealResponse({ accepted: true, message: '' });
const [newest, older] = ['/fil/storage/mk/1.2.1', '/fil/storage/mk/1.2.0'];

describe.each(['/ip4/127.0.0.1/tcp/0', '/ip4/127.0.0.1/tcp/0/ws'])('proposing over %s', (address) => {
  beforeAll(() => {
    listen = address;
  });
  afterAll(() => {
    listen = '/ip4/127.0.0.1/tcp/0';
  });

  it("sends the DealParams and gets the provider's answer", async () => {
    const requests: string[] = [];
    const node = await provider({
      [newest]: async (stream, request) => {
        requests.push(Buffer.from(request).toString('hex'));
        await reply(encodeDealResponse({ accepted: false, message: 'miner error' }))(stream, request);
      },
    });
    const answer = await (await client()).propose(targetOf(node), params, signal);
    expect(answer).toMatchObject({ kind: 'answered', accepted: false, message: 'miner error', via: 'libp2p' });
    expect(requests).toEqual([vectors.dealParams121]);
  });

  it('falls back to 1.2.0, in its own form', async () => {
    const older120 = encodeDealParams(decodeDealParams(params), '1.2.0');
    const requests: string[] = [];
    const handler: Handler = async (stream, request) => {
      requests.push(Buffer.from(request).toString('hex'));
      await reply(accepted)(stream, request);
    };
    const node = await provider({ [older]: handler }, older120.length);
    expect(await (await client()).propose(targetOf(node), params, signal)).toMatchObject({
      kind: 'answered',
      accepted: true,
    });
    expect(requests).toEqual([Buffer.from(older120).toString('hex')]);
  });

  it('reads an answer byte by byte, and does not wait for the end of the stream', async () => {
    const node = await provider({
      [newest]: async (stream) => {
        for (const byte of accepted) {
          stream.send(Uint8Array.of(byte));
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
      },
    });
    expect(await (await client()).propose(targetOf(node), params, signal)).toMatchObject({
      kind: 'answered',
      accepted: true,
    });
  });

  it.each<[string, Handler, RegExp]>([
    ['an end without a reply', async (stream) => stream.close(), /ended without a reply/],
    ['half a reply', reply(accepted.subarray(0, 5)), /ended without a reply/],
    ['a reset', (stream) => stream.abort(new Error('gone')), /reset/i],
    ['another message', reply(Uint8Array.of(0xa0)), /cannot be read/],
    ['no CBOR', reply(new TextEncoder().encode('\u{1}HTTP')), /cannot be read/],
    [
      'a reply that is too long',
      reply(Uint8Array.of(0x59, 0x20, 0x00, ...new Uint8Array(8_192))),
      /exceeds 4096 bytes/,
    ],
  ])('does not know after %s', async (_name, handler, why) => {
    const node = await provider({ [newest]: handler });
    const answer = await (await client()).propose(targetOf(node), params, signal);
    expect(answer).toMatchObject({ kind: 'unknown', why: expect.stringMatching(why) });
  });

  it('does not know after no reply', async () => {
    const node = await provider({ [newest]: () => undefined });
    const answer = await (await client({ readMs: every(500) })).propose(targetOf(node), params, signal);
    expect(answer).toMatchObject({ kind: 'unknown', why: expect.stringMatching(/no reply within 500 ms/) });
  });

  it('does not know when it is stopped while waiting', async () => {
    const stop = new AbortController();
    const node = await provider({ [newest]: () => stop.abort(new Error('stopping')) });
    const answer = await (await client()).propose(targetOf(node), params, stop.signal);
    expect(answer).toMatchObject({ kind: 'unknown', why: expect.stringMatching(/stopping/) });
  });

  it('tells apart that nothing was sent: no listener, no address, another peer, another protocol', async () => {
    const transport = await client();
    const requests: string[] = [];
    const node = await provider({ '/other': () => undefined });
    const other = await provider({ [newest]: () => void requests.push('received') });
    const gone = await provider({});
    const target = targetOf(gone);
    await gone.stop();
    const { peerId } = targetOf(node);
    const strange = targetOf(other).multiaddrs.map((text) => text.replace(/\/p2p\/.*/, ''));
    const unconnected = { kind: 'not-connected', why: expect.any(String) };
    expect(await transport.propose(target, params, signal)).toEqual(unconnected);
    expect(
      await transport.propose({ peerId, multiaddrs: ['/dns/sp.example.com', 'nonsense'] }, params, signal),
    ).toEqual(unconnected);
    expect(await transport.propose({ peerId, multiaddrs: targetOf(other).multiaddrs }, params, signal)).toEqual(
      unconnected,
    );
    expect(await transport.propose({ peerId, multiaddrs: strange }, params, signal)).toEqual(unconnected);
    expect(await transport.propose(targetOf(node), params, signal)).toEqual({ ...unconnected, unsupported: true });
    expect(requests).toEqual([]);
  });
});

it.each(['/tcp/0', '/tcp/0/ws'])('dials names, %s', async (end) => {
  listen = `/ip4/127.0.0.1${end}`;
  const node = await provider({ [newest]: reply(accepted) });
  listen = '/ip4/127.0.0.1/tcp/0';
  const { peerId, multiaddrs } = targetOf(node);
  for (const name of ['dns4', 'dns']) {
    const transport = await client();
    const named = multiaddrs.map((text) => text.replace('/ip4/127.0.0.1', `/${name}/localhost`));
    const answer = await transport.propose({ peerId, multiaddrs: named }, params, signal);
    expect(answer).toMatchObject({ kind: 'answered', accepted: true });
  }
});

it('says of each address why it did not lead there', async () => {
  const gone = await provider({});
  const { peerId } = targetOf(gone);
  await gone.stop();
  const multiaddrs = ['/ip4/127.0.0.1/tcp/1', '/ip4/127.0.0.1/tcp/2', '/ip4/127.0.0.1/tcp/3/ws'];
  const answer = await (await client()).propose({ peerId, multiaddrs }, params, signal);
  expect(answer).toMatchObject({ kind: 'not-connected' });
  const why = answer.kind === 'not-connected' ? answer.why : '';
  expect(why).toMatch(/^tcp: .*127\.0\.0\.1:1.*; .*127\.0\.0\.1:2.*; ws: ./);
  expect(why).not.toContain('[object');
});

describe('asking for the status of a deal', () => {
  const request = Buffer.from(vectors.dealStatusRequest, 'hex');
  const answer = { dealUuid: vectors.dealUuid, isOffline: false, transferSizeBytes: 0, receivedBytes: 0 };
  const { proposal } = decodeSignedProposal(decodeDealParams(params).signedProposal);
  const dealStatus = {
    error: '',
    status: 'Transferred',
    proposal,
    publishCid: parseCid(vectors.proposalCid),
    chainDealId: 0n,
    sealingStatus: '',
    signedProposalCid: parseCid(vectors.signedProposalCid),
  };
  const ask = async (bytes: Uint8Array) => {
    const node = await provider({ '/fil/storage/status/1.2.0': reply(bytes) }, request.length);
    return await (await client()).status(targetOf(node), request, signal);
  };

  it('tells a deal that is held from one that is not', async () => {
    const held = await ask(encodeDealStatusResponse({ ...answer, error: '', dealStatus }));
    expect(held).toMatchObject({
      kind: 'known',
      status: 'Transferred',
      error: '',
      publishMessage: vectors.proposalCid,
    });
    const error = `no storage deal found with deal UUID ${vectors.dealUuid}`;
    expect(await ask(encodeDealStatusResponse({ ...answer, error, dealStatus: null }))).toMatchObject({
      kind: 'none',
      error,
    });
  });
});

describe('asking over libp2p', () => {
  const ask = {
    miner: idAddress(1_234n),
    price: 45_211_226_852n,
    verifiedPrice: 0n,
    minPieceBytes: 2n ** 34n,
    maxPieceBytes: 2n ** 35n,
    timestampEpoch: 1,
    expiryEpoch: 2,
    sequence: 0n,
  };
  const request = Buffer.from(vectors.askRequest, 'hex');

  it('reads the ask of the provider it asked for', async () => {
    const requests: string[] = [];
    const handler: Handler = async (stream, bytes) => {
      requests.push(Buffer.from(bytes).toString('hex'));
      await reply(encodeAskResponse({ ask, signature: null }))(stream, bytes);
    };
    const node = await provider({ '/fil/storage/ask/1.1.0': handler }, request.length);
    const answer = await (await client()).ask(targetOf(node), 'f01234', signal);
    expect(requests).toEqual([vectors.askRequest]);
    const { price, verifiedPrice, minPieceBytes, maxPieceBytes } = ask;
    expect(answer).toMatchObject({
      kind: 'answered',
      ask: { miner: 'f01234', price, verifiedPrice, minPieceBytes, maxPieceBytes },
    });
  });

  it('takes silence about asks for no ask, and no connection for none', async () => {
    const transport = await client();
    const mute = await provider({ [newest]: () => undefined });
    const without = await provider({ '/fil/storage/ask/1.1.0': reply(encodeAskResponse(null)) }, request.length);
    expect(await transport.ask(targetOf(mute), 'f01234', signal)).toEqual({ kind: 'answered', ask: undefined });
    expect(await transport.ask(targetOf(without), 'f01234', signal)).toMatchObject({
      kind: 'answered',
      ask: undefined,
    });
    const target = { peerId: targetOf(mute).peerId, multiaddrs: [] };
    expect(await transport.ask(target, 'f01234', signal)).toMatchObject({ kind: 'not-connected' });
  });
});

describe('what else a provider says of itself', () => {
  const protocol = '/fil/retrieval/transports/1.0.0';
  const addresses = vectors.multiaddrs.map(({ base64 }) => Buffer.from(base64, 'base64'));
  const state = encode({ Protocols: [{ Name: 'libp2p', Addresses: [...addresses, Uint8Array.of(0xff, 0x7f)] }] });

  it('states where retrievals are served, without being asked, and what software it is', async () => {
    const node = await provider({});
    await node.handle(protocol, async (stream) => {
      stream.send(state);
      await stream.close();
    });
    const transport = await client();
    const answer = await transport.transports?.(targetOf(node), signal);
    const multiaddrs = vectors.multiaddrs.map(({ text }) => text);
    expect(answer).toMatchObject({ kind: 'answered', transports: [{ name: 'libp2p', multiaddrs }], via: 'libp2p' });
    await expect
      .poll(async () => await transport.transports?.(targetOf(node), signal))
      .toMatchObject({ agent: 'boost-2.4.0' });
  });

  it('need not speak of it', async () => {
    const transport = await client();
    expect(await transport.transports?.(targetOf(await provider({})), signal)).toEqual({
      kind: 'answered',
      transports: [],
    });
  });
});
