import { expect, it } from 'vitest';
import { parseMinerInfo } from '../../../src/chain/miner.ts';
import { parseManualAddress } from '../../../src/deals/providers/providers.ts';

const ODD_NAME = Buffer.from('sp\u001b[2J\u0000');

/** `/dns/<name>/tcp/443` in binary. */
function dnsAddress(name: Buffer): string {
  return Buffer.concat([Buffer.from([0x35, name.length]), name, Buffer.from([0x06, 0x01, 0xbb])]).toString('base64');
}

it('an address on chain with control characters in its name does not hide the others', () => {
  const Multiaddrs = [dnsAddress(ODD_NAME), dnsAddress(Buffer.from('sp.example.com'))];
  const answer = { Owner: 'f01', Worker: 'f02', PeerId: null, Multiaddrs, SectorSize: 34_359_738_368 };
  const info = parseMinerInfo(answer, 'StateMinerInfo');
  expect(info.multiaddrs).toEqual(['/dns/sp.example.com/tcp/443']);
});

it('an operator gives none with control characters', () => {
  const peerId = '12D3KooWDpJ7As7BWAwRMfu1VU2WCqNjvq387JEYKDBj4kx6nXTN';
  expect(() => parseManualAddress(peerId, [`/dns/${ODD_NAME.toString()}/tcp/443`])).toThrow(
    expect.objectContaining({ code: 'PROVIDER_INVALID' }),
  );
});
