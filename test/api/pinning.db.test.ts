import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { asV0, car, pbNode, rawBlock } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';

interface PinStatus {
  requestid: string;
  status: string;
  created: string;
  pin: { cid: string; name?: string; origins: string[]; meta?: Record<string, string> };
  delegates: string[];
  info?: Record<string, string>;
}

/** Calls by hand, as the specification writes them: no client of anybody in between. */
async function call(
  { server }: ApiFixture,
  line: string,
  {
    token = tokens.upload,
    body,
    headers = {},
  }: { token?: string; body?: unknown; headers?: Record<string, string> } = {},
): Promise<{ status: number; body: unknown; text: string; type: string | undefined }> {
  const [method = '', url = ''] = line.split(' ');
  const answer = await server.inject({
    method: method as 'GET',
    url,
    headers: { ...(token === '' ? {} : bearer(token)), ...headers },
    ...(body !== undefined && { payload: typeof body === 'string' ? body : (body as object) }),
  });
  const type = answer.headers['content-type'];
  const isJson = String(type).includes('json') && answer.body !== '';
  return {
    status: answer.statusCode,
    body: isJson ? (answer.json() as unknown) : undefined,
    text: answer.body,
    type,
  };
}

const anyCid = () => rawBlock(randomBytes(16)).cid.toString();

async function add(fixture: ApiFixture, pin: object, token: string = tokens.upload): Promise<PinStatus> {
  const { status, body, text } = await call(fixture, 'POST /pins', { body: pin, token });
  expect(status, text).toBe(202);
  return body as PinStatus;
}

async function list(fixture: ApiFixture, query: string, token: string = tokens.upload) {
  const { status, body, text } = await call(fixture, `GET /pins?${query}`, {
    token,
  });
  expect(status, text).toBe(200);
  const { count, results } = body as { count: number; results: PinStatus[] };
  return { count, ids: results.map(({ requestid }) => requestid), results };
}

async function upload(fixture: ApiFixture, token: string = tokens.upload) {
  const leaf = rawBlock(randomBytes(1_000));
  const root = pbNode([leaf]);
  const answer = await fixture.server.inject({
    method: 'POST',
    url: '/upload',
    headers: { ...bearer(token), 'content-type': 'application/vnd.ipld.car' },
    payload: car([root.cid], [root, leaf]),
  });
  expect(answer.statusCode).toBe(200);
  return { root, cid: root.cid.toString() };
}

async function owns(fixture: ApiFixture, cid: string, token: string = tokens.upload): Promise<boolean> {
  return (await call(fixture, `GET /${cid}`, { token })).status === 200;
}

const allStatuses = 'status=queued,pinning,pinned,failed';

describe('adding', () => {
  test('answers 202 with the pin as it was asked, queued, and the job that fetches it', async () => {
    await using fixture = await apiFixture({
      server: { delegates: async () => ['/ip4/203.0.113.9/tcp/4001/p2p/12D3KooWabcdefgh'] },
    });
    const cid = anyCid();
    const origins = ['/ip4/203.0.113.7/tcp/4001/p2p/12D3KooWabcdefgh', 'https://gateway.example.com'];
    const pin = { cid, name: 'PreciousData.pdf', origins, meta: { app_id: '99986338' } };
    const made = await add(fixture, pin);
    expect(made).toEqual({
      requestid: expect.stringMatching(/^[\da-f-]{36}$/),
      status: 'queued',
      created: expect.stringMatching(/^2024-05-01T\d\d:\d\d:\d\d\.\d{3}Z$/),
      pin,
      delegates: ['/ip4/203.0.113.9/tcp/4001/p2p/12D3KooWabcdefgh'],
      info: { status_details: 'waits to be fetched' },
    });
    expect(fixture.jobs.sent).toEqual([{ queue: 'fetch', data: { root: cid } }]);
    expect((await call(fixture, `GET /pins/${made.requestid}`)).body).toEqual(made);
  });

  test('a CIDv0 stays as it was asked, and is fetched as what uploads are named by', async () => {
    await using fixture = await apiFixture();
    const { cid } = asV0(pbNode([rawBlock('x')]));
    const made = await add(fixture, { cid: cid.toString() });
    expect(made.pin.cid).toBe(cid.toString());
    expect(fixture.jobs.sent).toEqual([{ queue: 'fetch', data: { root: cid.toV1().toString() } }]);
  });

  test('what is here already is pinned at once, and owned', async () => {
    await using fixture = await apiFixture();
    const { cid } = await upload(fixture, tokens.upload2);
    expect(await owns(fixture, cid)).toBe(false);
    fixture.jobs.sent.length = 0;
    const made = await add(fixture, { cid });
    expect(made.status).toBe('pinned');
    expect(made.info).toEqual({ dag_size: expect.stringMatching(/^1\d{3}$/) });
    expect(await owns(fixture, cid)).toBe(true);
    expect(fixture.jobs.sent).toEqual([]);
  });

  test('the same CID twice: two requests, each with a time of its own', async () => {
    await using fixture = await apiFixture({ server: { clock: { now: () => new Date('2026-01-01T00:00:00.000Z') } } });
    const cid = anyCid();
    const made = await Promise.all(Array.from({ length: 5 }, () => add(fixture, { cid })));
    expect(new Set(made.map(({ requestid }) => requestid)).size).toBe(5);
    expect(new Set(made.map(({ created }) => created)).size).toBe(5);
  });
});

describe('listing', () => {
  test('every filter, alone and together', async () => {
    await using fixture = await apiFixture();
    const { cid: here, root } = await upload(fixture, tokens.upload2);
    const [one, two] = [anyCid(), anyCid()];
    const a = await add(fixture, { cid: one, name: 'Report.pdf', meta: { app: '7', lang: 'en' } });
    const b = await add(fixture, { cid: two, name: 'report.PDF', meta: { app: '7' } });
    const c = await add(fixture, { cid: here, name: '100%_done' });
    const d = await add(fixture, { cid: one });
    await add(fixture, { cid: one, name: 'Report.pdf' }, tokens.upload2);
    const expected: Record<string, PinStatus[]> = {
      '': [c],
      limit: [],
      [allStatuses]: [d, c, b, a],
      'status=pinned': [c],
      'status=queued': [d, b, a],
      'status=queued&status=pinned': [d, c, b, a],
      'status=failed': [],
      [`cid=${one}`]: [d, a],
      [`cid=${one},${two}`]: [d, b, a],
      [`cid=${one}&cid=${here}`]: [d, c, a],
      [`cid=${root.cid.toV0()}`]: [c],
      [`cid=${one}&status=pinned`]: [],
      'name=Report.pdf': [a],
      'name=Report.pdf&match=exact': [a],
      'name=REPORT.pdf&match=iexact': [b, a],
      'name=port.p&match=partial': [a],
      'name=PORT.p&match=partial': [],
      'name=PORT.p&match=ipartial': [b, a],
      'name=%25_&match=partial': [c],
      'name=%25&match=exact': [],
      [`meta=${encodeURIComponent('{"app":"7"}')}`]: [b, a],
      [`meta=${encodeURIComponent('{"app":"7","lang":"en"}')}`]: [a],
      [`meta=${encodeURIComponent('{"app":"8"}')}`]: [],
      'meta[app]=7&meta[lang]=en': [a],
      [`${allStatuses}&before=${c.created}`]: [b, a],
      [`${allStatuses}&after=${c.created}`]: [d],
      [`${allStatuses}&after=${a.created}&before=${d.created}`]: [c, b],
      [`${allStatuses}&before=2020-07-27T17:32:28Z`]: [],
      [`name=report&match=ipartial&status=queued&meta[app]=7&cid=${two}&before=${d.created}`]: [b],
    };
    delete expected['limit'];
    for (const [query, pins] of Object.entries(expected)) {
      const { count, ids } = await list(fixture, query);
      expect({ query, ids, count }).toEqual({ query, ids: pins.map(({ requestid }) => requestid), count: pins.length });
    }
  });

  test('ten at a time by default, and on by the time of the last one; count tells of all pages', async () => {
    await using fixture = await apiFixture();
    const made: string[] = [];
    for (let n = 0; n < 23; n += 1) made.unshift((await add(fixture, { cid: anyCid() })).requestid);
    const first = await list(fixture, 'status=queued');
    expect([first.count, first.ids]).toEqual([23, made.slice(0, 10)]);
    const pages: string[] = [];
    let before = '';
    for (let n = 0; n < 4; n += 1) {
      const { ids, results } = await list(fixture, `status=queued&limit=7${before}`);
      pages.push(...ids);
      before = `&before=${results.at(-1)?.created}`;
    }
    expect(pages).toEqual(made);
    expect((await list(fixture, 'status=queued&limit=1000')).ids).toEqual(made);
  });
});

describe('replacing and removing', () => {
  test('a replaced pin is gone, and the new one has another id', async () => {
    await using fixture = await apiFixture();
    const old = await add(fixture, { cid: anyCid(), name: 'old' });
    const cid = anyCid();
    const { status, body } = await call(fixture, `POST /pins/${old.requestid}`, {
      body: { cid, name: 'new' },
    });
    expect(status).toBe(202);
    expect(body).toMatchObject({ status: 'queued', pin: { cid, name: 'new' } });
    const { requestid } = body as PinStatus;
    expect(requestid).not.toBe(old.requestid);
    expect((await call(fixture, `GET /pins/${old.requestid}`)).status).toBe(404);
    expect((await list(fixture, allStatuses)).ids).toEqual([requestid]);
  });

  test('replacing by the same CID never gives the upload up in between', async () => {
    await using fixture = await apiFixture();
    const { cid } = await upload(fixture, tokens.upload2);
    const old = await add(fixture, { cid });
    await call(fixture, `POST /pins/${old.requestid}`, { body: { cid } });
    expect(await owns(fixture, cid)).toBe(true);
    const events = await fixture.kysely.selectFrom('events').select('reason_code').execute();
    expect(events.filter(({ reason_code: code }) => code === 'OWNER_LEFT')).toEqual([]);
  });

  test('removing answers 202 without a body; the last pin of a CID ends what pinning gave', async () => {
    await using fixture = await apiFixture();
    const { cid } = await upload(fixture, tokens.upload2);
    const [one, two] = [await add(fixture, { cid }), await add(fixture, { cid })];
    const removed = await call(fixture, `DELETE /pins/${one.requestid}`);
    expect([removed.status, removed.text]).toEqual([202, '']);
    expect(await owns(fixture, cid)).toBe(true);
    expect((await call(fixture, `DELETE /pins/${two.requestid}`)).status).toBe(202);
    expect(await owns(fixture, cid)).toBe(false);
    expect(await owns(fixture, cid, tokens.upload2)).toBe(true);
    expect((await list(fixture, allStatuses)).count).toBe(0);
  });

  test('an upload that was sent as well stays with who sent it', async () => {
    await using fixture = await apiFixture();
    const { cid } = await upload(fixture);
    const made = await add(fixture, { cid });
    await call(fixture, `DELETE /pins/${made.requestid}`);
    expect(await owns(fixture, cid)).toBe(true);
  });

  test('what was removed is told by its history alone', async () => {
    await using fixture = await apiFixture();
    const made = await add(fixture, { cid: anyCid() });
    await call(fixture, `DELETE /pins/${made.requestid}`);
    const events = await fixture.kysely
      .selectFrom('pin_request_events')
      .select(['from_state', 'to_state'])
      .orderBy('position')
      .execute();
    expect(events).toEqual([
      { from_state: null, to_state: 'queued' },
      { from_state: 'queued', to_state: 'removed' },
    ]);
  });
});

describe('errors are {error: {reason, details}}', () => {
  const id = '5f0c6f0e-6f0e-4d2a-9d5b-0f1d2c3b4a59';
  const cid = 'bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e';
  const rows: [line: string, given: Parameters<typeof call>[2], status: number, reason: string][] = [
    ['GET /pins', { token: '' }, 401, 'UNAUTHORIZED'],
    ['GET /pins', { token: 'none-of-ours' }, 401, 'UNAUTHORIZED'],
    ['POST /pins', { token: '', body: { cid } }, 401, 'UNAUTHORIZED'],
    ['DELETE /pins/x', { token: 'none-of-ours' }, 401, 'UNAUTHORIZED'],
    ['GET /pins', { token: tokens.read }, 403, 'FORBIDDEN'],
    ['POST /pins', { token: tokens.ops, body: { cid } }, 403, 'FORBIDDEN'],
    ['POST /pins', { body: {} }, 400, 'BAD_REQUEST'],
    ['POST /pins', { body: { cid: 'no-cid' } }, 400, 'INVALID_CID'],
    ['POST /pins', { body: { cid: 7 } }, 400, 'BAD_REQUEST'],
    ['POST /pins', { body: { cid, name: 'x'.repeat(256) } }, 400, 'BAD_REQUEST'],
    ['POST /pins', { body: { cid, meta: { app: 7 } } }, 400, 'BAD_REQUEST'],
    ['POST /pins', { body: { cid, meta: { app: '\u0000' } } }, 400, 'BAD_REQUEST'],
    ['POST /pins', { body: { cid, origins: ['elsewhere'] } }, 400, 'BAD_REQUEST'],
    ['POST /pins', { body: { cid, origins: ['/ip4/1.2.3/tcp/1'] } }, 400, 'BAD_REQUEST'],
    [
      'POST /pins',
      { body: { cid, origins: Array.from({ length: 21 }, (_, at) => `/ip4/1.2.3.4/tcp/${at}`) } },
      400,
      'BAD_REQUEST',
    ],
    ['POST /pins', { body: '{"cid":', headers: { 'content-type': 'application/json' } }, 400, 'BAD_REQUEST'],
    ['POST /pins', { body: 'cid', headers: { 'content-type': 'text/plain' } }, 415, 'UNSUPPORTED_MEDIA_TYPE'],
    ['POST /pins', { body: { cid, meta: { big: 'x'.repeat(70_000) } } }, 413, 'BODY_TOO_LARGE'],
    ['GET /pins?cid=no-cid', {}, 400, 'INVALID_CID'],
    [`GET /pins?cid=${Array.from({ length: 11 }, (_, at) => `c${at}`).join(',')}`, {}, 400, 'BAD_REQUEST'],
    ['GET /pins?status=lost', {}, 400, 'BAD_REQUEST'],
    ['GET /pins?match=fuzzy&name=x', {}, 400, 'BAD_REQUEST'],
    ['GET /pins?limit=0', {}, 400, 'BAD_REQUEST'],
    ['GET /pins?limit=1001', {}, 400, 'BAD_REQUEST'],
    ['GET /pins?before=yesterday', {}, 400, 'BAD_REQUEST'],
    ['GET /pins?meta=no-json', {}, 400, 'BAD_REQUEST'],
    ['GET /pins?meta=%7B%22a%22%3A1%7D', {}, 400, 'BAD_REQUEST'],
    ['GET /pins?page=2', {}, 400, 'BAD_REQUEST'],
    [`GET /pins/${id}`, {}, 404, 'NOT_FOUND'],
    ['GET /pins/not-an-id', {}, 404, 'NOT_FOUND'],
    [`DELETE /pins/${id}`, {}, 404, 'NOT_FOUND'],
    ['DELETE /pins/not-an-id', {}, 404, 'NOT_FOUND'],
    [`POST /pins/${id}`, { body: { cid } }, 404, 'NOT_FOUND'],
    [`POST /pins/${id}`, { body: { cid: 'no-cid' } }, 400, 'INVALID_CID'],
  ];

  test.each(rows)('%s %j: %i %s', async (line, given, status, reason) => {
    await using fixture = await apiFixture();
    const answer = await call(fixture, line, given);
    expect(answer.body, answer.text).toEqual({ error: { reason, details: expect.stringMatching(/./) } });
    expect(answer.status).toBe(status);
    expect(answer.type).toMatch(/^application\/json/);
    expect((await fixture.kysely.selectFrom('pin_requests').select('id').execute()).length).toBe(0);
  });

  test("another token's pin is not found, neither read, replaced nor removed", async () => {
    await using fixture = await apiFixture();
    const { requestid } = await add(fixture, { cid: anyCid() });
    const token = tokens.upload2;
    for (const line of [`GET /pins/${requestid}`, `DELETE /pins/${requestid}`])
      expect((await call(fixture, line, { token })).body).toMatchObject({ error: { reason: 'NOT_FOUND' } });
    expect((await call(fixture, `POST /pins/${requestid}`, { token, body: { cid } })).status).toBe(404);
    expect((await list(fixture, allStatuses)).ids).toEqual([requestid]);
    expect((await list(fixture, allStatuses, token)).count).toBe(0);
  });

  test('a used-up quota is 409 INSUFFICIENT_FUNDS', async () => {
    const { LadingError } = await import('../../src/errors.ts');
    const expectBytes = async () => {
      throw new LadingError('STORE_QUOTA', 'the store holds as much as it may');
    };
    await using fixture = await apiFixture({ server: { expectBytes } });
    const { status, body } = await call(fixture, 'POST /pins', { body: { cid } });
    expect([status, body]).toEqual([
      409,
      { error: { reason: 'INSUFFICIENT_FUNDS', details: 'the store holds as much as it may' } },
    ]);
  });

  test('what breaks inside is 500 INTERNAL_SERVER_ERROR, and says nothing of inside', async () => {
    await using fixture = await apiFixture({ server: { delegates: () => Promise.reject(new Error('secret')) } });
    const { status, body, text } = await call(fixture, 'GET /pins');
    expect([status, body]).toEqual([500, { error: { reason: 'INTERNAL_SERVER_ERROR', details: expect.any(String) } }]);
    expect(text).not.toContain('secret');
  });
});

describe('status is what the upload is', () => {
  test('without a cluster: damaged bytes are not pinned, and released ones as long as a deal holds them', async () => {
    await using fixture = await apiFixture();
    const { cid } = await upload(fixture);
    const { requestid } = await add(fixture, { cid });
    const look = async () => ((await call(fixture, `GET /pins/${requestid}`)).body as PinStatus).status;
    expect(await look()).toBe('pinned');
    const { kysely } = fixture;
    const { id } = await kysely.selectFrom('uploads').select('id').executeTakeFirstOrThrow();
    const found = { object_key: 'x', object_offset: 0n, length_bytes: 1n, what: 'HASH_MISMATCH', found_at: new Date() };
    await kysely
      .insertInto('damage')
      .values({ ...found, upload_id: id })
      .execute();
    expect(await look()).toBe('failed');
    expect((await list(fixture, 'status=pinned')).count).toBe(0);
    await kysely.updateTable('damage').set({ cleared_at: new Date() }).execute();
    expect(await look()).toBe('pinned');
    const { root } = await kysely.selectFrom('uploads').select('root').executeTakeFirstOrThrow();
    const { id: aggregateId } = await seedAggregate(kysely, fixture.store, { roots: [root] });
    await kysely.deleteFrom('parts').execute();
    expect(await look()).toBe('failed');
    expect((await list(fixture, 'status=failed')).count).toBe(1);
    await seedDeal(kysely, { aggregateId, provider: 'f01', slot: 0, state: 'active', chainDealId: 1n });
    expect(await look()).toBe('pinned');
    expect((await list(fixture, 'status=pinned')).count).toBe(1);
  });

  test('with a cluster: its word counts, and it is told of what is owned anew', async () => {
    const told: bigint[] = [];
    const onOwned = async (_trx: unknown, ids: readonly bigint[]) => void told.push(...ids);
    await using fixture = await apiFixture({ server: { pinView: () => ({ degraded: undefined }), onOwned } });
    const { cid } = await upload(fixture, tokens.upload2);
    const { kysely } = fixture;
    const { id } = await kysely.selectFrom('uploads').select('id').executeTakeFirstOrThrow();
    const made = await add(fixture, { cid });
    expect(made.status).toBe('queued');
    expect(told).toEqual([id]);
    const at = new Date();
    await kysely
      .insertInto('pins')
      .values({ upload_id: id, status: 'pinning', step: 'look', due_at: at, changed_at: at })
      .execute();
    const look = async () => (await call(fixture, `GET /pins/${made.requestid}`)).body as PinStatus;
    expect((await look()).status).toBe('pinning');
    await kysely.updateTable('pins').set({ status: 'failed', failing_since: at, error: 'no space left' }).execute();
    expect(await look()).toMatchObject({ status: 'failed', info: { status_details: 'no space left' } });
    expect((await list(fixture, 'status=failed')).ids).toEqual([made.requestid]);
    await kysely.updateTable('pins').set({ status: 'pinned', failing_since: null, error: null }).execute();
    expect((await look()).status).toBe('pinned');
    expect((await list(fixture, '')).ids).toEqual([made.requestid]);
  });
});
