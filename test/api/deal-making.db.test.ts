import { expect, test } from 'vitest';
import { noteChoice } from '../../src/deals/propose/choice-store.ts';
import { findPolicy } from '../../src/deals/propose/policy-store.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { call, uploadAll } from './call.ts';

test('a provider is labelled, shown with how its deals went, and each act is written down with who and why', async () => {
  await using fixture = await apiFixture();
  const roots = await uploadAll(fixture, ['labels']);
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  await seedDeal(fixture.kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'active' });
  await seedDeal(fixture.kysely, { aggregateId, slot: 1, provider: 'f01000', state: 'rejected' });
  const labelled = await call(fixture, 'PATCH', '/providers/f01000', {
    body: { org: 'acme', region: 'eu', reason: 'told us' },
  });
  expect(labelled.json()).toMatchObject({ id: 'f01000', org: 'acme', region: 'eu' });
  expect((await call(fixture, 'PATCH', '/providers/f01000', { body: { region: '' } })).json()).toMatchObject({
    org: 'acme',
    region: null,
  });
  const shown = await call(fixture, 'GET', '/providers/f01000', { token: tokens.read });
  expect(shown.json()).toMatchObject({ org: 'acme', agent: null, ask: null, transport: null, seen: null });
  expect(shown.json().outcomes).toHaveLength(2);
  expect(shown.json().outcomes).toContainEqual(
    expect.objectContaining({ state: 'rejected', reasonCode: 'some_reason', count: 1 }),
  );
  await call(fixture, 'POST', '/providers/f01000/pause', { body: { reason: 'maintenance' } });
  expect((await call(fixture, 'PATCH', '/providers/f01000', { body: {} })).statusCode).toBe(400);
  expect((await call(fixture, 'PATCH', '/providers/f01000', { body: { org: ' x' } })).statusCode).toBe(400);
  expect((await call(fixture, 'PATCH', '/providers/f09', { body: { org: 'x' } })).statusCode).toBe(404);
  expect(
    (await call(fixture, 'PATCH', '/providers/f01000', { body: { org: 'x' }, token: tokens.read })).statusCode,
  ).toBe(403);
  expect((await call(fixture, 'GET', '/providers/f09')).statusCode).toBe(404);

  const first = (await call(fixture, 'GET', '/audit?limit=2')).json();
  expect(first.items).toMatchObject([
    { actor: 'operator', action: 'provider.pause', subject: 'f01000', reason: 'maintenance', detail: null },
    { action: 'provider.set', reason: null, detail: { region: '' } },
  ]);
  const next = (await call(fixture, 'GET', `/audit?limit=2&cursor=${first.next}`)).json();
  expect(next).toMatchObject({
    items: [{ action: 'provider.set', reason: 'told us', detail: { org: 'acme', region: 'eu' } }],
    next: null,
  });
  expect((await call(fixture, 'GET', '/audit?subject=policy')).json()).toEqual({ items: [], next: null });
  expect((await call(fixture, 'GET', '/audit', { token: tokens.read })).statusCode).toBe(403);
});

test('a change of the policy wakes what is short of deals at once; one that is refused wakes nothing', async () => {
  const seen: number[] = [];
  await using fixture = await apiFixture({
    server: { policyChanged: async () => void seen.push((await findPolicy(fixture.kysely)).replicas) },
  });
  expect((await call(fixture, 'PUT', '/policy', { body: { replicas: 0 } })).statusCode).toBe(400);
  expect(seen).toEqual([]);
  expect((await call(fixture, 'PUT', '/policy', { body: { replicas: 7 } })).statusCode).toBe(200);
  // Woken when the new policy is in force, not before.
  expect(seen).toEqual([7]);
});

test('changes of the policy at the same time are all kept, and one by If-Match only of what its caller saw', async () => {
  await using fixture = await apiFixture();
  const bodies = [
    { replicas: 3 },
    { verified: false },
    { max_price: '7' },
    { max_per_org: 2 },
    { deny_providers: 'f01,f02' },
  ];
  const answers = await Promise.all(bodies.map((body) => call(fixture, 'PUT', '/policy', { body })));
  expect(answers.map(({ statusCode }) => statusCode)).toEqual(bodies.map(() => 200));
  const { version, terms } = (await call(fixture, 'GET', '/policy')).json();
  expect(terms).toMatchObject({
    replicas: '3',
    verified: 'false',
    max_price: '7',
    max_per_org: '2',
    deny_providers: 'f01,f02',
  });
  const put = (match: string) =>
    fixture.server.inject({
      method: 'PUT',
      url: '/policy',
      payload: { replicas: 4 },
      headers: { ...bearer(tokens.ops), 'if-match': match },
    });
  const stale = await put(`"${version - 1}"`);
  expect([stale.statusCode, stale.json().code]).toEqual([412, 'POLICY_CHANGED']);
  expect((await put('seven')).statusCode).toBe(400);
  expect((await put(`"${version}"`)).statusCode).toBe(200);
  const audited = (await call(fixture, 'GET', '/audit?subject=policy')).json().items;
  expect(audited).toHaveLength(6);
  expect(audited[0]).toMatchObject({ actor: 'operator', action: 'policy.set', detail: { changes: ['replicas=4'] } });
});

test('a deal is tried again now, given up while nothing of it has left, and listed before it ends', async () => {
  await using fixture = await apiFixture();
  const roots = await uploadAll(fixture, ['acts']);
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  const states = ['signed', 'sent', 'accepted', 'active', 'rejected', 'signed'] as const;
  const ids: string[] = [];
  for (const [slot, state] of states.entries())
    ids.push(await seedDeal(fixture.kysely, { aggregateId, slot, provider: `f0100${slot}`, state }));
  fixture.jobs.sent.length = 0;
  const act = (at: number, verb: string, body?: object) =>
    call(fixture, 'POST', `/deals/${ids[at]}/${verb}`, body === undefined ? {} : { body });
  const retried = await Promise.all([0, 1, 2, 3, 4].map((at) => act(at, 'retry')));
  expect(retried.map(({ statusCode }) => statusCode)).toEqual([200, 200, 200, 409, 200]);
  const aggregate = { aggregateId: aggregateId.toString() };
  const sent = new Set(fixture.jobs.sent.map(({ queue, data }) => `${queue} ${JSON.stringify(data)}`));
  expect(sent).toEqual(
    new Set([
      `send ${JSON.stringify({ dealId: ids[0] })}`,
      `send ${JSON.stringify({ dealId: ids[1] })}`,
      `status ${JSON.stringify({ dealId: ids[2] })}`,
      `propose ${JSON.stringify(aggregate)}`,
    ]),
  );
  const given = await act(5, 'abandon', { reason: 'wrong policy' });
  expect(given.json()).toMatchObject({ stage: 'abandoned', reasonCode: 'called_off' });
  expect((await act(5, 'abandon')).statusCode).toBe(409);
  // Of the accepted one no byte was ever fetched.
  expect((await act(2, 'abandon')).json()).toMatchObject({ stage: 'abandoned', reasonCode: 'called_off' });
  for (const at of [1, 3, 4]) expect((await act(at, 'abandon')).json()).toMatchObject({ code: 'DEAL_NOT_OPEN' });
  expect((await call(fixture, 'POST', `/deals/${ids[0]}/retry`, { token: tokens.read })).statusCode).toBe(403);
  expect((await call(fixture, 'POST', '/deals/00000000-0000-4000-8000-000000000000/retry')).statusCode).toBe(404);
  const audited = (await call(fixture, 'GET', `/audit?subject=${ids[5]}`)).json().items;
  expect(audited).toMatchObject([{ action: 'deal.abandon', reason: 'wrong policy', detail: { state: 'signed' } }]);

  // It ends on 2024-06-01, a month after the fixture's clock.
  await fixture.kysely
    .updateTable('deals')
    .set({ end_epoch: 3_963_120n })
    .where('id', '=', ids[3] ?? '')
    .execute();
  const expiring = async (within: string) => (await call(fixture, 'GET', `/deals?expiring=${within}`)).json().items;
  expect(await expiring('45d')).toMatchObject([{ id: ids[3] }]);
  expect(await expiring('20d')).toEqual([]);
  expect((await call(fixture, 'GET', '/deals?expiring=soon')).statusCode).toBe(400);
});

test('what was decided on an aggregate is told by its number, its piece, and beside its deals', async () => {
  await using fixture = await apiFixture();
  const roots = await uploadAll(fixture, ['choices']);
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  const dealId = await seedDeal(fixture.kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'signed' });
  const decide = (chosen: string[], code: 'paused' | 'rate', reason: string) =>
    noteChoice(fixture.kysely, {
      aggregateId,
      at: new Date('2024-05-02T00:00:00Z'),
      policyVersion: 1,
      chosen: chosen.map((provider) => ({ slot: 0, generation: 0, provider, score: 0.5, reasons: ['cheap'] })),
      refused: [{ provider: 'f01001', code, reason }],
    });
  await decide(['f01000'], 'paused', 'it is paused');
  await decide([], 'rate', 'two within the hour');
  await decide([], 'rate', 'three within the hour');
  const told = [
    { chosen: [], refused: [{ provider: 'f01001', code: 'rate', reason: 'two within the hour' }] },
    { at: '2024-05-02T00:00:00.000000+00:00', policyVersion: 1, chosen: [{ provider: 'f01000', reasons: ['cheap'] }] },
  ];
  for (const name of [PIECE_CID, aggregateId.toString()]) {
    const answer = await call(fixture, 'GET', `/aggregates/${name}/choices`, { token: tokens.read });
    expect(answer.json()).toMatchObject({ items: told, next: null });
    expect(answer.json().items).toHaveLength(2);
  }
  expect((await call(fixture, 'GET', `/deals/${dealId}`)).json()).toMatchObject({ choices: told });
  expect((await call(fixture, 'GET', '/aggregates/999999/choices')).statusCode).toBe(404);
});
