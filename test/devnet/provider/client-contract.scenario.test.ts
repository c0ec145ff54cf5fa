import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createProviderTransport } from '../../../src/deals/transport/provider-transport.ts';
import type { ProposeAnswer, Transport } from '../../../src/deals/transport/transport.ts';
import { personaNames, personaOf, type PersonaPatch } from '../../../src/devnet/provider/provider-persona.ts';
import { startProviders, type Providers, type RunningProvider } from '../../../src/devnet/provider/providers.ts';
import { parseAddress } from '../../../src/filecoin/address.ts';
import { signWithKey } from '../../../src/filecoin/lotus-key.ts';
import { uuidBytes } from '../../../src/filecoin/mk12-fields.ts';
import { encodeDealParams, type DealParams } from '../../../src/filecoin/mk12-propose.ts';
import { encodeDealStatusRequest } from '../../../src/filecoin/mk12-status.ts';
import { CLIENT, CLIENT_ADDRESS, dealParams } from './deal-client.ts';
import { FakeLedger } from './fake-ledger.ts';

/**
 * What any storage provider may expect of a client, and a client may rely on of itself, whatever the provider's ways:
 * each of these is checked against every persona, by the very transport that makes our deals.
 */

const READ_MS = 700;
/** Whatever a provider does, an answer of some kind is there by then. */
const PATIENCE_MS = 5_000;
const every = { propose: READ_MS, status: READ_MS, ask: READ_MS, transports: READ_MS };
const signal = new AbortController().signal;
const rarely: PersonaPatch = { askMinPieceBytes: 256n, askPrice: 0n, neverFetch: true };

let devnet: Providers;
let transport: Transport & { close(): Promise<void> };
const names = personaNames();
const received: { provider: string; deal: string; proposal: string }[] = [];

beforeAll(async () => {
  const onProposal = (provider: string, deal: string, proposal: Uint8Array): void => {
    received.push({ provider, deal, proposal: Buffer.from(proposal).toString('hex') });
  };
  const personas = names.map((name) => ({ ...personaOf(name), ...rarely }));
  devnet = await startProviders({ ledger: new FakeLedger(CLIENT_ADDRESS), personas, seed: 'contract', onProposal });
  const limits = { dialMs: 3_000, readMs: every, writeMs: 500, replyBytes: 65_536 };
  transport = await createProviderTransport({ isDevnet: true, limits });
});
afterAll(async () => {
  await transport.close();
  await devnet.close();
});

function proposalTo({ id }: RunningProvider, label: string): DealParams {
  return dealParams({ proposal: { provider: parseAddress(id), label } });
}

function targetOf({ peerId, multiaddrs }: RunningProvider) {
  return { peerId, multiaddrs: [...multiaddrs] };
}

function timesReceived(params: DealParams): number {
  return received.filter(({ deal }) => deal === params.dealUuid).length;
}

function holds(provider: RunningProvider, { dealUuid }: DealParams): boolean {
  return provider.deals().some(({ uuid }) => uuid === dealUuid);
}

async function propose(provider: RunningProvider, params: DealParams): Promise<ProposeAnswer> {
  const startedMs = performance.now();
  const answer = await transport.propose(targetOf(provider), encodeDealParams(params), signal);
  expect(performance.now() - startedMs).toBeLessThan(PATIENCE_MS);
  return answer;
}

describe.each(names.map((name, at) => ({ name, at })))('to a provider of the persona $name', ({ name, at }) => {
  const provider = (): RunningProvider => devnet.providers[at] ?? expect.fail('no provider');

  it('a proposal comes once for each time it is sent, and byte for byte as it was signed', async () => {
    const params = proposalTo(provider(), 'once');
    await propose(provider(), params);
    const hex = Buffer.from(params.signedProposal).toString('hex');
    const came = received.filter(({ deal }) => deal === params.dealUuid);
    expect(came).toHaveLength(name === 'hang' ? 0 : 1);
    for (const { provider: to, proposal } of came) expect([to, proposal]).toEqual([provider().id, hex]);
  });

  it('a deal that it holds is never taken for refused or unsent, and one that it does not hold never for accepted', async () => {
    const params = proposalTo(provider(), 'held');
    const answer = await propose(provider(), params);
    if (holds(provider(), params)) {
      expect(answer.kind).not.toBe('not-connected');
      expect(answer).not.toMatchObject({ accepted: false });
    } else expect(answer).not.toMatchObject({ accepted: true });
  });

  it('the same bytes sent again make no second deal', async () => {
    const params = proposalTo(provider(), 'again');
    await propose(provider(), params);
    await propose(provider(), params);
    expect(
      provider()
        .deals()
        .filter(({ uuid }) => uuid === params.dealUuid).length,
    ).toBeLessThanOrEqual(1);
    expect(timesReceived(params)).toBe(name === 'hang' ? 0 : 2);
  });

  it('a question has an end, and what cannot be read is told from an answer', async () => {
    const params = proposalTo(provider(), 'asked');
    await propose(provider(), params);
    const { dealUuid } = params;
    const request = encodeDealStatusRequest({ dealUuid, signature: signWithKey(CLIENT, uuidBytes(dealUuid)) });
    const startedMs = performance.now();
    const status = await transport.status(targetOf(provider()), request, signal);
    const ask = await transport.ask(targetOf(provider()), provider().id, signal);
    expect(performance.now() - startedMs).toBeLessThan(2 * PATIENCE_MS);
    const isMute = ['hang', 'loseAnswers', 'halveAnswers'].includes(name);
    expect(status.kind === 'unknown' || status.kind === 'not-connected').toBe(isMute || name === 'slow');
    expect(ask.kind === 'unknown').toBe(isMute || name === 'slow');
    if (status.kind === 'known') expect(holds(provider(), params)).toBe(true);
    if (ask.kind === 'answered') expect(ask.ask?.miner).toBe(provider().id);
  });
});
