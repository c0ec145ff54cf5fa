import { noise } from '@libp2p/noise';
import type { Libp2p } from '@libp2p/interface';
import { tcp } from '@libp2p/tcp';
import { yamux } from '@libp2p/yamux';
import { createLibp2p } from 'libp2p';
import { createServer, type AddressInfo, type Socket } from 'node:net';
import { describe, expect, it, type TestContext } from 'vitest';
import { courierLimits } from '../../../src/deals/transport/courier.ts';
import { createLibp2pCourier } from '../../../src/deals/transport/libp2p-courier.ts';
import { chooseWays, type Libp2pWay } from '../../../src/deals/transport/choose-ways.ts';
import type { Question } from '../../../src/deals/transport/courier.ts';

const signal = new AbortController().signal;
/** Patient: only a dial that nobody answers should end by a wait. */
const limits = { ...courierLimits, dialMs: 20_000, addressDialMs: 20_000, writeMs: 20_000 };
const PROTOCOL = '/fil/storage/ask/1.1.0';

/** Each test waits for the same five seconds, all at once: what one opened ends with it. */
type Ending = Pick<TestContext, 'onTestFinished'>;

async function courier({ onTestFinished }: Ending, change: Partial<typeof limits> = {}) {
  const made = await createLibp2pCourier({ ...limits, ...change }, { allowPrivate: true });
  onTestFinished(() => made.close());
  return made;
}

async function peer({ onTestFinished }: Ending): Promise<Libp2p> {
  const node = await createLibp2p({
    addresses: { listen: ['/ip4/127.0.0.1/tcp/0'] },
    transports: [tcp()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
  });
  onTestFinished(async () => node.stop());
  return node;
}

function wayTo(peerId: string, multiaddrs: string[]): Libp2pWay {
  const [way] = chooseWays({ peerId, multiaddrs }, { failed: new Set(), plainLoopback: false, allowPrivate: true });
  if (way?.via !== 'libp2p') throw new Error('no libp2p way');
  return way;
}

const message = (question: Question) => ({ question, request: Uint8Array.of(0xa0) });
const closes = { timeout: 20_000, interval: 100 };

describe.concurrent('the connections of the courier', () => {
  it('closes a connection that no protocol came of', async (context) => {
    const node = await peer(context);
    const way = wayTo(String(node.peerId), node.getMultiaddrs().map(String));
    expect(await (await courier(context)).carry(way, message('propose'), signal)).toMatchObject({ unsupported: true });
    expect(node.getConnections()).toHaveLength(1);
    await expect.poll(() => node.getConnections().length, closes).toBe(0);
  });

  it('closes a connection on which the peer keeps a stream of its own', async (context) => {
    const node = await peer(context);
    await node.handle(PROTOCOL, async (stream, connection) => {
      await connection.newStream(['/ipfs/id/1.0.0'], { negotiateFully: false });
      stream.send(Uint8Array.of(0xf6));
      await stream.close();
    });
    const way = wayTo(String(node.peerId), node.getMultiaddrs().map(String));
    expect(await (await courier(context)).carry(way, message('ask'), signal)).toMatchObject({ kind: 'replied' });
    await expect.poll(() => node.getConnections().length, closes).toBe(0);
  });

  it('lets the exchanges beside a finished one go on', async (context) => {
    const node = await peer(context);
    let asked = 0;
    await node.handle(PROTOCOL, async (stream) => {
      asked += 1;
      if (asked === 1) await new Promise((resolve) => setTimeout(resolve, 5_600));
      stream.send(Uint8Array.of(0xf6));
    });
    const way = wayTo(String(node.peerId), node.getMultiaddrs().map(String));
    const made = await courier(context, { readMs: { ...limits.readMs, ask: 20_000 } });
    const slow = made.carry(way, message('ask'), signal);
    await expect.poll(() => asked).toBe(1);
    expect(await made.carry(way, message('ask'), signal)).toMatchObject({ kind: 'replied' });
    expect(await slow).toMatchObject({ kind: 'replied' });
  });

  it('leaves no socket behind where nobody answers a dial', async (context) => {
    const sockets = new Set<Socket>();
    const silent = createServer((socket) => {
      socket.on('error', () => undefined).resume();
      sockets.add(socket);
      socket.on('close', () => sockets.delete(socket));
    });
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    context.onTestFinished(() => void silent.close());
    const { port } = silent.address() as AddressInfo;
    const address = `/ip4/127.0.0.1/tcp/${port}`;
    const way = wayTo(String((await peer(context)).peerId), [address]);
    const made = await courier(context, { dialMs: 700, addressDialMs: 500 });
    expect(await made.carry(way, message('propose'), signal)).toMatchObject({ kind: 'not-connected' });
    await expect.poll(() => sockets.size).toBe(0);
  });
});
