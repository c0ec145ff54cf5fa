import { randomUUID } from 'node:crypto';
import { decode } from '@ipld/dag-cbor';
import { multiaddr } from '@multiformats/multiaddr';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startProviders, type Providers, type RunningProvider } from '../../../src/devnet/provider/providers.ts';
import { idAddress } from '../../../src/filecoin/address.ts';
import { signWithKey } from '../../../src/filecoin/lotus-key.ts';
import { ASK_PROTOCOL, decodeAskResponse, encodeAsk, encodeAskRequest } from '../../../src/filecoin/mk12-ask.ts';
import { uuidBytes } from '../../../src/filecoin/mk12-fields.ts';
import { decodeDealResponse, encodeDealParams } from '../../../src/filecoin/mk12-propose.ts';
import {
  decodeDealStatusResponse,
  encodeDealStatusRequest,
  STATUS_PROTOCOL,
} from '../../../src/filecoin/mk12-status.ts';
import { decodeSignedProposal, encodeProposal, signedProposalCid } from '../../../src/filecoin/proposal.ts';
import { verifySignature } from '../../../src/filecoin/signature.ts';
import { CLIENT, CLIENT_ADDRESS, DealClient, dealParams, type ProposalChange } from './deal-client.ts';
import { FakeLedger } from './fake-ledger.ts';
import { CID } from 'multiformats/cid';

const OTHER_KEY = { type: 'secp256k1' as const, privateKey: new Uint8Array(32).fill(6) };

describe('a storage provider', () => {
  let ledger: FakeLedger;
  let devnet: Providers;
  let provider: RunningProvider;
  let client: DealClient;
  const received: [string, string, Uint8Array][] = [];

  beforeAll(async () => {
    ledger = new FakeLedger(CLIENT_ADDRESS);
    const onProposal = (...seen: [string, string, Uint8Array]) => void received.push(seen);
    devnet = await startProviders({ ledger, personas: ['normal'], seed: 'answers', onProposal });
    provider = devnet.providers[0] ?? expect.fail('no provider');
    client = await DealClient.start();
  });
  afterAll(async () => {
    await client.close();
    await devnet.close();
  });

  it('is on the chain with its peer id and an address that can be dialled', () => {
    const record = ledger.miner('f01000');
    expect(record?.peerId).toBe(provider.peerId);
    expect(record?.multiaddrs).toEqual([expect.stringMatching(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+$/)]);
  });

  it('accepts a good proposal by either version, and calls itself Boost', async () => {
    expect(await client.propose(provider, dealParams())).toEqual({ accepted: true, message: '' });
    const old = encodeDealParams(dealParams({ proposal: { label: '1.2.0' } }), '1.2.0');
    const answer = await client.exchange(provider, ['/fil/storage/mk/1.2.0'], old);
    expect(decodeDealResponse(answer)).toEqual({ accepted: true, message: '' });
    const peer = await client.node.peerStore.get(client.node.getPeers()[0] ?? expect.fail('no peer'));
    expect(Buffer.from(peer.metadata.get('AgentVersion') ?? []).toString()).toMatch(/^boost-/);
  });

  const refusals: [string, string, ProposalChange][] = [
    ['a wrong signature', 'failed validation: server error: validating signature', { key: OTHER_KEY }],
    [
      'a client the chain does not know',
      'failed validation: server error: validating signature',
      { key: OTHER_KEY, proposal: { client: idAddress(777n) } },
    ],
    [
      'another provider',
      'failed validation: incorrect provider for deal; proposal.Provider: f01001; provider.Address: f01000',
      { proposal: { provider: idAddress(1_001n) } },
    ],
    [
      'a piece below 128 bytes',
      'failed validation: proposal piece size is invalid: minimum padded piece size is 128 bytes',
      { proposal: { pieceBytes: 64n } },
    ],
    [
      'a piece size that is no power of two',
      'failed validation: proposal piece size is invalid: padded piece size must be a power of 2',
      { proposal: { pieceBytes: 3_000n } },
    ],
    [
      'another kind of CID',
      'failed validation: proposal PieceCID had wrong prefix',
      { proposal: { pieceCid: CID.parse('bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku') } },
    ],
    [
      'an end before its start',
      'failed validation: proposal end 11999 before proposal start 12000',
      { proposal: { endEpoch: 11_999 } },
    ],
    [
      'a start in the past',
      'failed validation: deal start epoch 999 has already elapsed (current epoch: 1000)',
      { proposal: { startEpoch: 999, endEpoch: 999 + 518_400 } },
    ],
    [
      'a duration too short',
      'failed validation: deal duration out of bounds (min, max, provided): 518400, 3680640, 518399',
      { proposal: { endEpoch: 12_000 + 518_399 } },
    ],
    [
      'an end too far',
      'failed validation: invalid deal end epoch 3692640: cannot be more than 3680640 past current epoch 1000',
      { proposal: { endEpoch: 12_000 + 3_680_640 } },
    ],
    [
      'collateral too low',
      'failed validation: proposed provider collateral 999 below minimum 1000',
      { proposal: { providerCollateral: 999n } },
    ],
    [
      'collateral too high',
      'failed validation: proposed provider collateral 2001 above maximum 2000',
      { proposal: { providerCollateral: 2_001n } },
    ],
    [
      'a price below the ask',
      'failed validation: storage price per epoch less than asking price: 94 < 95',
      { proposal: { pricePerEpoch: 94n } },
    ],
    [
      'a piece below the ask',
      'failed validation: piece size less than minimum required size: 128 < 256',
      { proposal: { pieceBytes: 128n } },
    ],
    [
      'a piece above the ask',
      'failed validation: piece size more than maximum allowed size: 68719476736 > 34359738368',
      { proposal: { pieceBytes: 1n << 36n, pricePerEpoch: 10n ** 10n } },
    ],
    [
      'a client without the money',
      'failed validation: client available funds in escrow 1000000000000000000000 not enough to meet storage cost for deal 518400000000000000000000',
      { proposal: { pricePerEpoch: 10n ** 18n } },
    ],
    [
      'a transfer of a foreign type',
      "server error: get deal transfer host: cannot parse params for unrecognized transfer type 'ftp'",
      { transfer: { type: 'ftp' } },
    ],
    [
      'params that are no JSON',
      "server error: get deal transfer host: failed to de-serialize transport params bytes 'x'",
      { transfer: { params: Buffer.from('x') } },
    ],
    [
      'a URL without a scheme',
      "server error: get deal transfer host: cannot parse url 'example.com/x': parsing url 'example.com/x': could not parse scheme",
      { transfer: { params: Buffer.from('{"URL":"example.com/x"}') } },
    ],
    [
      'a start that sealing cannot make',
      'cannot seal a sector before 3879',
      { proposal: { startEpoch: 3_879, endEpoch: 3_879 + 518_400 } },
    ],
    [
      'a start too far ahead',
      'deal start epoch is too far in the future: 44201 > 44200',
      { proposal: { startEpoch: 44_201, endEpoch: 44_201 + 518_400 } },
    ],
  ];
  it.each(refusals)('refuses %s in the words of Boost', async (_, text, change) => {
    const { accepted, message } = await client.propose(provider, dealParams(change));
    expect(accepted).toBe(false);
    expect(message.startsWith(text), message).toBe(true);
  });

  it('names the first fault when there are several', async () => {
    const faults = { provider: idAddress(2n), pieceBytes: 3n, providerCollateral: 0n, pricePerEpoch: 0n };
    expect((await client.propose(provider, dealParams({ proposal: faults }))).message).toContain('incorrect provider');
    const later = dealParams({ proposal: { pricePerEpoch: 0n, startEpoch: 2_000, endEpoch: 2_000 + 518_400 } });
    expect((await client.propose(provider, later)).message).toContain('less than asking price');
  });

  it('asks verified clients for DataCap, and less money', async () => {
    const verified = (pieceBytes: bigint) =>
      dealParams({
        proposal: {
          verified: true,
          pieceBytes,
          pricePerEpoch: (5_000_000n * pieceBytes) >> 30n,
          label: String(pieceBytes),
        },
      });
    expect(await client.propose(provider, verified(2_048n))).toMatchObject({ accepted: true });
    ledger.cap = 4_095n;
    expect((await client.propose(provider, verified(4_096n))).message).toBe(
      'failed validation: verified deal DataCap 4095 too small for proposed piece size 4096',
    );
    ledger.cap = undefined;
    expect((await client.propose(provider, verified(4_096n))).message).toBe(
      'failed validation: client is not a verified client',
    );
  });

  it('knows a proposal again, and a uuid', async () => {
    const params = dealParams({ proposal: { label: 'twice' } });
    received.length = 0;
    expect(await client.propose(provider, params)).toEqual({ accepted: true, message: '' });
    const again = await client.propose(provider, params);
    expect(again.message).toMatch(
      new RegExp(
        String.raw`^deal proposal is identical to deal ${params.dealUuid} \(proposed at \d{4}-.* \+0000 UTC\)$`,
      ),
    );
    expect(received).toEqual([1, 2].map(() => ['f01000', params.dealUuid, params.signedProposal]));
    const sameBytes = await client.propose(provider, { ...params, dealUuid: randomUUID() });
    expect(sameBytes.message).toContain(`identical to deal ${params.dealUuid}`);
    const other = dealParams({ proposal: { label: 'other' }, params: { dealUuid: params.dealUuid } });
    expect((await client.propose(provider, other)).message).toContain(
      `deal has the same uuid as deal ${params.dealUuid}`,
    );
  });

  const malformed: [string, (good: Uint8Array) => Uint8Array][] = [
    ['a map without the proposal', (good) => Buffer.concat([Uint8Array.of(0xa4), good.subarray(1)])],
    ['a number that is not in its shortest form', (good) => widenedSize(good)],
    [
      'a map of indefinite length',
      (good) => Buffer.concat([Uint8Array.of(0xbf), good.subarray(1), Uint8Array.of(0xff)]),
    ],
    ['text', () => Buffer.from('GET / HTTP/1.1\r\n\r\n')],
    ['an integer', () => Uint8Array.of(1)],
  ];
  it.each(malformed)('ends the stream without a byte on %s', async (_, spoil) => {
    const good = encodeDealParams(dealParams({ proposal: { label: 'malformed' } }));
    const before = provider.deals().length;
    expect(await client.exchange(provider, ['/fil/storage/mk/1.2.1'], spoil(good))).toHaveLength(0);
    expect(provider.deals()).toHaveLength(before);
  });

  it('answers the status to whoever holds the client key', async () => {
    const params = dealParams({ proposal: { label: 'status' } });
    await client.propose(provider, params);
    const ask = async (uuid: string, key = CLIENT) =>
      decodeDealStatusResponse(
        await client.exchange(
          provider,
          [STATUS_PROTOCOL],
          encodeDealStatusRequest({ dealUuid: uuid, signature: signWithKey(key, uuidBytes(uuid)) }),
        ),
      );
    const status = await ask(params.dealUuid);
    expect(status).toMatchObject({ error: '', dealUuid: params.dealUuid, isOffline: false, transferSizeBytes: 1_500 });
    expect(status.dealStatus?.signedProposalCid.toString()).toBe(signedProposalCid(params.signedProposal).toString());
    const proposal = encodeProposal(status.dealStatus?.proposal ?? expect.fail('no proposal'));
    expect(proposal).toEqual(decodeSignedProposal(params.signedProposal).proposalBytes);
    expect(status.dealStatus?.publishCid).toBeNull();
    expect(await ask(params.dealUuid, OTHER_KEY)).toMatchObject({
      error: 'signature verification failed',
      dealStatus: null,
    });
    const unknown = randomUUID();
    expect((await ask(unknown)).error).toBe(`no storage deal found with deal UUID ${unknown}`);
  });

  it('signs its ask with the worker key, and has none for another miner', async () => {
    const ask = async (id: bigint) =>
      decodeAskResponse(await client.exchange(provider, [ASK_PROTOCOL], encodeAskRequest(idAddress(id))));
    const signed = (await ask(1_000n)) ?? expect.fail('no ask');
    expect(signed.ask).toMatchObject({ price: 50_000_000n, verifiedPrice: 5_000_000n, minPieceBytes: 256n });
    const worker = ledger.miner('f01000')?.worker ?? expect.fail('no worker');
    expect(verifySignature(signed.signature ?? expect.fail('unsigned'), encodeAsk(signed.ask), worker)).toBe(true);
    expect(await ask(1_001n)).toBeNull();
  });

  it('states its retrieval transports to whoever opens the stream', async () => {
    const answer = await client.exchange(provider, ['/fil/retrieval/transports/1.0.0'], new Uint8Array());
    const { Protocols } = decode<{ Protocols: { Name: string; Addresses: Uint8Array[] }[] }>(answer);
    const named = Protocols.map(({ Name, Addresses }) => [Name, Addresses.map((bytes) => multiaddr(bytes).toString())]);
    expect(named).toEqual([
      ['libp2p', provider.multiaddrs],
      ['http', [expect.stringMatching(/^\/ip4\/127\.0\.0\.1\/tcp\/\d+\/http$/)]],
    ]);
  });

  it('changes its ways while it runs, and back', async () => {
    const fresh = (label: string) => dealParams({ proposal: { label } });
    devnet.setFaults({ t01000: { refuse: 'deal rejected by our own filter' } });
    expect(await client.propose(provider, fresh('f'))).toEqual({
      accepted: false,
      message: 'deal rejected by our own filter',
    });
    devnet.setFaults({ f01000: null });
    expect(await client.propose(provider, fresh('f'))).toMatchObject({ accepted: true });

    devnet.setFaults({ f01000: { loseAnswers: true } });
    const lost = fresh('lost');
    expect(await client.exchange(provider, ['/fil/storage/mk/1.2.1'], encodeDealParams(lost))).toHaveLength(0);
    devnet.setFaults({ f01000: { loseAnswers: false, answerDelayMs: 60 } });
    const startedMs = performance.now();
    expect((await client.propose(provider, lost)).message).toContain(`identical to deal ${lost.dealUuid}`);
    expect(performance.now() - startedMs).toBeGreaterThan(55);

    devnet.setFaults({ f01000: { hang: true, answerDelayMs: 0 } });
    const hung = fresh('hung');
    await expect(client.exchange(provider, ['/fil/storage/mk/1.2.1'], encodeDealParams(hung), 150)).rejects.toThrow();
    expect(provider.deals().some(({ uuid }) => uuid === hung.dealUuid)).toBe(false);
    devnet.setFaults({ f01000: null });
  });

  it('turns bad faults down as a whole', () => {
    const bad: [unknown, string][] = [
      [{ f01000: { hnag: true } }, 'no provider knob is called hnag'],
      [{ f01000: { hang: 'yes' } }, 'provider knob hang takes a boolean'],
      [{ f01000: { software: 'venus' } }, 'provider knob software is one of boost, curio'],
      [{ f01000: { answerDelayMs: -1 } }, 'provider knob answerDelayMs takes a whole number'],
      [{ f01000: { askPrice: '1.5' } }, 'provider knob askPrice takes a whole number'],
      [{ f01000: { refuse: 'no' }, f09: {} }, 'the devnet runs no provider f09'],
      [{ f01000: [] }, 'a provider fault is an object'],
    ];
    for (const [faults, text] of bad) expect(() => devnet.setFaults(faults), text).toThrow(text);
  });
});

/** Transfer.Size 1500 as `19 05dc`, rewritten to `1a 000005dc`. */
function widenedSize(good: Uint8Array): Uint8Array {
  const at = Buffer.from(good).indexOf(Buffer.from([0x19, 0x05, 0xdc]));
  return Buffer.concat([good.subarray(0, at), Buffer.from([0x1a, 0, 0, 0x05, 0xdc]), good.subarray(at + 3)]);
}
