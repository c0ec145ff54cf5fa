import { expect, test } from 'vitest';
import { seedUploads } from './event-rows.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';

const URL_OK = 'https://93.184.216.34/changes';

async function world(rules = { allowPrivate: false }) {
  const fixture = await apiFixture({ server: { webhookRules: rules } });
  const call = async (
    method: 'GET' | 'POST' | 'DELETE',
    url: string,
    { token = tokens.upload, body }: { token?: string; body?: object } = {},
  ) => {
    const headers = bearer(token);
    const response = await fixture.server.inject({
      method,
      url,
      headers,
      ...(body !== undefined && { payload: body }),
    });
    return {
      status: response.statusCode,
      text: response.body,
      json: response.body === '' ? undefined : response.json(),
    };
  };
  return { fixture, call, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

test('a webhook is made, listed, shown and deleted; its secret is told once', async () => {
  await using one = await world();
  const cid = 'QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG';
  const made = await one.call('POST', '/webhooks', {
    body: { url: URL_OK, cid: [cid], state: ['active', 'expired'], kind: 'deal' },
  });
  expect(made.status).toBe(201);
  const { secret, ...shown } = made.json;
  expect(secret).toBe(`secret of ${shown.id}`);
  expect(shown).toEqual({
    id: expect.stringMatching(/^[0-9a-f-]{36}$/),
    owner: 'service',
    url: URL_OK,
    filter: {
      cids: ['bafybeie5nqv6kd3qnfjupgvz34woh3oksc3iau6abmyajn7qvtf6d2ho34'],
      states: ['active', 'expired'],
      kinds: ['deal'],
    },
    created: expect.stringMatching(/\+00:00$/),
    delivered: null,
    failing: null,
    deadLetters: 0,
  });
  expect((await one.call('GET', '/webhooks')).json).toEqual({ items: [shown], next: null });
  expect((await one.call('GET', `/webhooks/${shown.id}`)).json).toEqual(shown);
  expect((await one.call('GET', `/webhooks/${shown.id}`)).text).not.toContain('secret');
  expect((await one.call('GET', `/webhooks/${shown.id}/dead`)).json).toEqual({ items: [], next: null });
  expect(await one.call('POST', `/webhooks/${shown.id}/redrive`)).toMatchObject({ status: 202, json: { redriven: 0 } });
  expect((await one.call('POST', `/webhooks/${shown.id}/redrive`, { body: { ids: ['7'] } })).json).toEqual({
    redriven: 0,
  });
  expect((await one.call('DELETE', `/webhooks/${shown.id}`)).status).toBe(204);
  expect((await one.call('GET', `/webhooks/${shown.id}`)).status).toBe(404);
});

test('a token of role upload sees its own, of its own uploads; one of ops sees all', async () => {
  await using one = await world();
  const { id, filter } = (await one.call('POST', '/webhooks', { body: { url: URL_OK } })).json;
  expect(filter).toEqual({ owner: 'service' });
  const other = { token: tokens.upload2 };
  expect((await one.call('GET', '/webhooks', other)).json.items).toEqual([]);
  for (const [method, path] of [
    ['GET', ''],
    ['DELETE', ''],
    ['GET', '/dead'],
    ['POST', '/redrive'],
  ] as const) {
    expect((await one.call(method, `/webhooks/${id}${path}`, other)).status).toBe(404);
  }
  const ops = { token: tokens.ops };
  expect((await one.call('POST', '/webhooks', { ...ops, body: { url: URL_OK } })).json.filter).toEqual({});
  expect((await one.call('GET', '/webhooks?limit=1', ops)).json.items).toMatchObject([{ id }]);
  const { next } = (await one.call('GET', '/webhooks?limit=1', ops)).json;
  expect((await one.call('GET', `/webhooks?limit=1&cursor=${next}`, ops)).json.items).toMatchObject([
    { owner: 'operator' },
  ]);
  expect((await one.call('GET', '/webhooks', { token: tokens.read })).status).toBe(403);
  expect((await one.call('DELETE', `/webhooks/${id}`, ops)).status).toBe(204);
});

test('refuses addresses that are not of the public internet', async () => {
  await using one = await world();
  const refused = [
    'http://127.0.0.1:8080/',
    'http://localhost/',
    'http://169.254.169.254/latest/meta-data',
    'http://[::1]/',
    'http://192.168.0.1/',
    'https://name:word@93.184.216.34/',
    'gopher://93.184.216.34/',
    'http://no-such-name.invalid/',
  ];
  for (const url of refused) {
    const answer = await one.call('POST', '/webhooks', { body: { url } });
    expect(answer, url).toMatchObject({ status: 400, json: { code: 'WEBHOOK_URL_REFUSED' } });
  }
});

test('where configuration allows it, a webhook may go to a private address', async () => {
  await using one = await world({ allowPrivate: true });
  expect((await one.call('POST', '/webhooks', { body: { url: 'http://127.0.0.1:1/' } })).status).toBe(201);
});

test('a webhook begins after an event, and a token has so many and no more', async () => {
  await using one = await world();
  await seedUploads(one.fixture.kysely, ['bafyone']);
  expect((await one.call('POST', '/webhooks', { body: { url: URL_OK, after: '99-0' } })).json.code).toBe(
    'INVALID_EVENT_ID',
  );
  const { rows } = await one.fixture.database.pool.query('select position from events');
  await expect
    .poll(
      async () =>
        (await one.call('POST', '/webhooks', { body: { url: URL_OK, after: `${rows[0].position}-0` } })).status,
    )
    .toBe(201);
  // All at once: none slips in beyond the limit.
  const more = await Promise.all(
    Array.from({ length: 24 }, () => one.call('POST', '/webhooks', { body: { url: URL_OK, after: '0' } })),
  );
  expect(more.filter(({ status }) => status === 201)).toHaveLength(19);
  expect(await one.call('POST', '/webhooks', { body: { url: URL_OK } })).toMatchObject({
    status: 409,
    json: { code: 'TOO_MANY_WEBHOOKS' },
  });
});
