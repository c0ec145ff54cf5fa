import { describe, expect, test } from 'vitest';
import { releaseAll } from '../../../src/aggregate/keep/release/release.ts';
import { sealNow, stow } from '../../../src/aggregate/place/stow.ts';
import { seal } from '../../../src/aggregate/seal/seal.ts';
import { silentLog } from '../../../src/log/log.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../../support/api-fixture.ts';
import { car, sampleUpload } from '../../support/car-builder.ts';
import { filesBelow } from '../../support/temporary-folder.ts';
import { seedDeal } from '../../support/seed-rows.ts';
import { brokenRows, never, START, stowDeps } from '../aggregate-fixture.ts';

const DAY_MS = 86_400_000;
const REPLICAS = 5;
/** By the clock of the fixture: before anything is due by its age. */
const soon = { now: () => new Date('2024-05-01T01:00:00Z') };

const sample = sampleUpload('sent anew', 8);
const other = sampleUpload('its neighbour', 8);

async function send({ server }: ApiFixture, payload: Buffer) {
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const response = await server.inject({ method: 'POST', url: '/upload', payload, headers });
  return { status: response.statusCode, ...response.json() };
}

async function check({ server }: ApiFixture) {
  return (await server.inject(`/check/${sample.root}`)).json().value;
}

type SealDeps = Awaited<ReturnType<typeof sealDeps>>;

async function sealDeps({ database, store }: ApiFixture) {
  return { ...(await stowDeps(database, soon)), store };
}

/** Places what waits in an aggregate of its own, and seals it. */
async function sealAll(fixture: ApiFixture, deps: SealDeps): Promise<bigint> {
  await stow(deps, never);
  const open = fixture.kysely.selectFrom('aggregates').select('id').where('state', '=', 'open');
  const { id } = await open.executeTakeFirstOrThrow();
  await sealNow(deps, id);
  await seal(deps, id, never);
  return id;
}

async function endDeals({ kysely }: ApiFixture, aggregateId: bigint, keep = 0): Promise<void> {
  const deals = await kysely.selectFrom('deals').select('id').where('aggregate_id', '=', aggregateId).execute();
  for (const { id } of deals.slice(keep)) {
    await kysely.transaction().execute(async (trx) => {
      await trx
        .updateTable('deals')
        .set({ state: 'expired', reason_code: 'EXPIRED', settled_at: START })
        .where('id', '=', id)
        .execute();
      const event = { deal_id: id, from_state: 'active', to_state: 'expired', at: START };
      await trx.insertInto('events').values(event).execute();
    });
  }
}

/** Two uploads in an aggregate whose bytes were released, with all of its deals active. */
async function release(fixture: ApiFixture) {
  const seals = await sealDeps(fixture);
  await send(fixture, sample.car);
  await send(fixture, other.car);
  const id = await sealAll(fixture, seals);
  for (let slot = 0; slot < REPLICAS; slot += 1) {
    const deal = { aggregateId: id, provider: `f0100${slot}`, slot, chainDealId: BigInt(slot) };
    await seedDeal(fixture.kysely, { ...deal, state: 'active', changedAt: START });
  }
  const clock = { now: () => new Date(START.getTime() + 31 * DAY_MS) };
  const deps = { db: fixture.kysely, store: fixture.store, clock, log: silentLog, retentionMs: 30 * DAY_MS };
  expect(await releaseAll(deps, never)).toBe(1);
  expect(await fixture.kysely.selectFrom('parts').select('id').execute()).toEqual([]);
  return { id, seals };
}

/** All that does not tell of deals, which are made up here. */
async function broken({ database }: ApiFixture): Promise<string[]> {
  return (await brokenRows(database)).filter((line) => !/\bdeals?\b/.test(line));
}

/** Who is told `failed` may send it again, and then it is stored: so it is told where that helps, and not before. */
async function pinOf(fixture: ApiFixture): Promise<string> {
  return (await check(fixture)).pin.status;
}

async function stateOf({ kysely }: ApiFixture): Promise<string> {
  const query = kysely.selectFrom('uploads').select('state').where('root', '=', sample.root.toString());
  return (await query.executeTakeFirstOrThrow()).state;
}

describe.each([
  ['in groups', true],
  ['alone', false],
] as const)('an upload that comes again, received %s', (_, groups) => {
  test('is complete as it is while one deal of it lives', async () => {
    await using fixture = await apiFixture({ groups });
    const { id } = await release(fixture);
    expect(await pinOf(fixture)).toBe('pinned');
    await endDeals(fixture, id, 1);
    expect(await pinOf(fixture)).toBe('pinned');
    const before = await filesBelow(fixture.folder);
    expect((await send(fixture, sample.car)).value.deals).toHaveLength(REPLICAS);
    expect(await stateOf(fixture)).toBe('stowed');
    expect(await filesBelow(fixture.folder)).toEqual(before);
  });

  test('is stored and placed anew when nothing holds it', async () => {
    await using fixture = await apiFixture({ groups });
    const { id, seals } = await release(fixture);
    await endDeals(fixture, id);
    expect(await pinOf(fixture)).toBe('failed');
    const answer = await send(fixture, sample.car);
    expect(answer).toMatchObject({
      status: 200,
      value: { queueing: { reason: 'waiting_for_aggregate', position: 1 } },
    });
    expect(answer.value.deals.map(({ status }: { status: string }) => status)).toEqual(
      Array.from({ length: REPLICAS }, () => 'terminated'),
    );
    expect([answer.value.pin.status, await pinOf(fixture)]).toEqual(['pinned', 'pinned']);
    expect(await stateOf(fixture)).toBe('waiting');
    const again = await sealAll(fixture, seals);
    expect(again).not.toBe(id);
    expect((await check(fixture)).queueing).toMatchObject({ reason: 'waiting_for_provider', position: 1 });
    await seedDeal(fixture.kysely, {
      aggregateId: again,
      provider: 'f02000',
      slot: 0,
      state: 'active',
      chainDealId: 99n,
    });
    const { deals, queueing } = await check(fixture);
    expect(queueing).toBeUndefined();
    expect(deals.filter(({ status }: { status: string }) => status === 'active')).toHaveLength(1);
    expect(await broken(fixture)).toEqual([]);
    // And once more, as one that is held.
    await send(fixture, sample.car);
    expect(await stateOf(fixture)).toBe('stowed');
  });

  test('comes in parts too, and may be given up before it is placed', async () => {
    await using fixture = await apiFixture({ groups });
    const { id } = await release(fixture);
    await endDeals(fixture, id);
    const [root = sample.blocks[0], ...leaves] = sample.blocks;
    if (root === undefined) throw new Error('no blocks');
    const rootBlock = sample.blocks.filter(({ cid }) => cid.equals(sample.root));
    const rest = [root, ...leaves].filter(({ cid }) => !cid.equals(sample.root));
    await send(fixture, car([sample.root], [...rootBlock, ...rest.slice(0, 4)]));
    expect(await stateOf(fixture)).toBe('incomplete');
    expect((await check(fixture)).queueing).toMatchObject({ reason: 'incomplete' });
    await send(fixture, car([sample.root], [...rootBlock, ...rest.slice(4)]));
    expect(await stateOf(fixture)).toBe('waiting');
    const gone = await fixture.server.inject({
      method: 'DELETE',
      url: `/${sample.root}`,
      headers: bearer(tokens.upload),
    });
    expect(gone.statusCode).toBe(202);
    expect(await stateOf(fixture)).toBe('removed');
    expect(await broken(fixture)).toEqual([]);
  });
});
