import { describe, expect, it } from 'vitest';
import type { Clock } from '../../../src/clock.ts';
import type { Courier, Message, Reply } from '../../../src/deals/transport/courier.ts';
import type { Way, WayName } from '../../../src/deals/transport/choose-ways.ts';
import { rememberFailedWays } from '../../../src/deals/transport/failed-ways.ts';
import { createProviderTransport, routeTransport } from '../../../src/deals/transport/provider-transport.ts';
import { encodeAskResponse } from '../../../src/filecoin/mk12-ask.ts';
import { encodeDealResponse } from '../../../src/filecoin/mk12-propose.ts';
import vectors from '../../vectors/mk12.json' with { type: 'json' };
import { answer, serveHttps } from './https-provider.ts';
import { certificate } from './self-signed.ts';

const signal = new AbortController().signal;
const peerId = '12D3KooWGC6TvWhfapngX6wvJHMYvKpDMXPb3ZnCZ6dMoaMtimQ5';
const target = { peerId, multiaddrs: ['/dns/sp.example.com/tcp/443/wss', '/ip4/1.2.3.4/tcp/24001'] };
const params = Uint8Array.from(Buffer.from(vectors.dealParams121, 'hex'));
const item = encodeDealResponse({ accepted: true, message: '' });
const gone: Reply = { kind: 'not-connected', why: 'refused' };
const unsupported: Reply = { kind: 'not-connected', why: 'no such protocol', unsupported: true };
const lost: Reply = { kind: 'unknown', why: 'no reply', via: 'libp2p' };

/** Ways whose replies a test sets, and that keep by which of them messages went. */
function scripted(replies: Partial<Record<WayName, Reply>>, onCarry: () => void = () => undefined) {
  const went: string[] = [];
  let now = 0;
  const clock: Clock = { now: () => new Date(now) };
  const carry = (way: Way, message: Message): Promise<Reply> => {
    went.push(`${message.question} ${way.name}`);
    onCarry();
    return Promise.resolve(replies[way.name] ?? { kind: 'replied', item, via: way.via });
  };
  const courier: Courier<Way> = { carry, close: () => Promise.resolve() };
  const transport = routeTransport({
    couriers: { libp2p: courier, https: courier },
    failedWays: rememberFailedWays(clock),
    plainLoopback: false,
    allowPrivate: true,
  });
  return { transport, went, replies, advance: (ms: number) => void (now += ms) };
}

describe('one proposal by several ways', () => {
  it('goes on after a way that delivered nothing, and says by which one the answer came', async () => {
    const { transport, went } = scripted({ tcp: gone, ws: unsupported });
    expect(await transport.propose(target, params, signal)).toEqual({
      kind: 'answered',
      accepted: true,
      message: '',
      via: 'https',
    });
    expect(went).toEqual(['propose tcp', 'propose ws', 'propose https']);
  });

  it.each(['tcp', 'ws', 'https'] as const)(
    'is never sent a second time once %s may have delivered it',
    async (name) => {
      const { transport, went } = scripted({ tcp: gone, ws: gone, https: gone, [name]: lost });
      expect(await transport.propose(target, params, signal)).toEqual(lost);
      expect(went.at(-1)).toBe(`propose ${name}`);
    },
  );

  it('names what became of every way when none delivered', async () => {
    const { transport } = scripted({ tcp: gone, ws: unsupported, https: gone });
    expect(await transport.propose(target, params, signal)).toEqual({
      kind: 'not-connected',
      why: 'tcp: refused; ws: no such protocol; https: refused',
      unsupported: true,
    });
  });

  it('ends with our own stop, which is held against no way', async () => {
    const stop = new AbortController();
    const { transport, went } = scripted({ tcp: gone }, () => stop.abort());
    expect(await transport.propose(target, params, stop.signal)).toEqual(gone);
    expect(went).toEqual(['propose tcp']);
    await transport.propose(target, params, signal);
    expect(went).toEqual(['propose tcp', 'propose tcp', 'propose ws']);
  });

  it('does not know after an answer that is another message', async () => {
    const { transport } = scripted({ tcp: { kind: 'replied', item: Uint8Array.of(0xa0), via: 'libp2p', agent: 'x' } });
    expect(await transport.propose(target, params, signal)).toEqual({
      kind: 'unknown',
      why: expect.stringMatching(/cannot be read/),
      via: 'libp2p',
      agent: 'x',
    });
  });
});

describe('what is remembered', () => {
  it('a way that failed comes last for five minutes, and first again when it worked', async () => {
    const { transport, went, replies, advance } = scripted({ tcp: gone });
    await transport.propose(target, params, signal);
    await transport.propose(target, params, signal);
    expect(went.splice(0)).toEqual(['propose tcp', 'propose ws', 'propose ws']);
    advance(5 * 60_000);
    delete replies.tcp;
    await transport.propose(target, params, signal);
    expect(went).toEqual(['propose tcp']);
  });

  it('the kind that the caller remembers comes first, and the others when it fails', async () => {
    const { transport, went } = scripted({ https: gone });
    await transport.propose({ ...target, transport: 'https' }, params, signal);
    expect(went).toEqual(['propose https', 'propose tcp']);
  });
});

describe('an ask', () => {
  it('is none only when no way knows the question', async () => {
    const withAsk = scripted({
      tcp: unsupported,
      ws: gone,
      https: { kind: 'replied', item: encodeAskResponse(null), via: 'https' },
    });
    expect(await withAsk.transport.ask(target, 'f01234', signal)).toEqual({
      kind: 'answered',
      ask: undefined,
      via: 'https',
    });
    const without = scripted({ tcp: gone, ws: unsupported, https: unsupported });
    expect(await without.transport.ask(target, 'f01234', signal)).toEqual({ kind: 'answered', ask: undefined });
    const absent = scripted({ tcp: gone, ws: gone, https: gone });
    expect(await absent.transport.ask(target, 'f01234', signal)).toMatchObject({ kind: 'not-connected' });
  });
});

it('reaches a provider whose WebSocket does not work by its HTTPS endpoint', async () => {
  await using provider = await serveHttps(answer(item));
  const transport = await createProviderTransport({ isDevnet: false, allowPrivate: true, ca: certificate });
  const reply = await transport.propose({ peerId, multiaddrs: [provider.multiaddr] }, params, signal);
  await transport.close();
  expect(reply).toEqual({ kind: 'answered', accepted: true, message: '', via: 'https' });
  expect(provider.received.map(({ body }) => body)).toEqual([vectors.dealParams121]);
});
