import { once } from 'node:events';
import { request as httpRequest } from 'node:http';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { apiFixture, bearer, countRows, noRows, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { car, inChunks, pbNode, rawBlock, sampleUpload } from '../support/car-builder.ts';
import { filesBelow } from '../support/temporary-folder.ts';

const CAR = { 'content-type': 'application/vnd.ipld.car' };

function post(fixture: ApiFixture, payload: Buffer, headers: Record<string, string> = {}) {
  const all = { ...bearer(tokens.upload), ...CAR, ...headers };
  return fixture.server.inject({ method: 'POST', url: '/upload', payload, headers: all });
}

async function expectNothing(fixture: ApiFixture): Promise<void> {
  expect(await countRows(fixture)).toEqual(noRows);
  expect(await filesBelow(fixture.folder)).toEqual([]);
}

/** Waits for something that follows the client's view a moment later. */
async function eventually(check: () => Promise<void>): Promise<void> {
  const deadline = Date.now() + 25_000;
  for (;;) {
    try {
      return await check();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(20);
    }
  }
}

test('the answer is what existing clients know', async () => {
  await using fixture = await apiFixture();
  const upload = sampleUpload('answer');
  const response = await post(fixture, upload.car);
  expect(response.statusCode).toBe(200);
  expect(response.headers['content-type']).toBe('application/json; charset=utf-8');
  const root = upload.root.toString();
  const size = upload.blocks.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const created = expect.stringMatching(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}\+00:00$/);
  expect(response.json()).toEqual({
    ok: true,
    value: {
      cid: root,
      size,
      created,
      pin: { cid: root, created, size, status: 'pinned' },
      deals: [],
      queueing: {
        reason: 'waiting_for_aggregate',
        position: 1,
        aggregateFill: null,
        sealsBy: expect.stringMatching(/^2024-05-03T/),
        etaActive: { p50: null, p95: null },
      },
    },
  });
  const again = await post(fixture, upload.car, { 'content-type': 'application/car' });
  expect(again.json()).toEqual(response.json());
});

test('an incomplete upload says how many blocks are missing and which is the first', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('incomplete');
  const response = await post(fixture, car([root], blocks.slice(0, 1)));
  expect(response.json()).toMatchObject({
    ok: true,
    value: {
      cid: root.toString(),
      size: 0,
      pin: { status: 'queued' },
      deals: [],
      queueing: { reason: 'incomplete', missing: { count: 3, first: blocks[1]?.cid.toString() } },
    },
  });
});

const refusals: [headers: Record<string, string>, status: number, code: string][] = [
  [{}, 401, 'UNAUTHORIZED'],
  [{ authorization: 'Bearer wrong-token' }, 401, 'UNAUTHORIZED'],
  [{ authorization: `Basic ${tokens.upload}` }, 401, 'UNAUTHORIZED'],
  [{ authorization: `Bearer ${tokens.upload} x` }, 401, 'UNAUTHORIZED'],
  [bearer(tokens.ops), 403, 'FORBIDDEN'],
  [bearer(tokens.read), 403, 'FORBIDDEN'],
];

test('without a token of role upload nobody uploads', async () => {
  await using fixture = await apiFixture();
  const payload = sampleUpload('auth').car;
  for (const [given, status, code] of refusals) {
    const response = await fixture.server.inject({
      method: 'POST',
      url: '/upload',
      payload,
      headers: { ...CAR, ...given },
    });
    expect([given, response.statusCode]).toEqual([given, status]);
    expect(response.json()).toMatchObject({ ok: false, error: { code } });
    expect(response.headers['www-authenticate']).toBe(status === 401 ? 'Bearer realm="lading"' : undefined);
    await expectNothing(fixture);
  }
});

const otherTypes: Record<string, string>[] = [
  { 'content-type': 'nonsense' },
  { 'content-encoding': 'br' },
  { 'content-encoding': 'gzip, zstd' },
];

test('a type that is none, and an encoding that is not read, are 415', async () => {
  await using fixture = await apiFixture();
  for (const headers of otherTypes) {
    const response = await post(fixture, sampleUpload('type').car, headers);
    expect([headers, response.statusCode]).toEqual([headers, 415]);
    expect(response.json()).toMatchObject({ ok: false, error: { code: 'UNSUPPORTED_MEDIA_TYPE' } });
    await expectNothing(fixture);
  }
});

test('a full store is 507, and says nothing of inside', async () => {
  await using fixture = await apiFixture({ limits: { minFreeBytes: 1n << 62n } });
  const response = await post(fixture, sampleUpload('full').car);
  expect(response.statusCode).toBe(507);
  expect(response.headers['retry-after']).toBe('60');
  expect(response.json()).toMatchObject({ ok: false, error: { code: 'STORE_FULL' } });
});

test('a fault inside is 500 in the envelope, without a word of it', async () => {
  await using fixture = await apiFixture();
  fixture.jobs.send = () => Promise.reject(new Error('secret table name'));
  const response = await post(fixture, sampleUpload('inside').car);
  expect(response.statusCode).toBe(500);
  expect(response.json()).toMatchObject({ ok: false, error: { code: 'INTERNAL' } });
  expect(response.body).not.toContain('secret');
  await expectNothing(fixture);
});

test('one byte a chunk, over a real connection', async () => {
  await using fixture = await apiFixture();
  const { port } = await fixture.listen();
  const upload = sampleUpload('bytes', 8);
  const client = httpRequest({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/upload',
    headers: { ...bearer(tokens.upload), ...CAR },
  });
  client.setNoDelay(true);
  for await (const chunk of inChunks(upload.car, 1)) {
    client.write(chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
  client.end();
  const [response] = await once(client, 'response');
  response.resume();
  expect(response.statusCode).toBe(200);
});

test('a client that goes away in the middle leaves nothing', async () => {
  await using fixture = await apiFixture();
  const { port } = await fixture.listen();
  const upload = sampleUpload('gone', 2_000);
  for (const framing of [{ 'content-length': String(upload.car.length) }, {}]) {
    const headers = { ...bearer(tokens.upload), ...CAR, ...framing };
    const client = httpRequest({ port, host: '127.0.0.1', method: 'POST', path: '/upload', headers });
    client.on('error', () => undefined);
    client.write(upload.car.subarray(0, upload.car.length - 10));
    await eventually(async () => expect(await filesBelow(fixture.folder)).toHaveLength(1));
    client.destroy();
    await eventually(() => expectNothing(fixture));
  }
});

test('a chunked body that ends too soon, with a polite end, is a bad CAR', async () => {
  await using fixture = await apiFixture();
  const { url } = await fixture.listen();
  const { car: bytes } = sampleUpload('short');
  const body = new ReadableStream({
    start(controller) {
      controller.enqueue(bytes.subarray(0, bytes.length - 5));
      controller.close();
    },
  });
  const response = await fetch(`${url}/upload`, {
    method: 'POST',
    body,
    duplex: 'half',
    headers: { ...bearer(tokens.upload), ...CAR },
  });
  expect(response.status).toBe(400);
  expect(await response.json()).toMatchObject({ ok: false, error: { code: expect.stringMatching(/^CAR_/) } });
  await expectNothing(fixture);
});

test('a body on which nothing moves is cut off', async () => {
  await using fixture = await apiFixture({ server: { timeouts: { idleMs: 300 } } });
  const { port } = await fixture.listen();
  const client = httpRequest({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/upload',
    headers: { ...bearer(tokens.upload), ...CAR },
  });
  const failed = once(client, 'error');
  client.write(sampleUpload('slow').car.subarray(0, 100));
  await expect(once(client, 'response')).rejects.toThrow();
  await failed.catch(() => undefined);
  await eventually(() => expectNothing(fixture));
});

test('the answer to a hopeless upload arrives while the client still sends, and the rest is not read', async () => {
  await using fixture = await apiFixture();
  const { port } = await fixture.listen();
  for (const headers of [{}, bearer(tokens.upload)]) {
    const socket = connect(port, '127.0.0.1');
    const lines = Object.entries({ ...CAR, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`POST /upload HTTP/1.1\r\nhost: x\r\n${lines.join('')}content-length: 100000000000\r\n\r\n`);
    let answer = '';
    let closed = false;
    socket.on('data', (chunk) => (answer += chunk.toString()));
    socket.on('error', () => (closed = true));
    socket.on('close', () => (closed = true));
    const garbage = Buffer.alloc(65_536, 'x');
    for (let turn = 0; turn < 20; turn += 1) {
      if (!closed) socket.write(garbage);
      await sleep(5);
    }
    await eventually(async () => expect(answer).toMatch(/^HTTP\/1.1 4\d\d /));
    await eventually(async () => expect(closed).toBe(true));
  }
  await expectNothing(fixture);
});

test('a large CAR streams through, checked and byte for byte', async () => {
  await using fixture = await apiFixture();
  const { url } = await fixture.listen();
  const leaves = Array.from({ length: 14 }, (_, at) => rawBlock(Buffer.alloc(1024 * 1024, `leaf ${at}`)));
  const top = pbNode(leaves);
  const body = car([top.cid], [...leaves, top]);
  const response = await fetch(`${url}/upload`, {
    method: 'POST',
    body,
    headers: { ...bearer(tokens.upload), ...CAR },
  });
  expect(response.status).toBe(200);
  const part = await fixture.kysely.selectFrom('parts').selectAll().executeTakeFirstOrThrow();
  const chunks: Uint8Array[] = [];
  for await (const chunk of fixture.store.read(part.object_key, 0, Number(part.length_bytes))) chunks.push(chunk);
  const head = body.length - Number(part.length_bytes);
  expect(Buffer.concat(chunks).equals(body.subarray(head))).toBe(true);
});

test('closing lets an upload in hand end, and takes no new one', async () => {
  await using fixture = await apiFixture();
  const { port } = await fixture.listen();
  const upload = sampleUpload('closing', 200);
  const client = httpRequest({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/upload',
    headers: { ...bearer(tokens.upload), ...CAR },
  });
  const answered = once(client, 'response');
  client.write(upload.car.subarray(0, 1000));
  await eventually(async () => expect(await filesBelow(fixture.folder)).toHaveLength(1));
  const closed = fixture.server.close();
  await sleep(50);
  client.end(upload.car.subarray(1000));
  const [response] = await answered;
  response.resume();
  expect(response.statusCode).toBe(200);
  const answeredAt = Date.now();
  await closed;
  // The client would keep its idle connection for 5 s.
  expect(Date.now() - answeredAt).toBeLessThan(4_000);
  await expect(fetch(`http://127.0.0.1:${port}/livez`)).rejects.toThrow();
});

test('closing cuts an upload that does not end in time, and nothing of it stays', async () => {
  await using fixture = await apiFixture({ server: { timeouts: { closeMs: 200 } } });
  const { port } = await fixture.listen();
  const client = httpRequest({
    port,
    host: '127.0.0.1',
    method: 'POST',
    path: '/upload',
    headers: { ...bearer(tokens.upload), ...CAR },
  });
  client.on('error', () => undefined);
  client.write(sampleUpload('cut').car.subarray(0, 100));
  await eventually(async () => expect(await filesBelow(fixture.folder)).toHaveLength(1));
  const begun = Date.now();
  await fixture.server.close();
  expect(Date.now() - begun).toBeLessThan(3_000);
  await eventually(() => expectNothing(fixture));
});
