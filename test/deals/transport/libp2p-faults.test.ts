import { noise } from '@libp2p/noise';
import type { Libp2p, Stream } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { getEventListeners } from 'node:events';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { courierLimits, type CourierLimits } from '../../../src/deals/transport/courier.ts';
import { createProviderTransport } from '../../../src/deals/transport/provider-transport.ts';
import { encodeDealResponse } from '../../../src/filecoin/mk12-propose.ts';
import vectors from '../../vectors/mk12.json' with { type: 'json' };

const MK = '/fil/storage/mk/1.2.1';
const params = Uint8Array.from(Buffer.from(vectors.dealParams121, 'hex'));
const never = new AbortController().signal;
/** A busy machine needs seconds for a handshake: only who is dialed in vain is dialed in haste. */
const PATIENCE_MS = 20_000;
const limits: CourierLimits = {
  ...courierLimits,
  dialMs: PATIENCE_MS,
  addressDialMs: PATIENCE_MS,
  writeMs: PATIENCE_MS,
  readMs: { propose: 400, status: 400, ask: 400, transports: 400 },
  replyBytes: 4_096,
};
const hasty: CourierLimits = { ...limits, dialMs: 800, addressDialMs: 600 };

const open: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const stop of open.splice(0).toReversed()) await stop();
});

async function client(own = limits) {
  const transport = await createProviderTransport({ isDevnet: false, allowPrivate: true, limits: own });
  open.push(() => transport.close());
  return transport;
}

const targetOf = (node: Libp2p) => ({ peerId: String(node.peerId), multiaddrs: node.getMultiaddrs().map(String) });

/** `act` has the stream once the whole proposal is there. */
async function peer(act?: (stream: Stream) => void | Promise<void>): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  });
  open.push(() => node.stop());
  if (act === undefined) return node;
  await node.handle(MK, async (stream) => {
    let bytes = 0;
    for await (const chunk of stream) {
      bytes += chunk.byteLength;
      if (bytes >= params.length) break;
    }
    await act(stream);
  });
  return node;
}

/** A server below libp2p. */
async function raw(onConnect: (socket: Socket) => void): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined).resume();
    onConnect(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  open.push(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return `/ip4/127.0.0.1/tcp/${(server.address() as AddressInfo).port}`;
}

describe('a peer that holds the whole proposal, and then', () => {
  it.each<[string, (stream: Stream, node: () => Libp2p) => void | Promise<void>]>([
    [
      'closes the connection',
      (_stream, node) =>
        void node()
          .getConnections()
          .map((one) => one.close()),
    ],
    [
      'aborts the connection',
      (_stream, node) =>
        void node()
          .getConnections()
          .map((one) => one.abort(new Error('x'))),
    ],
    ['stops altogether', (_stream, node) => void node().stop()],
    ['closes its reading', (stream) => stream.closeRead()],
    [
      'drips an answer without end',
      async (stream) => {
        for (let left = 200; left > 0; left -= 1) {
          if (stream.status !== 'open' || !stream.send(Uint8Array.of(0x81))) return;
          await new Promise((resolve) => setTimeout(resolve, 10));
        }
      },
    ],
    [
      'announces an endless map',
      (stream) => void stream.send(Uint8Array.of(0xbb, 0x7f, ...new Uint8Array(7).fill(0xff))),
    ],
    ['sends a megabyte', (stream) => void stream.send(new Uint8Array(2 ** 20).fill(0x81))],
  ])('%s: nobody knows', async (_name, act) => {
    const node: Libp2p = await peer((stream) => act(stream, () => node));
    expect(await (await client()).propose(targetOf(node), params, never)).toMatchObject({ kind: 'unknown' });
  });

  it('is cut off by our closing', async () => {
    let hasRequest = false;
    const node = await peer(() => {
      hasRequest = true;
    });
    const transport = await createProviderTransport({ isDevnet: false, allowPrivate: true, limits: courierLimits });
    const answer = transport.propose(targetOf(node), params, never);
    await expect.poll(() => hasRequest).toBe(true);
    await transport.close();
    expect(await answer).toMatchObject({ kind: 'unknown' });
  });
});

describe('nothing of the proposal leaves for a peer that', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['says nothing', () => undefined],
    ['closes at once', (socket) => void socket.end()],
    ['speaks another protocol', (socket) => void socket.write('HTTP/1.1 400 Bad Request\r\n\r\n')],
    [
      'agrees on nothing for ever',
      (socket) => {
        const timer = setInterval(() => socket.write('\x13/multistream/1.0.0\n\x03na\n'), 5);
        socket.on('close', () => clearInterval(timer));
      },
    ],
    ['announces a message without end', (socket) => void socket.write(Buffer.from('ffffffffffffffffff7f', 'hex'))],
  ])('%s', async (_name, onConnect) => {
    const address = await raw(onConnect);
    const { peerId } = targetOf(await peer());
    const answer = await (await client(hasty)).propose({ peerId, multiaddrs: [address] }, params, never);
    expect(answer).toMatchObject({ kind: 'not-connected' });
  });

  it('is dialed while we stop, or has just been', async () => {
    const stop = new AbortController();
    const address = await raw(() => stop.abort(new Error('stopping')));
    const { peerId } = targetOf(await peer());
    const transport = await client();
    const target = { peerId, multiaddrs: [address] };
    expect(await transport.propose(target, params, stop.signal)).toMatchObject({ kind: 'not-connected' });
    expect(await transport.propose(target, params, AbortSignal.abort())).toMatchObject({ kind: 'not-connected' });
  });
});

it('does not go on to another way once it is closed', async () => {
  const connections: string[] = [];
  const transport = await createProviderTransport({ isDevnet: true, limits });
  const first = await raw(() => void transport.close());
  const second = await raw(() => connections.push('dialed'));
  const { peerId } = targetOf(await peer());
  const answer = await transport.propose({ peerId, multiaddrs: [first, `${second}/ws`] }, params, never);
  expect(answer).toMatchObject({ kind: 'not-connected' });
  expect(connections).toEqual([]);
});

it('says of thousands of addresses no more than a few', async () => {
  const multiaddrs = Array.from({ length: 5_000 }, (_, at) => `/ip4/1.2.3.4/udp/${at}/quic-v1`);
  const { peerId } = targetOf(await peer());
  const answer = await (await client()).propose({ peerId, multiaddrs }, params, never);
  expect(answer.kind === 'not-connected' ? answer.why.length : Number.NaN).toBeLessThan(2_000);
});

it('asks a peer as much at once as there is to ask', async () => {
  const node = await peer(async (stream) => {
    await new Promise((resolve) => setTimeout(resolve, 100));
    stream.send(encodeDealResponse({ accepted: true, message: '' }));
    await stream.close();
  });
  const transport = await client({ ...limits, readMs: courierLimits.readMs });
  const answers = await Promise.all(
    Array.from({ length: 100 }, () => transport.propose(targetOf(node), params, never)),
  );
  expect(answers.map(({ kind }) => kind)).toEqual(answers.map(() => 'answered'));
});

it('leaves nothing behind after many peers failed at once', async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => /TCP|TLS|Timeout/.test(name)).length;
  const failing = await Promise.all(
    Array.from({ length: 12 }, (_, at) =>
      peer((stream) => (at % 2 === 0 ? stream.abort(new Error('no')) : void stream.send(Uint8Array.of(0x1c)))),
    ),
  );
  const before = timers();
  const transport = await createProviderTransport({ isDevnet: false, allowPrivate: true, limits });
  const signal = new AbortController().signal;
  const answers = await Promise.all(failing.map((node) => transport.propose(targetOf(node), params, signal)));
  expect(answers.map(({ kind }) => kind)).toEqual(answers.map(() => 'unknown'));
  expect(getEventListeners(signal, 'abort')).toEqual([]);
  await transport.close();
  await expect.poll(timers).toBeLessThanOrEqual(before);
});
