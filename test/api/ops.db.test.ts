import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { installJobs } from '../../src/jobs/jobs.ts';
import { reportNames, reports } from '../../src/ops/report-rows.ts';
import { apiFixture, tokens } from '../support/api-fixture.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { call, uploadAll } from './call.ts';

/** A row of each view: what is answered is checked against its schema in the strict server. */
async function world() {
  const fixture = await apiFixture();
  const { kysely, store, database } = fixture;
  await installJobs(database.url);
  await sql`insert into network (name, genesis_seconds) values ('mainnet', 1598306400)`.execute(kysely);
  await sql`insert into chain_freshness (as_of, epoch, looked_at, limited) values (now(), 3000000, now(), 'no node keeps events')`.execute(
    kysely,
  );
  await sql`insert into client_funds values ('f1client', now(), 3000000, 5, 7)`.execute(kysely);
  const roots = await uploadAll(fixture, ['a', 'b', 'c']);
  const { id: aggregateId } = await seedAggregate(kysely, store, { roots: roots.slice(0, 2) });
  const states = ['active', 'published', 'accepted', 'sent', 'rejected', 'slashed'] as const;
  for (const [slot, state] of states.entries())
    await seedDeal(kysely, { aggregateId, slot, provider: `f0${1000 + slot}`, state });
  await sql`insert into aggregate_times values (${aggregateId}, now(), now(), now(), now(), now())`.execute(kysely);
  await sql`insert into choices (aggregate_id, at, policy_version, chosen, refused)
    values (${aggregateId}, now(), 1, '[]', '[{"provider":"f01","code":"price","reason":"x"}]')`.execute(kysely);
  await sql`insert into transfers select id, '\\x01', 100, now() - interval '2 hours', now() - interval '1 hour' from deals where state = 'accepted'`.execute(
    kysely,
  );
  await sql`insert into pgboss.job (name, data, state, retry_count, output)
    values ('propose', '{"aggregateId":"7"}', 'retry', 3, '{"message":"no answer"}'), ('send', '{"dealId":"x"}', 'failed', 3, '"x"'), ('send', '{}', 'created', 0, null)`.execute(
    kysely,
  );
  await sql`insert into webhooks (id, owner, url, filter, created_at, cursor_xid, cursor_position, cursor_index)
    values (gen_random_uuid(), 'somebody', 'https://example.com/hook', '{}', now(), '1', 0, 0)`.execute(kysely);
  await sql`insert into damage (object_key, object_offset, length_bytes, aggregate_id, what, found_at) values ('x', 0, 9, ${aggregateId}, 'torn', now())`.execute(
    kysely,
  );
  await sql`update uploads set changed_at = now() - interval '80 hours' where root = ${roots[2] ?? ''}`.execute(kysely);
  return fixture;
}

const camel = (name: string) => name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());

interface ReportAnswer {
  asOf: string;
  rows: Record<string, unknown>[];
  more: boolean;
}

test('every report answers the rows of its view', async () => {
  await using fixture = await world();
  for (const name of reportNames) {
    const response = await call(fixture, 'GET', `/ops/${name}?limit=1000`, { token: tokens.read });
    expect(response.statusCode, `${name}: ${response.body}`).toBe(200);
    const { rows, more, asOf } = response.json<ReportAnswer>();
    expect(rows.length, name).toBeGreaterThan(0);
    expect(more).toBe(false);
    expect(Date.now() - Date.parse(asOf)).toBeLessThan(60_000);
    const { rows: told } = await sql<{
      row: Record<string, unknown>;
    }>`select to_jsonb(v) as row from ${sql.table(reports[name].view)} v`.execute(fixture.kysely);
    expect(rows.length, name).toBe(told.length);
    // What moves by itself is left out; money is text here, and a number in JSON of the database.
    const still = (row: Record<string, unknown>) =>
      JSON.stringify(
        Object.entries(row)
          .filter(([key]) => !/second|hours|score|days_?left|perDay|per_day/i.test(key))
          .map(([key, value]) => [
            camel(key),
            /at$|since$|as_?of$/i.test(key) && typeof value === 'string' ? Date.parse(value) : String(value),
          ])
          .toSorted(([a], [b]) => String(a).localeCompare(String(b))),
      );
    expect(rows.map(still).sort(), name).toEqual(told.map(({ row }) => still(row)).sort());
  }
});

test('the overview is those figures in one answer, with what needs somebody', async () => {
  await using fixture = await world();
  const response = await call(fixture, 'GET', '/ops/overview');
  expect(response.statusCode, response.body).toBe(200);
  const overview = response.json<Record<string, unknown>>();
  const report = async (name: string) => (await call(fixture, 'GET', `/ops/${name}`)).json<ReportAnswer>().rows;
  const still = (value: unknown) =>
    JSON.stringify(value, (key, inner: unknown) => (key.endsWith('Seconds') ? undefined : inner));
  expect(still(overview['funnel'])).toBe(still(await report('funnel')));
  expect(still(overview['dealsByState'])).toBe(still(await report('deals-by-state')));
  expect(still(overview['jobs'])).toBe(still(await report('jobs')));
  expect(still([overview['chain']])).toBe(still(await report('chain')));
  expect(still([overview['store']])).toBe(still(await report('store')));
  expect(overview).toMatchObject({
    stuck: {
      upload: { '48': 0, '60': 0, '72': 1 },
      aggregate: { '48': 0, '60': 0, '72': 0 },
      deal: { '48': 0, '60': 0, '72': 2 },
    },
    transfers: { notBegun: 0, moving: 0, still: 1 },
    providers: { enabled: 6, resting: 0, paused: 0, removed: 0 },
    policy: { version: 1, proposing: true },
  });
  const { attention } = response.json<{ attention: { code: string; level: string }[] }>();
  expect(attention.map(({ code }) => code)).toEqual(
    expect.arrayContaining([
      'store_damage',
      'stuck_uploads_72h',
      'stuck_deals_72h',
      'jobs_failed',
      'transfers_still',
      'chain_limited',
    ]),
  );
  expect(attention.map(({ level }) => level)).toEqual(
    attention
      .map(({ level }) => level)
      .toSorted((a, b) => a.localeCompare(b) * (a === 'alarm' || b === 'alarm' ? 1 : -1)),
  );
});

test('the database is asked once for all who look at the same time, and not again for a while', async () => {
  await using fixture = await world();
  const calls = () => Promise.all(Array.from({ length: 30 }, () => call(fixture, 'GET', '/ops/overview')));
  const first = await calls();
  await sql`insert into uploads (root, state, failure, created_at, changed_at) values ('bafyfailed', 'failed', 'x', now(), now())`.execute(
    fixture.kysely,
  );
  const second = await calls();
  const bodies = new Set([...first, ...second].map(({ body }) => body));
  expect(bodies.size).toBe(1);
});

test('a report is cut at the limit and says so', async () => {
  await using fixture = await world();
  const { rows, more } = (await call(fixture, 'GET', '/ops/funnel?limit=3')).json<ReportAnswer>();
  expect(rows.map(({ stage }) => stage)).toEqual(['incomplete', 'waiting', 'filling']);
  expect(more).toBe(true);
  for (const url of ['/ops/funnel?limit=0', '/ops/funnel?limit=1001', '/ops/funnel?odd=1', '/ops/overview?limit=1'])
    expect((await call(fixture, 'GET', url)).json()).toMatchObject({ code: 'INVALID_REQUEST', status: 400 });
  expect((await call(fixture, 'GET', '/ops/odd')).statusCode).toBe(404);
});
