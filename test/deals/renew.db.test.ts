import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { DealState } from '../../src/db/tables.ts';
import { moveDeal } from '../../src/deals/move-deal.ts';
import { listChoices } from '../../src/deals/propose/choice-store.ts';
import { setProposing } from '../../src/deals/propose/pause.ts';
import { changePolicy } from '../../src/deals/propose/policy.ts';
import { findPolicy, insertPolicy } from '../../src/deals/propose/policy-store.ts';
import { listAggregatesShortOfDeals } from '../../src/deals/propose/proposal-store.ts';
import { proposeAggregate, type ProposeDeps } from '../../src/deals/propose/propose.ts';
import { renewalEpoch } from '../../src/deals/propose/renewal-time.ts';
import { addProvider } from '../../src/deals/providers/providers.ts';
import { wakeRenewals } from '../../src/deals/renew.ts';
import { silentLog } from '../../src/log/log.ts';
import { testDatabase } from '../support/database.ts';
import { newUuid, scriptedChain, scriptedTransport, settableClock, testWallet } from './scripted-world.ts';
import { createJobLog, insertSealedAggregate } from './sealed-aggregate.ts';

const start = new Date('2026-03-01T00:00:00Z');
const signal = new AbortController().signal;
const RENEW_BEFORE = 129_600;

let database: Awaited<ReturnType<typeof testDatabase>>;
let jobLog: Awaited<ReturnType<typeof createJobLog>>;
let chain: ReturnType<typeof scriptedChain>;
let clock: ReturnType<typeof settableClock>;
let deps: ProposeDeps;
let aggregateId: bigint;
let seed = 0;
let chainDealId = 0n;

beforeAll(async () => {
  database = await testDatabase();
  jobLog = await createJobLog(database.kysely);
});
afterAll(() => database[Symbol.asyncDispose]());

const setPolicy = async (...pairs: string[]) => {
  const terms = changePolicy(await findPolicy(database.kysely), pairs);
  await insertPolicy(database.kysely, terms, { at: clock.clock.now(), by: 'test' });
};

beforeEach(async () => {
  seed += 1;
  const db = database.kysely;
  await db.deleteFrom('events').where('deal_id', 'is not', null).execute();
  await db.deleteFrom('deals').execute();
  await db.deleteFrom('choices').execute();
  await db.deleteFrom('providers').execute();
  chain = scriptedChain();
  clock = settableClock(start);
  const { transport } = scriptedTransport();
  const common = { db, jobs: jobLog.jobs, chain: chain.chain, clock: clock.clock, log: silentLog };
  deps = { ...common, wallet: testWallet, transport, random: () => 0.25, newUuid };
  for (const id of ['f01000', 'f01001', 'f01002', 'f01003']) await addProvider(deps, { id });
  await setPolicy(
    'replicas=2',
    'verified=true',
    'proposing=true',
    'renew_before=45d',
    'duration=510d',
    'max_per_org=none',
  );
  aggregateId = await insertSealedAggregate(db, seed, start);
  await jobLog.take();
});

const dealsOf = (id: bigint) =>
  database.kysely
    .selectFrom('deals')
    .selectAll()
    .where('aggregate_id', '=', id)
    .orderBy('slot')
    .orderBy('generation')
    .orderBy('created_at')
    // Those that ended come after the live ones in the order of states.
    .orderBy('state', 'desc')
    .execute();

const move = (id: string, from: DealState, to: DealState) =>
  database.kysely.transaction().execute(async (trx) => {
    chainDealId += 1n;
    const known = to === 'published' ? { chain_deal_id: chainDealId, published_epoch: 1n } : {};
    const columns = { ...known, ...(to === 'active' && { sector_start_epoch: 100_001n }) };
    expect(
      await moveDeal(trx, { id, from, to, at: clock.clock.now(), columns, reason: { code: 'x', text: 'x' } }),
    ).toBe(true);
  });

/** All deals of the aggregate that are only signed become active. */
async function activateSigned(): Promise<void> {
  for (const { id } of (await dealsOf(aggregateId)).filter(({ state }) => state === 'signed')) {
    await database.kysely.updateTable('deals').set({ attempts: 0 }).where('id', '=', id).execute();
    await move(id, 'signed', 'published');
    await move(id, 'published', 'active');
  }
}

/** Goes on to this height, in time too. */
function goTo(height: number): void {
  clock.advance((height - chain.state.height) * 30_000);
  chain.state.height = height;
}

const jobs = {
  send: (...given: Parameters<ProposeDeps['jobs']['send']>) => deps.jobs.send(...given),
  missing: <T>(_queue: unknown, wanted: readonly T[]) => Promise.resolve([...wanted]),
};
const woken = async () => {
  const count = await wakeRenewals({ db: deps.db, jobs, log: silentLog }, chain.state.height);
  const sent = (await jobLog.take()).filter(({ queue }) => queue === 'propose');
  return { count, sent: sent.map(({ data }) => data) };
};

describe('renewal', () => {
  it('proposes the next generation of each slot once, in its own time, before the old deal ends', async () => {
    await proposeAggregate(deps, aggregateId, signal);
    await activateSigned();
    const old = await dealsOf(aggregateId);
    const endEpoch = Number(old[0]?.end_epoch);
    goTo(endEpoch - RENEW_BEFORE - 1);
    expect(await woken()).toEqual({ count: 0, sent: [] });
    expect(await proposeAggregate(deps, aggregateId, signal)).toEqual({ kind: 'nothing-to-do' });

    const dueAt = old.map(({ slot }) => renewalEpoch({ aggregateId, slot, endEpoch }, RENEW_BEFORE));
    expect(new Set(dueAt).size).toBe(2);
    goTo(Math.min(...dueAt));
    expect(await woken()).toEqual({ count: 1, sent: [{ aggregateId: aggregateId.toString() }] });
    expect(await proposeAggregate(deps, aggregateId, signal)).toMatchObject({ kind: 'signed', waiting: undefined });
    expect(await proposeAggregate(deps, aggregateId, signal)).toEqual({ kind: 'nothing-to-do' });

    goTo(Math.max(...dueAt));
    await Promise.all([1, 2, 3].map(() => proposeAggregate(deps, aggregateId, signal)));
    const all = await dealsOf(aggregateId);
    expect(all.map(({ slot, generation }) => [slot, generation])).toEqual([
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]);
    for (const deal of all.filter(({ generation }) => generation === 1)) {
      expect(deal.start_epoch).toBeLessThan(BigInt(endEpoch));
      expect(deal.end_epoch).toBeGreaterThan(BigInt(endEpoch) + 1_000_000n);
      // The holder renews, as nothing speaks against it.
      expect(deal.provider_id).toBe(old.find(({ slot }) => slot === deal.slot)?.provider_id);
    }
    expect(await woken()).toEqual({ count: 0, sent: [] });
  });

  it('tries again after a refusal, with the same generation and another provider', async () => {
    await setPolicy('replicas=1');
    await proposeAggregate(deps, aggregateId, signal);
    await activateSigned();
    const [old] = await dealsOf(aggregateId);
    goTo(Number(old?.end_epoch) - RENEW_BEFORE + RENEW_BEFORE / 3);
    await proposeAggregate(deps, aggregateId, signal);
    const [, first] = await dealsOf(aggregateId);
    await move(first?.id ?? '', 'signed', 'sent');
    await database.kysely.transaction().execute(async (trx) => {
      const reason = { code: 'price_too_low', text: 'no' };
      await moveDeal(trx, { id: first?.id ?? '', from: 'sent', to: 'rejected', at: clock.clock.now(), reason });
    });
    expect(await woken()).toMatchObject({ count: 1 });
    await proposeAggregate(deps, aggregateId, signal);
    const renewals = (await dealsOf(aggregateId)).filter(({ generation }) => generation === 1);
    expect(renewals.map(({ state }) => state)).toEqual(['rejected', 'signed']);
    expect(renewals[1]?.provider_id).not.toBe(renewals[0]?.provider_id);
  });

  it('renews nothing that nobody owns, whose bytes are gone, or by a policy that says so', async () => {
    await setPolicy('replicas=1');
    await proposeAggregate(deps, aggregateId, signal);
    await activateSigned();
    const [old] = await dealsOf(aggregateId);
    goTo(Number(old?.end_epoch) - 50_000);
    const due = async () => (await woken()).count;
    expect(await due()).toBe(1);
    await setPolicy('renew_before=0');
    expect(await due()).toBe(0);
    await setPolicy('renew_before=45d', 'proposing=false');
    expect(await due()).toBe(0);
    expect(await proposeAggregate(deps, aggregateId, signal)).toEqual({ kind: 'nothing-to-do' });
    await setPolicy('proposing=true');

    const owned = await ownUpload(aggregateId);
    expect(await due()).toBe(1);
    await database.kysely
      .updateTable('upload_owners')
      .set({ ended_at: start })
      .where('upload_id', '=', owned)
      .execute();
    expect(await due()).toBe(0);
    expect(await proposeAggregate(deps, aggregateId, signal)).toEqual({ kind: 'nothing-to-do' });
  });

  it('leaves a slot to be filled again when it is too late for a renewal to overlap', async () => {
    await setPolicy('replicas=1');
    await proposeAggregate(deps, aggregateId, signal);
    await activateSigned();
    const [old] = await dealsOf(aggregateId);
    goTo(Number(old?.end_epoch) - 11_520);
    expect((await woken()).count).toBe(0);
    expect(await proposeAggregate(deps, aggregateId, signal)).toEqual({ kind: 'nothing-to-do' });
  });

  it('spreads the renewals of deals that end together over days', () => {
    const days = new Set(
      Array.from({ length: 200 }, (_, at) => {
        const epoch = renewalEpoch({ aggregateId: BigInt(at), slot: at % 5, endEpoch: 2_000_000 }, RENEW_BEFORE);
        expect(epoch).toBeGreaterThanOrEqual(2_000_000 - RENEW_BEFORE);
        expect(epoch).toBeLessThanOrEqual(2_000_000 - (RENEW_BEFORE * 2) / 3);
        return Math.floor(epoch / 2_880);
      }),
    );
    expect(days.size).toBeGreaterThanOrEqual(14);
  });
});

/** An upload of an owner's in the aggregate. */
async function ownUpload(id: bigint): Promise<bigint> {
  const db = database.kysely;
  const { id: upload } = await db
    .insertInto('uploads')
    .values({
      root: `bafkreia${seed}`.replaceAll(/[0189]/g, 'x'),
      state: 'stowed',
      run_bytes: 10n,
      dag_bytes: 5n,
      block_count: 1n,
      created_at: start,
      changed_at: start,
    })
    .returning('id')
    .executeTakeFirstOrThrow();
  const { id: owner } = await db
    .insertInto('owners')
    .values({ name: `owner ${seed}` })
    .returning('id')
    .executeTakeFirstOrThrow();
  await db.insertInto('upload_owners').values({ upload_id: upload, owner_id: owner, since: start }).execute();
  await db
    .insertInto('placements')
    .values({ aggregate_id: id, seq: 0, upload_id: upload, offset_bytes: 59n, length_bytes: 10n })
    .execute();
  return upload;
}

describe('repair', () => {
  it.each<[string, DealState[]]>([
    ['was slashed', ['published', 'active', 'slashed']],
    ['expired', ['published', 'active', 'expired']],
    ['was published and never proven', ['published', 'missed']],
    ['came to nothing', ['abandoned']],
  ])('fills the slot of a deal that %s', async (_what, states) => {
    await proposeAggregate(deps, aggregateId, signal);
    const [lost] = await dealsOf(aggregateId);
    let from: DealState = 'signed';
    for (const to of states) {
      await move(lost?.id ?? '', from, to);
      from = to;
    }
    expect(await listAggregatesShortOfDeals(deps.db, 10)).toContain(aggregateId);
    await proposeAggregate(deps, aggregateId, signal);
    const inSlot = (await dealsOf(aggregateId)).filter(({ slot }) => slot === lost?.slot);
    expect(inSlot.map(({ state }) => state)).toEqual([states.at(-1), 'signed']);
    expect(await listAggregatesShortOfDeals(deps.db, 10)).not.toContain(aggregateId);
  });

  it('asks nobody for an aggregate whose bytes are gone, or while the policy proposes nothing, and says so', async () => {
    await setPolicy('proposing=false');
    expect(await proposeAggregate(deps, aggregateId, signal)).toMatchObject({
      reason: expect.stringMatching(/lading proposing resume/),
    });
    expect(await listAggregatesShortOfDeals(deps.db, 10)).toEqual([]);
    await setPolicy('proposing=true');
    await database.kysely
      .updateTable('aggregates')
      .set({ released_at: start, proofs_key: 'proofs/x' })
      .where('id', '=', aggregateId)
      .execute();
    expect(await listAggregatesShortOfDeals(deps.db, 10)).not.toContain(aggregateId);
    expect(await proposeAggregate(deps, aggregateId, signal)).toMatchObject({
      reason: expect.stringMatching(/^bytes_released/),
    });
    expect(await dealsOf(aggregateId)).toEqual([]);
    expect(await jobLog.take()).toEqual([]);
    const [last] = await listChoices(deps.db, aggregateId, { limit: 10 });
    expect(last?.refused).toEqual([
      { provider: '*', code: 'bytes_released', reason: expect.stringMatching(/^bytes_released/) as string },
    ]);
  });
});

it('signs nothing where all proposing is paused while providers are asked', async () => {
  let asked = 0;
  const { transport } = scriptedTransport();
  const ask: typeof transport.ask = async (...given) => {
    asked += 1;
    await setProposing(database.kysely, false, { by: 'an operator', at: clock.clock.now() });
    return await transport.ask(...given);
  };
  expect(await proposeAggregate({ ...deps, transport: { ask } }, aggregateId, signal)).toEqual({
    kind: 'waiting',
    reason: 'all proposing is paused: lading proposing resume',
  });
  expect(asked).toBeGreaterThan(0);
  expect(await dealsOf(aggregateId)).toEqual([]);
  await setProposing(database.kysely, true, { by: 'an operator', at: clock.clock.now() });
  expect(await proposeAggregate(deps, aggregateId, signal)).toMatchObject({ kind: 'signed' });
});

async function lastRefusals(id: bigint): Promise<string[]> {
  const [choice] = await listChoices(database.kysely, id, { limit: 1 });
  return choice?.refused.map(({ code }) => code) ?? [];
}

describe('caps, when two processes choose at once', () => {
  it('hold for what is on its way to a provider', async () => {
    await setPolicy('max_in_flight=2MiB', 'replicas=3');
    const more = [aggregateId];
    for (let at = 0; at < 5; at += 1) more.push(await insertSealedAggregate(database.kysely, (seed += 1), start));
    await Promise.allSettled(more.map((id) => proposeAggregate(deps, id, signal)));
    for (const id of more) await proposeAggregate(deps, id, signal).catch(() => undefined);
    const all = (await Promise.all(more.map(dealsOf))).flat();
    const perProvider = Map.groupBy(all, ({ provider_id: provider }) => provider);
    expect([...perProvider.values()].map((deals) => deals.length)).toEqual([2, 2, 2, 2]);
    const short = all.length < more.length * 3 ? await Promise.all(more.map(lastRefusals)) : [];
    expect(short.flat()).toContain('in_flight');
  });

  it('count the proposals of the last hour', async () => {
    await setPolicy('max_proposals_per_hour=1', 'replicas=1');
    const more = [aggregateId];
    for (let at = 0; at < 5; at += 1) more.push(await insertSealedAggregate(database.kysely, (seed += 1), start));
    for (const id of more) await proposeAggregate(deps, id, signal);
    const count = async () => (await Promise.all(more.map(dealsOf))).flat().length;
    expect(await count()).toBe(4);
    clock.advance(3_600_001);
    for (const id of more) await proposeAggregate(deps, id, signal);
    expect(await count()).toBe(6);
  });
});
