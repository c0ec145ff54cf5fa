import { createServer } from 'node:http';
import { createServer as createTcpServer, type AddressInfo } from 'node:net';
import { expect, test } from 'vitest';
import { formatEventId, parseEventId } from '../../src/events/change.ts';
import { checkWebhookUrl } from '../../src/events/webhook-address.ts';
import { createFetcher, type FetcherRules } from '../../src/outgoing/fetcher.ts';
import { isPublicAddress } from '../../src/public-address.ts';
import { callWebhook } from '../../src/events/webhook-call.ts';
import { isDead, webhookWaitMs } from '../../src/events/webhook-retry.ts';
import { signBody, webhookSecret } from '../../src/events/webhook-signature.ts';

test.each([
  '127.0.0.1',
  '127.9.9.9',
  '10.0.0.1',
  '172.16.5.4',
  '192.168.1.1',
  '169.254.169.254',
  '100.64.0.1',
  '0.0.0.0',
  '255.255.255.255',
  '224.0.0.1',
  '::1',
  '::',
  'fe80::1',
  'fc00::1',
  'fd12::1',
  'ff02::1',
  '::ffff:127.0.0.1',
  '::ffff:10.0.0.1',
  '64:ff9b::7f00:1',
  '2002:7f00:1::',
  '192.0.2.1',
  '2001:db8::1',
  '::7f00:1',
  '64:ff9b:1::7f00:1',
  '::ffff:0:127.0.0.1',
  '4000::1',
  'not an address',
])('%s is not public', (address) => {
  expect(isPublicAddress(address)).toBe(false);
});

test.each(['1.1.1.1', '93.184.216.34', '2606:4700:4700::1111', '::ffff:1.1.1.1'])('%s is public', (address) => {
  expect(isPublicAddress(address)).toBe(true);
});

test.each([
  'ftp://example.com/',
  'file:///etc/passwd',
  'example.com',
  'https://user:word@example.com/',
  'javascript:1',
  `https://example.com/${'a'.repeat(2_000)}`,
])('no webhook goes to %s', async (url) => {
  await expect(checkWebhookUrl(url, { allowPrivate: true })).rejects.toMatchObject({
    code: 'WEBHOOK_URL_REFUSED',
    message: expect.stringMatching(/^url: it /),
  });
});

// Ways to write loopback that a URL parser reads as such.
test.each(['http://127.1/', 'http://0x7f000001/', 'http://2130706433/', 'http://[::1]/', 'http://[::ffff:127.0.0.1]/'])(
  '%s is refused, unless private addresses are allowed',
  async (url) => {
    const resolve = async () => [];
    await expect(checkWebhookUrl(url, { allowPrivate: false, resolve })).rejects.toMatchObject({
      code: 'WEBHOOK_URL_REFUSED',
    });
    expect(await checkWebhookUrl(url, { allowPrivate: true, resolve })).toMatch(/127\.0\.0\.1|::1|7f00:1/);
  },
);

test('every address of a name must be public', async () => {
  const rules = (addresses: string[]) => ({ allowPrivate: false, resolve: async () => addresses });
  const url = 'https://example.com/';
  expect(await checkWebhookUrl(`${url}#part`, rules(['93.184.216.34', '2606:4700:4700::1111']))).toBe(url);
  await expect(checkWebhookUrl(url, rules(['93.184.216.34', '10.0.0.1']))).rejects.toThrow(/10\.0\.0\.1/);
  await expect(checkWebhookUrl(url, rules([]))).rejects.toMatchObject({ code: 'WEBHOOK_URL_REFUSED' });
});

test('a call goes to the address that was checked, is checked each time, and follows no redirect', async () => {
  const hosts: (string | undefined)[] = [];
  const server = createServer((request, response) => {
    hosts.push(request.headers.host);
    request.resume();
    response.writeHead(request.url === '/away' ? 302 : 200, { location: 'http://127.0.0.1:1/' }).end();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const signal = new AbortController().signal;
  const call = (path: string) => ({ url: `http://hook.example.com:${port}${path}`, body: '{}', headers: {} });
  let asked = 0;
  // A name that nothing else resolves: only our answer leads there.
  const rules = { allowPrivate: true, resolve: async () => ((asked += 1), ['127.0.0.1']) };
  const callBy = (path: string, by: FetcherRules) => callWebhook(call(path), createFetcher(by), signal);
  expect(await callBy('/', rules)).toBeUndefined();
  expect(await callBy('/away', rules)).toEqual({
    error: 'it answered 302: redirects are not followed',
    status: 302,
  });
  expect(asked).toBe(2);
  expect(hosts).toEqual([`hook.example.com:${port}`, `hook.example.com:${port}`]);
  // The name has moved inside since it was registered.
  const strict = { ...rules, allowPrivate: false };
  expect(await callBy('/', strict)).toMatchObject({
    error: expect.stringMatching(/127\.0\.0\.1, which is no address of the public/),
  });
  expect(hosts).toHaveLength(2);
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
  expect(await callBy('/', rules)).toEqual({ error: expect.stringContaining('ECONNREFUSED') });
});

test('signs the time and the body, with a secret of its own for each webhook', () => {
  const at = new Date('2024-05-01T00:00:00.900Z');
  // openssl: printf '1714521600.{"a":1}' | openssl dgst -sha256 -hmac secret
  const mac = 'dbb1a4bd0a1efa022e6ee547cd2fbcd70626aa5dc54c07fe56dbdbce3174cd22';
  expect(signBody('secret', '{"a":1}', at)).toBe(`t=1714521600,v1=${mac}`);
  expect(webhookSecret('key', 'a')).not.toBe(webhookSecret('key', 'b'));
  expect(webhookSecret('key', 'a')).not.toBe(webhookSecret('another key', 'a'));
});

test('waits a second, then twice as long each time, up to an hour', () => {
  expect([1, 2, 3, 12, 13, 1_000].map((attempts) => webhookWaitMs(attempts, 0.5))).toEqual([
    1_000, 2_000, 4_000, 2_048_000, 3_600_000, 3_600_000,
  ]);
  expect(webhookWaitMs(1, 0)).toBe(900);
  expect(isDead({ failingMs: 999, retryForMs: 1_000 })).toBe(false);
  expect(isDead({ failingMs: 1_000, retryForMs: 1_000 })).toBe(true);
});

test('what is refused for what it holds is given up after an hour, what the receiver may yet take is not', () => {
  const dead = (status: number) => isDead({ failingMs: 3_600_000, retryForMs: 259_200_000, status });
  expect([400, 413, 422].map(dead)).toEqual([true, true, true]);
  expect([401, 403, 404, 408, 425, 429, 500, 503].some(dead)).toBe(false);
});

test.each([
  [
    'changes the protocol',
    'HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n',
    { status: 101 },
  ],
  ['speaks none that we know', '220 mail.example.com ESMTP\r\n', {}],
])('a receiver that %s has not taken the call', async (_how, answer, fault) => {
  const server = createTcpServer((socket) =>
    socket.on('error', () => undefined).once('data', () => socket.write(answer)),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const call = callWebhook(
    { url: `http://127.0.0.1:${port}/`, body: '{}', headers: {} },
    createFetcher({ allowPrivate: true }),
    new AbortController().signal,
  );
  expect(await call).toMatchObject({ error: expect.any(String), ...fault });
  server.close();
});

test.each(['', '7', '7-', '-1', '7-1-2', 'x-1', '7-99999999999', `${'9'.repeat(19)}-0`])(
  "'%s' is no event id",
  (id) => {
    expect(parseEventId(id)).toBeUndefined();
  },
);

test('an event id is read as it was written', () => {
  expect(parseEventId(formatEventId({ position: 70n, index: 99_999 }))).toEqual({ position: 70n, index: 99_999 });
});
