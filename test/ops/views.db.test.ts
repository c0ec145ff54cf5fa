import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import type { DB, DealState } from '../../src/db/tables.ts';
import { apiFixture, type ApiFixture } from '../support/api-fixture.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { uploadAll } from '../api/call.ts';

const HOUR = 3_600_000;
const ago = (hours: number) => new Date(Date.now() - hours * HOUR);
const rowsOf = async <T = Record<string, unknown>>(kysely: Kysely<DB>, text: string) =>
  (await sql<T>`${sql.raw(text)}`.execute(kysely)).rows;

/** An aggregate of one upload, with a deal in each of these states; all of them this many hours old. */
async function aggregateWith(
  fixture: ApiFixture,
  name: string,
  { states = [], state, hours = 1 }: { states?: DealState[]; state?: 'open' | 'sealing'; hours?: number },
) {
  const { kysely, store } = fixture;
  const roots = await uploadAll(fixture, [name]);
  const pieceCid = `baga6ea4seaq${name}`;
  const { id, lengthBytes } = await seedAggregate(kysely, store, { roots, pieceCid, ...(state && { state }) });
  await sql`update aggregates set oldest_accepted_at = ${ago(hours)}, opened_at = ${ago(hours)} where id = ${id}`.execute(
    kysely,
  );
  const deals: string[] = [];
  for (const [slot, dealState] of states.entries()) {
    const chainDealId = id * 100n + BigInt(slot);
    const provider = `f0${1000 + slot}`;
    deals.push(
      await seedDeal(kysely, { aggregateId: id, slot, provider, state: dealState, changedAt: ago(hours), chainDealId }),
    );
  }
  const { piece_bytes: pieceBytes } = await kysely
    .selectFrom('aggregates')
    .select('piece_bytes')
    .where('id', '=', id)
    .executeTakeFirstOrThrow();
  return { id, root: roots[0] ?? '', deals, lengthBytes, pieceBytes, pieceCid };
}

async function addUpload(kysely: Kysely<DB>, root: string, state: 'incomplete' | 'waiting' | 'failed', at: Date) {
  const isWaiting = state === 'waiting';
  const isIncomplete = state === 'incomplete';
  await sql`insert into uploads (root, state, run_bytes, dag_bytes, block_count, missing_count, missing_first, failure, created_at, changed_at)
    values (${root}, ${state}::upload_state, ${isWaiting ? 70 : null}, ${isWaiting ? 60 : null}, ${isWaiting ? 1 : null}, ${isIncomplete ? 3 : null},
      ${isIncomplete ? 'bafymissing' : null}, ${state === 'failed' ? 'they never came' : null}, ${at}, ${at})`.execute(
    kysely,
  );
}

test('ops_funnel: each thing stands in one stage, that of its best live deal', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  const made = [
    await aggregateWith(fixture, 'filling', { state: 'open' }),
    await aggregateWith(fixture, 'sealing', { state: 'sealing' }),
    await aggregateWith(fixture, 'nobody', { states: ['rejected', 'abandoned'] }),
    await aggregateWith(fixture, 'lost', { states: ['slashed', 'expired'] }),
    await aggregateWith(fixture, 'signed', { states: ['signed', 'rejected'] }),
    await aggregateWith(fixture, 'sent', { states: ['signed', 'sent'] }),
    await aggregateWith(fixture, 'accepted', { states: ['accepted', 'sent', 'failed'] }),
    await aggregateWith(fixture, 'published', { states: ['accepted', 'published'], hours: 30 }),
    await aggregateWith(fixture, 'active', { states: ['published', 'active', 'active', 'slashed'] }),
  ];
  await addUpload(kysely, 'bafywaitingone', 'waiting', ago(5));
  await addUpload(kysely, 'bafywaitingtwo', 'waiting', ago(2));
  await addUpload(kysely, 'bafyincomplete', 'incomplete', ago(3));
  await addUpload(kysely, 'bafyfailed', 'failed', ago(3));
  const rows = await rowsOf(
    kysely,
    `select stage, uploads::integer, aggregates::integer, bytes::text, round(oldest_seconds / 3600)::integer as hours from ops_funnel order by place`,
  );
  const { rows: cars } = await sql<{
    id: bigint;
    bytes: string;
  }>`select id, coalesce(car_bytes, length_bytes)::text as bytes from aggregates`.execute(kysely);
  const bytes = (...places: number[]) =>
    String(places.reduce((sum, at) => sum + BigInt(cars.find(({ id }) => id === made[at]?.id)?.bytes ?? 0), 0n));
  expect(rows).toEqual([
    { stage: 'incomplete', uploads: 1, aggregates: null, bytes: null, hours: 3 },
    { stage: 'waiting', uploads: 2, aggregates: null, bytes: '140', hours: 5 },
    { stage: 'filling', uploads: 1, aggregates: 1, bytes: bytes(0), hours: 1 },
    { stage: 'sealing', uploads: 1, aggregates: 1, bytes: bytes(1), hours: 1 },
    { stage: 'sealed', uploads: 2, aggregates: 2, bytes: bytes(2, 3), hours: 1 },
    { stage: 'signed', uploads: 1, aggregates: 1, bytes: bytes(4), hours: 1 },
    { stage: 'sent', uploads: 1, aggregates: 1, bytes: bytes(5), hours: 1 },
    { stage: 'accepted', uploads: 1, aggregates: 1, bytes: bytes(6), hours: 1 },
    { stage: 'published', uploads: 1, aggregates: 1, bytes: bytes(7), hours: 30 },
    { stage: 'active', uploads: 1, aggregates: 1, bytes: bytes(8), hours: null },
    { stage: 'failed', uploads: 1, aggregates: null, bytes: null, hours: null },
  ]);
  const byState = await rowsOf<{ state: string; deals: number; hours: number | null }>(
    kysely,
    `select state, deals::integer, round(oldest_seconds / 3600)::integer as hours from ops_deals_by_state order by place`,
  );
  expect(Object.fromEntries(byState.map(({ state, deals }) => [state, deals]))).toEqual({
    signed: 2,
    sent: 2,
    accepted: 2,
    published: 2,
    active: 2,
    rejected: 2,
    failed: 1,
    abandoned: 1,
    missed: 0,
    expired: 1,
    slashed: 2,
  });
  expect(byState.find(({ state }) => state === 'published')?.hours).toBe(30);
  expect(byState.find(({ state }) => state === 'active')?.hours).toBeNull();
  const kept = await rowsOf(
    kysely,
    `select stage, replicas_have, replicas_live, providers from ops_aggregates where piece_cid in ('baga6ea4seaqactive', 'baga6ea4seaqnobody') order by stage`,
  );
  expect(kept).toEqual([
    { stage: 'active', replicas_have: 2, replicas_live: 3, providers: ['f01000', 'f01001', 'f01002'] },
    { stage: 'sealed', replicas_have: 0, replicas_live: 0, providers: [] },
  ]);
  const [upload] = await rowsOf(
    kysely,
    `select stage, active_replicas, providers, owners from ops_uploads where root = '${made[8]?.root}'`,
  );
  expect(upload).toEqual({ stage: 'active', active_replicas: 2, providers: ['f01001', 'f01002'], owners: ['service'] });
  const stages = await rowsOf<{ same: boolean }>(
    kysely,
    `select bool_and(a.stage = s.stage) as same from ops_aggregates a join ops_aggregate_stages s using (aggregate_id)`,
  );
  expect(stages).toEqual([{ same: true }]);
});

test('ops_stuck: by 48, 60 and 72 hours, with the reason, and nothing that moves or that nobody owns', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  await addUpload(kysely, 'bafywaitinga', 'waiting', ago(47));
  await addUpload(kysely, 'bafywaitingb', 'waiting', ago(49));
  await addUpload(kysely, 'bafyincomplete', 'incomplete', ago(61));
  await aggregateWith(fixture, 'young', { states: ['published'], hours: 47 });
  await aggregateWith(fixture, 'active', { states: ['active'], hours: 100 });
  const sealed = await aggregateWith(fixture, 'sealed', { hours: 73 });
  await sql`insert into choices (aggregate_id, at, policy_version, chosen, refused) values
    (${sealed.id}, now(), 1, '[]', '[{"provider":"f01","code":"old"}]'),
    (${sealed.id}, now(), 1, '[]', '[{"provider":"f01","code":"price"},{"provider":"f02","code":"price"},{"provider":"f03","code":"resting"}]')`.execute(
    kysely,
  );
  const sent = await aggregateWith(fixture, 'sent', { states: ['sent'], hours: 50 });
  const lost = await aggregateWith(fixture, 'lost', { states: ['slashed'], hours: 62 });
  await sql`insert into aggregate_times values (${lost.id}, now(), now(), now(), now(), now())`.execute(kysely);
  await sql`update aggregates set oldest_accepted_at = now() - interval '400 days' where id = ${lost.id}`.execute(
    kysely,
  );
  const unowned = await aggregateWith(fixture, 'unowned', { hours: 90 });
  await sql`update upload_owners set ended_at = now() where upload_id in (select upload_id from placements where aggregate_id = ${unowned.id})`.execute(
    kysely,
  );
  const rows = await rowsOf(
    kysely,
    `select kind, name, stage, round(hours)::integer as hours, level, why from ops_stuck order by kind, since`,
  );
  expect(rows).toEqual([
    {
      kind: 'aggregate',
      name: sealed.pieceCid,
      stage: 'sealed',
      hours: 73,
      level: 72,
      why: 'nobody to propose to: price 2, resting 1',
    },
    { kind: 'aggregate', name: lost.pieceCid, stage: 'sealed', hours: 62, level: 60, why: 'last refusal: some_reason' },
    {
      kind: 'aggregate',
      name: sent.pieceCid,
      stage: 'sent',
      hours: 50,
      level: 48,
      why: 'its deal with f01000 is sent',
    },
    { kind: 'deal', name: sent.pieceCid, stage: 'sent', hours: 50, level: 48, why: 'the provider has not answered' },
    {
      kind: 'upload',
      name: 'bafyincomplete',
      stage: 'incomplete',
      hours: 61,
      level: 60,
      why: '3 blocks have not come, the first is bafymissing',
    },
    {
      kind: 'upload',
      name: 'bafywaitingb',
      stage: 'waiting',
      hours: 49,
      level: 48,
      why: 'no aggregate has taken it yet',
    },
  ]);
});

test('ops_expiring, ops_runway: what ends when, and what money is left for how long', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  const head = 3_000_000;
  await sql`insert into chain_freshness (as_of, epoch, looked_at) values (now(), ${head}, now())`.execute(kysely);
  await sql`insert into network (name, genesis_seconds) values ('mainnet', 1598306400)`.execute(kysely);
  const { deals, pieceBytes } = await aggregateWith(fixture, 'one', {
    states: ['active', 'active', 'published', 'accepted'],
    hours: 24 * 7,
  });
  for (const [slot, days] of [10, 100].entries())
    await sql`update deals set start_epoch = 2000000, end_epoch = ${head + days * 2880} where id = ${deals[slot] ?? ''}`.execute(
      kysely,
    );
  const [next] = await aggregateWith(fixture, 'two', { states: ['accepted'], hours: 0 }).then(({ deals: ids }) => ids);
  const expiring = () =>
    rowsOf(
      kysely,
      `select deal_id, end_epoch::integer, days_left, renewal_due, renewed, extract(epoch from end_at)::integer as end_at from ops_expiring order by end_epoch`,
    );
  const endAt = (days: number) => 1_598_306_400 + (head + days * 2_880) * 30;
  expect(await expiring()).toEqual([
    {
      deal_id: deals[0],
      end_epoch: head + 28_800,
      days_left: 10,
      renewal_due: true,
      renewed: false,
      end_at: endAt(10),
    },
    {
      deal_id: deals[1],
      end_epoch: head + 288_000,
      days_left: 100,
      renewal_due: false,
      renewed: false,
      end_at: endAt(100),
    },
  ]);
  await sql`update deals set generation = 1, slot = 0, aggregate_id = (select aggregate_id from deals where id = ${deals[0] ?? ''}) where id = ${next ?? ''}`.execute(
    kysely,
  );
  expect((await expiring()).map((row) => row['renewed'])).toEqual([true, false]);

  await sql`insert into client_funds values ('f1client', now(), ${head}, 100000, ${10n * (pieceBytes ?? 0n)})`.execute(
    kysely,
  );
  // Of the four of a week ago three were published, at 1 attoFIL an epoch; two are verified. Two are not published: one of them verified.
  await sql`update deals set verified = (id in (${deals[0] ?? ''}, ${deals[2] ?? ''}, ${deals[3] ?? ''})), start_epoch = end_epoch - 1000, price_per_epoch = 1, published_epoch = case when chain_deal_id is not null then 100 end`.execute(
    kysely,
  );
  const runway = await rowsOf(
    kysely,
    `select what, free::text, reserved::text, spent::text, per_day::text, round(days_left::numeric, 3)::text as days_left from ops_runway order by what`,
  );
  const size = Number(pieceBytes);
  expect(runway).toEqual([
    {
      what: 'balance',
      free: '100000',
      reserved: '2000',
      spent: '3000',
      per_day: '429',
      days_left: ((100_000 - 2_000) / (3_000 / 7)).toFixed(3),
    },
    {
      what: 'datacap',
      free: String(10 * size),
      reserved: String(size),
      spent: String(2 * size),
      per_day: String(Math.round((2 * size) / 7)),
      days_left: ((9 * size) / ((2 * size) / 7)).toFixed(3),
    },
  ]);
  await sql`update deals set created_at = now() - interval '29 days' where id = ${deals[3] ?? ''}`.execute(kysely);
  const [balance] = await rowsOf(kysely, `select per_day::text from ops_runway where what = 'balance'`);
  expect(balance).toEqual({ per_day: String(Math.round(3_000 / 28)) });
});

test('ops_transfers: how much of a piece a provider was sent, and when it is called off', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  const { deals, id } = await aggregateWith(fixture, 'one', {
    states: ['accepted', 'accepted', 'accepted', 'published'],
    hours: 2,
  });
  await sql`update aggregates set filler_bytes = 0, tree_bytes = 64 * 1048576 * 10 - length_bytes, car_bytes = 64 * 1048576 * 10, piece_bytes = 1073741824, capacity_bytes = 1073741824 where id = ${id}`.execute(
    kysely,
  );
  await sql`insert into transfers values (${deals[1] ?? ''}, '\\x1f', 1000, now() - interval '20 minutes', now() - interval '15 minutes'),
    (${deals[2] ?? ''}, '\\xff03', 7200, now() - interval '3 minutes', now() - interval '1 minute')`.execute(kysely);
  const rows = await rowsOf(
    kysely,
    `select state, covered_share, round(bytes_per_second::numeric)::integer as rate, round(since_seconds / 60)::integer as minutes,
    round(extract(epoch from call_off_at - now()) / 60)::integer as left from ops_transfers order by state desc`,
  );
  expect(rows).toEqual([
    { state: 'still', covered_share: 0.5, rate: 3, minutes: 15, left: 360 - 15 },
    { state: 'not_begun', covered_share: 0, rate: null, minutes: 120, left: 360 - 120 },
    { state: 'moving', covered_share: 1, rate: 60, minutes: 1, left: 360 - 1 },
  ]);
  await sql`update deals set called_off_at = now() where id = ${deals[1] ?? ''}`.execute(kysely);
  await sql`update deals set offline = true where id = ${deals[2] ?? ''}`.execute(kysely);
  expect(await rowsOf(kysely, `select state from ops_transfers`)).toEqual([{ state: 'not_begun' }]);
});

test('ops_time_percentiles, ops_daily: by the week and the day in which a step was reached, in UTC', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  for (const [at, hours] of [1, 2, 3, 4, 10].entries()) {
    const { id } = await aggregateWith(fixture, `one${at}`, {});
    await sql`update aggregates set oldest_accepted_at = now() - interval '20 days', opened_at = now() - interval '20 days', sealed_at = now() - interval '20 days' + ${hours} * interval '1 hour' where id = ${id}`.execute(
      kysely,
    );
    await sql`insert into aggregate_times values (${id}, now(), now(), now(), now() - interval '20 days' + ${hours * 2} * interval '1 hour', null)`.execute(
      kysely,
    );
  }
  const whole = await rowsOf(
    kysely,
    `select step, sum(aggregates)::integer as aggregates, round(max(max_seconds) / 3600)::integer as max, bool_and(extract(isodow from week) = 1) as monday from ops_time_percentiles group by step order by step`,
  );
  expect(whole).toEqual([
    { step: 'aggregate', aggregates: 5, max: 0, monday: true },
    { step: 'published', aggregates: 5, max: 20, monday: true },
    { step: 'sealed', aggregates: 5, max: 10, monday: true },
  ]);
  // The same again, in one week for sure.
  await sql`update aggregates set sealed_at = '2026-03-02T00:00:00Z'::timestamptz + (id % 5) * interval '1 hour', oldest_accepted_at = '2026-03-02T00:00:00Z'::timestamptz + (id % 5) * interval '1 hour' - (id % 5) * interval '1 hour'`.execute(
    kysely,
  );
  const [sealed] = await rowsOf(
    kysely,
    `select week::text, aggregates::integer, p50_seconds / 3600 as p50, p95_seconds / 3600 as p95 from ops_time_percentiles where step = 'sealed'`,
  );
  expect(sealed).toEqual({ week: '2026-03-02', aggregates: 5, p50: 2, p95: 3.8 });
  const days = await rowsOf(
    kysely,
    `select count(*)::integer as days, sum(published)::integer as published, max(day)::text = (now() at time zone 'UTC')::date::text as today from ops_daily`,
  );
  expect(days).toEqual([{ days: 400, published: 5, today: true }]);
});

test('ops_no_takers, ops_outbox: who stands in the way, and what an open transaction holds back', async () => {
  await using fixture = await apiFixture();
  const { kysely, database } = fixture;
  await sql`update policies set replicas = 2`.execute(kysely);
  const one = await aggregateWith(fixture, 'one', { states: ['active'] });
  const two = await aggregateWith(fixture, 'two', {});
  const full = await aggregateWith(fixture, 'full', { states: ['active', 'signed'] });
  const refused = (codes: [string, string][]) =>
    JSON.stringify(codes.map(([provider, code]) => ({ provider, code, reason: 'x' })));
  for (const [{ id }, codes] of [
    [
      one,
      refused([
        ['f01', 'price'],
        ['f02', 'resting'],
      ]),
    ],
    [
      two,
      refused([
        ['f01', 'price'],
        ['f03', 'price'],
      ]),
    ],
    [full, refused([['f01', 'cap_org']])],
  ] as const)
    await sql`insert into choices (aggregate_id, at, policy_version, chosen, refused) values (${id}, now(), 1, '[]', ${codes}::jsonb)`.execute(
      kysely,
    );
  expect(
    await rowsOf(kysely, `select code, aggregates::integer, providers::integer from ops_no_takers order by code`),
  ).toEqual([
    { code: 'price', aggregates: 2, providers: 2 },
    { code: 'resting', aggregates: 1, providers: 1 },
  ]);

  const outbox = async () =>
    (
      await rowsOf(
        kysely,
        `select held_back::integer as held, newest_position::text as newest, webhooks::integer, webhooks_failing::integer as failing, backlog_events::integer as backlog, dead_letters::integer as dead from ops_outbox`,
      )
    )[0];
  const quiet = { held: 0, webhooks: 0, failing: 0, backlog: 0, dead: 0 };
  expect(await outbox()).toMatchObject(quiet);
  const holder = await database.pool.connect();
  try {
    await holder.query('begin');
    await holder.query(`insert into events (at, upload_id, to_state) select now(), id, 'held' from uploads limit 1`);
    await sql`insert into events (at, upload_id, to_state) select now(), id, 'later' from uploads limit 1`.execute(
      kysely,
    );
    expect(await outbox()).toMatchObject({ ...quiet, held: 1 });
  } finally {
    await holder.query('rollback');
    holder.release();
  }
  expect(await outbox()).toMatchObject(quiet);
});
