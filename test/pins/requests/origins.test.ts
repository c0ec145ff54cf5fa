import { expect, test } from 'vitest';
import { parseOrigin } from '../../../src/pins/requests/origins.ts';

const PEER = '12D3KooWD3eckifWpRn9wQpMG9R9hX3sD158z7EqHWmweQAJU5SA';

test.each([
  ['https://gateway.example.com/', 'https://gateway.example.com'],
  ['HTTP://gateway.example.com:8080/sub/?x=1', 'HTTP://gateway.example.com:8080/sub'],
  ['/dns4/gateway.example.com/tcp/443/https', 'https://gateway.example.com'],
  ['/dns/gateway.example.com/https', 'https://gateway.example.com'],
  ['/dns6/gateway.example.com/tcp/8443/tls/http', 'https://gateway.example.com:8443'],
  ['/ip4/203.0.113.7/tcp/8080/http', 'http://203.0.113.7:8080'],
  ['/ip6/2001:db8::7/tcp/8080/http', 'http://[2001:db8::7]:8080'],
  [`/dns/gateway.example.com/tcp/443/tls/http/p2p/${PEER}`, 'https://gateway.example.com'],
  ['/dns/gateway.example.com/tcp/443/https/http-path/a%2Fb', 'https://gateway.example.com/a/b'],
])('%s is the gateway %s', (text, url) => {
  expect(parseOrigin(text)).toEqual({ kind: 'gateway', url });
});

test.each([
  [`/ip4/203.0.113.7/tcp/4001/p2p/${PEER}`, { host: '203.0.113.7', rest: `/tcp/4001/p2p/${PEER}` }],
  [`/ip6/2001:db8::7/udp/4001/quic-v1/p2p/${PEER}`, { host: '2001:db8::7', rest: `/udp/4001/quic-v1/p2p/${PEER}` }],
  [`/dns4/peer.example.com/tcp/443/wss/p2p/${PEER}`, { host: 'peer.example.com', rest: `/tcp/443/wss/p2p/${PEER}` }],
  [`/ip4/203.0.113.7/tcp/4001/p2p/${PEER}/p2p-circuit/p2p/${PEER}`, undefined],
  [`/dnsaddr/bootstrap.example.com/p2p/${PEER}`, undefined],
  [`/p2p/${PEER}`, undefined],
])('%s is a peer', (address, host) => {
  expect(parseOrigin(address)).toEqual({ kind: 'peer', address, host });
});

test('an address without a peer id is no way to anybody', () => {
  expect(parseOrigin('/ip4/203.0.113.7/tcp/4001')).toEqual({ kind: 'other' });
});

test.each([
  '',
  'gateway.example.com',
  'ftp://gateway.example.com',
  'https://name:secret@gateway.example.com',
  'https://',
  '/',
  '/ip4',
  '/ip4/203.0.113/tcp/1',
  '/ip4/203.0.113.7/tcp/65536',
  '/ip4/203.0.113.7/tcp/x',
  '/ip6/203.0.113.7/tcp/1',
  '/dns4/two words/tcp/1',
  '/p2p/..%2f..',
  '/carrier-pigeon/1',
])("'%s' is refused, by its name", (text) => {
  expect(() => parseOrigin(text)).toThrow(expect.objectContaining({ code: 'INVALID_REQUEST' }));
});
