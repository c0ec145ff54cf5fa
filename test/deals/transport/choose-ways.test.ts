import { describe, expect, it } from 'vitest';
import { chooseWays, type WayName } from '../../../src/deals/transport/choose-ways.ts';
import type { Via } from '../../../src/deals/transport/transport.ts';

const peerId = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5';
const other = '12D3KooWK99VoVxNE7XzyBwXEzW7xhK7Gpv85r9F3V3fyKSUKPH5';
const wss = '/dns/sp.example.com/tcp/443/wss';
const tcp = '/ip4/1.2.3.4/tcp/24001';

interface Given {
  transport?: Via;
  failed?: WayName[];
  plainLoopback?: boolean;
  allowPrivate?: boolean;
}

function ways(multiaddrs: string[], { transport, failed = [], ...reach }: Given = {}) {
  const chosen = chooseWays(
    { peerId, multiaddrs, transport },
    { failed: new Set(failed), plainLoopback: false, allowPrivate: true, ...reach },
  );
  return chosen.map((way) => (way.name === 'https' ? way.origin : `${way.name} ${way.addresses.join(' ')}`));
}

const [overTcp, overWs, overHttps] = [`tcp ${tcp}/p2p/${peerId}`, `ws ${wss}/p2p/${peerId}`, 'https://sp.example.com'];

describe('the ways to a provider', () => {
  it('come in order: TCP, WebSocket, HTTPS', () => {
    expect(ways([wss, tcp])).toEqual([overTcp, overWs, overHttps]);
    expect(ways([tcp])).toEqual([overTcp]);
    expect(ways([wss])).toEqual([overWs, overHttps]);
  });

  it('begin with the kind that worked last', () => {
    expect(ways([wss, tcp], { transport: 'https' })).toEqual([overHttps, overTcp, overWs]);
    expect(ways([wss, tcp], { transport: 'libp2p' })).toEqual([overTcp, overWs, overHttps]);
  });

  it('end with those that failed of late, and leave none out', () => {
    expect(ways([wss, tcp], { failed: ['tcp'] })).toEqual([overWs, overHttps, overTcp]);
    expect(ways([wss, tcp], { failed: ['https'], transport: 'https' })).toEqual([overTcp, overWs, overHttps]);
    expect(ways([wss, tcp], { failed: ['tcp', 'ws', 'https'] })).toEqual([overTcp, overWs, overHttps]);
  });

  it.each([
    ['/dns4/sp.example.com/tcp/8443/tls/ws', 'https://sp.example.com:8443'],
    ['/dns6/sp.example.com/tcp/443/wss', 'https://sp.example.com'],
    ['/ip6/2001:db8::1/tcp/444/wss', 'https://[2001:db8::1]:444'],
    ['/dns/sp.example.com/tcp/443/https', 'https://sp.example.com'],
  ])('know the HTTPS endpoint behind %s', (address, origin) => {
    expect(ways([address])).toContain(origin);
  });

  it('never send a proposal in the clear, but to a devnet on this machine', () => {
    const [loopback, far] = ['/ip4/127.0.0.1/tcp/8080/ws', '/dns/sp.example.com/tcp/80/ws'];
    expect(ways([loopback, far])).toEqual([`ws ${loopback}/p2p/${peerId} ${far}/p2p/${peerId}`]);
    expect(ways([far, loopback], { plainLoopback: true })).toContain('http://127.0.0.1:8080');
    expect(ways([far], { plainLoopback: true })).toHaveLength(1);
  });

  it('leave out other peers, relays, what we do not speak, and what is no address', () => {
    expect(ways([`${tcp}/p2p/${other}`, `${wss}/p2p/${other}`])).toEqual([]);
    expect(ways([`${tcp}/p2p/${peerId}/p2p-circuit`, '/ip4/1.2.3.4/udp/1/quic-v1', 'nonsense', '/dns/x', ''])).toEqual(
      [],
    );
    expect(ways([`${tcp}/p2p/${peerId}`])).toEqual([overTcp]);
  });

  it.each(['a b', '[', 'u:p@127.0.0.1', 'a?b', 'a#b', 'a\\b', 'x%2fy', '256.256.256.256', 'a'.repeat(300)])(
    'lead nowhere but to a host, whatever a name holds: %s',
    (name) => {
      const found = ways([`/dns4/${name}/tcp/443/wss`, wss], { plainLoopback: true });
      expect(found.at(-1)).toBe(overHttps);
      expect(found).toHaveLength(2);
    },
  );

  it('take no name for this machine that only begins like its address', () => {
    expect(ways(['/dns4/127.0.0.1.example.com/tcp/80/ws'], { plainLoopback: true })).toHaveLength(1);
  });

  it.each([
    '/ip4/10.1.2.3/tcp/24001',
    '/ip4/127.0.0.1/tcp/24001',
    '/ip4/169.254.169.254/tcp/443/https',
    '/ip4/192.168.0.1/tcp/443/wss',
    '/ip4/100.64.0.1/tcp/1',
    '/ip4/0.0.0.0/tcp/1',
    '/ip4/224.0.0.1/tcp/1',
    '/ip6/::1/tcp/1/ws',
    '/ip6/fd00::1/tcp/443/wss',
    '/ip6/::ffff:127.0.0.1/tcp/1',
    '/ip6/64:ff9b::a00:1/tcp/1',
    '/ip6zone/eth0/ip6/fe80::1/tcp/1',
    '/dns4/10.0.0.1/tcp/443/wss',
    '/dns/127.1/tcp/443/wss',
    '/dns/2130706433/tcp/443/wss',
    '/dns/0x7f.1/tcp/443/wss',
    '/dns/sp.example.com/tcp/443/tls/sni/127.0.0.1/ws',
  ])('leave out what is no address of the public internet, unless that is allowed: %s', (address) => {
    expect(ways([address, tcp], { allowPrivate: false })).toEqual([overTcp]);
    expect(ways([address, tcp])).not.toEqual([overTcp]);
  });

  it('take sixteen addresses and no more', () => {
    const many = Array.from({ length: 20 }, (_, at) => `/ip4/10.0.0.${at}/tcp/1`);
    const [way] = chooseWays(
      { peerId, multiaddrs: many },
      { failed: new Set(), plainLoopback: false, allowPrivate: true },
    );
    expect(way?.name === 'tcp' ? way.addresses.length : 0).toBe(16);
  });
});
