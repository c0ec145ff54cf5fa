import { createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { courierLimits, type Courier, type CourierLimits } from '../../../src/deals/transport/courier.ts';
import type { HttpsWay } from '../../../src/deals/transport/choose-ways.ts';
import { createHttpsCourier } from '../../../src/deals/transport/https-courier.ts';
import vectors from '../../vectors/mk12.json' with { type: 'json' };

const peerId = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5';
const request = Uint8Array.from(Buffer.from(vectors.dealParams121, 'hex'));
const never = new AbortController().signal;
const limits: CourierLimits = {
  ...courierLimits,
  // A local server that is slow to take a connection is no fault of its own: the machine is busy.
  dialMs: 20_000,
  writeMs: 100,
  readMs: { propose: 200, status: 200, ask: 200, transports: 200 },
  replyBytes: 4_096,
};

let courier: Courier<HttpsWay>;
let server: Server | undefined;
const sockets = new Set<Socket>();
beforeEach(() => {
  courier = createHttpsCourier({ allowPrivate: true, limits });
});
afterEach(async () => {
  await courier.close();
  for (const socket of sockets) socket.destroy();
  await new Promise<void>((resolve) => (server === undefined ? resolve() : server.close(() => resolve())));
  server = undefined;
});

/** A server below HTTP; `received` resolves when the whole proposal is there. */
async function serveRaw(onConnect: (socket: Socket) => void, onRequest: (socket: Socket) => void): Promise<HttpsWay> {
  const tail = Buffer.from(request.subarray(-32));
  server = createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => undefined);
    let bytes = Buffer.alloc(0);
    socket.on('data', (chunk) => {
      bytes = Buffer.concat([bytes, chunk]);
      if (bytes.includes(tail)) onRequest(socket);
    });
    onConnect(socket);
  });
  const listening = server;
  await new Promise<void>((resolve) => listening.listen(0, '127.0.0.1', resolve));
  const { port } = listening.address() as AddressInfo;
  return { name: 'https', via: 'https', peerId, origin: `http://127.0.0.1:${port}` };
}

const nothing = () => undefined;
const carry = (way: HttpsWay, signal = never) => courier.carry(way, { question: 'propose', request }, signal);
const write = (text: string) => (socket: Socket) => void socket.write(text);
const drip = (text: string) => (socket: Socket) => {
  socket.write('HTTP/1.1 200 OK\r\n\r\n');
  const timer = setInterval(() => socket.write(text), 10);
  socket.on('close', () => clearInterval(timer));
};

describe('a server that holds the whole proposal, and then', () => {
  it.each<[string, (socket: Socket) => void]>([
    ['says nothing', nothing],
    ['closes', (socket) => void socket.end()],
    ['resets', (socket) => void socket.resetAndDestroy()],
    ['switches protocols', write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')],
    ['answers half a head and hangs', write('HTTP/1.1 200 OK\r\ncontent-le')],
    ['answers half a head and ends', (socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-le')],
    ['answers what is not HTTP', write('\u0013/multistream/1.0.0\n')],
    ['answers a head without end', write(`HTTP/1.1 200 OK\r\nx: ${'y'.repeat(100_000)}`)],
    ['answers a head and hangs', write('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n')],
    ['answers a head and resets', (socket) => socket.write('HTTP/1.1 200 OK\r\n\r\n', () => socket.resetAndDestroy())],
    ['answers less than it announced', (socket) => void socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n\xa2')],
    ['answers broken chunks', write('HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n')],
    ['drips an answer without end', drip('\x81')],
    ['announces a map of 2^32 pairs', write('HTTP/1.1 200 OK\r\n\r\n\xba')],
    [
      'informs without end',
      (socket) => {
        const timer = setInterval(() => socket.write('HTTP/1.1 102 Processing\r\n\r\n'), 10);
        socket.on('close', () => clearInterval(timer));
      },
    ],
    ['answers twice, the first time for nothing', write('HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 500 x\r\n\r\n')],
    ['is kept from telling by a guard', write('HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n')],
    ['sends us to a page', write('HTTP/1.1 302 Found\r\nlocation: /done\r\ncontent-length: 0\r\n\r\n')],
    ['sends us to see another', write('HTTP/1.1 303 See Other\r\nlocation: /done\r\ncontent-length: 0\r\n\r\n')],
    ['reports a conflict', write('HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n')],
    ['reports a gateway', write('HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n')],
    ['answers without content', write('HTTP/1.1 204 No Content\r\n\r\n')],
  ])(
    '%s: nobody knows',
    async (_name, act) => {
      const way = await serveRaw(nothing, act);
      expect(await carry(way)).toMatchObject({ kind: 'unknown' });
    },
    20_000,
  );

  it('is cut off by our stop, or by our closing', async () => {
    const stop = new AbortController();
    let end = () => stop.abort(new Error('stopping'));
    const way = await serveRaw(nothing, (socket) => {
      drip('\x81')(socket);
      end();
    });
    expect(await carry(way, stop.signal)).toEqual({ kind: 'unknown', via: 'https', why: 'stopping' });
    end = () => void courier.close();
    expect(await carry(way)).toMatchObject({ kind: 'unknown' });
  }, 20_000);
});

it.each<[string, (socket: Socket) => void]>([
  ['an answer', write('HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n')],
  ['an upgrade', write('HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n')],
  ['words of another protocol', write('220 mail.example.com ESMTP\r\n')],
])(
  'ends when %s comes before the question',
  async (_name, act) => {
    const reply = await carry(await serveRaw(act, nothing));
    expect(['unknown', 'not-connected']).toContain(reply.kind);
  },
  20_000,
);

it('leaves no socket and no timer after faults', async () => {
  const way = await serveRaw(nothing, (socket) => void socket.destroy());
  await Promise.all(Array.from({ length: 50 }, () => carry(way)));
  await expect.poll(() => [...sockets].every((socket) => socket.destroyed)).toBe(true);
});
