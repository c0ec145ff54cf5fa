import { expect, it } from 'vitest';
import { statedPlaces, whereServed } from '../../../src/deals/restore/where-served.ts';

const closed = { allowPrivate: false };
const place = (name: string, ...multiaddrs: string[]) =>
  statedPlaces([{ name, multiaddrs }], closed).map(({ href }) => href);

it('reads where a provider says that it serves pieces', () => {
  expect(place('http', '/dns/sp.example.com/tcp/7777/http')).toEqual(['http://sp.example.com:7777/']);
  expect(place('https', '/dns4/sp.example.com/tcp/443/https')).toEqual(['https://sp.example.com/']);
  expect(place('http', '/dns/sp.example.com/tcp/443/tls/http')).toEqual(['https://sp.example.com/']);
  expect(place('http', '/ip4/8.8.8.8/tcp/80/http/http-path/%2Fboost')).toEqual(['http://8.8.8.8/boost/']);
  expect(place('http', '/ip6/2001:4860:4860::8888/tcp/80/http')).toEqual(['http://[2001:4860:4860::8888]/']);
});

it('takes no other protocol, no private address, and nothing that cannot be read', () => {
  expect(place('libp2p', '/dns/sp.example.com/tcp/443/https')).toEqual([]);
  expect(place('http', '/dns/sp.example.com/tcp/443', 'nonsense', '/unix/a')).toEqual([]);
  expect(place('http', '/ip4/127.0.0.1/tcp/80/http', '/ip4/10.1.2.3/tcp/80/http', '/ip6/::1/tcp/80/http')).toEqual([]);
  expect(place('http', '/ip4/169.254.169.254/tcp/80/http')).toEqual([]);
  expect(
    statedPlaces([{ name: 'http', multiaddrs: ['/ip4/127.0.0.1/tcp/80/http'] }], { allowPrivate: true }),
  ).toHaveLength(1);
});

it('adds the HTTPS endpoint beside the WebSockets of one that states none, each place once', async () => {
  const signal = new AbortController().signal;
  const peerId = '12D3KooWGRUVh7qTBwP4gGPrHwzBZiAnCLXVYFpQzQWqGy4dgHHJ';
  const target = { peerId, multiaddrs: ['/dns/curio.example.com/tcp/443/wss'] };
  const states = (...multiaddrs: string[]) => ({
    transports: async () => ({ kind: 'answered' as const, transports: [{ name: 'http', multiaddrs }] }),
  });
  const served = async (...stated: string[]) =>
    (await whereServed(states(...stated), target, closed, signal)).map(({ href }) => href);
  expect(await served()).toEqual(['https://curio.example.com/']);
  expect(await served('/dns/curio.example.com/tcp/443/https')).toEqual(['https://curio.example.com/']);
  expect(await served('/dns/other.example.com/tcp/80/http')).toEqual([
    'http://other.example.com/',
    'https://curio.example.com/',
  ]);
});
