import { createHash, randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, onTestFinished, test } from 'vitest';
import { WebhookDelivery, type DeliveryDeps } from '../../src/events/deliver-webhooks.ts';
import { listDeadLetters, redriveDeadLetters } from '../../src/events/dead-letter-store.ts';
import { BEGINNING } from '../../src/events/outbox.ts';
import { insertWebhook, listWebhooks } from '../../src/events/webhook-store.ts';
import type { EventFilter } from '../../src/events/filter.ts';
import { silentLog } from '../../src/log/log.ts';
import { createFetcher } from '../../src/outgoing/fetcher.ts';
import { testDatabase } from '../support/database.ts';
import { AT, seedUploads, tell } from './event-rows.ts';
import { isSigned, webhookReceiver } from './webhook-receiver.ts';

type Db = Awaited<ReturnType<typeof testDatabase>>;

function deliverer({ kysely }: Db, changes: Partial<DeliveryDeps> = {}) {
  const stopping = new AbortController();
  const delivery = new WebhookDelivery({
    kysely,
    clock: { now: () => AT },
    random: () => 0.5,
    log: silentLog,
    letter: () => 'f',
    secretOf: (id) => `secret of ${id}`,
    fetcher: createFetcher({ allowPrivate: true }),
    configuredNames: ['service'],
    retryForMs: 3_600_000,
    holder: randomUUID(),
    ...changes,
  });
  return {
    step: () => delivery.step(stopping.signal),
    async stop() {
      stopping.abort();
      await delivery.stop();
    },
  };
}

/** One that looks again and again, as a process does. */
function running(db: Db, changes: Partial<DeliveryDeps> = {}) {
  const one = deliverer(db, changes);
  const ended = new AbortController();
  const looking = (async () => {
    while (!ended.signal.aborted) {
      await one.step();
      await delay(10);
    }
  })();
  return {
    async [Symbol.asyncDispose]() {
      ended.abort();
      await looking;
      await one.stop();
    },
  };
}

async function hook({ kysely }: Db, url: string, filter: EventFilter = {}): Promise<string> {
  const id = randomUUID();
  await insertWebhook(kysely, { id, owner: 'service', url, filter, at: AT, after: BEGINNING });
  return id;
}

/** Back-off and leases go by the database's clock: their time comes. */
async function letTimePass({ pool }: Db, time = '1 h'): Promise<void> {
  await pool.query(`update webhooks set next_attempt_at = now() - interval '1 s', failing_since = failing_since - interval '${time}',
    leased_until = case when leased_by is null then null else now() - interval '1 s' end`);
}

async function show(db: Db, id: string) {
  const [found] = await listWebhooks(db.kysely, { id, limit: 1 });
  if (found === undefined) throw new Error('no webhook');
  return found;
}

const many = (count: number) =>
  Array.from(
    { length: count },
    (_, at) => `bafy${at.toString(2).replaceAll('0', 'a').replaceAll('1', 'b').padStart(12, 'a')}`,
  );

test('delivers in order, up to 500 changes a call, signed, and again nothing once all is told', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(1_203);
  await seedUploads(db.kysely, roots);
  const id = await hook(db, receiver.url);
  await using _running = running(db);
  await expect.poll(() => receiver.calls.length, { timeout: 10_000 }).toBe(3);
  expect(receiver.calls.map(({ changes }) => changes.length)).toEqual([500, 500, 203]);
  expect(receiver.calls.flatMap(({ changes }) => changes.map(({ cid }) => cid))).toEqual(roots);
  expect(receiver.calls.every((call) => isSigned(call, `secret of ${id}`))).toBe(true);
  expect(receiver.calls.some((call) => isSigned(call, 'another secret'))).toBe(false);
  await expect.poll(async () => (await show(db, id)).deliveredAt).toEqual(AT);
  await delay(100);
  expect(receiver.calls).toHaveLength(3);
});

test('a call that failed is tried again as it was, later than what came meanwhile but before it', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(3);
  await seedUploads(db.kysely, roots.slice(0, 2));
  const id = await hook(db, receiver.url);
  receiver.state.answer = 500;
  const one = deliverer(db);
  onTestFinished(() => one.stop());
  await one.step();
  await expect.poll(async () => (await show(db, id)).failing?.error).toBe('it answered 500');
  await seedUploads(db.kysely, roots.slice(2));
  await one.step();
  await delay(50);
  // Its time has not come.
  expect(receiver.calls).toHaveLength(1);
  receiver.state.answer = 200;
  await letTimePass(db);
  await one.step();
  await expect
    .poll(() => receiver.calls.map(({ changes }) => changes.map(({ cid }) => cid)))
    .toEqual([roots.slice(0, 2), roots.slice(0, 2), roots.slice(2)]);
  expect(receiver.calls[0]?.changes).toEqual(receiver.calls[1]?.changes);
  await expect.poll(async () => (await show(db, id)).failing).toBeNull();
});

test('what nobody took in all the time is a dead letter, is seen, and comes when it is asked for', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(4);
  await seedUploads(db.kysely, roots.slice(0, 2));
  const id = await hook(db, receiver.url);
  receiver.state.answer = 503;
  await using _running = running(db);
  await expect.poll(async () => (await show(db, id)).failing?.attempts).toBe(1);
  await seedUploads(db.kysely, roots.slice(2, 3));
  await letTimePass(db);
  await expect
    .poll(async () => (await listDeadLetters(db.kysely, { webhookId: id, afterId: 0n, limit: 9 })).length)
    .toBe(1);
  const [dead] = await listDeadLetters(db.kysely, { webhookId: id, afterId: 0n, limit: 9 });
  expect(dead).toMatchObject({ changes: 2, attempts: 2, error: 'it answered 503', redriving: false });
  expect(dead?.firstChange).toBe(receiver.ids()[0]);
  // The next one has a time of its own, and is tried by now.
  await expect.poll(async () => (await show(db, id)).failing?.attempts).toBe(1);
  receiver.state.answer = 200;
  await letTimePass(db);
  await expect.poll(() => receiver.calls.at(-1)?.changes.map(({ cid }) => cid)).toEqual(roots.slice(2, 3));
  await expect.poll(async () => (await show(db, id)).failing).toBeNull();
  receiver.state.answer = 400;
  expect(await redriveDeadLetters(db.kysely, { webhookId: id }, AT)).toBe(1);
  await expect
    .poll(async () => (await listDeadLetters(db.kysely, { webhookId: id, afterId: 0n, limit: 9 }))[0]?.attempts)
    .toBe(3);
  receiver.state.answer = 200;
  expect(await redriveDeadLetters(db.kysely, { webhookId: id, ids: [dead?.id ?? 0n] }, AT)).toBe(1);
  await expect.poll(async () => (await show(db, id)).deadLetters).toBe(0);
  expect(receiver.calls.at(-1)?.changes.map(({ cid }) => cid)).toEqual(roots.slice(0, 2));
});

test('a receiver that is dead, hangs or redirects slows nobody else', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  await using hangs = await webhookReceiver();
  hangs.state.answer = 'hang';
  const roots = many(40);
  await hook(db, 'http://127.0.0.1:1/');
  await hook(db, hangs.url);
  await hook(db, receiver.url);
  await using _running = running(db);
  for (const root of roots) {
    const [id = 0n] = await seedUploads(db.kysely, [root]);
    const begun = performance.now();
    await expect.poll(() => receiver.calls.at(-1)?.changes.at(-1)?.cid, { interval: 5 }).toBe(root);
    expect(performance.now() - begun).toBeLessThan(2_000);
    await tell(db.kysely, [{ upload_id: id, from_state: 'waiting', to_state: 'stowed' }]);
  }
  expect(hangs.calls).toHaveLength(1);
});

test('of many processes exactly one delivers, and who is killed in a call loses nothing', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const id = await hook(db, receiver.url);
  receiver.state.answer = 'hang';
  await seedUploads(db.kysely, many(3));
  // Holds the lease, has sent its call, and never writes down what became of it.
  const killed = deliverer(db);
  await killed.step();
  await expect.poll(() => receiver.calls.length).toBe(1);
  const others = [deliverer(db), deliverer(db)];
  await Promise.all(others.map((one) => one.step()));
  await delay(50);
  expect(receiver.calls).toHaveLength(1);
  receiver.state.answer = 200;
  await letTimePass(db);
  await Promise.all(others.map((one) => one.step()));
  await expect.poll(() => receiver.calls.length).toBe(2);
  expect(receiver.calls[1]?.changes).toEqual(receiver.calls[0]?.changes);
  await expect.poll(async () => (await show(db, id)).deliveredAt).toEqual(AT);
  // Back from the dead it does not hold the lease any more, and changes nothing.
  await killed.stop();
  await Promise.all(others.map((one) => one.stop()));
  expect((await show(db, id)).failing).toBeNull();
});

test('who stood still for longer than its lease sends nothing after what others have told since', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(2);
  const named = `http://hook.example.com:${receiver.port}/`;
  const id = await hook(db, named);
  await seedUploads(db.kysely, roots.slice(0, 1));
  const still = Promise.withResolvers<string[]>();
  let asked = 0;
  const slow = deliverer(db, {
    fetcher: createFetcher({ allowPrivate: true, resolve: () => ((asked += 1), still.promise) }),
  });
  await expect.poll(async () => (await slow.step(), asked)).toBe(1);
  await letTimePass(db);
  // It comes to itself, and finds its own webhook free.
  await slow.step();
  await delay(50);
  expect(asked).toBe(1);
  const other = deliverer(db, {
    fetcher: createFetcher({ allowPrivate: true, resolve: async () => ['127.0.0.1'] }),
  });
  await other.step();
  await expect.poll(() => receiver.calls.length).toBe(1);
  await seedUploads(db.kysely, roots.slice(1));
  await expect.poll(async () => (await other.step(), receiver.calls.length)).toBe(2);
  await expect.poll(async () => (await db.pool.query('select leased_by from webhooks')).rows[0].leased_by).toBeNull();
  still.resolve(['127.0.0.1']);
  await delay(200);
  expect(receiver.calls.flatMap(({ changes }) => changes.map(({ cid }) => cid))).toEqual(roots);
  expect((await show(db, id)).failing).toBeNull();
  await slow.stop();
  await other.stop();
});

test('a call that is refused for what it holds is cut down to that one change, and the others go on', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(11);
  const taken: string[] = [];
  receiver.state.answer = ({ changes }) => {
    const cids = changes.map(({ cid }) => cid);
    if (cids.includes(roots[6] ?? '')) return 422;
    taken.push(...cids);
    return 204;
  };
  await seedUploads(db.kysely, roots);
  const id = await hook(db, receiver.url);
  await using _running = running(db);
  await expect
    .poll(async () => (await letTimePass(db, '10 min'), taken.length), { interval: 30, timeout: 10_000 })
    .toBe(10);
  expect(taken).toEqual(roots.filter((_, at) => at !== 6));
  const [dead, ...more] = await listDeadLetters(db.kysely, { webhookId: id, afterId: 0n, limit: 9 });
  expect(dead).toMatchObject({ changes: 1, error: 'it answered 422' });
  expect(more).toEqual([]);
});

test('dead letters that fail again hold up no call in order', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(4);
  const id = await hook(db, receiver.url);
  const refused = new Set(roots.slice(0, 3));
  receiver.state.answer = ({ changes }) => (changes.some(({ cid }) => refused.has(cid)) ? 400 : 204);
  await using _running = running(db);
  const dead = () => listDeadLetters(db.kysely, { webhookId: id, afterId: 0n, limit: 9 });
  for (const [at, root] of roots.slice(0, 3).entries()) {
    await seedUploads(db.kysely, [root]);
    await expect.poll(async () => (await letTimePass(db), (await dead()).length), { timeout: 5_000 }).toBe(at + 1);
  }
  const before = receiver.calls.length;
  await seedUploads(db.kysely, roots.slice(3));
  await redriveDeadLetters(db.kysely, { webhookId: id }, AT);
  await expect.poll(async () => (await dead()).every(({ redriving }) => !redriving)).toBe(true);
  const since = receiver.calls.slice(before).flatMap(({ changes }) => changes.map(({ cid }) => cid));
  expect(since.toSorted()).toEqual(roots.toSorted());
  // One of them, or none where it came before they were asked for.
  expect(since.indexOf(roots[3] ?? '')).toBeLessThan(2);
});

test('a receiver that is gone is left alone until somebody asks for it, and then goes on where it was', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(2);
  await seedUploads(db.kysely, roots);
  const id = await hook(db, receiver.url);
  receiver.state.answer = 410;
  await using _running = running(db);
  await expect.poll(async () => (await show(db, id)).failing).toMatchObject({ error: 'it answered 410', nextAt: null });
  await delay(100);
  expect(receiver.calls).toHaveLength(1);
  receiver.state.answer = 204;
  expect(await redriveDeadLetters(db.kysely, { webhookId: id }, AT)).toBe(0);
  await expect.poll(() => receiver.calls.at(1)?.changes.map(({ cid }) => cid)).toEqual(roots);
  await expect.poll(async () => (await show(db, id)).failing).toBeNull();
});

test('a stop in the middle of a call gives the lease back at once', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  await hook(db, receiver.url);
  receiver.state.answer = 'hang';
  await seedUploads(db.kysely, many(1));
  const first = deliverer(db);
  await first.step();
  await expect.poll(() => receiver.calls.length).toBe(1);
  await first.stop();
  receiver.state.answer = 200;
  await using _next = running(db);
  await expect.poll(() => receiver.calls.length).toBe(2);
});

test('a webhook of named uploads is told of these, and looks at nothing twice', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(30);
  const ids = await seedUploads(db.kysely, roots);
  await hook(db, receiver.url, { cids: roots.slice(4, 6), states: ['failed'] });
  await tell(
    db.kysely,
    ids.map((id) => ({ upload_id: id, from_state: 'waiting', to_state: 'failed' })),
  );
  await using _running = running(db);
  await expect
    .poll(() => receiver.calls.flatMap(({ changes }) => changes.map(({ cid }) => cid)))
    .toEqual(roots.slice(4, 6));
  await expect
    .poll(async () => (await db.pool.query('select leased_by from webhooks')).rows[0].leased_by, { timeout: 5_000 })
    .toBeNull();
});

test('whose token is revoked or past its time is told nothing, until there is one of its name again', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  const roots = many(3);
  await seedUploads(db.kysely, roots);
  await hook(db, receiver.url);
  const made = { role: 'upload', created_by: 'operator', created_at: new Date('2024-01-01') } as const;
  const token = (name: string, ends: object) =>
    db.kysely
      .insertInto('tokens')
      .values({ ...made, name, digest: createHash('sha256').update(name).digest(), ...ends })
      .execute();
  await token('service', { revoked_at: new Date(), revoked_by: 'operator' });
  await token('someone-else', {});
  const one = deliverer(db, { configuredNames: ['someone'] });
  await one.step();
  await one.stop();
  await token('service', { digest: Buffer.alloc(32, 1), expires_at: new Date('2024-01-02') });
  const two = deliverer(db, { configuredNames: [] });
  await two.step();
  await two.stop();
  expect(receiver.calls).toEqual([]);
  await db.kysely.updateTable('tokens').set({ expires_at: null }).where('name', '=', 'service').execute();
  await using _running = running(db, { configuredNames: [] });
  await expect.poll(() => receiver.ids().length, { timeout: 10_000 }).toBe(roots.length);
});

test('a token that is revoked while a call waits for its connection stops that call too', async () => {
  await using db = await testDatabase();
  await using receiver = await webhookReceiver();
  await seedUploads(db.kysely, many(1));
  const id = await hook(db, receiver.url);
  await db.kysely
    .insertInto('tokens')
    .values({ name: 'service', role: 'upload', digest: Buffer.alloc(32), created_by: 'operator', created_at: AT })
    .execute();
  const resolve = async () => {
    await db.kysely.updateTable('tokens').set({ revoked_at: new Date(), revoked_by: 'operator' }).execute();
    return ['127.0.0.1'];
  };
  await db.kysely
    .updateTable('webhooks')
    .set({ url: `http://hook.example.com:${receiver.port}/` })
    .execute();
  const one = deliverer(db, { configuredNames: [], fetcher: createFetcher({ allowPrivate: true, resolve }) });
  await one.step();
  await expect
    .poll(async () => (await db.kysely.selectFrom('tokens').select('revoked_at').executeTakeFirst())?.revoked_at)
    .toBeInstanceOf(Date);
  await delay(100);
  await one.stop();
  expect(receiver.calls).toEqual([]);
  // Nobody was at fault.
  expect((await show(db, id)).failing).toBeNull();
});
