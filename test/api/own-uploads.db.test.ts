import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseBefore } from '../../src/api/uploads/own-uploads.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';

interface Own {
  cid: string;
  created: string;
}

async function send({ server }: ApiFixture, payload: Buffer, token: string = tokens.upload) {
  const headers = { ...bearer(token), 'content-type': 'application/car' };
  return (await server.inject({ method: 'POST', url: '/upload', payload, headers })).json();
}

function get({ server }: ApiFixture, url: string, token: string = tokens.upload) {
  return server.inject({ url, headers: bearer(token) });
}

/** All pages, as `next` leads from one to the next. */
async function walk(
  fixture: ApiFixture,
  first: string,
  next: (page: Own[], link: string | undefined) => string | undefined,
): Promise<string[]> {
  const seen: string[] = [];
  for (let url: string | undefined = first; url !== undefined; ) {
    const response = await get(fixture, url);
    expect(response.statusCode).toBe(200);
    const { value } = response.json() as { value: Own[] };
    seen.push(...value.map(({ cid }) => cid));
    url = next(value, response.headers['link'] as string | undefined);
  }
  return seen;
}

const byLink = (_page: Own[], link: string | undefined) => /^<(.+)>; rel="next"$/.exec(link ?? '')?.[1];

describe('GET /{cid}', () => {
  let fixture: ApiFixture;
  const { root, car } = sampleUpload('own', 3);
  beforeAll(async () => {
    fixture = await apiFixture();
  });
  afterAll(() => fixture[Symbol.asyncDispose]());

  test('is what the upload was answered with, with a slash at its end too', async () => {
    const answer = await send(fixture, car);
    for (const path of [`/${root}`, `/${root}/`]) {
      const response = await get(fixture, path);
      expect([response.statusCode, response.json()]).toEqual([200, answer]);
    }
  });

  test('tells each token since when the upload is its own', async () => {
    expect((await get(fixture, `/${root}`, tokens.upload2)).json()).toEqual({
      ok: false,
      error: { code: 'HTTP_ERROR', message: 'NFT not found' },
    });
    const second = await send(fixture, car, tokens.upload2);
    expect((await get(fixture, `/${root}`, tokens.upload2)).json()).toEqual(second);
    const first = (await get(fixture, `/${root}`)).json();
    expect(second.value.pin).toEqual(first.value.pin);
    expect(second.value.created > first.value.created).toBe(true);
  });

  test('is not found once it was given up, and is for senders alone', async () => {
    await fixture.server.inject({ method: 'DELETE', url: `/${root}/`, headers: bearer(tokens.upload) });
    expect((await get(fixture, `/${root}`)).statusCode).toBe(404);
    expect((await get(fixture, `/${root}`, tokens.upload2)).statusCode).toBe(200);
    expect((await get(fixture, `/${root}`, tokens.ops)).statusCode).toBe(403);
    expect((await fixture.server.inject(`/${root}`)).statusCode).toBe(401);
    expect((await get(fixture, '/nothing')).json()).toMatchObject({ error: { code: 'ERROR_INVALID_CID' } });
  });
});

describe('GET /', () => {
  const own: string[] = [];
  let fixture: ApiFixture;
  beforeAll(async () => {
    fixture = await apiFixture();
    for (let at = 0; at < 12; at += 1) {
      const { root, car } = sampleUpload(`listed ${at}`, 2);
      await send(fixture, car);
      own.unshift(root.toString());
    }
    await send(fixture, sampleUpload('of somebody else', 2).car, tokens.upload2);
  });
  afterAll(() => fixture[Symbol.asyncDispose]());

  test('lists ten of the own uploads, the newest first, each as it is by itself', async () => {
    const { ok, value } = (await get(fixture, '/')).json();
    expect([ok, value.map(({ cid }: Own) => cid)]).toEqual([true, own.slice(0, 10)]);
    const [newest] = own;
    expect({ ok, value: value[0] }).toEqual((await get(fixture, `/${newest}`)).json());
  });

  test('goes on before the last one that was shown, or where its Link leads', async () => {
    const byCreated = (page: Own[]) => (page.length > 0 ? `/?limit=5&before=${page.at(-1)?.created}` : undefined);
    expect(await walk(fixture, '/?limit=5', byCreated)).toEqual(own);
    expect(await walk(fixture, '/?limit=5', byLink)).toEqual(own);
    expect(await walk(fixture, '/?limit=12', byLink)).toEqual(own);
  });

  test('what comes or goes meanwhile moves nothing', async () => {
    const first = await get(fixture, '/?limit=4');
    const [gone = '', ...rest] = own.slice(4);
    await send(fixture, sampleUpload('came meanwhile', 2).car);
    await fixture.server.inject({ method: 'DELETE', url: `/${gone}`, headers: bearer(tokens.upload) });
    const next = byLink([], first.headers['link'] as string);
    expect(await walk(fixture, next ?? '', byLink)).toEqual(rest);
  });

  test('uploads of one moment are all shown', async () => {
    await fixture.kysely
      .updateTable('upload_owners')
      .set({ since: new Date('2020-01-01') })
      .execute();
    const seen = await walk(fixture, '/?limit=3', byLink);
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.length).toBe(12);
  });

  test.each([
    'before=yesterday',
    'before=2024-13-01',
    'before=',
    'before=WyJhIiwiYiJd',
    'before=9999-12-31T23:59:59-14:00',
    // The place of a Link, with a time that is none.
    'before=WyIyMDMwLTk5LTk5VDk5Ojk5Ojk5LjErMDA6MDAiLCIxIl0',
  ])('%s is refused', async (query) => {
    const response = await get(fixture, `/?${query}`);
    expect([response.statusCode, response.json().error.code]).toEqual([400, 'INVALID_BEFORE']);
  });

  test.each(['limit=0', 'limit=1001', 'limit=x', 'page=2'])('%s is refused', async (query) => {
    const response = await get(fixture, `/?${query}`);
    expect([response.statusCode, response.json().error.code]).toEqual([400, 'INVALID_REQUEST']);
  });
});

test.each([
  ['2024-05-01', '2024-05-01T00:00:00.000000+00:00'],
  ['2024-05-01T10:20:30.1234567Z', '2024-05-01T10:20:30.123456+00:00'],
  ['2024-05-01t10:20z', '2024-05-01T10:20:00.000000+00:00'],
  ['2024-05-01T10:20:30.5+02:00', '2024-05-01T08:20:30.500000+00:00'],
  ['2024-05-01T10:20:30.000000 00:00', '2024-05-01T10:20:30.000000+00:00'],
])('before=%s is %s', (text, since) => {
  expect(parseBefore(text)).toEqual({ since });
});
