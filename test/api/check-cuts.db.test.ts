import { expect, test } from 'vitest';
import { failUncuttable } from '../../src/aggregate/place/cut-store.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { sendCar } from '../support/sealed-uploads.ts';
import { PIECE_CID, seedDeal } from '../support/seed-rows.ts';
import type { ApiFixture } from '../support/api-fixture.ts';

const AT = new Date('2024-05-01T00:00:00Z');

/** An upload of three cuts, none of them placed; its bytes are not looked at here. */
async function cutUpload(fixture: ApiFixture, seed: string) {
  const sample = sampleUpload(seed);
  await sendCar(fixture, sample);
  const root = sample.root.toString();
  const query = fixture.kysely.selectFrom('uploads').select('id').where('root', '=', root);
  const { id } = await query.executeTakeFirstOrThrow();
  const cuts = [0, 1, 2].map((cut) => ({ upload_id: id, cut, run_bytes: 100n, block_count: 2n }));
  await fixture.kysely.insertInto('cuts').values(cuts).execute();
  const status = async () => {
    const response = await fixture.server.inject({ url: `/check/${root}` });
    expect(response.statusCode).toBe(200);
    return response.json().value;
  };
  return { id, root, status };
}

/** A sealed aggregate that holds one cut, with the selector given. */
async function placeSealed({ kysely }: ApiFixture, uploadId: bigint, cut: number, selector: string): Promise<bigint> {
  return await kysely.transaction().execute(async (trx) => {
    const { id } = await trx
      .insertInto('aggregates')
      .values({
        state: 'sealed',
        capacity_bytes: 1_000n,
        length_bytes: 159n,
        entry_count: 1,
        oldest_accepted_at: AT,
        seal_reason: 'age',
        tree_key: `trees/${cut}`,
        tree_bytes: 100n,
        batch_root: `bafybatch${cut}`,
        car_bytes: 259n,
        piece_cid: `${PIECE_CID}${cut}`,
        piece_bytes: 512n,
        opened_at: AT,
        sealed_at: AT,
        changed_at: AT,
      })
      .returning('id')
      .executeTakeFirstOrThrow();
    await trx.insertInto('events').values({ at: AT, aggregate_id: id, to_state: 'sealed' }).execute();
    const place = { aggregate_id: id, seq: 0, upload_id: uploadId, cut, offset_bytes: 59n, length_bytes: 100n };
    await trx
      .insertInto('placements')
      .values({ ...place, selector })
      .execute();
    return id;
  });
}

test('a cut upload lists the deals of all its parts, and says what still waits until every part has some', async () => {
  await using fixture = await apiFixture();
  const { id, status } = await cutUpload(fixture, 'cut');
  expect((await status()).queueing).toMatchObject({
    reason: 'waiting_for_aggregate',
    position: 1,
    parts: { placed: 0, total: 3 },
  });
  const first = await placeSealed(fixture, id, 0, 'Links/1/Hash/Links/0/Hash/Links/0/Hash');
  await seedDeal(fixture.kysely, { aggregateId: first, slot: 0, provider: 'f01000', state: 'active' });
  expect(await status()).toMatchObject({
    deals: [{ status: 'active', datamodelSelector: 'Links/1/Hash/Links/0/Hash/Links/0/Hash' }],
    queueing: { reason: 'waiting_for_aggregate', parts: { placed: 1, total: 3 } },
  });
  const second = await placeSealed(fixture, id, 1, 'Links/2/Hash/Links/0/Hash/Links/0/Hash');
  const third = await placeSealed(fixture, id, 2, 'Links/3/Hash/Links/0/Hash/Links/0/Hash');
  await fixture.kysely.updateTable('uploads').set({ state: 'stowed' }).where('id', '=', id).execute();
  await seedDeal(fixture.kysely, { aggregateId: second, slot: 0, provider: 'f01001', state: 'sent' });
  await seedDeal(fixture.kysely, {
    aggregateId: third,
    slot: 0,
    provider: 'f01001',
    state: 'rejected',
    reasonText: 'no room',
  });
  const stowed = await status();
  expect(stowed.deals).toHaveLength(2);
  expect(stowed.queueing).toMatchObject({
    reason: 'waiting_for_provider',
    parts: { placed: 3, total: 3 },
    lastRefusal: { text: 'no room' },
  });
  await seedDeal(fixture.kysely, {
    aggregateId: third,
    slot: 0,
    provider: 'f01002',
    state: 'active',
    chainDealId: 77n,
  });
  const whole = await status();
  expect(whole).not.toHaveProperty('queueing');
  const places = whole.deals.map((deal: Record<string, string>) => [deal['pieceCid'], deal['datamodelSelector']]);
  expect(places).toEqual(
    expect.arrayContaining(
      [0, 1, 2].map((cut) => [`${PIECE_CID}${cut}`, `Links/${cut + 1}/Hash/Links/0/Hash/Links/0/Hash`]),
    ),
  );
});

test('the position counts by when an upload became complete, as the queue does', async () => {
  await using fixture = await apiFixture();
  const early = sampleUpload('first seen, last complete');
  await sendCar(fixture, { root: early.root, blocks: early.blocks.slice(0, 2) });
  const late = sampleUpload('seen later');
  await sendCar(fixture, late);
  await sendCar(fixture, early);
  const position = async (root: { toString(): string }) =>
    (await fixture.server.inject({ url: `/check/${root}` })).json().value.queueing.position;
  expect([await position(late.root), await position(early.root)]).toEqual([1, 2]);
});

test('of a released aggregate the piece is gone, and says so', async () => {
  await using fixture = await apiFixture();
  const { id } = await cutUpload(fixture, 'released');
  const aggregate = await placeSealed(fixture, id, 0, 'Links/1/Hash/Links/0/Hash/Links/0/Hash');
  const piece = 'baga6ea4seaqcfs2mrjyaqnwgdheb4ny76i6yaeeklcylqijaha3kpcwmutnb6ma';
  await fixture.kysely
    .updateTable('aggregates')
    .set({ released_at: AT, proofs_key: 'proofs/1', piece_cid: piece })
    .where('id', '=', aggregate)
    .execute();
  for (const method of ['GET', 'HEAD'] as const) {
    const headers = bearer(tokens.ops);
    expect((await fixture.server.inject({ method, url: `/piece/${piece}`, headers })).statusCode).toBe(410);
  }
});

test('a cut upload that failed for its shape says so, and is not pinned', async () => {
  await using fixture = await apiFixture();
  const sample = sampleUpload('too deep');
  await sendCar(fixture, sample);
  const failure = 'it is larger than an aggregate, and one of its blocks takes too much: make its DAG flatter';
  const { id } = await fixture.kysely.selectFrom('uploads').select('id').executeTakeFirstOrThrow();
  const upload = { id, root: sample.root.toString(), runBytes: 0, blockCount: 0 };
  const failed = await fixture.kysely.transaction().execute((trx) => failUncuttable(trx, upload, { failure, at: AT }));
  expect(failed).toBe(true);
  const { value } = (await fixture.server.inject({ url: `/check/${sample.root}` })).json();
  expect(value).toMatchObject({ deals: [], pin: { status: 'failed' }, queueing: { reason: 'failed', failure } });
  // The same CAR sent again has another try.
  await sendCar(fixture, sample);
  const again = (await fixture.server.inject({ url: `/check/${sample.root}` })).json().value;
  expect(again).toMatchObject({ pin: { status: 'pinned' }, queueing: { reason: 'waiting_for_aggregate' } });
});
