import { expect, test } from 'vitest';
import { settableClock } from '../deals/scripted-world.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';

const NO_DEAL = '00000000-0000-4000-8000-000000000000';

function get(fixture: ApiFixture, url: string) {
  return fixture.server.inject({ method: 'GET', url, headers: bearer(tokens.ops) });
}

async function oneDeal(fixture: ApiFixture, state: 'signed' | 'sent' | 'rejected' | 'active') {
  const { car, root } = sampleUpload(state);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root.toString()] });
  return await seedDeal(fixture.kysely, { aggregateId, slot: 0, provider: 'f01000', state });
}

test('a question that cannot be read is 400, never a fault of ours', async () => {
  await using fixture = await apiFixture();
  const cursor = (...parts: string[]) => Buffer.from(JSON.stringify(parts)).toString('base64url');
  const urls = [
    '/audit?subject=%00',
    `/deals?cursor=${cursor('2026-99-99T99:99:99.999Z', NO_DEAL)}`,
    '/deals?expiring=9999999999999999d',
  ];
  for (const url of urls) expect([url, (await get(fixture, url)).statusCode]).toEqual([url, 400]);
});

test('a provider is named as on any network', async () => {
  await using fixture = await apiFixture();
  const id = await oneDeal(fixture, 'signed');
  for (const provider of ['f01000', 't01000']) {
    const { items } = (await get(fixture, `/deals?provider=${provider}`)).json();
    expect([provider, items.map((deal: { id: string }) => deal.id)]).toEqual([provider, [id]]);
  }
});

test('a reason is kept without the characters that PostgreSQL and terminals do not take', async () => {
  await using fixture = await apiFixture();
  const id = await oneDeal(fixture, 'signed');
  const post = (url: string, payload: object) =>
    fixture.server.inject({ method: 'POST', url, payload, headers: bearer(tokens.ops) });
  expect((await post('/providers/f01000/pause', { reason: 'a\u0000b\u001b[2J' })).statusCode).toBe(200);
  expect((await post(`/deals/${id}/abandon`, { reason: 'c\u0000d' })).statusCode).toBe(200);
  const { items } = (await get(fixture, '/audit')).json();
  expect(items.map(({ reason }: { reason: string }) => reason)).toEqual(['c d', 'a b [2J']);
});

test('a change of the policy says why', async () => {
  await using fixture = await apiFixture();
  const put = (payload: object) =>
    fixture.server.inject({ method: 'PUT', url: '/policy', payload, headers: bearer(tokens.ops) });
  expect((await put({ replicas: 2, reason: 'fewer providers' })).statusCode).toBe(200);
  expect((await put({ reason: 'nothing to change' })).statusCode).toBe(400);
  expect((await get(fixture, '/audit')).json().items).toMatchObject([
    { action: 'policy.set', reason: 'fewer providers', detail: { changes: ['replicas=2'] } },
  ]);
});

test('trying again now leaves an attempt alone that may be out, and hastens one that waits', async () => {
  const { clock } = settableClock(new Date('2026-03-01T00:00:00Z'));
  await using fixture = await apiFixture({ server: { clock } });
  const id = await oneDeal(fixture, 'sent');
  const retry = () => fixture.server.inject({ method: 'POST', url: `/deals/${id}/retry`, headers: bearer(tokens.ops) });
  const waitUntil = async (waitMs: number) => {
    const at = new Date(clock.now().getTime() + waitMs);
    await fixture.kysely.updateTable('deals').set({ next_attempt_at: at }).where('id', '=', id).execute();
    expect((await retry()).statusCode).toBe(200);
    const row = await fixture.kysely.selectFrom('deals').select('next_attempt_at').executeTakeFirstOrThrow();
    return row.next_attempt_at?.getTime() === at.getTime() ? 'left' : 'hastened';
  };
  expect(await waitUntil(29_000)).toBe('left');
  expect(await waitUntil(60_000)).toBe('hastened');
});

test.each([
  ['rejected', /has ended/],
  ['active', /the chain has it/],
  ['sent', /may still publish it/],
] as const)('giving up a deal that is %s says why not', async (state, why) => {
  await using fixture = await apiFixture();
  const id = await oneDeal(fixture, state);
  const answer = await fixture.server.inject({
    method: 'POST',
    url: `/deals/${id}/abandon`,
    headers: bearer(tokens.ops),
  });
  expect(answer.statusCode).toBe(409);
  expect(answer.json().detail).toMatch(why);
});
