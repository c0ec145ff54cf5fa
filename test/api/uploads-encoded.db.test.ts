import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { constants, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { apiFixture, bearer, countRows, noRows, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { header, sampleUpload, varint } from '../support/car-builder.ts';
import { filesBelow } from '../support/temporary-folder.ts';

const MIB = 1024 * 1024;

let fixture: ApiFixture;
beforeAll(async () => {
  fixture = await apiFixture({ limits: { maxUploadBytes: 1n << 36n } });
});
afterAll(() => fixture[Symbol.asyncDispose]());

function post(payload: Buffer, encoding: string) {
  const headers = {
    ...bearer(tokens.upload),
    'content-type': 'application/vnd.ipld.car',
    'content-encoding': encoding,
  };
  return fixture.server.inject({ method: 'POST', url: '/upload', payload, headers });
}

async function expectNothing(): Promise<void> {
  expect(await countRows(fixture)).toEqual(noRows);
  expect(await filesBelow(fixture.folder)).toEqual([]);
}

const sample = sampleUpload('encoded', 200);
const wideWindow = { params: { [constants.ZSTD_c_windowLog]: 27, [constants.ZSTD_c_enableLongDistanceMatching]: 1 } };
/** Sections that are each 1 MiB of zeros, whose hash is checked: the bomb is refused while it is a CAR still. */
const bomb = Buffer.concat([header({ roots: [sample.root], version: 1 }), varint(8 * MIB), Buffer.alloc(64 * MIB)]);

const hostile: { name: string; encoding: string; body: Buffer; code: RegExp }[] = [
  { name: 'a CAR that is not gzip', encoding: 'gzip', body: sample.car, code: /^ENCODING_BROKEN$/ },
  { name: 'a CAR that is not zstd', encoding: 'zstd', body: sample.car, code: /^ENCODING_BROKEN$/ },
  { name: 'gzip sent as zstd', encoding: 'zstd', body: gzipSync(sample.car), code: /^ENCODING_BROKEN$/ },
  {
    name: 'gzip that is cut',
    encoding: 'gzip',
    body: gzipSync(sample.car).subarray(0, -9),
    code: /^ENCODING_BROKEN$|^CAR_/,
  },
  {
    name: 'zstd that is cut',
    encoding: 'zstd',
    body: zstdCompressSync(sample.car).subarray(0, -9),
    code: /^ENCODING_BROKEN$|^CAR_/,
  },
  {
    name: 'gzip with a wrong checksum',
    encoding: 'gzip',
    body: flipped(gzipSync(sample.car), -6),
    code: /^ENCODING_BROKEN$/,
  },
  {
    name: 'gzip with bytes behind it',
    encoding: 'gzip',
    body: Buffer.concat([gzipSync(sample.car), Buffer.alloc(99)]),
    code: /^ENCODING_BROKEN$/,
  },
  {
    name: 'zstd with bytes behind it',
    encoding: 'zstd',
    body: Buffer.concat([zstdCompressSync(sample.car), Buffer.alloc(99)]),
    code: /^ENCODING_BROKEN$/,
  },
  { name: 'an empty gzip body', encoding: 'gzip', body: Buffer.alloc(0), code: /^ENCODING_BROKEN$|^CAR_/ },
  { name: 'a gzip of nothing', encoding: 'gzip', body: gzipSync(Buffer.alloc(0)), code: /^CAR_/ },
  { name: 'a gzip in a gzip', encoding: 'gzip', body: gzipSync(gzipSync(sample.car)), code: /^CAR_/ },
  { name: 'a gzip bomb', encoding: 'gzip', body: gzipSync(bomb), code: /^HASH_MISMATCH$|^EXPANSION_TOO_LARGE$|^CAR_/ },
  {
    name: 'a zstd bomb',
    encoding: 'zstd',
    body: zstdCompressSync(bomb),
    code: /^HASH_MISMATCH$|^EXPANSION_TOO_LARGE$|^CAR_/,
  },
  {
    name: 'a zstd window of 128 MiB',
    encoding: 'zstd',
    body: zstdCompressSync(Buffer.concat([sample.car, Buffer.alloc(200 * MIB)]), wideWindow),
    code: /^ENCODING_BROKEN$/,
  },
];

function flipped(bytes: Buffer, at: number): Buffer {
  const copy = Buffer.from(bytes);
  const index = copy.length + at;
  copy[index] = (copy[index] ?? 0) ^ 1;
  return copy;
}

test.each(hostile)('$name is a 4xx and leaves nothing', async ({ encoding, body, code }) => {
  const response = await post(body, encoding);
  expect(response.json()).toMatchObject({ ok: false, error: { code: expect.stringMatching(code) } });
  expect([400, 413]).toContain(response.statusCode);
  await expectNothing();
});

/** A CARv2 whose payload lies far behind: what comes before it is skipped, so that only the expansion can stop it. */
function skippedZeros(bytes: number): Buffer {
  const head = Buffer.alloc(40);
  head.writeBigUInt64LE(BigInt(51 + bytes), 16);
  head.writeBigUInt64LE(BigInt(sample.car.length), 24);
  return Buffer.concat([Buffer.from('0aa16776657273696f6e02', 'hex'), head, Buffer.alloc(bytes), sample.car]);
}

test.each([
  ['gzip', gzipSync(skippedZeros(60 * MIB))],
  ['zstd', zstdCompressSync(skippedZeros(60 * MIB))],
])('%s that expands more than a hundred times is stopped on the way', async (encoding, body) => {
  const response = await post(body, encoding);
  expect(response.statusCode).toBe(413);
  expect(response.json()).toMatchObject({ ok: false, error: { code: 'EXPANSION_TOO_LARGE' } });
  await expectNothing();
});

test('a bomb of gigabytes takes little memory', async () => {
  const { port } = await fixture.listen();
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car', 'content-encoding': 'gzip' };
  const member = gzipSync(Buffer.alloc(256 * MIB));
  const before = process.memoryUsage.rss();
  const client = httpRequest({ host: '127.0.0.1', port, method: 'POST', path: '/upload', headers });
  client.on('error', () => undefined);
  client.write(
    Buffer.concat([
      gzipSync(skippedZeros(100 * MIB).subarray(0, 51 + 100)),
      ...Array.from({ length: 40 }, () => member),
    ]),
  );
  const [response] = await once(client, 'response');
  response.resume();
  client.destroy();
  expect(response.statusCode).toBe(413);
  expect(process.memoryUsage.rss() - before).toBeLessThan(100 * MIB);
  await expectNothing();
});

test.each([
  ['gzip', gzipSync(sample.car)],
  ['X-GZIP', gzipSync(sample.car)],
  ['zstd', zstdCompressSync(sample.car)],
  ['gzip', Buffer.concat([gzipSync(sample.car.subarray(0, 1000)), gzipSync(sample.car.subarray(1000))])],
  ['identity', sample.car],
])('a sound CAR as %s', async (encoding, body) => {
  const response = await post(body, encoding);
  expect(response.json()).toMatchObject({
    ok: true,
    value: { cid: sample.root.toString(), pin: { status: 'pinned' } },
  });
  const part = await fixture.kysely.selectFrom('parts').selectAll().executeTakeFirstOrThrow();
  expect(part.length_bytes).toBe(BigInt(sample.run.length));
});

test('the limit of an upload counts what comes out, and a sender who goes leaves nothing', async () => {
  await using small = await apiFixture({ limits: { maxUploadBytes: 40_000n } });
  const large = sampleUpload('encoded and large', 400);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car', 'content-encoding': 'gzip' };
  const payload = gzipSync(large.car);
  expect(large.car.length).toBeGreaterThan(40_000);
  const response = await small.server.inject({ method: 'POST', url: '/upload', payload, headers });
  expect(response.statusCode).toBe(413);
  expect(response.json()).toMatchObject({ error: { code: 'UPLOAD_TOO_LARGE' } });
  expect(await filesBelow(small.folder)).toEqual([]);

  const { port } = await small.listen();
  const client = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/upload', headers });
  client.on('error', () => undefined);
  client.write(gzipSync(sampleUpload('gone', 20).car).subarray(0, -50));
  await vi.waitFor(async () => expect(await filesBelow(small.folder)).toHaveLength(1));
  client.destroy();
  await vi.waitFor(async () => expect(await filesBelow(small.folder)).toEqual([]));
  expect(await countRows(small)).toEqual(noRows);
});
