import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { insertWebhook } from '../../src/events/webhook-store.ts';
import { apiFixture, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { call } from './call.ts';

const AT = new Date('2024-04-01T00:00:00Z');
const WEBHOOK = '11111111-1111-4111-8111-111111111111';
const OTHER = '22222222-2222-4222-8222-222222222222';

async function auditOf(fixture: ApiFixture) {
  return (await call(fixture, 'GET', '/audit')).json().items;
}

test('proposing as a whole is paused and resumed once each, by whom, since when and why; other terms stay', async () => {
  let woken = 0;
  await using fixture = await apiFixture({ server: { policyChanged: async () => void (woken += 1) } });
  await call(fixture, 'PUT', '/policy', { body: { replicas: 7 } });
  woken = 0;
  const before = (await call(fixture, 'GET', '/proposing', { token: tokens.read })).json();
  expect(before).toMatchObject({ proposing: true, policyVersion: 1, reason: null });

  const paused = (await call(fixture, 'POST', '/proposing/pause', { body: { reason: 'a bad node' } })).json();
  expect(paused).toMatchObject({ proposing: false, policyVersion: 3, by: 'operator', reason: 'a bad node' });
  // Again, and then another term: neither makes the pause younger, nor of somebody else.
  const again = (await call(fixture, 'POST', '/proposing/pause', { body: { reason: 'me too' } })).json();
  expect(again).toEqual(paused);
  await call(fixture, 'PUT', '/policy', { body: { max_price: '9', reason: 'cheaper' } });
  expect((await call(fixture, 'GET', '/proposing')).json()).toEqual(paused);
  expect(woken).toBe(1);

  const resumed = (await call(fixture, 'POST', '/proposing/resume')).json();
  expect(resumed).toMatchObject({ proposing: true, policyVersion: 5, reason: null });
  expect(woken).toBe(2);
  expect((await call(fixture, 'GET', '/policy')).json()).toMatchObject({
    version: 5,
    terms: { replicas: '7', max_price: '9', proposing: 'true' },
  });
  expect((await auditOf(fixture)).slice(0, 3)).toMatchObject([
    { actor: 'operator', action: 'proposing.resume', subject: 'policy', reason: null, detail: { from: 4, to: 5 } },
    { action: 'policy.set', reason: 'cheaper' },
    { action: 'proposing.pause', subject: 'policy', reason: 'a bad node', detail: { changes: ['proposing=false'] } },
  ]);
  expect((await call(fixture, 'POST', '/proposing/pause', { token: tokens.read })).statusCode).toBe(403);
  expect((await call(fixture, 'POST', '/proposing/pause', { body: { why: 'x' } })).statusCode).toBe(400);
});

test('operators who pause at the same time make one version', async () => {
  await using fixture = await apiFixture();
  const answers = await Promise.all([1, 2, 3, 4].map(() => call(fixture, 'POST', '/proposing/pause')));
  expect(answers.map((answer) => answer.json().policyVersion)).toEqual([2, 2, 2, 2]);
  expect(await auditOf(fixture)).toHaveLength(1);
});

/** As pg-boss leaves them: one waits, one for later, one in hand, one to be retried in an hour, one given up, one done. */
async function seedJobs({ kysely }: ApiFixture): Promise<void> {
  await sql`insert into pgboss.job (name, data, state, start_after, started_on, retry_count, retry_limit, created_on, completed_on, output)
    values
    ('propose', '{"aggregateId":"1"}', 'created', now() - interval '5 minutes', null, 0, 9, now(), null, null),
    ('propose', '{"aggregateId":"2"}', 'created', now() + interval '1 hour', null, 0, 9, now(), null, null),
    ('send', '{"dealId":"d1"}', 'active', now(), now(), 0, 9, now(), null, null),
    ('send', '{"dealId":"d2"}', 'retry', now() + interval '1 hour', now(), 4, 9, '2024-01-01T00:00:00.123456Z', null, '{"message":"no route"}'),
    ('seal', '{"aggregateId":"3"}', 'failed', now(), now(), 2, 2, '2024-01-02Z', now(), '{"value":{"message":"job timed out"}}'),
    ('seal', '{"aggregateId":"4"}', 'completed', now(), now(), 0, 9, now(), now(), null)`.execute(kysely);
}

test('queues are counted by how their jobs stand, and those that failed are listed with why, page by page', async () => {
  await using fixture = await apiFixture();
  await seedJobs(fixture);
  const { items, next } = (await call(fixture, 'GET', '/jobs', { token: tokens.read })).json();
  expect(next).toBeNull();
  const of = (queue: string) => items.find((one: { queue: string }) => one.queue === queue);
  expect(of('propose')).toMatchObject({ waiting: 1, deferred: 1, retry: 0, active: 0, failed: 0 });
  expect(Date.now() - Date.parse(of('propose').oldestDue)).toBeGreaterThan(299_000);
  expect(of('send')).toMatchObject({ waiting: 0, deferred: 0, retry: 1, active: 1, failed: 0, oldestDue: null });
  expect(of('seal')).toMatchObject({ active: 0, failed: 1 });
  expect(of('stow')).toMatchObject({ waiting: 0, deferred: 0, retry: 0, active: 0, failed: 0, oldestDue: null });

  const first = (await call(fixture, 'GET', '/jobs/troubled?limit=1', { token: tokens.read })).json();
  expect(first.items).toMatchObject([
    { queue: 'send', data: { dealId: 'd2' }, state: 'retry', tries: 5, error: 'no route' },
  ]);
  const rest = (await call(fixture, 'GET', `/jobs/troubled?limit=1&cursor=${first.next}`)).json();
  expect(rest.items).toMatchObject([{ queue: 'seal', state: 'failed', tries: 3, error: 'job timed out', next: null }]);
  expect(rest.next).toBeNull();
  expect((await call(fixture, 'GET', '/jobs/troubled?queue=seal')).json().items).toHaveLength(1);
  expect((await call(fixture, 'GET', '/jobs/troubled?queue=nothing')).statusCode).toBe(400);
  expect((await call(fixture, 'GET', '/jobs/troubled?cursor=x')).json().code).toBe('INVALID_CURSOR');
});

test('jobs that failed are tried again now, by id, by queue or all, and each act is written down', async () => {
  await using fixture = await apiFixture();
  await seedJobs(fixture);
  const [send, seal] = (await call(fixture, 'GET', '/jobs/troubled')).json().items;
  const one = await call(fixture, 'POST', '/jobs/redrive', { body: { ids: [seal.id], reason: 'disk mended' } });
  expect([one.statusCode, one.json()]).toEqual([202, { redriven: 1 }]);
  const { rows } =
    await sql<object>`select state, start_after <= now() as due, completed_on, retry_limit > retry_count as again
    from pgboss.job where id = ${seal.id}::uuid`.execute(fixture.kysely);
  expect(rows).toEqual([{ state: 'retry', due: true, completed_on: null, again: true }]);
  expect((await call(fixture, 'POST', '/jobs/redrive', { body: { queue: 'propose' } })).json()).toEqual({
    redriven: 0,
  });
  expect((await call(fixture, 'POST', '/jobs/redrive')).json()).toEqual({ redriven: 2 });
  const unknown = await call(fixture, 'POST', '/jobs/redrive', { body: { ids: [WEBHOOK] } });
  expect([unknown.statusCode, unknown.json().code]).toEqual([404, 'NOT_FOUND']);
  expect((await call(fixture, 'POST', '/jobs/redrive', { token: tokens.read })).statusCode).toBe(403);
  expect(await auditOf(fixture)).toMatchObject([
    { action: 'job.redrive', subject: 'jobs', reason: null, detail: { redriven: 2 } },
    { action: 'job.redrive', subject: 'jobs', reason: 'disk mended', detail: { redriven: 1, jobs: [seal.id] } },
  ]);
  // What waits or is in hand was left alone.
  expect((await call(fixture, 'GET', '/jobs')).json().items).toContainEqual(
    expect.objectContaining({ queue: 'propose', waiting: 1, deferred: 1, retry: 0 }),
  );
  expect(send.queue).toBe('send');
});

async function seedDead({ kysely }: ApiFixture): Promise<void> {
  const after = { xid: '0', position: 0n, index: 0 };
  const made = { filter: {}, at: AT, after };
  await insertWebhook(kysely, { ...made, id: WEBHOOK, owner: 'service', url: 'https://a.example.com/hook' });
  await insertWebhook(kysely, { ...made, id: OTHER, owner: 'other', url: 'https://b.example.com/hook?key=of-other' });
  await sql`update webhooks set attempts = 3, failing_since = '2024-04-02Z', failing_to = '1', last_error = 'gone',
    next_attempt_at = 'infinity'`.execute(kysely);
  for (const id of [WEBHOOK, OTHER, WEBHOOK]) {
    await sql`insert into webhook_dead_letters (webhook_id, from_xid, from_position, from_index, to_xid, to_position,
      to_index, first_change, changes, attempts, error, failing_since, died_at) values
      (${id}::uuid, '1', 1, 0, '1', 2, 0, '1.0', 2, 40, 'answered 500', '2024-04-01Z', '2024-04-04Z')`.execute(kysely);
  }
}

test('dead letters of all webhooks are listed for operators, and tried once more by id, by webhook or all', async () => {
  await using fixture = await apiFixture();
  await seedDead(fixture);
  const first = (await call(fixture, 'GET', '/dead-letters?limit=2', { token: tokens.read })).json();
  expect(first.items).toMatchObject([
    { webhook: WEBHOOK, owner: 'service', url: 'https://a.example.com/hook', error: 'answered 500', redriving: false },
    // What opens the receiver is its owner's.
    { webhook: OTHER, owner: 'other', url: 'https://b.example.com/hook?…', attempts: 40, changes: 2 },
  ]);
  const rest = (await call(fixture, 'GET', `/dead-letters?limit=2&cursor=${first.next}`)).json();
  expect([rest.items.length, rest.next]).toEqual([1, null]);
  expect((await call(fixture, 'GET', `/dead-letters?webhook=${OTHER}`)).json().items).toHaveLength(1);
  expect((await call(fixture, 'GET', '/dead-letters', { token: tokens.upload })).statusCode).toBe(403);

  const ids = [first.items[1].id];
  const one = await call(fixture, 'POST', '/dead-letters/redrive', { body: { ids, reason: 'the receiver is back' } });
  expect([one.statusCode, one.json()]).toEqual([202, { redriven: 1 }]);
  const redriving = (await call(fixture, 'GET', '/dead-letters')).json().items;
  expect(redriving.map((letter: { redriving: boolean }) => letter.redriving)).toEqual([false, true, false]);
  // Its receiver is mended, so what waits for it is sent now; the other's is not known to be.
  const { rows } = await sql<object>`select id, isfinite(next_attempt_at) as waits from webhooks order by id`.execute(
    fixture.kysely,
  );
  expect(rows).toEqual([
    { id: WEBHOOK, waits: false },
    { id: OTHER, waits: true },
  ]);
  const wrong = await call(fixture, 'POST', '/dead-letters/redrive', { body: { ids: ['999'] } });
  expect([wrong.statusCode, wrong.json().code]).toEqual([404, 'NOT_FOUND']);
  expect((await call(fixture, 'POST', '/dead-letters/redrive', { body: { webhook: WEBHOOK } })).json()).toEqual({
    redriven: 2,
  });
  const own = await call(fixture, 'POST', `/webhooks/${WEBHOOK}/redrive`, {
    token: tokens.upload,
    body: { reason: 'mine' },
  });
  expect(own.json()).toEqual({ redriven: 2 });
  expect(await auditOf(fixture)).toMatchObject([
    { actor: 'service', action: 'webhook.redrive', subject: WEBHOOK, reason: 'mine', detail: { redriven: 2 } },
    { actor: 'operator', subject: WEBHOOK, reason: null },
    { subject: 'webhooks', reason: 'the receiver is back', detail: { redriven: 1, ids } },
  ]);
});

test('sealing by hand says why', async () => {
  const seen: unknown[] = [];
  await using fixture = await apiFixture({
    server: {
      sealAggregate: async (id, act) => {
        seen.push(id, act);
        return { kind: 'empty' };
      },
    },
  });
  expect((await call(fixture, 'POST', '/aggregates/7/seal', { body: { reason: 'a customer waits' } })).statusCode).toBe(
    409,
  );
  expect((await call(fixture, 'POST', '/aggregates/7/seal')).statusCode).toBe(409);
  expect(seen).toEqual([7n, { by: 'operator', reason: 'a customer waits' }, 7n, { by: 'operator' }]);
});
