import { sql, type Kysely } from 'kysely';
import { expect, test } from 'vitest';
import type { DB } from '../../src/db/tables.ts';
import { foldCounts } from '../../src/ops/fold-counts.ts';
import { apiFixture } from '../support/api-fixture.ts';
import { testDatabase } from '../support/database.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { uploadAll } from '../api/call.ts';

/** Kept counts and their changes together, and the same counted row by row: these must never differ. */
async function bothWays(kysely: Kysely<DB>) {
  const { rows: kept } = await sql`select what, state, sum(items)::integer as items, sum(bytes)::text as bytes
    from (select what, state, items, bytes from kept_counts union all select what, state, items, bytes from count_changes) as k
    group by what, state having sum(items) <> 0 or sum(bytes) <> 0 order by what, state`.execute(kysely);
  const { rows: counted } = await sql`
    select 'upload' as what, state::text as state, count(*)::integer as items, coalesce(sum(run_bytes), 0)::text as bytes from uploads group by state
    union all select 'deal', d.state::text, count(*)::integer, sum(coalesce(a.piece_bytes, 0))::text
      from deals d join aggregates a on a.id = d.aggregate_id group by d.state
    union all select 'part', '', count(*)::integer, sum(length_bytes)::text from parts having count(*) > 0
    order by what, state`.execute(kysely);
  return { kept, counted };
}

test('the counts are those of the rows, before they are folded and after, through all that happens to rows', async () => {
  await using fixture = await apiFixture();
  const { kysely, store } = fixture;
  const same = async (items: number) => {
    for (const fold of [false, true]) {
      if (fold) await foldCounts(kysely);
      const { kept, counted } = await bothWays(kysely);
      expect(kept).toEqual(counted);
      expect(counted.length).toBe(items);
    }
    const { rows } = await sql`select from count_changes`.execute(kysely);
    expect(rows).toEqual([]);
  };
  await same(0);
  const roots = await uploadAll(fixture, ['a', 'b', 'c', 'd']);
  await same(2);
  const { id: aggregateId } = await seedAggregate(kysely, store, { roots: roots.slice(0, 3) });
  await same(3);
  const first = await seedDeal(kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'accepted' });
  await seedDeal(kysely, { aggregateId, slot: 1, provider: 'f01001', state: 'rejected' });
  await same(5);
  await kysely.transaction().execute(async (trx) => {
    await sql`update deals set state = 'published', chain_deal_id = 7 where id = ${first}`.execute(trx);
    await sql`insert into events (at, deal_id, to_state) values (now(), ${first}, 'published')`.execute(trx);
  });
  await sql`update deals set said_status = 'Sealing'`.execute(kysely);
  await same(5);
  await sql`insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
    select root, 'waiting', 1, 1, 1, now(), now() from uploads
    on conflict (root) do update set run_bytes = uploads.run_bytes + 5 where uploads.state = 'stowed'`.execute(kysely);
  await same(5);
  await sql`delete from parts where upload_id = (select min(id) from uploads)`.execute(kysely);
  await same(5);
  await sql`delete from parts`.execute(kysely);
  await same(4);
});

test('what a transaction takes back was never counted', async () => {
  await using fixture = await apiFixture();
  await uploadAll(fixture, ['a']);
  const before = await bothWays(fixture.kysely);
  const undone = fixture.kysely.transaction().execute(async (trx) => {
    await sql`update uploads set state = 'failed', failure = 'x', run_bytes = null, dag_bytes = null, block_count = null`.execute(
      trx,
    );
    throw new Error('taken back');
  });
  await expect(undone).rejects.toThrow('taken back');
  expect(await bothWays(fixture.kysely)).toEqual(before);
});

test('folding by many at once, while rows come, loses nothing and counts nothing twice', async () => {
  await using db = await testDatabase();
  const { kysely } = db;
  const write = async (writer: number) => {
    for (let turn = 0; turn < 20; turn += 1) {
      await sql`insert into uploads (root, state, run_bytes, dag_bytes, block_count, created_at, changed_at)
        select 'b' || translate(md5(${`${writer} ${turn}`} || n), '0189', 'ghij'), 'waiting', 10, 10, 1, now(), now() from generate_series(1, 3) as n`.execute(
        kysely,
      );
    }
  };
  const fold = async () => {
    for (let turn = 0; turn < 20; turn += 1) await foldCounts(kysely);
  };
  await Promise.all([write(1), write(2), write(3), fold(), fold(), fold()]);
  await foldCounts(kysely);
  const { rows } = await sql`select what, state, items::integer, bytes::integer from kept_counts`.execute(kysely);
  expect(rows).toEqual([{ what: 'upload', state: 'waiting', items: 180, bytes: 1_800 }]);
});
