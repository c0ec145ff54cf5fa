import { randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { sql } from 'kysely';
import { describe, expect, test } from 'vitest';
import { claimPull, endPullLeases } from '../../src/pulls/pull-lease.ts';
import { askForPull, findNextPull, listPullsDue } from '../../src/pulls/pull-store.ts';
import { runNextPull } from '../../src/pulls/pull.ts';
import { origin, serveFile } from '../outgoing/origin.ts';
import { namesWithToken } from '../../src/tokens/has-token.ts';
import { bearer, tokens } from '../support/api-fixture.ts';
import { gather } from '../support/gather.ts';
import { etagOf, halted, someCar, stopInTheMiddle, world } from './pull-world.ts';

test('what a URL is opened by is told to nobody but who gave it', async () => {
  await using one = await world();
  await using server = await origin(serveFile(() => ({ bytes: someCar().bytes, etag: '"a"' })));
  const id = await one.ask(`${server.url}/some.car?X-Signature=of-the-asker`);
  expect(await one.show(id)).toMatchObject({ url: `${server.url}/some.car?X-Signature=of-the-asker` });
  for (const token of [tokens.ops, tokens.read]) {
    const shown = await one.call('GET', `/uploads/pulls/${id}`, token);
    const listed = await one.call('GET', '/uploads/pulls', token);
    expect(JSON.stringify([shown, listed])).not.toContain('of-the-asker');
    expect(shown).toMatchObject({ status: 200, json: { url: `${server.url}/some.car?…` } });
  }
});

test('a CAR is fetched, verified and kept as if it had been sent', async () => {
  await using one = await world();
  const { bytes, root } = someCar();
  await using server = await origin(serveFile(() => ({ bytes, etag: '"a"' })));
  const id = await one.ask(`${server.url}/some.car#part`);
  expect(one.fixture.jobs.sent).toEqual([{ queue: 'pull', data: { pullId: id } }]);
  expect(await one.show(id)).toMatchObject({
    state: 'waiting',
    cid: null,
    owner: 'service',
    url: `${server.url}/some.car`,
  });
  await one.run(id);
  expect(await one.show(id)).toMatchObject({
    state: 'pulled',
    cid: root,
    pulled: bytes.length,
    size: bytes.length,
    error: null,
    nextAttempt: null,
    events: [{ kind: 'asked' }, { kind: 'pulled' }],
  });
  expect(await one.spools()).toEqual([]);
  const upload = await one.call('GET', `/${root}`, tokens.upload);
  expect(upload).toMatchObject({ status: 200, json: { ok: true, value: { cid: root, pin: { status: 'pinned' } } } });
  const sent = await one.fixture.server.inject({
    method: 'POST',
    url: '/upload',
    headers: { ...bearer(tokens.upload), 'content-type': 'application/vnd.ipld.car' },
    payload: bytes,
  });
  expect(sent.json().value.size).toBe((upload.json as unknown as { value: { size: number } }).value.size);
});

test('a connection that breaks is taken up in the same attempt, and what is whole is received once', async () => {
  await using one = await world();
  const { bytes, root } = someCar();
  await using server = await origin(serveFile(() => ({ bytes, etag: '"a"', cutAfter: 500_000 })));
  const id = await one.ask(server.url);
  await one.run(id);
  expect(await one.show(id)).toMatchObject({ state: 'pulled', cid: root, attempts: 1 });
  // The last bytes before a cut may be lost on their way.
  const cut = expect.stringMatching(/^bytes=[1-9]\d{3,5}-$/);
  expect(server.asked.map(({ headers }) => headers.range)).toEqual([undefined, cut]);
});

test('a service that stops in the middle goes on from there, with a range', async () => {
  await using one = await world();
  const { bytes, root } = someCar();
  await using server = await halted(bytes, 300_000);
  const id = await one.ask(server.url);
  await stopInTheMiddle(one, id, 300_000);
  expect(await listPullsDue(one.fixture.kysely, 10)).toEqual([id]);
  await one.run(id, { holder: randomUUID() });
  expect(server.asked.map(({ headers }) => [headers.range, headers['if-range']])).toEqual([
    [undefined, undefined],
    ['bytes=300000-', '"a"'],
  ]);
  expect(await one.show(id)).toMatchObject({ state: 'pulled', cid: root, pulled: bytes.length });
});

test('all of it is here when the service is killed: the origin is not asked again', async () => {
  await using one = await world();
  const { bytes, root } = someCar(3);
  await using server = await origin(serveFile(() => ({ bytes, etag: '"a"' })));
  const id = await one.ask(server.url);
  const killed = one.run(id, { receive: () => Promise.reject(new Error('killed')) });
  await expect(killed).rejects.toThrow('killed');
  await writeFile(join(one.folder, `${id}.part`), bytes);
  await one.fixture.kysely
    .updateTable('pulls')
    .set({ size_bytes: BigInt(bytes.length) })
    .execute();
  await one.run(id);
  expect(await one.show(id)).toMatchObject({ state: 'pulled', cid: root });
  expect(server.asked).toHaveLength(1);
});

test('what has changed meanwhile begins anew', async () => {
  await using one = await world();
  const [old, now] = [someCar(), someCar()];
  await using before = await halted(old.bytes, 300_000, etagOf(old.bytes));
  const id = await one.ask(before.url);
  await stopInTheMiddle(one, id, 300_000);
  await using after = await origin(serveFile(() => ({ bytes: now.bytes, etag: etagOf(now.bytes) })));
  await one.fixture.kysely.updateTable('pulls').set({ url: after.url }).execute();
  await one.run(id);
  expect(await one.show(id)).toMatchObject({ state: 'pulled', cid: now.root });
  expect(after.asked.map(({ headers }) => headers.range)).toEqual(['bytes=300000-']);
});

test('bytes that were damaged here meanwhile are fetched again, and nobody is told that the CAR is bad', async () => {
  await using one = await world();
  const { bytes, root } = someCar();
  await using server = await halted(bytes, 300_000);
  const id = await one.ask(server.url);
  await stopInTheMiddle(one, id, 300_000);
  await writeFile(join(one.folder, `${id}.part`), Buffer.concat([bytes.subarray(0, 200_000), Buffer.alloc(100_000)]));
  server.release();
  await one.run(id);
  expect(await one.show(id)).toMatchObject({ state: 'waiting', error: { code: expect.stringMatching(/HASH|CAR_/) } });
  await one.due();
  await one.run(id);
  expect(await one.show(id)).toMatchObject({ state: 'pulled', cid: root });
});

describe('what is bad fails, says why, and leaves nothing behind', () => {
  const good = someCar(3);
  const wrong = Buffer.from(good.bytes);
  wrong[wrong.length - 1] = (wrong.at(-1) ?? 0) ^ 1;
  test.each([
    ['a block that is not what its CID says', wrong, {}, 'HASH_MISMATCH'],
    ['an end in the middle of a section', good.bytes.subarray(0, 30_000), {}, 'CAR_TRUNCATED'],
    [
      'a page in place of a CAR',
      Buffer.from('<!doctype html><title>Sign in</title>'.repeat(9)),
      {},
      'CAR_HEADER_INVALID',
    ],
    ['nothing at all', Buffer.alloc(0), {}, 'CAR_TRUNCATED'],
    ['another root than was asked for', good.bytes, { cid: someCar(1).root }, 'ROOT_DIFFERS'],
  ])('%s', async (_what, bytes, more, code) => {
    await using one = await world();
    await using server = await origin(serveFile(() => ({ bytes, etag: '"a"' })));
    const id = await one.ask(server.url, more);
    await one.run(id);
    expect(await one.show(id)).toMatchObject({
      state: 'failed',
      cid: null,
      error: { code, message: expect.any(String) },
      events: [{ kind: 'asked' }, { kind: 'failed', error: { code } }],
    });
    expect(await one.spools()).toEqual([]);
    expect(await one.fixture.kysely.selectFrom('uploads').select('id').execute()).toEqual([]);
    expect(await gather(one.fixture.store.list())).toEqual([]);
  });

  test('one without end', async () => {
    await using one = await world({}, { limits: { maxUploadBytes: 1_000_000n } });
    const { bytes } = someCar(100);
    await using server = await origin((_request, response) => {
      const write = (): void => {
        while (!response.destroyed && response.write(bytes));
        response.once('drain', write);
      };
      write();
    });
    const id = await one.ask(server.url);
    await one.run(id);
    expect(await one.show(id)).toMatchObject({ state: 'failed', error: { code: 'ORIGIN_TOO_LONG' } });
    expect((await one.show(id)).pulled).toBeLessThanOrEqual(1_000_000);
    expect(await one.spools()).toEqual([]);
  });

  test('the right root by its other name is right', async () => {
    await using one = await world();
    const { bytes, blocks } = someCar(3);
    await using server = await origin(serveFile(() => ({ bytes, etag: '"a"' })));
    const id = await one.ask(server.url, { cid: blocks[0]?.cid.toV0().toString() });
    await one.run(id);
    expect((await one.show(id)).state).toBe('pulled');
  });
});

describe('addresses inside are refused', () => {
  const inside = [
    'http://127.0.0.1/a.car',
    'http://localhost/a.car',
    'http://[::ffff:169.254.169.254]/latest/meta-data/',
    'http://10.0.0.1/a.car',
    's3://cars/a.car?endpoint=http://127.0.0.1:9000',
    's3://cars/a.car?endpoint=http://[::1]',
  ];
  test.each(inside)('%s, when it is asked for', async (url) => {
    await using one = await world({ allowPrivate: false });
    expect(await one.call('POST', '/uploads', tokens.upload, { url })).toMatchObject({
      status: 400,
      json: { code: 'ADDRESS_NOT_PUBLIC' },
    });
    expect(one.fixture.jobs.sent).toEqual([]);
  });

  test.each(inside)('%s, when it stands in the table all the same', async (url) => {
    await using one = await world({ allowPrivate: false });
    const { kysely: db, jobs } = one.fixture;
    const id = (await askForPull({ db, jobs }, { owner: 'service', url, wantedRoot: undefined })) ?? '';
    await one.run(id);
    expect(await one.show(id)).toMatchObject({ state: 'failed', error: { code: 'ADDRESS_NOT_PUBLIC' } });
  });

  test('by a redirect, and by a name that changes its answer', async () => {
    const answers = ['93.184.216.34', '127.0.0.1'];
    const resolve = async () => [answers.shift() ?? '127.0.0.1'];
    await using one = await world({ allowPrivate: false, networks: ['127.0.0.2/32'], resolve });
    await using server = await origin((_request, response) => response.end('secret'));
    await using away = await origin((_request, response) => response.writeHead(302, { location: server.url }).end(), {
      host: '127.0.0.2',
    });
    for (const url of [away.url, `http://rebind.example.com:${server.port}/`]) {
      const id = await one.ask(url);
      await one.run(id);
      expect(await one.show(id)).toMatchObject({ state: 'failed', error: { code: 'ADDRESS_NOT_PUBLIC' } });
    }
    expect(server.connections()).toBe(0);
  });

  test.each(['ftp://example.com/a.car', 'file:///etc/passwd', 'nonsense', 's3://cars/'])(
    '%s is no URL to fetch',
    async (url) => {
      await using one = await world();
      expect(await one.call('POST', '/uploads', tokens.upload, { url })).toMatchObject({
        status: 400,
        json: { code: 'URL_REFUSED', detail: expect.stringMatching(/^url: /) },
      });
    },
  );
});

test('an origin that is down is tried again, and given up after a day', async () => {
  await using one = await world();
  await using server = await origin((_request, response) => response.writeHead(503).end());
  const id = await one.ask(server.url);
  await one.run(id);
  await one.run(id);
  expect(await one.show(id)).toMatchObject({
    state: 'waiting',
    attempts: 1,
    fetching: false,
    nextAttempt: expect.any(String),
    error: { code: 'ORIGIN_FAILED' },
    events: [{ kind: 'asked' }, { kind: 'interrupted', error: { code: 'ORIGIN_FAILED' } }],
  });
  // Before its time nobody asks; the job for it was sent.
  expect(server.asked).toHaveLength(1);
  expect(one.fixture.jobs.sent).toHaveLength(2);
  expect(await listPullsDue(one.fixture.kysely, 10)).toEqual([]);
  await one.due();
  await one.fixture.kysely.updateTable('pulls').set({ failing_since: sql<Date>`now() - interval '1 day'` }).execute();
  await one.run(id);
  expect(await one.show(id)).toMatchObject({ state: 'failed', error: { code: 'ORIGIN_FAILED' } });
});

test('two that fetch the same pull are one', async () => {
  await using one = await world();
  const { bytes } = someCar(3);
  await using server = await origin((request, response) =>
    setTimeout(() => serveFile(() => ({ bytes, etag: '"a"' }))(request, response), 100),
  );
  const id = await one.ask(server.url);
  await Promise.all([one.run(id), one.run(id, { holder: randomUUID() })]);
  expect(server.asked).toHaveLength(1);
  expect((await one.show(id)).state).toBe('pulled');
});

test('a process that is gone leaves its pull to others once its lease ends, or at once to the only one', async () => {
  await using one = await world();
  const id = await one.ask('http://93.184.216.34/a.car');
  const { kysely } = one.fixture;
  const lease = (ends: string) =>
    sql`update pulls set leased_by = gen_random_uuid(), leased_until = now() + ${ends}::interval`.execute(kysely);
  await lease('1 minute');
  expect(await listPullsDue(kysely, 10)).toEqual([]);
  await lease('-1 second');
  expect(await listPullsDue(kysely, 10)).toEqual([id]);
  await lease('1 minute');
  await endPullLeases(kysely);
  expect(await listPullsDue(kysely, 10)).toEqual([id]);
});

test('whose token was revoked has nothing fetched any more', async () => {
  await using one = await world();
  await using server = await origin(serveFile(() => ({ bytes: someCar().bytes, etag: '"a"' })));
  const id = await one.ask(server.url);
  await one.run(id, { configuredNames: [] });
  expect(await one.show(id)).toMatchObject({ state: 'failed', error: { code: 'TOKEN_GONE' } });
  expect(server.asked).toEqual([]);
  expect(await one.spools()).toEqual([]);
});

test('a token of the database that is revoked, or past its time, is no token', async () => {
  await using one = await world();
  const { kysely } = one.fixture;
  const token = { role: 'upload' as const, digest: Buffer.alloc(32), created_at: new Date(0), created_by: 'operator' };
  const names = () => namesWithToken(kysely, ['some', 'own', 'none', 'some'], ['own']);
  await kysely
    .insertInto('tokens')
    .values({ ...token, name: 'some' })
    .execute();
  expect(await names()).toEqual(new Set(['some', 'own']));
  await kysely
    .updateTable('tokens')
    .set({ expires_at: new Date(1) })
    .execute();
  expect(await names()).toEqual(new Set(['own']));
  await kysely
    .updateTable('tokens')
    .set({ expires_at: null, revoked_at: new Date(2), revoked_by: 'operator' })
    .execute();
  expect(await names()).toEqual(new Set(['own']));
});

describe('owners take turns', () => {
  const asOther = async (one: Awaited<ReturnType<typeof world>>, url: string) =>
    (await one.call('POST', '/uploads', tokens.upload2, { url })).json.id;

  test('who has fewer in hand is next, and of one the longest due', async () => {
    await using one = await world();
    const { kysely } = one.fixture;
    const ids = [await one.ask('http://127.0.0.1:1/a'), await one.ask('http://127.0.0.1:1/b')];
    const other = await asOther(one, 'http://127.0.0.1:1/a');
    expect(await findNextPull(kysely)).toBe(ids[0]);
    await claimPull(kysely, { id: ids[0] ?? '', holder: randomUUID() });
    expect(await findNextPull(kysely)).toBe(other);
    await claimPull(kysely, { id: other, holder: randomUUID() });
    expect(await findNextPull(kysely)).toBe(ids[1]);
    await claimPull(kysely, { id: ids[1] ?? '', holder: randomUUID() });
    expect(await findNextPull(kysely)).toBeUndefined();
  });

  test('each job fetches one, whatever others do at the same time', async () => {
    await using one = await world();
    await using server = await origin(serveFile(() => ({ bytes: someCar(2).bytes, etag: '"a"' })));
    const ids: string[] = [];
    for (let n = 0; n < 4; n += 1) ids.push(await one.ask(`${server.url}/${n}`));
    await Promise.all(ids.map(() => runNextPull({ ...one.deps, holder: randomUUID() }, new AbortController().signal)));
    for (const id of ids) expect(await one.show(id)).toMatchObject({ state: 'pulled' });
    expect(server.asked).toHaveLength(4);
  });

  test('an origin that is slow makes room where others wait, and is gone on with where it was', async () => {
    await using one = await world();
    const { bytes, root } = someCar();
    await using server = await halted(bytes, 300_000);
    const id = await one.ask(server.url);
    const running = one.run(id, { turn: { renewMs: 50, turnMs: 100 } });
    await expect.poll(async () => (await one.show(id)).pulled).toBe(300_000);
    await delay(300);
    expect((await one.show(id)).fetching).toBe(true);
    await asOther(one, 'http://127.0.0.1:1/a');
    await running;
    expect(await one.show(id)).toMatchObject({ state: 'waiting', fetching: false, error: { code: 'ORIGIN_SLOW' } });
    await one.due();
    await one.run(id);
    expect(await one.show(id)).toMatchObject({ state: 'pulled', cid: root });
    expect(server.asked.map(({ headers }) => headers.range)).toEqual([undefined, 'bytes=300000-']);
  });
});
