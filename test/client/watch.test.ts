import { createServer, type IncomingHttpHeaders, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { watch, type Change, type Connection, type WatchOptions } from '../../src/client/client.ts';

type Play = (response: ServerResponse) => void;

/** A service whose streams of events go as scripted, the last script for ever. */
async function stage(...plays: Play[]) {
  const seen: { url: string | undefined; headers: IncomingHttpHeaders; closed: boolean }[] = [];
  const server = createServer(({ url, headers }, response) => {
    const visit = { url, headers, closed: false };
    response.on('close', () => (visit.closed = true));
    seen.push(visit);
    plays[Math.min(seen.length, plays.length) - 1]?.(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const waits: number[] = [];
  const connection: Connection = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    token: 'secret',
    wait: async (waitMs) => void waits.push(waitMs),
  };
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { connection, seen, waits, [Symbol.asyncDispose]: close };
}

function event(id: string, to = 'active'): string {
  const data = { id, cid: 'bafyx', at: '2024-05-01T00:00:00.000000+00:00', kind: 'deal', from: null, to };
  return `event: change\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
}

const send =
  (...texts: string[]): Play =>
  (response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const text of texts) response.write(text);
  };

const sendAndBreak =
  (...texts: string[]): Play =>
  (response) => {
    send(...texts)(response);
    setTimeout(() => response.destroy(), 20);
  };

async function take(connection: Connection, count: number, options: WatchOptions = {}): Promise<string[]> {
  const ids: string[] = [];
  for await (const { id } of watch(connection, ['bafyx', 'bafyy'], options)) {
    ids.push(id);
    if (ids.length === count) break;
  }
  return ids;
}

describe('watch', () => {
  test('asks for the uploads and states, and leaves when the loop is left', async () => {
    await using service = await stage(send(': hello\nretry: 2000\n\n', event('1-0'), ': heartbeat\n\n', event('2-0')));
    expect(await take(service.connection, 2, { states: ['active', 'sent'], since: '0' })).toEqual(['1-0', '2-0']);
    const [first] = service.seen;
    expect(first?.url).toBe('/events?cid=bafyx&cid=bafyy&state=active&state=sent');
    expect(first?.headers).toMatchObject({
      accept: 'text/event-stream',
      authorization: 'Bearer secret',
      'last-event-id': '0',
    });
    await vi.waitFor(() => expect(first?.closed).toBe(true));
  });

  test('reads events however they are cut, other events aside', async () => {
    const whole = Buffer.from(`${event('7-1', 'ünïcode ✓')}event: other\nid: 8-0\ndata: {}\n\n${event('9-0')}`);
    const play: Play = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' });
      let at = 0;
      const more = setInterval(() => {
        response.write(whole.subarray(at, (at += 3)));
        if (at >= whole.length) clearInterval(more);
      }, 1);
    };
    await using service = await stage(play);
    const changes: Change[] = [];
    for await (const change of watch(service.connection, 'bafyx')) {
      changes.push(change);
      if (changes.length === 2) break;
    }
    expect(changes.map(({ id, to }) => [id, to])).toEqual([
      ['7-1', 'ünïcode ✓'],
      ['9-0', 'active'],
    ]);
  });

  test('goes on after the last event that it saw, however the connection ends', async () => {
    const orderly: Play = (response) => {
      send(event('3-0'))(response);
      response.end();
    };
    const away: Play = (response) => response.writeHead(503, { 'retry-after': '9' }).end();
    await using service = await stage(sendAndBreak(event('1-0'), event('2-0')), away, orderly, send(event('4-0')));
    let opened = 0;
    expect(await take(service.connection, 4, { onOpen: () => void (opened += 1) })).toEqual([
      '1-0',
      '2-0',
      '3-0',
      '4-0',
    ]);
    expect(service.seen.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '2-0', '2-0', '3-0']);
    expect(service.waits).toEqual([1_000, 9_000, 1_000]);
    expect(opened).toBe(3);
  });

  test('loses nothing where the first connection breaks before its first event', async () => {
    const empty: Play = (response) => {
      response.writeHead(200, { 'content-type': 'text/event-stream', 'last-event-id': '41-7' });
      response.write(': hello\n\n');
      setTimeout(() => response.destroy(), 20);
    };
    await using service = await stage(empty, send(event('42-0')));
    expect(await take(service.connection, 1)).toEqual(['42-0']);
    expect(service.seen.map(({ headers }) => headers['last-event-id'])).toEqual([undefined, '41-7']);
  });

  test('gives up on what is no stream of events: the page of a proxy, or of another service', async () => {
    const page: Play = (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<h1>Sign in</h1>');
    await using service = await stage(page);
    await expect(take(service.connection, 1)).rejects.toMatchObject({ code: 'ANSWER_UNKNOWN' });
    expect(service.seen).toHaveLength(1);
  });

  test('once it was open it goes on trying, before it gives up as any call', async () => {
    const gone: Play = (response) => response.destroy();
    await using service = await stage(sendAndBreak(event('1-0')), ...Array<Play>(12).fill(gone), send(event('2-0')));
    expect(await take({ ...service.connection, retries: 2 }, 2)).toEqual(['1-0', '2-0']);
    expect(Math.max(...service.waits)).toBe(60_000);
    await using never = await stage(gone);
    await expect(take({ ...never.connection, retries: 2 }, 1)).rejects.toMatchObject({ code: 'SERVICE_UNREACHABLE' });
    expect(never.seen).toHaveLength(3);
  });

  test('throws what the service refuses', async () => {
    const refuse: Play = (response) =>
      response.writeHead(400).end(JSON.stringify({ status: 400, code: 'INVALID_EVENT_ID', detail: 'no such event' }));
    await using service = await stage(refuse);
    await expect(take(service.connection, 1)).rejects.toMatchObject({
      name: 'ClientError',
      code: 'INVALID_EVENT_ID',
      status: 400,
      message: 'no such event',
    });
    expect(service.seen).toHaveLength(1);
    await using strange = await stage(
      send('event: change\ndata: "x"\n\n'),
      send('event: change\ndata: {\n\n'),
      send(`data: ${'x'.repeat(2 ** 21)}`),
    );
    for (const _ of ['another form', 'no JSON', 'endless']) {
      await expect(take(strange.connection, 1)).rejects.toMatchObject({ code: 'ANSWER_UNKNOWN' });
    }
  });

  test('ends without an error when it is aborted: before, while it waits for events, and between two attempts', async () => {
    expect(await take({ url: 'http://127.0.0.1:9' }, 1, { signal: AbortSignal.abort() })).toEqual([]);
    await using service = await stage(send(event('1-0')));
    const reading = new AbortController();
    const ids = take(service.connection, 2, { signal: reading.signal });
    await vi.waitFor(() => expect(service.seen).toHaveLength(1));
    setTimeout(() => reading.abort(), 20);
    expect(await ids).toEqual(['1-0']);
    await vi.waitFor(() => expect(service.seen[0]?.closed).toBe(true));
    await using broken = await stage((response) => response.destroy());
    const waiting = new AbortController();
    const { url } = broken.connection;
    const onRetry = () => void setTimeout(() => waiting.abort(), 10);
    expect(await take({ url, onRetry }, 1, { signal: waiting.signal })).toEqual([]);
    expect(broken.seen).toHaveLength(1);
  });
});

describe('a connection on which nothing comes', () => {
  afterEach(() => vi.useRealTimers());

  test('that held for long begins the waits anew, without any event', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval', 'Date'] });
    let streams = 0;
    const service: typeof fetch = async () => {
      if ((streams += 1) > 2) throw new TypeError('away');
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          const beat = () => controller.enqueue(new TextEncoder().encode(': heartbeat\n\n'));
          for (const seconds of [15, 30, 45, 60, 75]) setTimeout(beat, seconds * 1_000);
          setTimeout(() => controller.close(), 80_000);
        },
      });
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
    };
    const waits: number[] = [];
    const stop = new AbortController();
    const wait = async (waitMs: number) => void (waits.push(waitMs) === 4 && stop.abort());
    const ids = take({ url: 'https://lading.example', fetch: service, wait }, 1, { signal: stop.signal });
    await vi.advanceTimersByTimeAsync(250_000);
    expect(await ids).toEqual([]);
    expect(waits).toEqual([1_000, 1_000, 2_000, 4_000]);
  });

  test('is dead after a minute, heartbeats keep it alive', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
    let streams = 0;
    const service: typeof fetch = async (_url, init) => {
      streams += 1;
      const stream = streams;
      const body = new ReadableStream<Uint8Array>({
        start(controller) {
          const say = (text: string) => controller.enqueue(new TextEncoder().encode(text));
          init?.signal?.addEventListener('abort', () => controller.error(init.signal?.reason));
          if (stream > 1) say(event('2-0'));
          else for (const seconds of [15, 30, 45, 60, 75]) setTimeout(() => say(': heartbeat\n\n'), seconds * 1_000);
        },
      });
      return new Response(body, { headers: { 'content-type': 'text/event-stream' } });
    };
    const told: string[] = [];
    const connection: Connection = {
      url: 'https://lading.example',
      fetch: service,
      onRetry: ({ message }) => void told.push(message),
      wait: async () => undefined,
    };
    const ids = take(connection, 1);
    await vi.advanceTimersByTimeAsync(134_000);
    expect(streams).toBe(1);
    await vi.advanceTimersByTimeAsync(2_000);
    expect(await ids).toEqual(['2-0']);
    expect(told).toEqual([expect.stringContaining('nothing came for 60 seconds')]);
  });
});
