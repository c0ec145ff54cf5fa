import { createHash, randomBytes } from 'node:crypto';
import { expect, onTestFinished, test } from 'vitest';
import { createFetcher, type DownloadRequest } from '../../src/outgoing/fetcher.ts';
import { readHead } from '../../src/outgoing/download-head.ts';
import { origin, serveFile } from './origin.ts';

const { signal } = new AbortController();
const bytes = randomBytes(300_000);
const etag = '"one"';

async function download(request: Partial<DownloadRequest> & { url: string }) {
  const fetcher = createFetcher({ allowPrivate: true });
  onTestFinished(() => fetcher.close());
  using found = await fetcher.download({ signal, ...request });
  const chunks: Uint8Array[] = [];
  for await (const chunk of found.body) chunks.push(chunk);
  return { ...found, got: Buffer.concat(chunks) };
}

const digest = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');

test('a stream that breaks is taken up where it broke, as one', async () => {
  await using server = await origin(serveFile(() => ({ bytes, etag, cutAfter: 100_000 })));
  const { got, sizeBytes, validator, offset } = await download({ url: server.url });
  expect(digest(got)).toBe(digest(bytes));
  expect({ sizeBytes, validator, offset }).toEqual({ sizeBytes: bytes.length, validator: etag, offset: 0 });
  expect(server.asked.map(({ headers }) => [headers.range, headers['if-range']])).toEqual([
    [undefined, undefined],
    ['bytes=100000-', etag],
    ['bytes=200000-', etag],
  ]);
});

test('it goes on from what is here already, and is told where it begins', async () => {
  await using server = await origin(serveFile(() => ({ bytes, etag })));
  const { got, offset, sizeBytes } = await download({ url: server.url, from: { offset: 299_000, validator: etag } });
  expect(digest(got)).toBe(digest(bytes.subarray(299_000)));
  expect({ offset, sizeBytes }).toEqual({ offset: 299_000, sizeBytes: bytes.length });
});

test.each([
  ['is another by now', { etag: '"two"' }],
  ['is another by now, of a server that knows no If-Range', { etag: '"two"', ignoresIfRange: true }],
  ['comes whole only', { etag, ignoresRange: true }],
])('what %s begins again', async (_how, served) => {
  await using server = await origin(serveFile(() => ({ bytes, ...served })));
  const { got, offset, validator } = await download({ url: server.url, from: { offset: 100, validator: etag } });
  expect(offset).toBe(0);
  expect(validator).toBe(served.etag);
  expect(digest(got)).toBe(digest(bytes));
});

test('what is here already to its end is not sent again, and what is more than that is none of it', async () => {
  await using server = await origin(serveFile(() => ({ bytes, etag })));
  const all = await download({ url: server.url, from: { offset: bytes.length, validator: etag } });
  expect([all.offset, all.sizeBytes, all.got.length]).toEqual([bytes.length, bytes.length, 0]);
  const more = await download({ url: server.url, from: { offset: bytes.length + 1, validator: etag } });
  expect([more.offset, digest(more.got)]).toEqual([0, digest(bytes)]);
});

test('what a server says beside 416 is no part of the thing', async () => {
  await using server = await origin((_request, response) =>
    response.writeHead(416, { 'content-range': `bytes */${bytes.length}`, etag }).end('<h1>416 Range Not Satisfiable'),
  );
  const { got, offset } = await download({ url: server.url, from: { offset: bytes.length, validator: etag } });
  expect([offset, got.toString()]).toEqual([bytes.length, '']);
});

test('what changes while it is read is told, not mixed', async () => {
  let served = { bytes, etag, cutAfter: 1_000 };
  await using server = await origin(serveFile(() => served));
  const fetcher = createFetcher({ allowPrivate: true });
  onTestFinished(() => fetcher.close());
  using found = await fetcher.download({ url: server.url, signal });
  const reading = (async () => {
    for await (const _chunk of found.body) served = { bytes: randomBytes(300_000), etag: '"two"', cutAfter: 1_000 };
  })();
  await expect(reading).rejects.toMatchObject({ code: 'ORIGIN_CHANGED', retry: 'later' });
});

test('without a validator, or without an end, a break is a break', async () => {
  await using server = await origin(serveFile(() => ({ bytes, cutAfter: 1_000 })));
  await expect(download({ url: server.url })).rejects.toMatchObject({ code: 'ORIGIN_BROKEN', retry: 'later' });
  expect(server.asked).toHaveLength(1);
});

test('a stream that brings nothing is given up', async () => {
  let cutAfter = 1_000;
  await using server = await origin(
    serveFile(() => {
      const served = { bytes, etag, cutAfter };
      cutAfter = 0;
      return served;
    }),
  );
  await expect(download({ url: server.url, fruitlessTries: 1 })).rejects.toMatchObject({ code: 'ORIGIN_BROKEN' });
  expect(server.asked).toHaveLength(2);
});

test.each([
  [404, 'ORIGIN_REFUSED', 'never'],
  [403, 'ORIGIN_REFUSED', 'never'],
  [204, 'ORIGIN_REFUSED', 'never'],
  [304, 'ORIGIN_REFUSED', 'never'],
  [206, 'ORIGIN_REFUSED', 'never'],
  [429, 'ORIGIN_FAILED', 'later'],
  [500, 'ORIGIN_FAILED', 'later'],
  [503, 'ORIGIN_FAILED', 'later'],
])('%i is told: %s, %s', async (status, code, retry) => {
  await using server = await origin((_request, response) => response.writeHead(status).end());
  await expect(download({ url: server.url })).rejects.toMatchObject({ code, retry });
});

const head = (status: number, headers: Record<string, string>, from?: { offset: number; validator: string }) =>
  readHead({ status, headers, url: new URL('https://example.com/') }, from);

test('only what tells one state from another, to the byte, is a validator', () => {
  const date = 'Tue, 24 Nov 2026 12:00:10 GMT';
  const modified = 'Tue, 24 Nov 2026 12:00:00 GMT';
  const validator = (headers: Record<string, string>) => {
    const found = head(200, headers);
    return found === 'changed' ? found : found.validator;
  };
  expect(validator({ etag: '"a"' })).toBe('"a"');
  expect(validator({ etag: 'W/"a"', date, 'last-modified': modified })).toBeUndefined();
  expect(validator({ date, 'last-modified': modified })).toBe(modified);
  expect(validator({ date, 'last-modified': date })).toBeUndefined();
  expect(validator({ 'last-modified': modified })).toBeUndefined();
  expect(validator({ etag: '"a"', 'accept-ranges': 'none' })).toBeUndefined();
});

test('another range than the one that was asked for is not taken', () => {
  const from = { offset: 10, validator: etag };
  expect(head(206, { 'content-range': 'bytes 10-19/20', etag }, from)).toEqual({
    offset: 10,
    sizeBytes: 20,
    validator: etag,
  });
  expect(head(206, { 'content-range': 'bytes 10-19/*' }, from)).toMatchObject({ sizeBytes: undefined });
  for (const range of ['bytes 0-19/20', 'bytes 11-19/20', 'bytes */20', 'nonsense', ''])
    expect(() => head(206, { 'content-range': range }, from)).toThrow(/another range/);
});
