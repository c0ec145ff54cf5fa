import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import { LiveChanges } from '../../src/dashboard/live-changes.ts';
import type { DB } from '../../src/db/tables.ts';
import { writeAudit } from '../../src/deals/audit.ts';
import { replacePolicy } from '../../src/deals/propose/policy-store.ts';
import { SseStream } from '../../src/events/sse-stream.ts';
import { silentLog } from '../../src/log/log.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { testDatabase } from '../support/database.ts';

/** Fast, so that a test waits for looks and not for seconds. */
const LOOK_MS = 20;

/** A page that listens: what it was told, and a way to wait for more. */
function listen(live: LiveChanges) {
  const stream = new SseStream();
  let told = '';
  stream.on('data', (chunk: Buffer) => (told += chunk.toString()));
  live.add(stream);
  const topics = () =>
    [...told.matchAll(/data: (.*)/g)].flatMap(([, data = '']) => JSON.parse(data).topics as string[]);
  return { stream, topics, forget: () => (told = '') };
}

test('a page is told of what changes, by topic, and of nothing when nothing changes', async () => {
  await using db = await testDatabase();
  const { kysely } = db;
  const live = new LiveChanges({ kysely, log: silentLog, lookMs: LOOK_MS });
  const page = listen(live);
  // What is told every few looks is told without any change: so looks have been taken.
  await expect.poll(page.topics).toContain('jobs');
  expect(page.topics()).not.toContain('audit');
  await replacePolicy(kysely, { pairs: ['replicas=2'], by: 'test', at: new Date() });
  await expect.poll(page.topics).toEqual(expect.arrayContaining(['policy', 'audit']));
  expect(page.topics()).not.toContain('tokens');
  await writeAudit(kysely, { actor: 'test', action: 'token.revoke', subject: 'token x', at: new Date() });
  await expect.poll(page.topics).toContain('tokens');
  await sql`insert into chain_freshness (as_of, epoch, looked_at) values (now(), 7, now())`.execute(kysely);
  await expect.poll(page.topics).toContain('chain');
  expect(page.topics()).not.toContain('uploads');
  await sql`insert into uploads (root, state, missing_count, missing_first, created_at, changed_at)
    values ('bafkqaaa', 'incomplete', 1, 'bafkqaab', now(), now())`.execute(kysely);
  await uploadChanges(kysely, 2_500);
  await expect.poll(page.topics).toContain('uploads');
  expect(page.topics()).not.toContain('aggregates');
  // All 2,500 were read, in three looks: a later one is told anew.
  await new Promise((resolve) => void setTimeout(resolve, LOOK_MS * 10));
  page.forget();
  await uploadChanges(kysely, 1);
  await expect.poll(page.topics).toContain('uploads');
  page.stream.destroy();
  await live.close();
});

/** Events of an upload, as its stages write them. */
async function uploadChanges(kysely: Kysely<DB>, count: number): Promise<void> {
  await sql`insert into events (at, upload_id, from_state, to_state)
    select now(), u.id, 'waiting', 'waiting' from uploads u, generate_series(1, ${count}::integer) where u.root = 'bafkqaaa'`.execute(
    kysely,
  );
}

test('it looks only while somebody listens, and ends with the service', async () => {
  await using db = await testDatabase();
  let looks = 0;
  const kysely = db.kysely.withPlugin({
    transformQuery: ({ node }) => {
      looks += 1;
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  const live = new LiveChanges({ kysely, log: silentLog, lookMs: LOOK_MS });
  const first = listen(live);
  const second = listen(live);
  await expect.poll(() => looks).toBeGreaterThan(3);
  const before = looks;
  await expect.poll(first.topics).toContain('jobs');
  // One look serves both: they were told of the same looks.
  expect(second.topics().length).toBe(first.topics().length);
  expect(looks).toBeGreaterThanOrEqual(before);
  first.stream.destroy();
  second.stream.destroy();
  await expect
    .poll(async () => {
      const seen = looks;
      await new Promise((resolve) => void setTimeout(resolve, LOOK_MS * 5));
      return looks - seen;
    })
    .toBe(0);
  const third = listen(live);
  await expect.poll(third.topics).toContain('jobs');
  const ended = new Promise((resolve) => void third.stream.once('end', resolve));
  await live.close();
  await ended;
});

test('a database that is away ends no stream, and what changed meanwhile is told', async () => {
  await using db = await testDatabase();
  let isAway = false;
  const kysely = db.kysely.withPlugin({
    transformQuery: ({ node }) => {
      if (isAway) throw new Error('the database is away');
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  const warned: string[] = [];
  const log = { warn: (_fields: object, event?: string) => void warned.push(event ?? '') };
  const live = new LiveChanges({ kysely, log, lookMs: LOOK_MS });
  const page = listen(live);
  await expect.poll(page.topics).toContain('jobs');
  isAway = true;
  await expect.poll(() => warned).toContain('dashboard.look_failed');
  await replacePolicy(db.kysely, { pairs: ['replicas=4'], by: 'test', at: new Date() });
  isAway = false;
  await expect.poll(page.topics).toContain('policy');
  page.stream.destroy();
  await live.close();
});

test('the line begins with the build of the page', async () => {
  await using fixture = await apiFixture();
  const { url } = await fixture.listen();
  const gone = new AbortController();
  const response = await fetch(`${url}/dashboard/live`, { headers: bearer(tokens.read), signal: gone.signal });
  expect(response.headers.get('content-type')).toContain('text/event-stream');
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  const { value = '' } = (await reader?.read()) ?? {};
  expect(value).toMatch(/event: hello\ndata: \{"build":"[\w-]{12}"\}/);
  const html = await (await fetch(`${url}/dashboard`)).text();
  expect(html).toContain(`/assets/${/"build":"([^"]+)"/.exec(value)?.[1]}/main.ts`);
  gone.abort();
});
