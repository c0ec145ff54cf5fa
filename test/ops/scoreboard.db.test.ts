import { sql } from 'kysely';
import { expect, test } from 'vitest';
import type { DealState } from '../../src/db/tables.ts';
import { listProviderFacts } from '../../src/deals/propose/facts-store.ts';
import { scoreOf } from '../../src/deals/propose/score.ts';
import { dealStates } from '../../src/deals/deal-states.ts';
import { apiFixture } from '../support/api-fixture.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { uploadAll } from '../api/call.ts';

/** Every reason that a refusal is ever given, told by hand, and some that have no class. */
const CODES = [
  'duplicate_of_other',
  'piece_cid_invalid',
  'signature_invalid',
  'wrong_provider',
  'label_too_long',
  'piece_size_invalid',
  'epochs_out_of_order',
  'start_elapsed',
  'start_too_soon',
  'start_too_late',
  'duration_out_of_bounds',
  'collateral_too_low',
  'collateral_too_high',
  'client_unknown',
  'client_funds_short',
  'client_not_verified',
  'datacap_short',
  'price_too_low',
  'piece_too_small',
  'piece_too_large',
  'duration_refused',
  'transfer_invalid',
  'proposal_unreadable',
  'libp2p_urls_unsupported',
  'mode_refused',
  'market_disabled',
  'client_refused',
  'piece_blocklisted',
  'provider_without_funds',
  'provider_without_space',
  'provider_busy',
  'filter_unavailable',
  'filters_failed',
  'provider_error',
  'refused_by_filter',
  'called_off',
  'odd',
];

interface Scored {
  provider_id: string;
  successes: number;
  failures: number;
  score: number;
  last: Date | null;
}

test('the scoreboard counts and scores as choosing does, for each state and each reason', async () => {
  await using fixture = await apiFixture();
  const { kysely, store } = fixture;
  const { id: aggregateId } = await seedAggregate(kysely, store, { roots: await uploadAll(fixture, ['a']) });
  const reasons: [DealState, string | null][] = dealStates.flatMap((state): [DealState, string | null][] =>
    state === 'rejected' || state === 'abandoned' ? CODES.map((code) => [state, code]) : [[state, 'some_reason']],
  );
  const states: DealState[] = ['active', 'active', 'expired', 'failed'];
  let slot = 1;
  const add = async (provider: string, state: DealState, code: string | null, days: number) => {
    const changedAt = new Date(Date.now() - days * 86_400_000);
    const deal = await seedDeal(kysely, { aggregateId, slot, provider, state, changedAt, chainDealId: BigInt(slot) });
    slot += 1;
    await sql`update deals set generation = slot, reason_code = case when reason_code is not null then ${code} end where id = ${deal}`.execute(
      kysely,
    );
  };
  for (const [at, [state, code]] of reasons.entries()) {
    const provider = `f0${1_000 + at}`;
    // An active deal beside it, so that what counts against it shows in the score.
    if (state !== 'active') await add(provider, 'active', null, 45);
    await add(provider, state, code, 1 + (at % 40));
  }
  for (let at = 0; at < 40; at += 1) await add(`f0${5_000 + (at % 3)}`, states[at % 4] ?? 'active', 'x', at * 4);
  await add('f09000', 'active', null, 200);
  await sql`insert into providers (id, state, address_source, added_at) values ('f09001', 'enabled', 'chain', now())`.execute(
    kysely,
  );
  const { rows } =
    await sql<Scored>`select provider_id, successes::integer, coalesce(round((successes / nullif(success_share, 0)) - successes), refusals + faults)::integer as failures,
    score, last_outcome_at as last from ops_providers`.execute(kysely);
  const now = new Date();
  const facts = await listProviderFacts(kysely, now);
  expect(rows.length).toBe(facts.length);
  for (const fact of facts) {
    const row = rows.find(({ provider_id: id }) => id === fact.id);
    expect(row, fact.id).toMatchObject({ successes: fact.successes, last: fact.lastOutcomeAt ?? null });
    if (fact.successes > 0) expect(row?.failures, fact.id).toBe(fact.failures);
    expect(row?.score, fact.id).toBeCloseTo(scoreOf(fact, now), 4);
  }
  expect(new Set(rows.map(({ score }) => score.toFixed(6))).size).toBeGreaterThan(20);
});

test('how long a provider takes is told from the proposal, by the times of the chain', async () => {
  await using fixture = await apiFixture();
  const { kysely, store } = fixture;
  await sql`insert into network (name, genesis_seconds) values ('mainnet', 1598306400)`.execute(kysely);
  const { id: aggregateId } = await seedAggregate(kysely, store, { roots: await uploadAll(fixture, ['a']) });
  for (const slot of [0, 1, 2]) {
    await seedDeal(kysely, { aggregateId, slot, provider: 'f01000', state: 'active', chainDealId: BigInt(slot + 1) });
    await sql`update deals set generation = slot + 1 where slot = ${slot}`.execute(kysely);
  }
  await sql`update deals set created_at = now() - interval '10 days'`.execute(kysely);
  await sql`update deals set published_epoch = floor((extract(epoch from created_at) - 1598306400) / 30) + 120 * (slot + 1),
    sector_start_epoch = floor((extract(epoch from created_at) - 1598306400) / 30) + 1200 * (slot + 1)`.execute(kysely);
  const { rows } =
    await sql`select round((published_p50_seconds / 3600)::numeric, 1)::float8 as published, round((active_p50_seconds / 3600)::numeric, 1)::float8 as active, active_deals::integer
    from ops_providers`.execute(kysely);
  expect(rows).toEqual([{ published: 2, active: 20, active_deals: 3 }]);
});
