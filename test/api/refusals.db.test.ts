import { expect, test } from 'vitest';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';

const asOps = bearer(tokens.ops);
const json = { ...asOps, 'content-type': 'application/json' };

test('a body that a route does not take is refused, not left unread', async () => {
  await using fixture = await apiFixture();
  const sealed = await fixture.server.inject({
    method: 'POST',
    url: '/aggregates/1/seal',
    headers: json,
    payload: '{"force":true}',
  });
  expect(sealed.json()).toMatchObject({
    code: 'INVALID_REQUEST',
    detail: 'body must not have force: there is no such property',
  });
  const plain = await fixture.server.inject({ method: 'POST', url: '/aggregates/1/seal', headers: asOps });
  expect(plain.json()).toMatchObject({ code: 'NOT_FOUND' });
});

test('a method that a path does not take is told at once, whatever it brings', async () => {
  await using fixture = await apiFixture();
  const allowed = async (method: 'QUERY' | 'PUT' | 'DELETE' | 'OPTIONS', url: string, payload?: string) => {
    const headers = { ...bearer(tokens.upload), ...(payload !== undefined && { 'content-type': 'text/odd' }) };
    const answer = await fixture.server.inject({ method, url, headers, ...(payload !== undefined && { payload }) });
    return [answer.statusCode, answer.headers['allow']];
  };
  expect(await allowed('QUERY', '/livez')).toEqual([405, 'GET']);
  expect(await allowed('PUT', '/deals', 'what nobody takes')).toEqual([405, 'GET']);
  // DELETE /:cid would take it as well, and can have no such CID.
  expect(await allowed('OPTIONS', '/aggregates')).toEqual([405, 'GET']);
  expect(await allowed('OPTIONS', '/bafy')).toEqual([405, 'DELETE, GET']);
  expect(await allowed('DELETE', '/')).toEqual([405, 'GET']);
  expect(await allowed('PUT', '/a/path/of/nobody', 'x')).toEqual([404, undefined]);
});

test('a query means a number only where it is written as one', async () => {
  await using fixture = await apiFixture();
  const status = async (query: string) =>
    (await fixture.server.inject({ url: `/aggregates?${query}`, headers: asOps })).statusCode;
  expect(await status('limit=1&count=true')).toBe(200);
  for (const query of ['limit=true', 'limit=1.5', 'limit=0x10', 'limit=', 'limit=1&limit=2', 'count=1', 'count=TRUE']) {
    expect([query, await status(query)]).toEqual([query, 400]);
  }
});

test('a term whose name can be none is refused before it is looked at', async () => {
  await using fixture = await apiFixture();
  const answer = await fixture.server.inject({ method: 'PUT', url: '/policy', headers: json, payload: '{"0":{}}' });
  expect(answer.json()).toMatchObject({ status: 400, code: 'INVALID_REQUEST' });
});

test('headers that routes read stand in the document', async () => {
  await using fixture = await apiFixture();
  const { paths } = (await fixture.server.inject('/docs/json')).json();
  const headersOf = (path: string, method: string) =>
    paths[path][method].parameters
      .filter((one: { in: string }) => one.in === 'header')
      .map((one: { name: string }) => one.name);
  expect(headersOf('/piece/{pieceCid}', 'get')).toEqual(['range', 'if-range']);
  expect(headersOf('/piece/{pieceCid}', 'head')).toEqual([]);
  expect(headersOf('/policy', 'put')).toEqual(['if-match']);
  expect(headersOf('/events', 'get')).toEqual(['last-event-id']);
  expect(headersOf('/uploads/{cid}/proof', 'get')).toEqual(['if-none-match']);
  expect(Object.keys(paths['/providers'].post.responses)).not.toContain('404');
  // What is wrong before a route is found is told in problem details, of compatible routes too.
  expect(Object.keys(paths['/check/{cid}'].get.responses[431].content)).toEqual(['application/problem+json']);
  expect(Object.keys(paths['/check'].post.responses[400].content)).toEqual([
    'application/problem+json',
    'application/json',
  ]);
});
