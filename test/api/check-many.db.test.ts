import { expect, test, vi } from 'vitest';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';

const UNKNOWN = 'bafybeig2qsdu6nfmmaxlpnrpcz63jzyb6bzc4ngllv4mcj7q66ei4rq72y';

async function checkMany(fixture: ApiFixture, payload: unknown, headers = bearer(tokens.upload)) {
  const sent = { 'content-type': 'application/json', ...headers };
  return fixture.server.inject({ method: 'POST', url: '/check', payload: JSON.stringify(payload), headers: sent });
}

async function upload(fixture: ApiFixture, seed: string) {
  const sample = sampleUpload(seed);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const response = await fixture.server.inject({ method: 'POST', url: '/upload', payload: sample.car, headers });
  expect(response.statusCode).toBe(200);
  return { root: sample.root.toString(), v0: sample.root.toV0().toString() };
}

test('each item is what the single check says, in the order asked, whatever the others are', async () => {
  await using fixture = await apiFixture();
  const waiting = await upload(fixture, 'waiting');
  const dealt = await upload(fixture, 'dealt');
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [dealt.root] });
  await seedDeal(fixture.kysely, { aggregateId: id, slot: 0, provider: 'f01000', state: 'active' });
  const cids = [dealt.v0, 'nonsense', UNKNOWN, waiting.root, '', dealt.root, dealt.v0, 'x'.repeat(2_000)];
  const response = await checkMany(fixture, { cids });
  expect(response.statusCode).toBe(200);
  const { ok, value } = response.json();
  expect(ok).toBe(true);
  expect(value.map(({ cid }: { cid: string }) => cid)).toEqual(cids);
  for (const [at, cid] of cids.entries()) {
    if (cid === '' || cid.length > 1_000) continue;
    const single = (await fixture.server.inject(`/check/${cid}`)).json();
    expect(value[at]).toEqual(single.ok ? single.value : { cid, error: single.error });
  }
  const notCids = { code: 'ERROR_INVALID_CID' };
  expect(value).toMatchObject([
    { deals: [{ status: 'active' }] },
    { error: notCids },
    { error: { code: 'HTTP_ERROR', message: 'NFT not found' } },
    { queueing: { reason: 'waiting_for_aggregate', position: 1 } },
    { error: notCids },
    { deals: [{ status: 'active' }] },
    { deals: [{ status: 'active' }] },
    { error: notCids },
  ]);
});

test('a thousand are one query, one more is refused, none is an empty list', async () => {
  await using fixture = await apiFixture();
  const { root } = await upload(fixture, 'one of many');
  const cids = Array.from({ length: 1_000 }, (_, at) => (at % 2 === 0 ? root : sampleUpload(`x${at}`).root.toString()));
  const queries = vi.spyOn(fixture.database.pool, 'query');
  const { value } = (await checkMany(fixture, { cids })).json();
  expect(queries).toHaveBeenCalledTimes(1);
  expect(value).toHaveLength(1_000);
  expect(value.filter((item: object) => 'error' in item)).toHaveLength(500);
  const tooMany = await checkMany(fixture, { cids: [...cids, root] });
  expect([tooMany.statusCode, tooMany.json().error.code]).toEqual([400, 'INVALID_REQUEST']);
  expect((await checkMany(fixture, { cids: [] })).json()).toEqual({ ok: true, value: [] });
});

test('a thousand of the longest CIDs fit in a body, and a larger body is refused', async () => {
  await using fixture = await apiFixture();
  const longest = 'b'.repeat(1_024);
  const fits = await checkMany(fixture, { cids: Array.from({ length: 1_000 }, () => longest) });
  expect(fits.statusCode).toBe(200);
  const large = await checkMany(fixture, { cids: ['b'.repeat(1_200_000)] });
  expect([large.statusCode, large.json()]).toMatchObject([413, { ok: false, error: { code: 'BODY_TOO_LARGE' } }]);
});

test('what is no list of CIDs is refused, and whoever has no token', async () => {
  await using fixture = await apiFixture();
  for (const body of [
    [UNKNOWN],
    { cids: UNKNOWN },
    { cids: [1] },
    { cids: [null] },
    {},
    { cids: [], deep: true },
    null,
  ]) {
    const response = await checkMany(fixture, body);
    expect([body, response.statusCode]).toEqual([body, 400]);
    expect(response.json()).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
  }
  const unknown = await checkMany(fixture, { cids: [] }, { authorization: '' });
  expect([unknown.statusCode, unknown.json().error.code]).toEqual([401, 'UNAUTHORIZED']);
  for (const token of [tokens.upload, tokens.ops, tokens.read]) {
    expect((await checkMany(fixture, { cids: [] }, bearer(token))).statusCode).toBe(200);
  }
});

test('deals without a known genesis are an error of the whole, not an empty list', async () => {
  await using fixture = await apiFixture({ server: { dealNetwork: () => undefined } });
  const { root } = await upload(fixture, 'no genesis');
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root] });
  await seedDeal(fixture.kysely, { aggregateId: id, slot: 0, provider: 'f01000', state: 'active' });
  const response = await checkMany(fixture, { cids: [UNKNOWN, root] });
  expect([response.statusCode, response.json().error.code]).toEqual([503, 'NETWORK_UNKNOWN']);
});
