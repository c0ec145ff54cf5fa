import { createServer, type AddressInfo } from 'node:net';
import { afterEach, beforeEach, describe, expect, it, onTestFinished } from 'vitest';
import { chooseWays } from '../../../src/deals/transport/choose-ways.ts';
import {
  courierLimits,
  type Courier,
  type CourierLimits,
  type Question,
} from '../../../src/deals/transport/courier.ts';
import type { HttpsWay } from '../../../src/deals/transport/choose-ways.ts';
import { createHttpsCourier } from '../../../src/deals/transport/https-courier.ts';
import { decodeAskResponse } from '../../../src/filecoin/mk12-ask.ts';
import { encodeDealResponse } from '../../../src/filecoin/mk12-propose.ts';
import vectors from '../../vectors/mk12.json' with { type: 'json' };
import { answer, serveHttps, type Respond } from './https-provider.ts';
import { certificate } from './self-signed.ts';

const signal = new AbortController().signal;
const peerId = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5';
const accepted = encodeDealResponse({ accepted: true, message: '' });
/** Patient, because only a test of a wait should end by one. */
const limits: CourierLimits = { ...courierLimits, dialMs: 20_000, writeMs: 20_000, replyBytes: 4_096 };
const hasty: CourierLimits = {
  ...limits,
  dialMs: 500,
  writeMs: 200,
  readMs: { propose: 200, status: 200, ask: 200, transports: 200 },
};

let courier: Courier<HttpsWay>;
beforeEach(() => {
  courier = createHttpsCourier({ allowPrivate: true, limits, ca: certificate });
});
afterEach(() => courier.close());

const messages: Record<Exclude<Question, 'transports'>, string> = {
  propose: vectors.dealParams121,
  status: vectors.dealStatusRequest,
  ask: vectors.askRequest,
};

function wayTo(multiaddr: string): HttpsWay {
  const ways = chooseWays(
    { peerId, multiaddrs: [multiaddr] },
    { failed: new Set(), plainLoopback: true, allowPrivate: true },
  );
  const way = ways.find(({ name }) => name === 'https');
  if (way?.name !== 'https') throw new Error(`no HTTPS way in ${multiaddr}`);
  return way;
}

function carry(multiaddr: string, question: keyof typeof messages = 'propose', stop = signal) {
  const request = Uint8Array.from(Buffer.from(messages[question], 'hex'));
  return courier.carry(wayTo(multiaddr), { question, request }, stop);
}

describe.each([true, false])('mk/1.2 over HTTP (secure: %s)', (secure) => {
  it.each([
    ['propose', 'POST', '/market/mk12/store'],
    ['status', 'GET', '/market/mk12/status'],
    ['ask', 'GET', '/market/mk12/ask'],
  ] as const)('sends the bytes of %s to its route, and brings the reply', async (question, method, path) => {
    await using provider = await serveHttps(answer(accepted), secure);
    expect(await carry(provider.multiaddr, question)).toEqual({
      kind: 'replied',
      item: Uint8Array.from(accepted),
      via: 'https',
    });
    expect(provider.received).toEqual([{ method, path, contentType: 'application/cbor', body: messages[question] }]);
  });

  it('reads a reply byte by byte, and does not wait for its end', async () => {
    await using provider = await serveHttps(async (response) => {
      response.writeHead(200);
      for (const byte of accepted) {
        response.write(Uint8Array.of(byte));
        await new Promise((resolve) => setTimeout(resolve, 1));
      }
    }, secure);
    expect(await carry(provider.multiaddr)).toMatchObject({ kind: 'replied' });
  });
});

it.each<[string, Respond, RegExp]>([
  ['an answer without a byte', answer(new Uint8Array()), /before it was whole/],
  ['half an answer', answer(accepted.subarray(0, 5)), /before it was whole/],
  ['a connection that is cut', (response) => void response.destroy(), /hang up|reset/i],
  ['a 503: its time limit ends the answer, not the deal', answer(new Uint8Array(), 503), /503/],
  ['a 400', answer(new Uint8Array(), 400), /400/],
  ['a 500', answer(new Uint8Array(), 500), /500/],
  ['a page', answer(new TextEncoder().encode('<html>')), /./],
  ['an answer that is too long', answer(Uint8Array.of(0x59, 0x20, 0x00, ...new Uint8Array(8_192))), /exceeds 4096/],
])('does not know after %s', async (_name, respond, why) => {
  await using provider = await serveHttps(respond);
  expect(await carry(provider.multiaddr)).toEqual({ kind: 'unknown', via: 'https', why: expect.stringMatching(why) });
});

it('does not know after no answer', async () => {
  await using provider = await serveHttps(() => undefined);
  // Connected by then, or the test would show nothing: the patient one may keep the question waiting.
  const quick = createHttpsCourier({
    allowPrivate: true,
    limits: { ...hasty, dialMs: limits.dialMs },
    ca: certificate,
  });
  onTestFinished(() => quick.close());
  const request = Uint8Array.from(Buffer.from(messages.propose, 'hex'));
  const reply = await quick.carry(wayTo(provider.multiaddr), { question: 'propose', request }, signal);
  expect(reply).toEqual({ kind: 'unknown', via: 'https', why: expect.stringMatching(/no reply within 400 ms/) });
});

it.each([
  [401, false],
  [429, false],
  [404, true],
  [405, true],
  [307, true],
])('takes a %s for a message that was not taken in', async (status, unsupported) => {
  await using provider = await serveHttps((response) => {
    response.writeHead(status, { location: '/elsewhere' }).end();
  });
  expect(await carry(provider.multiaddr)).toEqual({
    kind: 'not-connected',
    why: `the HTTPS endpoint answered ${status}`,
    ...(unsupported && { unsupported }),
  });
  expect(provider.received).toHaveLength(1);
});

it.each([403, 302])('takes a %s to a question that changes nothing for no answer', async (status) => {
  await using provider = await serveHttps(answer(new Uint8Array(), status));
  expect(await carry(provider.multiaddr, 'status')).toMatchObject({ kind: 'not-connected' });
});

it('takes a 500 to a question for the ask as Curio means it: there is none', async () => {
  await using provider = await serveHttps(answer(new Uint8Array(), 500));
  const reply = await carry(provider.multiaddr, 'ask');
  expect(reply.kind === 'replied' ? decodeAskResponse(reply.item) : reply).toBeNull();
});

describe('what certainly did not arrive', () => {
  it('a server that is gone', async () => {
    const provider = await serveHttps(answer(accepted));
    await provider[Symbol.asyncDispose]();
    expect(await carry(provider.multiaddr)).toMatchObject({
      kind: 'not-connected',
      why: expect.stringMatching(/ECONNREFUSED/),
    });
  });

  it('a name that is not there', async () => {
    expect(await carry('/dns4/no-such-host.invalid/tcp/1/wss')).toMatchObject({ kind: 'not-connected' });
  });

  it('a certificate that is not trusted: not even the headers leave', async () => {
    await using provider = await serveHttps(answer(accepted));
    const strict = createHttpsCourier({ allowPrivate: true, limits });
    const request = Uint8Array.from(Buffer.from(messages.propose, 'hex'));
    const reply = await strict.carry(wayTo(provider.multiaddr), { question: 'propose', request }, signal);
    await strict.close();
    expect(reply).toMatchObject({ kind: 'not-connected', why: expect.stringMatching(/self-signed/) });
    expect(provider.received).toEqual([]);
  });

  it('a server that never finishes the handshake', async () => {
    const silent = createServer(() => undefined);
    await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve));
    const { port } = silent.address() as AddressInfo;
    const quick = createHttpsCourier({ allowPrivate: true, limits: hasty, ca: certificate });
    onTestFinished(() => quick.close());
    const request = Uint8Array.from(Buffer.from(messages.propose, 'hex'));
    const way = wayTo(`/ip4/127.0.0.1/tcp/${port}/wss`);
    const reply = await quick.carry(way, { question: 'propose', request }, signal);
    silent.close();
    expect(reply).toEqual({ kind: 'not-connected', why: 'no connection within 500 ms' });
  });

  it('our own stop before the first byte, but not one while we wait', async () => {
    const stop = new AbortController();
    await using provider = await serveHttps(() => stop.abort(new Error('stopping')));
    expect(await carry(provider.multiaddr, 'propose', AbortSignal.abort(new Error('early')))).toEqual({
      kind: 'not-connected',
      why: 'early',
    });
    expect(await carry(provider.multiaddr, 'propose', stop.signal)).toMatchObject({ kind: 'unknown', why: 'stopping' });
  });
});
