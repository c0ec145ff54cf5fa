import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createMetrics } from '../../src/metrics/metrics.ts';
import { apiFixture, tokens } from '../support/api-fixture.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { call, uploadAll } from '../api/call.ts';
import { readExposition, valueOf } from './read-exposition.ts';

const hoursAgo = (hours: number) => new Date(Date.now() - hours * 3_600_000);

async function seeded() {
  const fixture = await apiFixture();
  const { kysely, store } = fixture;
  const clock = { now: () => new Date() };
  const scrape = async () =>
    readExposition(await createMetrics().scraper({ kysely, store, clock, rpcHealth: undefined })());
  return { fixture, scrape, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

test('what is stuck is counted beyond each limit, and by kind', async () => {
  await using world = await seeded();
  const { kysely } = world.fixture;
  const [young = '', old = '', older = ''] = await uploadAll(world.fixture, ['1 h', '50 h', '80 h']);
  for (const [root, hours] of [
    [young, 1],
    [old, 50],
    [older, 80],
  ] as const)
    await sql`update uploads set changed_at = ${hoursAgo(hours)} where root = ${root}`.execute(kysely);
  const families = await world.scrape();
  const beyond = (limit: string, kind = 'upload') => valueOf(families, 'lading_stuck_items', { kind, beyond: limit });
  expect(['48h', '60h', '72h'].map((limit) => beyond(limit))).toEqual([2, 1, 1]);
  expect(['48h', '60h', '72h'].map((limit) => beyond(limit, 'deal'))).toEqual([0, 0, 0]);
});

test('deals that end with nothing after them, those that ended by why, and what money and DataCap are left', async () => {
  await using world = await seeded();
  const { kysely, store } = world.fixture;
  const { id: aggregateId } = await seedAggregate(kysely, store, { roots: await uploadAll(world.fixture, ['a']) });
  const head = 3_000_000;
  await sql`insert into chain_freshness (as_of, epoch, looked_at) values (now(), ${head}, now())`.execute(kysely);
  const states = ['active', 'active', 'active', 'rejected', 'rejected', 'missed'] as const;
  for (const [slot, state] of states.entries())
    await seedDeal(kysely, { aggregateId, slot, provider: `f0100${slot}`, state });
  const daysLeft = [5, 10, 200];
  for (const [slot, days] of daysLeft.entries())
    await sql`update deals set start_epoch = 2_000_000, end_epoch = ${head + days * 2_880} where slot = ${slot}`.execute(
      kysely,
    );
  await sql`update deals set reason_code = 'A word of theirs' where slot = 4`.execute(kysely);
  await sql`insert into client_funds (client, at, epoch, free_escrow, datacap_bytes)
    values ('f1abc', now(), ${head}, 2500000000000000000, 1099511627776)`.execute(kysely);
  const families = await world.scrape();
  const within = (days: string) => valueOf(families, 'lading_deals_unrenewed', { within: days });
  expect(['7d', '14d', '30d'].map(within)).toEqual([1, 2, 2]);
  expect(valueOf(families, 'lading_deals_ended', { state: 'rejected', reason: 'some_reason' })).toBe(1);
  expect(valueOf(families, 'lading_deals_ended', { state: 'rejected', reason: 'other' })).toBe(1);
  expect(valueOf(families, 'lading_deals_ended', { state: 'missed' })).toBe(1);
  expect(valueOf(families, 'lading_escrow_free_fil', { client: 'f1abc' })).toBe(2.5);
  expect(valueOf(families, 'lading_datacap_free_bytes', { client: 'f1abc' })).toBe(2 ** 40);
  expect(valueOf(families, 'lading_datacap_runway_seconds', { client: 'f1abc' })).toBeUndefined();
});

test('a pause of all proposing stands there, with how long it lasts', async () => {
  await using world = await seeded();
  expect(valueOf(await world.scrape(), 'lading_proposing_paused')).toBe(0);
  await call(world.fixture, 'POST', '/proposing/pause', { token: tokens.ops });
  await sql`update policies set created_at = ${hoursAgo(2)}`.execute(world.fixture.kysely);
  const families = await world.scrape();
  expect(valueOf(families, 'lading_proposing_paused')).toBe(1);
  expect(Math.round((valueOf(families, 'lading_proposing_paused_seconds') ?? 0) / 60)).toBe(120);
});

test('uploads by URL, pins by CID and pins in the cluster are counted while they are under way', async () => {
  await using world = await seeded();
  const { kysely } = world.fixture;
  const [first = '', second = ''] = await uploadAll(world.fixture, ['a', 'b']);
  await sql`insert into pulls (owner, url, failing_since, error_code, error, created_at) values
    ('service', 'https://a.example.com/1', null, null, null, ${hoursAgo(1)}),
    ('service', 'https://a.example.com/2', now(), 'STALLED', 'nothing came', ${hoursAgo(3)})`.execute(kysely);
  await sql`insert into pin_requests (id, owner_id, root, cid, origins, state, gives_ownership, created_at, changed_at)
    select gen_random_uuid(), id, ${first}, ${first}, '{}', 'pinning', true, date_trunc('milliseconds', ${hoursAgo(2)}::timestamptz), now()
    from owners where name = 'service'`.execute(kysely);
  await sql`insert into pins (upload_id, status, step, due_at, failing_since, error, changed_at)
    select id, case root when ${first} then 'pinned' else 'failed' end::pin_status, 'look', now(),
      case root when ${second} then now() end, case root when ${second} then 'no space' end, ${hoursAgo(5)} from uploads
    on conflict (upload_id) do update set status = excluded.status, step = excluded.step, due_at = excluded.due_at,
      failing_since = excluded.failing_since, error = excluded.error, changed_at = excluded.changed_at`.execute(kysely);
  await sql`update pin_cluster set failing_since = ${hoursAgo(4)}, error = 'refused'`.execute(kysely);
  const families = await world.scrape();
  const hours = (name: string, labels: Record<string, string> = {}) =>
    Math.round((valueOf(families, name, labels) ?? Number.NaN) / 3_600);
  const pulls = ['waiting', 'failing'].map((state) => valueOf(families, 'lading_pulls', { state }));
  expect(pulls).toEqual([1, 1]);
  expect(hours('lading_pulls_oldest_age_seconds', { state: 'failing' })).toBe(3);
  expect(valueOf(families, 'lading_pin_requests', { state: 'pinning' })).toBe(1);
  expect(hours('lading_pin_requests_oldest_age_seconds', { state: 'pinning' })).toBe(2);
  const pins = ['queued', 'pinned', 'failed'].map((state) => valueOf(families, 'lading_pins', { state }));
  expect(pins).toEqual([0, 1, 1]);
  expect(hours('lading_pins_oldest_age_seconds', { state: 'failed' })).toBe(5);
  expect(hours('lading_pin_cluster_failing_seconds')).toBe(4);
});

test('how long stages took is a histogram of the history itself', async () => {
  await using world = await seeded();
  const { kysely, store } = world.fixture;
  const { id } = await seedAggregate(kysely, store, { roots: await uploadAll(world.fixture, ['a']) });
  const { id: other } = await seedAggregate(kysely, store, {
    roots: await uploadAll(world.fixture, ['b']),
    pieceCid: 'baga6ea4seaqao7s73y24kcutaosvacpdjgfe5pw76ooefnyqw4ynr3d2y6x2mpq',
  });
  const t0 = Date.parse('2024-05-01T00:00:00Z');
  const at = (minutes: number) => new Date(t0 + minutes * 60_000);
  for (const aggregate of [id, other])
    await sql`update aggregates set oldest_accepted_at = ${at(0)}, opened_at = ${at(0)}, sealed_at = ${at(200)}
      where id = ${aggregate}`.execute(kysely);
  await sql`insert into aggregate_times (aggregate_id, closed_at, signed_at, accepted_at, published_at, active_at) values
    (${id}, ${at(90)}, ${at(210)}, ${at(213)}, ${at(1_000)}, ${at(4_000)}), (${other}, ${at(90)}, null, null, null, null)`.execute(
    kysely,
  );
  const families = await world.scrape();
  const bucket = (stage: string, le: string) =>
    valueOf(families, 'lading_stage_duration_seconds_bucket', { stage, le });
  // 90 minutes of filling, twice; 10 minutes sealed, once; 3 minutes signed, once.
  expect([bucket('filling', '3600'), bucket('filling', '14400'), bucket('filling', '+Inf')]).toEqual([0, 2, 2]);
  expect([bucket('sealed', '300'), bucket('sealed', '900'), bucket('sealed', '+Inf')]).toEqual([0, 1, 1]);
  expect(valueOf(families, 'lading_stage_duration_seconds_sum', { stage: 'filling' })).toBe(2 * 90 * 60);
  expect(valueOf(families, 'lading_stage_duration_seconds_count', { stage: 'signed' })).toBe(1);
  const toStep = (step: string) => valueOf(families, 'lading_time_to_step_seconds_sum', { step });
  expect([toStep('sealed'), toStep('published'), toStep('active')]).toEqual([2 * 12_000, 60_000, 240_000]);
  expect(valueOf(families, 'lading_time_to_step_seconds_bucket', { step: 'active', le: '+Inf' })).toBe(1);
  // Each bucket holds those before it.
  for (const { name, labels, value } of families.get('lading_stage_duration_seconds')?.samples ?? []) {
    if (!name.endsWith('_bucket')) continue;
    const { stage = '' } = labels;
    expect(value).toBeLessThanOrEqual(
      valueOf(families, 'lading_stage_duration_seconds_count', { stage }) ?? Number.NaN,
    );
  }
});

/** As promtool's linter has them, by https://prometheus.io/docs/practices/naming. */
test('names are by the conventions of Prometheus, and series are few', async () => {
  await using world = await seeded();
  const families = await world.scrape();
  let series = 0;
  for (const [name, { type, help, samples }] of families) {
    expect(name).toMatch(/^lading_[a-z0-9_]+$/);
    expect(help.length).toBeGreaterThan(3);
    expect([name, name.endsWith('_total')]).toEqual([name, type === 'counter']);
    expect(name).not.toMatch(/_(bucket|count|sum|gauge|counter|histogram)$/);
    // Base units alone.
    expect(name).not.toMatch(/_(ms|milliseconds|minutes|hours|days|kb|mb|kib|mib|gib|percent|atto[a-z]*)(_|$)/);
    if (/_(age|duration|runway|lag)_/.test(name) && !name.includes('epochs')) expect(name).toMatch(/_seconds/);
    series += samples.length;
  }
  expect(families.size).toBeGreaterThan(60);
  expect(series).toBeLessThan(1_000);
});
