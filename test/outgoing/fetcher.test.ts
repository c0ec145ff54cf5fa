import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { describe, expect, onTestFinished, test } from 'vitest';
import { createFetcher, type FetcherRules, type OutgoingRequest } from '../../src/outgoing/fetcher.ts';
import { certificate } from '../deals/transport/self-signed.ts';
import { origin, serveFile } from './origin.ts';

const { signal } = new AbortController();

function fetcher(rules: Partial<FetcherRules> = {}) {
  const made = createFetcher({ allowPrivate: true, ...rules });
  onTestFinished(() => made.close());
  return made;
}

async function read(body: AsyncIterable<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of body) chunks.push(chunk);
  return Buffer.concat(chunks).toString();
}

async function get(
  url: string,
  { rules = {}, ...more }: Partial<OutgoingRequest> & { rules?: Partial<FetcherRules> } = {},
) {
  using answer = await fetcher(rules).request({ url, signal, ...more });
  return { status: answer.status, url: answer.url.href, text: await read(answer.body) };
}

const fault = (code: string, retry: 'later' | 'never') => expect.objectContaining({ code, retry });
const notPublic = fault('ADDRESS_NOT_PUBLIC', 'never');

describe('addresses inside are refused', () => {
  test.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://0x7f.1/',
    'http://2130706433/',
    'http://017700000001/',
    'http://0/',
    'http://0.0.0.0/',
    'http://localhost/',
    'http://[::1]/',
    'http://[::]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://[64:ff9b::7f00:1]/',
    'http://[2002:7f00:1::]/',
    'http://[fe80::1]/',
    'http://[fd00:ec2::254]/',
    'http://10.0.0.1/',
    'http://172.31.255.255/',
    'http://192.168.0.1/',
    'http://100.64.0.1/',
    'http://169.254.169.254/latest/meta-data/',
    'http://169.254.170.2/',
    'http://198.18.0.1/',
    'http://224.0.0.1/',
    'http://255.255.255.255/',
    'https://127.0.0.1/',
    'http://①②⑦.⓪.⓪.①/',
  ])('%s', async (url) => {
    const strict = fetcher({ allowPrivate: false });
    await expect(strict.request({ url, signal })).rejects.toEqual(notPublic);
    await expect(strict.check(url)).rejects.toEqual(notPublic);
    await expect(strict.download({ url, signal })).rejects.toEqual(notPublic);
  });

  test.each([
    ['ftp://example.com/a.car'],
    ['file:///etc/passwd'],
    ['gopher://example.com/'],
    ['data:text/plain,a'],
    ['//example.com/'],
    ['https://user:word@example.com/'],
    [`https://example.com/${'a'.repeat(2_000)}`],
    [''],
  ])('and so is what no request goes to: %s', async (url) => {
    await expect(fetcher().request({ url, signal })).rejects.toEqual(fault('URL_REFUSED', 'never'));
  });

  test('unless all are allowed', async () => {
    await using server = await origin((_request, response) => response.end('here'));
    expect(await get(`http://127.1:${server.port}/`)).toMatchObject({ status: 200, text: 'here' });
  });

  test.each([
    ['127.0.0.1', ['127.0.0.0/8'], true],
    ['127.0.0.1', ['10.0.0.0/8', '127.0.0.1/32'], true],
    ['::ffff:127.0.0.1', ['127.0.0.0/8'], true],
    ['fd00::1', ['fd00::/8'], true],
    ['127.0.0.1', ['127.0.0.2/32'], false],
    ['127.0.0.1', ['::/0'], false],
    ['fd00::1', ['0.0.0.0/0'], false],
    ['93.184.216.34', [], true],
  ])('%s, where %j are allowed: %s', async (address, networks, allowed) => {
    const some = fetcher({ allowPrivate: false, networks, resolve: async () => [address] });
    const checked = some.check('http://inside.example.com/').then(
      () => true,
      () => false,
    );
    expect(await checked).toBe(allowed);
  });

  test('of a name with several addresses each must be outside', async () => {
    const strict = (addresses: string[]) => fetcher({ allowPrivate: false, resolve: async () => addresses });
    const url = 'http://example.com/';
    expect((await strict(['93.184.216.34', '2606:4700:4700::1111']).check(url)).href).toBe(url);
    for (const bad of ['10.0.0.1', '::1', '::ffff:10.0.0.1', 'fe80::1'])
      await expect(strict(['93.184.216.34', bad]).request({ url, signal })).rejects.toEqual(notPublic);
    await expect(strict([]).check(url)).rejects.toEqual(fault('UNRESOLVED', 'later'));
  });

  test('a name that changes its answer between check and connection leads nowhere', async () => {
    await using server = await origin((_request, response) => response.end('inside'));
    const answers = ['93.184.216.34', '127.0.0.1'];
    const strict = fetcher({ allowPrivate: false, resolve: async () => [answers.shift() ?? '127.0.0.1'] });
    const url = await strict.check(`http://rebind.example.com:${server.port}/`);
    await expect(strict.request({ url, signal })).rejects.toEqual(notPublic);
    expect(server.connections()).toBe(0);
  });

  test('the connection goes to what was checked: the name is looked up once', async () => {
    await using server = await origin((request, response) => response.end(request.headers.host));
    let asked = 0;
    // Only the first answer leads to the server.
    const resolve = async () => [(asked += 1) === 1 ? '127.0.0.1' : '127.0.0.99'];
    const url = `http://once.example.com:${server.port}/`;
    expect(await get(url, { rules: { resolve } })).toMatchObject({ text: `once.example.com:${server.port}` });
    expect(asked).toBe(1);
  });
});

describe('redirects', () => {
  const away = (location: string, status = 302, host = '127.0.0.1') =>
    origin(
      (request, response) =>
        request.url === '/' ? response.writeHead(status, { location }).end() : response.end(`at ${request.url}`),
      { host },
    );

  test.each([301, 302, 303, 307, 308])('%i is followed', async (status) => {
    await using server = await away('/there?a=1', status);
    expect(await get(server.url)).toMatchObject({ status: 200, text: 'at /there?a=1', url: `${server.url}/there?a=1` });
  });

  test.each([
    ['http://127.0.0.1:1/', 'ADDRESS_NOT_PUBLIC'],
    ['http://169.254.169.254/latest/meta-data/', 'ADDRESS_NOT_PUBLIC'],
    ['http://[::1]:1/', 'ADDRESS_NOT_PUBLIC'],
    ['http://inside.example.com:1/', 'ADDRESS_NOT_PUBLIC'],
    ['file:///etc/passwd', 'URL_REFUSED'],
    ['http://name:word@93.184.216.34/', 'URL_REFUSED'],
  ])('to %s: refused as a first address would be', async (location, code) => {
    await using server = await away(location, 302, '127.0.0.2');
    // As strict as can be, but for the first hop.
    const rules = { allowPrivate: false, networks: ['127.0.0.2/32'], resolve: async () => ['10.0.0.1'] };
    await expect(get(server.url, { rules })).rejects.toMatchObject({ code });
    expect(await get(`${server.url}/here`, { rules })).toMatchObject({ text: 'at /here' });
  });

  test('without end are not followed to it', async () => {
    await using server = await origin((_request, response) => response.writeHead(302, { location: '/again' }).end());
    await expect(get(server.url)).rejects.toEqual(fault('ORIGIN_REDIRECTS', 'never'));
    expect(server.asked).toHaveLength(6);
  });

  test('to another origin take no credentials along, within one they do', async () => {
    await using other = await origin((request, response) => response.end(String(request.headers.authorization)));
    await using first = await origin((request, response) => {
      if (request.url === '/') response.writeHead(302, { location: '/near' }).end();
      else response.writeHead(302, { location: `${other.url}/` }).end();
    });
    const headers = { Authorization: 'Bearer secret', cookie: 'a=1', 'x-other': 'kept' };
    expect(await get(first.url, { headers })).toMatchObject({ text: 'undefined' });
    expect(first.asked.map((one) => one.headers.authorization)).toEqual(['Bearer secret', 'Bearer secret']);
    expect(other.asked[0]?.headers).toMatchObject({ 'x-other': 'kept' });
    expect(other.asked[0]?.headers.cookie).toBeUndefined();
  });

  test('of a POST are an answer', async () => {
    await using server = await away('/there');
    expect(await get(server.url, { method: 'POST', body: '{}' })).toMatchObject({ status: 302 });
  });
});

describe('limits', () => {
  const limits = { headMs: 200, stallMs: 200, bodyBytes: 1_000 };

  test('on the head, the connection and the name included', async () => {
    await using server = await origin(() => undefined);
    await expect(get(server.url, { limits })).rejects.toEqual(fault('ORIGIN_SLOW', 'later'));
    const resolve = () => new Promise<never>(() => undefined);
    await expect(get('http://example.com/', { limits, rules: { resolve } })).rejects.toEqual(
      fault('ORIGIN_SLOW', 'later'),
    );
  });

  test('on a body that stalls, and on one that trickles', async () => {
    await using stalls = await origin((_request, response) => void response.write('a'));
    await expect(get(stalls.url, { limits })).rejects.toEqual(fault('ORIGIN_SLOW', 'later'));
    await using trickles = await origin((_request, response) => {
      const timer = setInterval(() => response.write('a'), 20);
      response.on('close', () => clearInterval(timer));
    });
    await expect(get(trickles.url, { limits: { ...limits, stallBytes: 100 } })).rejects.toEqual(
      fault('ORIGIN_SLOW', 'later'),
    );
  });

  test('time that the reader takes is not the origin’s', async () => {
    await using server = await origin((_request, response) => {
      response.write('a'.repeat(500));
      setTimeout(() => response.end('b'.repeat(500)), 100);
    });
    using answer = await fetcher().request({ url: server.url, signal, limits });
    let bytes = 0;
    for await (const chunk of answer.body) {
      bytes += chunk.length;
      await delay(300);
    }
    expect(bytes).toBe(1_000);
  });

  test('on its length, told or not', async () => {
    await using server = await origin((request, response) => {
      if (request.url === '/told') response.writeHead(200, { 'content-length': '1001' });
      response.write('a'.repeat(700));
      response.end('a'.repeat(301));
    });
    for (const path of ['/told', '/'])
      await expect(get(server.url + path, { limits })).rejects.toEqual(fault('ORIGIN_TOO_LONG', 'never'));
    await expect(fetcher().download({ url: `${server.url}/told`, signal, limits })).rejects.toEqual(
      fault('ORIGIN_TOO_LONG', 'never'),
    );
  });

  test('on all of it', async () => {
    await using server = await origin((_request, response) => {
      const timer = setInterval(() => response.write('a'), 20);
      response.on('close', () => clearInterval(timer));
    });
    await expect(get(server.url, { limits: { allMs: 300 } })).rejects.toEqual(fault('ORIGIN_SLOW', 'later'));
  });

  test('who calls it off is told so, at any point', async () => {
    await using server = await origin((request, response) => void (request.url === '/body' && response.write('a')));
    for (const path of ['/', '/body']) {
      const stop = new AbortController();
      const asking = get(server.url + path, { signal: stop.signal });
      setTimeout(() => stop.abort(new Error('enough')), 50);
      await expect(asking).rejects.toThrow('enough');
      await expect(get(server.url, { signal: stop.signal })).rejects.toThrow('enough');
    }
  });
});

describe('what origins do', () => {
  test('an encoding is neither asked for nor undone', async () => {
    const zipped = gzipSync('a'.repeat(100_000));
    await using server = await origin((_request, response) =>
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(zipped),
    );
    using answer = await fetcher().request({ url: server.url, signal });
    const chunks: Uint8Array[] = [];
    for await (const chunk of answer.body) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(zipped)).toBe(true);
    expect(server.asked[0]?.headers['accept-encoding']).toBe('identity');
    await expect(fetcher().download({ url: server.url, signal })).rejects.toEqual(fault('ORIGIN_ENCODED', 'never'));
  });

  test.each([
    ['hangs up at once', ''],
    ['speaks no HTTP', '220 mail.example.com ESMTP\r\n'],
    ['tells two lengths', 'HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab'],
    ['sends headers without end', `HTTP/1.1 200 OK\r\nX: ${'a'.repeat(100_000)}\r\n\r\n`],
  ])('one that %s is unreachable', async (_how, words) => {
    const server = createTcpServer((socket) =>
      socket.on('error', () => undefined).once('data', () => socket.end(words)),
    );
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => void server.close());
    const { port } = server.address() as AddressInfo;
    await expect(get(`http://127.0.0.1:${port}/`)).rejects.toEqual(fault('ORIGIN_UNREACHABLE', 'later'));
  });

  test('a body that is cut is no whole one', async () => {
    await using server = await origin(serveFile(() => ({ bytes: Buffer.alloc(1_000), cutAfter: 500 })));
    await expect(get(server.url)).rejects.toEqual(fault('ORIGIN_BROKEN', 'later'));
  });

  test('a certificate must be good', async () => {
    await using server = await origin((_request, response) => response.end('secure'), { secure: true });
    await expect(get(server.url)).rejects.toEqual(fault('ORIGIN_UNREACHABLE', 'later'));
    const rules = { ca: certificate, resolve: async () => ['127.0.0.1'] };
    expect(await get(`https://localhost:${server.port}/`, { rules })).toMatchObject({ text: 'secure' });
  });

  test('connections are kept where that is asked for, and one that was closed meanwhile is no fault', async () => {
    await using server = await origin((request, response) => {
      response.end('a');
      if (request.url === '/last') setTimeout(() => request.socket.destroy(), 0);
    });
    const kept = fetcher();
    const ask = async (path: string, reuse: boolean) => {
      using answer = await kept.request({ url: server.url + path, signal, reuse });
      await read(answer.body);
    };
    for (let at = 0; at < 5; at += 1) await ask('/', true);
    expect(server.connections()).toBe(1);
    await ask('/', false);
    expect(server.connections()).toBe(2);
    await ask('/last', true);
    await ask('/', true);
    expect(server.asked).toHaveLength(8);
  });

  test('mayGo is asked once the connection stands, and nothing is sent when it says no', async () => {
    await using server = await origin((_request, response) => response.end('a'));
    const no = async () => {
      throw new Error('not now');
    };
    await expect(get(server.url, { method: 'POST', body: '{}', mayGo: no })).rejects.toThrow('not now');
    expect(server.asked).toEqual([]);
    expect(await get(server.url, { method: 'POST', body: '{}', mayGo: async () => undefined })).toMatchObject({
      status: 200,
    });
  });
});

test('a redirect that is refused leaves no connection open, whatever follows its head', async () => {
  const closed = Promise.withResolvers<void>();
  await using server = await origin((request, response) => {
    request.socket.once('close', () => closed.resolve());
    response.writeHead(302, { location: 'ftp://example.com/' }).write('and more, for ever');
  });
  await expect(get(server.url)).rejects.toEqual(fault('URL_REFUSED', 'never'));
  await closed.promise;
});
