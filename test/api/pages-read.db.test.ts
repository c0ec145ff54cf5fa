import { expect, test } from 'vitest';
import { beginRange, noteServed } from '../../src/deals/send/transfer-store.ts';
import { apiFixture, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { call, uploadAll } from './call.ts';

/** Header of a CAR with one root: the first run lies behind it. */
const HEADER_BYTES = 59;
const CHUNK_BYTES = 127 * 2 ** 18;

async function read(fixture: ApiFixture, path: string) {
  const response = await call(fixture, 'GET', path, { token: tokens.read });
  expect([path, response.statusCode, response.statusCode === 200 ? '' : response.body]).toEqual([path, 200, '']);
  return response.json();
}

/** Where runs of these uploads lie, one after the other. */
function places(seeds: readonly string[]) {
  let offset = HEADER_BYTES;
  return seeds.map((seed) => {
    const { length } = sampleUpload(seed).run;
    offset += length;
    return { offset: offset - length, length };
  });
}

test('an aggregate is shown from the inside by its number and by its piece, and its replicas in the list', async () => {
  await using fixture = await apiFixture();
  const seeds = ['a', 'b', 'c'];
  const roots = await uploadAll(fixture, seeds);
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  const provider = (slot: number) => `f0100${slot}`;
  for (const [slot, state] of (['active', 'sent', 'rejected'] as const).entries())
    await seedDeal(fixture.kysely, { aggregateId: id, slot, provider: provider(slot), state });
  await fixture.kysely.updateTable('policies').set({ replicas: 4 }).execute();
  const [listed] = (await read(fixture, '/aggregates')).items;
  expect(listed.replicas).toEqual({ wanted: 4, live: 2, active: 1 });
  const inside = await read(fixture, `/aggregates/${id}/inside`);
  expect(await read(fixture, `/aggregates/${PIECE_CID}/inside`)).toEqual(inside);
  expect(inside).toMatchObject(listed);
  // A seeded piece is smaller than a chunk.
  expect(inside.chunks).toEqual({ chunkBytes: CHUNK_BYTES, total: 1, hashed: [] });
  const [first, , last] = places(seeds);
  // All three begin in the first of 512 cells of 33 MB.
  const end = (last?.offset ?? 0) + (last?.length ?? 0);
  expect(inside.segments).toEqual([{ offset: first?.offset, length: end - HEADER_BYTES, runs: 3, root: null }]);
  for (const path of ['/aggregates/99999/inside', '/aggregates/99999/runs'])
    expect((await call(fixture, 'GET', path)).json()).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  expect((await call(fixture, 'GET', '/aggregates/nonsense/inside')).json()).toMatchObject({ code: 'INVALID_CID' });
});

test('large runs are told one by one, small neighbours together, and hashed chunks by number', async () => {
  await using fixture = await apiFixture();
  const seeds = ['d', 'e', 'f', 'g'];
  const roots = await uploadAll(fixture, seeds);
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots, state: 'open' });
  // A cell is 1 MiB and a byte: the second run is larger, the two behind it begin in one cell.
  const mib = 2 ** 20;
  const lengths = [HEADER_BYTES, 3 * mib, 40 * mib, 10, 20];
  await fixture.kysely
    .updateTable('aggregates')
    .set({ capacity_bytes: BigInt(512 * mib), length_bytes: BigInt(lengths.reduce((sum, one) => sum + one)) })
    .where('id', '=', id)
    .execute();
  for (const seq of [3, 2, 1, 0]) {
    const offset = lengths.slice(0, seq + 1).reduce((sum, one) => sum + one);
    await fixture.kysely
      .updateTable('placements')
      .set({ offset_bytes: BigInt(offset), length_bytes: BigInt(lengths[seq + 1] ?? 0) })
      .where('aggregate_id', '=', id)
      .where('seq', '=', seq)
      .execute();
  }
  await fixture.kysely
    .insertInto('chunks')
    .values({ aggregate_id: id, index: 1, root: Buffer.alloc(32, 1) })
    .execute();
  const inside = await read(fixture, `/aggregates/${id}/inside`);
  expect(inside).toMatchObject({ state: 'open', pieceCid: null, replicas: null });
  expect(inside.chunks).toEqual({ chunkBytes: CHUNK_BYTES, total: 2, hashed: [1] });
  expect(inside.segments).toEqual([
    { offset: 59, length: 3 * mib, runs: 1, root: roots[0] },
    { offset: 59 + 3 * mib, length: 40 * mib, runs: 1, root: roots[1] },
    { offset: 59 + 43 * mib, length: 30, runs: 2, root: null },
  ]);
});

test('the runs of an open aggregate come page by page, each once, with their count', async () => {
  await using fixture = await apiFixture();
  const seeds = ['h', 'i', 'j'];
  const roots = await uploadAll(fixture, seeds);
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots, state: 'open' });
  const first = await read(fixture, `/aggregates/${id}/runs?limit=2&count=true`);
  expect(first.count).toEqual({ value: 3, exact: true });
  const second = await read(fixture, `/aggregates/${id}/runs?limit=2&cursor=${first.next}`);
  expect(second.next).toBeNull();
  const expected = places(seeds).map((where, at) => {
    return { place: at + 1, root: roots[at], selector: null, ...where, partial: false };
  });
  expect([...first.items, ...second.items]).toEqual(expected);
  expect((await call(fixture, 'GET', `/aggregates/${id}/runs?cursor=nonsense`)).json()).toMatchObject({
    code: 'INVALID_CURSOR',
  });
});

test('the places of an upload: none while it waits, then each aggregate, the parts of a cut one by number', async () => {
  await using fixture = await apiFixture();
  const [root = '', other = ''] = await uploadAll(fixture, ['k', 'l']);
  expect(await read(fixture, `/uploads/${root}/placements`)).toEqual({ items: [], next: null });
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [other, root] });
  const [, second] = places(['l', 'k']);
  const { items } = await read(fixture, `/uploads/${root}/placements`);
  expect(items).toEqual([
    {
      aggregate: id.toString(),
      state: 'sealed',
      pieceCid: PIECE_CID,
      place: 2,
      part: null,
      ...second,
      selector: 'Links/2/Hash/Links/0/Hash/Links/0/Hash',
      again: false,
    },
  ]);
  const upload = await fixture.kysely.selectFrom('uploads').select('id').where('root', '=', root).executeTakeFirst();
  const cuts = [0, 1].map((cut) => ({ upload_id: upload?.id ?? 0n, cut, run_bytes: 10n, block_count: 1n }));
  await fixture.kysely.insertInto('cuts').values(cuts).execute();
  await fixture.kysely
    .updateTable('placements')
    .set({ cut: 1 })
    .where('upload_id', '=', upload?.id ?? 0n)
    .execute();
  const parts = async () => (await read(fixture, `/uploads/${root}/placements`)).items;
  expect(await parts()).toMatchObject([{ part: { number: 2, of: 2 } }]);
  // Sent anew, and cut into three: the second of these beside the second of what was given up.
  const anew = [2, 3, 4].map((cut) => ({ upload_id: upload?.id ?? 0n, cut, run_bytes: 10n, block_count: 1n }));
  await fixture.kysely.insertInto('cuts').values(anew).execute();
  const later = [
    { cut: 0, topped_up: true },
    { cut: 3, topped_up: false },
  ];
  for (const [at, place] of later.entries()) {
    const held = await seedAggregate(fixture.kysely, fixture.store, {
      roots: [root],
      pieceCid: `baga6ea4seaqanew${at}`,
    });
    await fixture.kysely.updateTable('placements').set(place).where('aggregate_id', '=', held.id).execute();
  }
  await fixture.kysely.updateTable('placements').set({ topped_up: true }).where('cut', 'in', [0, 1]).execute();
  expect(await parts()).toMatchObject([
    { part: { number: 2, of: 3 } },
    { part: { number: 1, of: 2 }, again: true },
    { part: { number: 2, of: 2 }, again: true },
  ]);
  const unknown = sampleUpload('nobody sent this').root.toString();
  expect((await call(fixture, 'GET', `/uploads/${unknown}/placements`)).json()).toMatchObject({ code: 'NOT_FOUND' });
});

test('a score is explained by what it is made of, and who may not be chosen is told why', async () => {
  await using fixture = await apiFixture();
  const roots = await uploadAll(fixture, ['m']);
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  const changedAt = fixture.deps.clock.now();
  // Only one deal of a piece with a provider may live: the others are over.
  for (let slot = 0; slot < 3; slot += 1)
    await seedDeal(fixture.kysely, { aggregateId, slot, provider: 'f01000', state: 'expired', changedAt });
  await seedDeal(fixture.kysely, { aggregateId, slot: 3, provider: 'f01000', state: 'failed', changedAt });
  await seedDeal(fixture.kysely, { aggregateId, slot: 4, provider: 'f01001', state: 'accepted', changedAt });
  await fixture.kysely.updateTable('providers').set({ state: 'paused' }).where('id', '=', 'f01000').execute();
  const { items } = await read(fixture, '/providers');
  const [paused, other] = items;
  // Wilson's bound for 3 of 4, by a table; a few seconds old.
  expect(paused.standing).toMatchObject({ successes: 3, failures: 1, proven: false, inFlight: 0 });
  expect(paused.standing.sureShare).toBeCloseTo(0.3006, 4);
  expect(paused.standing.freshness).toBeCloseTo(1, 4);
  expect(paused.standing.score).toBeCloseTo(paused.standing.sureShare * paused.standing.freshness, 12);
  expect(paused.standing.refused).toEqual({ code: 'paused', reason: 'it is paused' });
  expect(other.standing).toMatchObject({
    score: 0,
    successes: 0,
    failures: 0,
    lastOutcome: null,
    inFlight: 512,
    refused: { code: 'unreachable' },
  });
  const shown = await read(fixture, '/providers/f01000');
  expect(shown).toMatchObject({ id: 'f01000', standing: { successes: 3, failures: 1 } });
  expect(shown.outcomes.toSorted((a: { count: number }, b: { count: number }) => a.count - b.count)).toMatchObject([
    { state: 'failed', count: 1, counts: 'against' },
    { state: 'expired', count: 3, counts: 'for' },
  ]);
});

test('a token of role upload lists and finds its own uploads, and learns of no other owner', async () => {
  await using fixture = await apiFixture();
  const [mine = '', shared = ''] = await uploadAll(fixture, ['n', 'o']);
  const other = sampleUpload('p');
  for (const { car } of [sampleUpload('o'), other]) {
    const headers = { authorization: `Bearer ${tokens.upload2}`, 'content-type': 'application/car' };
    await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  }
  const asUploader = async (path: string) => (await call(fixture, 'GET', path, { token: tokens.upload })).json();
  const { items, count } = await asUploader('/uploads?count=true');
  expect(items.map(({ cid }: { cid: string }) => cid)).toEqual([shared, mine]);
  expect(items.map(({ owners }: { owners: string[] }) => owners)).toEqual([['service'], ['service']]);
  expect(count).toEqual({ value: 2, exact: true });
  expect((await read(fixture, '/uploads')).items).toHaveLength(3);
  expect(await asUploader(`/uploads/${shared}`)).toMatchObject({ cid: shared, owners: ['service'] });
  expect((await read(fixture, `/uploads/${shared}`)).owners).toEqual(['other', 'service']);
  expect(await asUploader(`/uploads/${other.root}`)).toMatchObject({ status: 404, code: 'NOT_FOUND' });
  expect(await asUploader('/uploads?owner=other')).toMatchObject({ status: 403, code: 'FORBIDDEN' });
  expect(await asUploader('/uploads?owner=service')).toMatchObject({ items: [{ cid: shared }, { cid: mine }] });
});

test('a deal tells its terms, and of its transfer a point for each 64th of the piece', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  const roots = await uploadAll(fixture, ['q']);
  const { id: aggregateId } = await seedAggregate(kysely, fixture.store, { roots });
  const id = await seedDeal(kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'accepted' });
  const changes = { sector_number: 7n, publish_message: 'bafy2message', price_per_epoch: '12345678901234567890' };
  await kysely.updateTable('deals').set(changes).where('id', '=', id).execute();
  const mib = 2 ** 20;
  const at = (second: number) => new Date(Date.parse('2024-05-01T00:00:00Z') + second * 1_000);
  await beginRange(kysely, { dealId: id, range: 0, ranges: 500 }, at(0));
  for (let second = 1; second <= 16; second += 1) await noteServed(kysely, id, 100 * mib, at(second));
  const { terms, delivery } = await read(fixture, `/deals/${id}`);
  expect(terms).toEqual({
    client: 'f1client',
    verified: false,
    pieceSize: 512,
    pricePerEpoch: '12345678901234567890',
    providerCollateral: '0',
    policyVersion: 1,
    startEpoch: 1_631_918,
    endEpoch: 3_100_718,
    publishMessage: 'bafy2message',
    publishedEpoch: null,
    sectorNumber: '7',
    sectorStartEpoch: null,
    nextAttempt: null,
  });
  // 500 bits take 63 bytes, of 8 MiB each: a step is 504 MiB.
  expect(delivery.transfer).toMatchObject({ servedBytes: 1_600 * mib, bytesPerSecond: 100 * mib });
  expect(delivery.transfer.curve).toEqual([
    { at: '2024-05-01T00:00:06.000000+00:00', bytes: 600 * mib },
    { at: '2024-05-01T00:00:11.000000+00:00', bytes: 1_100 * mib },
    { at: '2024-05-01T00:00:16.000000+00:00', bytes: 1_600 * mib },
  ]);
  const steps = 300;
  for (let second = 17; second < 17 + steps; second += 1) await noteServed(kysely, id, 1_000 * mib, at(second));
  expect((await read(fixture, `/deals/${id}`)).delivery.transfer.curve).toHaveLength(256);
});
