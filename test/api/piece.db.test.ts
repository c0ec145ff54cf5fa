import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import * as dagCbor from '@ipld/dag-cbor';
import { CID } from 'multiformats/cid';
import { expect, test } from 'vitest';
import type { DealState } from '../../src/db/tables.ts';
import { apiFixture, bearer, pieceTokens, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { rawBlock, sampleUpload, sections, varint } from '../support/car-builder.ts';
import { BATCH_ROOT, PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';

const URL_PATH = `/piece/${PIECE_CID}`;

/** A sealed aggregate of two uploads, and its bytes put together by hand. */
async function sealed(fixture: ApiFixture, seeds = ['one', 'two']) {
  const samples = seeds.map((seed) => sampleUpload(seed, 4));
  for (const { car } of samples) {
    const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
    await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  }
  const tree = sections([rawBlock('stands for a batch tree')]);
  const roots = samples.map(({ root }) => root.toString());
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots, tree });
  const head = dagCbor.encode({ roots: [CID.parse(BATCH_ROOT)], version: 1 });
  const bytes = Buffer.concat([varint(head.length), head, ...samples.map(({ run }) => run), tree]);
  return { id, bytes };
}

function get(
  fixture: ApiFixture,
  headers: Record<string, string> = {},
  method: 'GET' | 'HEAD' = 'GET',
  url = URL_PATH,
) {
  return fixture.server.inject({ method, url, headers: { ...bearer(tokens.read), ...headers } });
}

test('the whole piece, with what a downloader needs to know', async () => {
  await using fixture = await apiFixture();
  const { bytes } = await sealed(fixture);
  const response = await get(fixture, { 'accept-encoding': 'gzip, br' });
  expect(response.statusCode).toBe(200);
  expect(response.rawPayload.equals(bytes)).toBe(true);
  expect(response.headers).toMatchObject({
    'content-length': bytes.length.toString(),
    'accept-ranges': 'bytes',
    etag: `"${PIECE_CID}"`,
    'content-type': 'application/vnd.ipld.car; version=1',
  });
  expect(response.headers).not.toHaveProperty('content-encoding');
  expect(response.headers).not.toHaveProperty('content-range');
});

test('HEAD mirrors GET, and ignores Range as RFC 9110 says', async () => {
  await using fixture = await apiFixture();
  const { bytes } = await sealed(fixture);
  const whole = await get(fixture);
  for (const headers of [{}, { range: 'bytes=0-9' }]) {
    const head = await get(fixture, headers, 'HEAD');
    expect(head.statusCode).toBe(200);
    expect(head.rawPayload).toHaveLength(0);
    expect(head.headers['content-length']).toBe(bytes.length.toString());
    for (const name of ['etag', 'accept-ranges', 'content-type', 'cache-control'])
      expect(head.headers[name]).toBe(whole.headers[name]);
  }
});

test('every kind of single range', async () => {
  await using fixture = await apiFixture();
  const { bytes } = await sealed(fixture);
  const size = bytes.length;
  const ranges: [string, number, number][] = [
    ['bytes=0-0', 0, 1],
    ['bytes=0-58', 0, 59],
    ['bytes=58-60', 58, 61],
    [`bytes=100-${size - 100}`, 100, size - 99],
    ['bytes=10-', 10, size],
    ['bytes=-17', size - 17, size],
    [`bytes=-${size + 5}`, 0, size],
    // Boost asks for one byte past the last.
    [`bytes=${size - 50}-${size}`, size - 50, size],
    [`bytes=0-${size * 10}`, 0, size],
  ];
  for (const [range, start, end] of ranges) {
    const response = await get(fixture, { range });
    expect([range, response.statusCode, response.headers['content-range']]).toEqual([
      range,
      206,
      `bytes ${start}-${end - 1}/${size}`,
    ]);
    expect(response.headers['content-length']).toBe((end - start).toString());
    expect(response.headers['etag']).toBe(`"${PIECE_CID}"`);
    expect(response.rawPayload.equals(bytes.subarray(start, end))).toBe(true);
  }
});

test('a range that cannot be answered with one part is 416', async () => {
  await using fixture = await apiFixture();
  const { bytes } = await sealed(fixture);
  for (const range of ['bytes=100000-', 'bytes=100000-100001', 'bytes=-0', 'bytes=5-4', 'bytes=0-1,3-4', 'bytes=x']) {
    const response = await get(fixture, { range });
    expect([range, response.statusCode]).toEqual([range, 416]);
    expect(response.headers['content-range']).toBe(`bytes */${bytes.length}`);
    expect(response.headers['content-type']).toContain('application/problem+json');
    expect(response.json()).toMatchObject({ status: 416, code: 'RANGE_NOT_SATISFIABLE' });
  }
});

test('If-Range with our ETag gives the part, with anything else the whole', async () => {
  await using fixture = await apiFixture();
  const { bytes } = await sealed(fixture);
  expect((await get(fixture, { range: 'bytes=1-2', 'if-range': `"${PIECE_CID}"` })).statusCode).toBe(206);
  for (const condition of ['"other"', `W/"${PIECE_CID}"`, 'Wed, 01 May 2024 00:00:00 GMT']) {
    const response = await get(fixture, { range: 'bytes=1-2', 'if-range': condition });
    expect(response.statusCode).toBe(200);
    expect(response.rawPayload).toHaveLength(bytes.length);
  }
});

test('a piece that is not there is 404, and what is no piece CID is 400', async () => {
  await using fixture = await apiFixture();
  const missing = await get(fixture);
  expect(missing.statusCode).toBe(404);
  expect(missing.headers['content-type']).toContain('application/problem+json');
  expect(missing.json()).toMatchObject({
    type: '/docs#NOT_FOUND',
    title: 'There is nothing here by that name',
    status: 404,
    code: 'NOT_FOUND',
    instance: missing.headers['x-request-id'],
  });
  for (const cid of ['nonsense', BATCH_ROOT]) {
    const response = await get(fixture, {}, 'GET', `/piece/${cid}`);
    expect(response.statusCode).toBe(400);
    expect(response.json()).toMatchObject({ code: 'INVALID_CID' });
  }
});

test('who may fetch: ops, read, and the deal’s provider', async () => {
  await using fixture = await apiFixture();
  const { id } = await sealed(fixture);
  const dealId = await seedDeal(fixture.kysely, { aggregateId: id, slot: 0, provider: 'f01000', state: 'sent' });
  const token = pieceTokens.tokenFor(dealId);
  const status = async (headers: Record<string, string>) =>
    (await fixture.server.inject({ url: URL_PATH, headers })).statusCode;
  expect(await status({})).toBe(401);
  expect(await status(bearer('nonsense'))).toBe(401);
  expect(await status(bearer(`${token}x`))).toBe(401);
  expect(await status(bearer(`${dealId}.${'A'.repeat(43)}`))).toBe(401);
  expect(await status(bearer(tokens.upload))).toBe(403);
  expect(await status(bearer(tokens.ops))).toBe(200);
  expect(await status(bearer(tokens.read))).toBe(200);
  expect(await status(bearer(token))).toBe(200);
  const elsewhere = await fixture.server.inject({ url: '/aggregates', headers: bearer(token) });
  expect(elsewhere.statusCode).toBe(403);
});

test('a deal’s token opens its own piece while something can come of the deal', async () => {
  await using fixture = await apiFixture();
  const { id } = await sealed(fixture);
  const states: [DealState, number][] = [
    ['signed', 200],
    ['sent', 200],
    ['accepted', 200],
    ['published', 200],
    ['active', 200],
    ['rejected', 403],
    ['failed', 403],
    ['abandoned', 403],
    ['missed', 403],
    ['expired', 403],
    ['slashed', 403],
  ];
  for (const [slot, [state, status]] of states.entries()) {
    const dealId = await seedDeal(fixture.kysely, { aggregateId: id, slot, provider: `f0100${slot}`, state });
    const response = await fixture.server.inject({ url: URL_PATH, headers: bearer(pieceTokens.tokenFor(dealId)) });
    expect([state, response.statusCode]).toEqual([state, status]);
  }
  const unknown = pieceTokens.tokenFor('00000000-0000-4000-8000-000000000000');
  expect((await fixture.server.inject({ url: URL_PATH, headers: bearer(unknown) })).statusCode).toBe(403);
  const live = await fixture.kysely
    .selectFrom('deals')
    .select('id')
    .where('state', '=', 'active')
    .executeTakeFirstOrThrow();
  const other = PIECE_CID.replace('baga6ea4seaqcfs2', 'baga6ea4seaqcfs3');
  const wrong = await fixture.server.inject({ url: `/piece/${other}`, headers: bearer(pieceTokens.tokenFor(live.id)) });
  expect(wrong.statusCode).toBe(403);
});

test('many connections at once get the same bytes', async () => {
  await using fixture = await apiFixture();
  const { bytes } = await sealed(fixture);
  const { url } = await fixture.listen();
  const size = bytes.length;
  const parts = Array.from(
    { length: 8 },
    (_, at) => [Math.floor((size * at) / 8), Math.floor((size * (at + 1)) / 8)] as const,
  );
  const bodies = await Promise.all(
    parts.map(async ([from, to]) => {
      const headers = { ...bearer(tokens.read), range: `bytes=${from}-${to - 1}` };
      return Buffer.from(await (await fetch(url + URL_PATH, { headers })).arrayBuffer());
    }),
  );
  expect(Buffer.concat(bodies).equals(bytes)).toBe(true);
});

test('an object that is gone is a broken answer, never a short one that looks whole', async () => {
  await using fixture = await apiFixture();
  await sealed(fixture);
  const part = await fixture.kysely.selectFrom('parts').selectAll().orderBy('id', 'desc').executeTakeFirstOrThrow();
  await fixture.store.remove(part.object_key);
  const { url } = await fixture.listen();
  const read = async () => (await fetch(url + URL_PATH, { headers: bearer(tokens.read) })).arrayBuffer();
  await expect(read()).rejects.toThrow();
});

test('a downloader that leaves closes what was opened for it', async () => {
  const open = { count: 0 };
  await using fixture = await apiFixture({
    store: (store) =>
      new Proxy(store, {
        get: (target, key) => {
          if (key === 'read') return endless;
          const value: unknown = Reflect.get(target, key, target);
          return typeof value === 'function' ? value.bind(target) : value;
        },
      }),
  });
  async function* endless() {
    open.count += 1;
    try {
      for (;;) {
        await sleep(1);
        yield Buffer.alloc(10);
      }
    } finally {
      open.count -= 1;
    }
  }
  await sealed(fixture);
  const { port } = await fixture.listen();
  const socket = connect(port, '127.0.0.1');
  socket.write(
    `GET ${URL_PATH} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${tokens.read}\r\nrange: bytes=59-\r\n\r\n`,
  );
  await new Promise((resolve) => socket.once('data', resolve));
  expect(open.count).toBe(1);
  socket.destroy();
  await expect.poll(() => open.count).toBe(0);
});
