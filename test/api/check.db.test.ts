import { expect, test } from 'vitest';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { car, sampleUpload } from '../support/car-builder.ts';
import { BATCH_ROOT, PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';

const UNKNOWN = 'bafybeig2qsdu6nfmmaxlpnrpcz63jzyb6bzc4ngllv4mcj7q66ei4rq72y';

async function check(fixture: ApiFixture, cid: string, headers: Record<string, string> = {}) {
  return fixture.server.inject({ url: `/check/${cid}`, headers });
}

async function upload(fixture: ApiFixture, seed: string) {
  const sample = sampleUpload(seed);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const response = await fixture.server.inject({ method: 'POST', url: '/upload', payload: sample.car, headers });
  expect(response.statusCode).toBe(200);
  return { root: sample.root.toString(), v0: sample.root.toV0().toString() };
}

test('an unknown CID is 404 in the words of nft.storage', async () => {
  await using fixture = await apiFixture();
  for (const cid of [UNKNOWN, `${UNKNOWN}/`]) {
    const response = await check(fixture, cid);
    expect(response.statusCode).toBe(404);
    expect(response.headers['content-type']).toContain('application/json');
    expect(response.json()).toEqual({ ok: false, error: { code: 'HTTP_ERROR', message: 'NFT not found' } });
  }
});

test('what is no CID is 400', async () => {
  await using fixture = await apiFixture();
  const wrong = ['nonsense', 'Qmwrong', '0', 'bafy'.repeat(60), '%00', UNKNOWN.slice(0, -1), '..%2f..'];
  for (const cid of wrong) {
    const response = await check(fixture, cid);
    expect([cid, response.statusCode]).toEqual([cid, 400]);
    expect(response.json()).toMatchObject({ ok: false, error: { code: 'ERROR_INVALID_CID' } });
  }
});

test('CIDv0 and v1, with and without slash, name the same upload, each as asked', async () => {
  await using fixture = await apiFixture();
  const { root, v0 } = await upload(fixture, 'names');
  const first = (await check(fixture, root)).json();
  expect(first.value.cid).toBe(root);
  for (const cid of [v0, `${v0}/`, `${root}/`]) {
    const answer = (await check(fixture, cid)).json();
    expect(answer).toEqual({ ok: true, value: { ...first.value, cid: cid.replace('/', '') } });
  }
});

test('public by default, shut when configured, and then open to every role', async () => {
  await using open = await apiFixture();
  expect((await check(open, UNKNOWN)).statusCode).toBe(404);
  await using shut = await apiFixture({ server: { publicCheck: false } });
  const refused = await check(shut, UNKNOWN);
  expect(refused.statusCode).toBe(401);
  expect(refused.json()).toMatchObject({ ok: false, error: { code: 'UNAUTHORIZED' } });
  for (const token of [tokens.upload, tokens.ops, tokens.read]) {
    expect((await check(shut, UNKNOWN, bearer(token))).statusCode).toBe(404);
  }
});

test('unknown query parameters are refused, not ignored', async () => {
  await using fixture = await apiFixture();
  const response = await check(fixture, `${UNKNOWN}?verbose=1`);
  expect(response.statusCode).toBe(400);
  expect(response.json()).toMatchObject({ ok: false, error: { code: 'INVALID_REQUEST' } });
});

test('the whole way of an upload: waiting, filling, sealing, without provider, queued, active', async () => {
  await using fixture = await apiFixture();
  const { kysely, store } = fixture;
  const before = await upload(fixture, 'earlier');
  const { root } = await upload(fixture, 'way');
  const value = async () => (await check(fixture, root)).json().value;
  const etaActive = { p50: null, p95: null };
  expect(await value()).toMatchObject({
    deals: [],
    pin: { status: 'pinned', cid: root },
    queueing: { reason: 'waiting_for_aggregate', position: 2 },
  });

  const { id } = await seedAggregate(kysely, store, { roots: [before.root, root], state: 'open' });
  expect((await value()).queueing).toEqual({
    reason: 'aggregate_filling',
    position: 2,
    aggregateFill: expect.closeTo(0, 2),
    sealsBy: '2024-05-03T00:00:00.000000+00:00',
    etaActive,
  });

  const event = { at: new Date(), aggregate_id: id, to_state: 'sealing' };
  await kysely.transaction().execute(async (trx) => {
    await trx.updateTable('aggregates').set({ state: 'sealing', seal_reason: 'age' }).execute();
    await trx.insertInto('events').values(event).execute();
  });
  expect(await value()).toMatchObject({ deals: [], queueing: { reason: 'sealing' } });

  await kysely.transaction().execute(async (trx) => {
    const { length_bytes: length } = await trx
      .selectFrom('aggregates')
      .select('length_bytes')
      .executeTakeFirstOrThrow();
    const whole = {
      tree_key: 'trees/x',
      tree_bytes: 100n,
      batch_root: BATCH_ROOT,
      car_bytes: length + 100n,
      piece_cid: PIECE_CID,
    };
    await trx
      .updateTable('aggregates')
      .set({ state: 'sealed', ...whole, piece_bytes: 1024n, sealed_at: new Date() })
      .execute();
    await trx.updateTable('placements').set({ selector: 'Links/1/Hash/Links/0/Hash/Links/0/Hash' }).execute();
    await trx
      .insertInto('events')
      .values({ ...event, to_state: 'sealed' })
      .execute();
  });
  expect((await value()).queueing).toEqual({
    reason: 'waiting_for_provider',
    position: 2,
    aggregateFill: null,
    sealsBy: null,
    etaActive,
  });

  const refusedAt = new Date('2024-05-02T00:00:00Z');
  const reasonText = 'deal rejected due to backpressure. Please retry in some time.';
  await seedDeal(kysely, {
    aggregateId: id,
    slot: 0,
    provider: 'f01000',
    state: 'rejected',
    reasonText,
    changedAt: refusedAt,
  });
  expect(await value()).toMatchObject({
    deals: [],
    queueing: {
      reason: 'waiting_for_provider',
      lastRefusal: { miner: 'f01000', text: reasonText, at: '2024-05-02T00:00:00.000000+00:00' },
    },
  });

  await seedDeal(kysely, {
    aggregateId: id,
    slot: 0,
    provider: 'f01001',
    state: 'signed',
    changedAt: new Date('2024-05-02T00:00:09Z'),
  });
  const queued = await value();
  expect(queued).not.toHaveProperty('queueing');
  expect(queued.deals).toEqual([
    {
      status: 'queued',
      stage: 'signed',
      lastChanged: '2024-05-02T00:00:09.000000+00:00',
      chainDealID: null,
      datamodelSelector: 'Links/1/Hash/Links/0/Hash/Links/0/Hash',
      statusText: 'proposal signed, not yet sent',
      dealActivation: '2022-03-14T13:19:00+00:00',
      dealExpiration: '2023-08-06T13:19:00+00:00',
      miner: 'f01001',
      pieceCid: PIECE_CID,
      batchRootCid: BATCH_ROOT,
    },
  ]);

  await seedDeal(kysely, {
    aggregateId: id,
    slot: 1,
    provider: 'f01002',
    state: 'active',
    changedAt: new Date('2024-05-02T00:00:05Z'),
  });
  const { deals } = await value();
  expect(deals.map(({ miner, status }: { miner: string; status: string }) => [miner, status])).toEqual([
    ['f01002', 'active'],
    ['f01001', 'queued'],
  ]);
  expect(deals[0]).toMatchObject({
    chainDealID: 4_486_353,
    statusText: 'containing sector active as of 2022-03-13 09:18:00 at epoch 1628556',
  });
});

test('an upload in several aggregates lists the deals of all, each with its own selector', async () => {
  await using fixture = await apiFixture();
  const { kysely, store } = fixture;
  const { root } = await upload(fixture, 'twice');
  const other = await upload(fixture, 'other');
  const first = await seedAggregate(kysely, store, { roots: [root] });
  const second = await seedAggregate(kysely, store, { roots: [other.root, root], pieceCid: `${PIECE_CID}b` });
  await seedDeal(kysely, { aggregateId: second.id, slot: 0, provider: 'f01000', state: 'active' });
  await seedDeal(kysely, {
    aggregateId: first.id,
    slot: 0,
    provider: 'f01000',
    state: 'expired',
    chainDealId: 7n,
    changedAt: new Date('2024-06-01T00:00:00Z'),
  });
  const { deals } = (await check(fixture, root)).json().value;
  expect(deals).toMatchObject([
    { status: 'active', pieceCid: `${PIECE_CID}b`, datamodelSelector: 'Links/2/Hash/Links/0/Hash/Links/0/Hash' },
    {
      status: 'terminated',
      pieceCid: PIECE_CID,
      datamodelSelector: 'Links/1/Hash/Links/0/Hash/Links/0/Hash',
      statusText: 'some_reason',
    },
  ]);
});

test('a stale view of the chain is said', async () => {
  const view = { asOf: new Date('2024-05-01T00:00:00Z'), degraded: ['the chain has not been read for 10 minutes'] };
  await using fixture = await apiFixture({ server: { chainView: () => view } });
  const { root } = await upload(fixture, 'stale');
  expect((await check(fixture, root)).json().value).toMatchObject({
    asOf: '2024-05-01T00:00:00.000000+00:00',
    degraded: view.degraded,
  });
});

test('deals without a known genesis are an error, not an empty list', async () => {
  await using fixture = await apiFixture({ server: { dealNetwork: () => undefined } });
  const { root } = await upload(fixture, 'genesis');
  expect((await check(fixture, root)).statusCode).toBe(200);
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root] });
  await seedDeal(fixture.kysely, { aggregateId: id, slot: 0, provider: 'f01000', state: 'active' });
  const response = await check(fixture, root);
  expect(response.statusCode).toBe(503);
  expect(response.json()).toMatchObject({ ok: false, error: { code: 'NETWORK_UNKNOWN' } });
});

test('a database that does not answer is a 500 in the envelope', async () => {
  await using fixture = await apiFixture();
  await fixture.kysely.schema.alterTable('uploads').renameTo('hidden').execute();
  const response = await check(fixture, UNKNOWN);
  expect(response.statusCode).toBe(500);
  expect(response.json()).toMatchObject({ ok: false, error: { code: 'INTERNAL' } });
  expect(response.body).not.toContain('uploads');
});

test('an upload whose DAG is incomplete is queued, with the missing block', async () => {
  await using fixture = await apiFixture();
  const { root, blocks } = sampleUpload('missing');
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
  const payload = car([root], blocks.slice(0, 2));
  await fixture.server.inject({ method: 'POST', url: '/upload', payload, headers });
  expect((await check(fixture, root.toString())).json().value).toMatchObject({
    deals: [],
    pin: { status: 'queued', size: 0 },
    queueing: { reason: 'incomplete', missing: { count: 2, first: blocks[2]?.cid.toString() } },
  });
});
