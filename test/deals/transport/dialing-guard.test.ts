import { createServer, type AddressInfo, type Socket } from 'node:net';
import { multiaddr } from '@multiformats/multiaddr';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { CourierLimits } from '../../../src/deals/transport/courier.ts';
import { createProviderTransport } from '../../../src/deals/transport/provider-transport.ts';
import { webSocketEndpoint } from '../../../src/deals/transport/web-sockets.ts';
import { isPrivateHost, publicLookup } from '../../../src/public-address.ts';

const peerId = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5';
const never = new AbortController().signal;
const hasty = { dialMs: 1_500, addressDialMs: 1_000 };

/** Takes connections and says nothing. */
async function silent() {
  const open = new Set<Socket>();
  let taken = 0;
  const server = createServer((socket) => {
    taken += 1;
    open.add(socket);
    socket.on('error', () => undefined).resume();
    socket.on('close', () => open.delete(socket));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    for (const socket of open) socket.destroy();
    server.close();
  });
  const { port } = server.address() as AddressInfo;
  return { port, taken: () => taken, open };
}

async function transport(allowPrivate: boolean, limits: Partial<CourierLimits> = hasty) {
  const made = await createProviderTransport({ isDevnet: false, allowPrivate, limits });
  onTestFinished(() => made.close());
  return made;
}

describe('a provider that names a place beside us', () => {
  it.each([
    ['TCP', '/dns4/localhost/tcp/PORT'],
    ['a WebSocket', '/dns4/localhost/tcp/PORT/ws'],
    ['HTTPS', '/dns4/localhost/tcp/PORT/wss'],
    ['any of them, by an address', '/ip4/127.0.0.1/tcp/PORT'],
  ])('is not dialed by %s', async (_name, address) => {
    const server = await silent();
    const target = { peerId, multiaddrs: [address.replace('PORT', String(server.port))] };
    const answer = await (await transport(false)).propose(target, Uint8Array.of(0xa0), never);
    expect(answer).toMatchObject({ kind: 'not-connected' });
    expect(server.taken()).toBe(0);
    if (address.includes('localhost'))
      expect(answer).toMatchObject({ why: expect.stringMatching(/no address of the public internet/) });
  });

  it.each(['/dns4/localhost/tcp/PORT', '/dns4/localhost/tcp/PORT/ws'])(
    'is where that is allowed: %s',
    async (address) => {
      const server = await silent();
      const target = { peerId, multiaddrs: [address.replace('PORT', String(server.port))] };
      const answer = await (await transport(true)).propose(target, Uint8Array.of(0xa0), never);
      expect(answer).toMatchObject({ kind: 'not-connected' });
      expect(server.taken()).toBeGreaterThan(0);
    },
  );
});

describe('a WebSocket whose upgrade is not answered', () => {
  const limits = { dialMs: 20_000, addressDialMs: 20_000 };

  it('leaves no socket once the dial is given up', async () => {
    const server = await silent();
    const target = { peerId, multiaddrs: [`/ip4/127.0.0.1/tcp/${server.port}/ws`] };
    const answer = await (await transport(true)).propose(target, Uint8Array.of(0xa0), never);
    expect(answer).toMatchObject({ kind: 'not-connected' });
    await expect.poll(() => server.open.size).toBe(0);
  });

  it('leaves none when we stop either', async () => {
    const server = await silent();
    const stop = new AbortController();
    const target = { peerId, multiaddrs: [`/ip4/127.0.0.1/tcp/${server.port}/ws`] };
    const asking = (await transport(true, limits)).propose(target, Uint8Array.of(0xa0), stop.signal);
    await expect.poll(() => server.open.size).toBe(1);
    stop.abort(new Error('stopping'));
    expect(await asking).toMatchObject({ kind: 'not-connected' });
    await expect.poll(() => server.open.size).toBe(0);
  });
});

it.each([
  ['/ip4/1.2.3.4/tcp/80/ws', { url: 'ws://1.2.3.4:80/' }],
  ['/ip6/2001:db8::1/tcp/80/ws', { url: 'ws://[2001:db8::1]:80/' }],
  ['/dns/sp.example.com/tcp/443/wss', { url: 'wss://sp.example.com:443/' }],
  ['/dns4/sp.example.com/tcp/443/tls/ws', { url: 'wss://sp.example.com:443/' }],
  ['/ip4/1.2.3.4/tcp/443/tls/sni/sp.example.com/ws', { url: 'wss://1.2.3.4:443/', servername: 'sp.example.com' }],
  ['/dns4/sp.example.com/tcp/443/wss/http-path/a%2Fb', { url: 'wss://sp.example.com:443/a/b' }],
])('%s leads to its WebSocket', (address, endpoint) => {
  expect(webSocketEndpoint(multiaddr(address))).toEqual(endpoint);
});

it.each([
  ['127.0.0.1', true],
  ['127.1', true],
  ['[::1]', true],
  ['::ffff:10.0.0.1', true],
  ['1.1.1.1', false],
  ['[2606:4700::1111]', false],
  ['sp.example.com', false],
])('%s is a private host: %s', (host, isPrivate) => {
  expect(isPrivateHost(host)).toBe(isPrivate);
});

it.each([{ all: true }, { all: false }])('a name beside us is not looked up, %o', async (options) => {
  const refused = new Promise<Error | null>((resolve) => publicLookup('localhost', options, (error) => resolve(error)));
  expect(await refused).toMatchObject({ code: 'ADDRESS_NOT_PUBLIC' });
});
