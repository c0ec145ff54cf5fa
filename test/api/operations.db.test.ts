import { expect, test } from 'vitest';
import type { SealNowOutcome } from '../../src/aggregate/place/stow.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { cidOf, RAW, sampleUpload } from '../support/car-builder.ts';
import { BATCH_ROOT, PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { call, uploadAll } from './call.ts';

test('an aggregate by its piece CID, with its public deals', async () => {
  await using fixture = await apiFixture();
  const roots = await uploadAll(fixture, ['a', 'b', 'c']);
  const { id, carBytes } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  await seedDeal(fixture.kysely, { aggregateId: id, slot: 0, provider: 'f01000', state: 'rejected' });
  await seedDeal(fixture.kysely, { aggregateId: id, slot: 0, provider: 'f01001', state: 'active' });
  const response = await call(fixture, 'GET', `/aggregates/${PIECE_CID}`, { token: tokens.read });
  expect(response.statusCode).toBe(200);
  expect(response.json()).toMatchObject({
    pieceCid: PIECE_CID,
    pieceSize: 2048,
    carSize: carBytes,
    batchRootCid: BATCH_ROOT,
    state: 'sealed',
    entryCount: 3,
    deals: [{ miner: 'f01001', status: 'active', datamodelSelector: null }],
  });
  expect((await call(fixture, 'GET', `/aggregates/${PIECE_CID.slice(0, -1)}b`)).statusCode).toBeGreaterThanOrEqual(400);
});

test('entries are NDJSON, one line an upload in the order of the bytes', async () => {
  await using fixture = await apiFixture();
  const seeds = Array.from({ length: 5 }, (_, at) => `entry ${at}`);
  const roots = await uploadAll(fixture, seeds);
  await seedAggregate(fixture.kysely, fixture.store, { roots });
  const response = await call(fixture, 'GET', `/aggregates/${PIECE_CID}/entries`, { token: tokens.read });
  expect(response.headers['content-type']).toBe('application/x-ndjson');
  expect(response.body.endsWith('\n')).toBe(true);
  const lines = response.body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line));
  let offset = 59;
  expect(lines).toHaveLength(5);
  for (const [at, line] of lines.entries()) {
    const { length } = sampleUpload(seeds[at] ?? '').run;
    expect(line).toEqual({
      root: roots[at],
      selector: `Links/${at + 1}/Hash/Links/0/Hash/Links/0/Hash`,
      offset,
      length,
    });
    offset += length;
  }
});

test('entries of more than one page come once each', async () => {
  await using fixture = await apiFixture();
  const [root] = await uploadAll(fixture, ['pages']);
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root ?? ''] });
  const at = new Date();
  const uploads = await fixture.kysely
    .insertInto('uploads')
    .values(
      Array.from({ length: 2_500 }, (_, number) => ({
        root: cidOf(RAW, Buffer.from(`page ${number}`)).toString(),
        state: 'stowed' as const,
        run_bytes: 10n,
        dag_bytes: 5n,
        block_count: 1n,
        created_at: at,
        changed_at: at,
      })),
    )
    .returning('id')
    .execute();
  const rows = uploads.map(({ id: upload_id }, seq) => ({
    aggregate_id: id,
    seq: seq + 1,
    upload_id,
    offset_bytes: BigInt(1_000_000 + seq * 10),
    length_bytes: 10n,
    selector: null,
  }));
  await fixture.kysely.insertInto('placements').values(rows).execute();
  const response = await call(fixture, 'GET', `/aggregates/${PIECE_CID}/entries`);
  const offsets = response.body
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line).offset as number);
  expect(offsets).toHaveLength(2_501);
  expect(new Set(offsets).size).toBe(2_501);
  expect(offsets).toEqual(offsets.toSorted((a, b) => a - b));
});

test('aggregates are listed newest first, page by page', async () => {
  await using fixture = await apiFixture();
  const roots = await uploadAll(fixture, ['a', 'b', 'c']);
  const ids: string[] = [];
  for (const root of roots) {
    const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root], state: 'open' });
    ids.unshift(id.toString());
  }
  const seen: string[] = [];
  let cursor = '';
  for (let page = 0; page < 5 && cursor !== null; page += 1) {
    const query = cursor === '' ? '?limit=2' : `?limit=2&cursor=${cursor}`;
    const { items, next } = (await call(fixture, 'GET', `/aggregates${query}`)).json();
    expect(items.length).toBeLessThanOrEqual(2);
    seen.push(...items.map(({ id }: { id: string }) => id));
    cursor = next;
  }
  expect(seen).toEqual(ids);
  expect((await call(fixture, 'GET', '/aggregates?state=sealed')).json()).toEqual({ items: [], next: null });
  const [first] = (await call(fixture, 'GET', '/aggregates?state=open')).json().items;
  expect(first).toMatchObject({ state: 'open', pieceCid: null, entryCount: 1, capacity: 33_000_000, sealed: null });
});

test('queries that the schema does not know are 400 as problem details', async () => {
  await using fixture = await apiFixture();
  const cursors = ['cursor=nonsense', 'cursor=W10', 'cursor=WyItMSJd'];
  for (const query of [...cursors, 'limit=0', 'limit=1001', 'limit=x', 'state=lost', 'colour=red']) {
    const response = await call(fixture, 'GET', `/aggregates?${query}`);
    expect([query, response.statusCode]).toEqual([query, 400]);
    expect(response.headers['content-type']).toContain('application/problem+json');
    expect(response.json()).toMatchObject({ type: expect.stringMatching(/^\/docs#INVALID_/), status: 400 });
  }
});

test('sealing by hand is for ops, and only of what is open and holds something', async () => {
  const outcomes: SealNowOutcome[] = [
    { kind: 'unknown' },
    { kind: 'sealing' },
    { kind: 'not-open', state: 'sealing' },
    { kind: 'empty' },
  ];
  const sealAggregate = async () => outcomes.shift() ?? { kind: 'unknown' as const };
  await using fixture = await apiFixture({ server: { sealAggregate } });
  const roots = await uploadAll(fixture, ['seal']);
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots, state: 'open' });
  const path = `/aggregates/${id}/seal`;
  expect((await call(fixture, 'POST', path, { token: tokens.read })).statusCode).toBe(403);
  expect((await call(fixture, 'POST', path)).statusCode).toBe(404);
  const done = await call(fixture, 'POST', path);
  expect(done.statusCode).toBe(200);
  expect(done.json()).toMatchObject({ id: id.toString(), entryCount: 1 });
  for (const word of ['sealing already', 'no upload yet']) {
    const refused = await call(fixture, 'POST', path);
    expect(refused.statusCode).toBe(409);
    expect(refused.json()).toMatchObject({ code: 'AGGREGATE_NOT_OPEN', detail: expect.stringContaining(word) });
  }
  expect((await call(fixture, 'POST', '/aggregates/x/seal')).statusCode).toBe(400);
});

test('deals of every state, newest first, with filters, cursor and history', async () => {
  await using fixture = await apiFixture();
  const roots = await uploadAll(fixture, ['deals']);
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  const states = ['rejected', 'active', 'signed'] as const;
  const ids: string[] = [];
  for (const [slot, state] of states.entries()) {
    const changedAt = new Date(Date.parse('2024-05-02T00:00:00Z') + Math.floor(slot / 2) * 1000);
    ids.push(await seedDeal(fixture.kysely, { aggregateId, slot, provider: `f0100${slot}`, state, changedAt }));
  }
  const seen: string[] = [];
  let cursor: string | null = '';
  for (let page = 0; page < 5 && cursor !== null; page += 1) {
    const { items, next }: { items: { id: string }[]; next: string | null } = (
      await call(fixture, 'GET', `/deals?limit=1${cursor === '' ? '' : `&cursor=${cursor}`}`, { token: tokens.read })
    ).json();
    seen.push(...items.map((item) => item.id));
    cursor = next;
  }
  expect(seen[0]).toBe(ids[2]);
  expect(seen.toSorted()).toEqual(ids.toSorted());
  const listed = async (query: string) => (await call(fixture, 'GET', `/deals?${query}`)).json().items;
  expect(await listed('state=rejected')).toMatchObject([
    { id: ids[0], stage: 'rejected', reasonCode: 'some_reason', miner: 'f01000' },
  ]);
  expect(await listed('provider=f01001')).toMatchObject([{ id: ids[1], stage: 'active' }]);
  expect(await listed('provider=f01001&state=signed')).toEqual([]);
  const one = await call(fixture, 'GET', `/deals/${ids[1]}`);
  expect(one.json()).toMatchObject({
    id: ids[1],
    aggregateId: aggregateId.toString(),
    chainDealID: 4_486_353,
    events: [{ from: null, to: 'active', epoch: null, at: '2024-05-02T00:00:00.000000+00:00' }],
  });
  expect((await call(fixture, 'GET', '/deals/00000000-0000-4000-8000-000000000000')).statusCode).toBe(404);
  expect((await call(fixture, 'GET', '/deals/nonsense')).statusCode).toBe(400);
  expect((await call(fixture, 'GET', '/deals', { token: tokens.upload })).statusCode).toBe(403);
});

test('providers are added, listed, paused, resumed and removed', async () => {
  let changed = 0;
  const providersChanged = async () => void (changed += 1);
  await using fixture = await apiFixture({ server: { providersChanged } });
  const manual = {
    id: 'f01000',
    peerId: '12D3KooWGRUVh7qTBwP4gGPrHwzBZiAnCLXVYFpQzQWqGy4dgHHJ',
    multiaddrs: ['/ip4/127.0.0.1/tcp/4001'],
  };
  expect((await call(fixture, 'POST', '/providers', { body: manual })).json()).toMatchObject({
    id: 'f01000',
    state: 'enabled',
    addressSource: 'manual',
    multiaddrs: ['/ip4/127.0.0.1/tcp/4001'],
    resolved: null,
  });
  expect((await call(fixture, 'POST', '/providers', { body: { id: 'f01001' } })).json()).toMatchObject({
    addressSource: 'chain',
    peerId: null,
  });
  const listed = async () => (await call(fixture, 'GET', '/providers', { token: tokens.read })).json();
  expect((await listed()).items.map(({ id }: { id: string }) => id)).toEqual(['f01000', 'f01001']);
  expect((await call(fixture, 'POST', '/providers/f01000/pause')).json()).toMatchObject({ state: 'paused' });
  expect((await call(fixture, 'POST', '/providers/t01000/resume')).json()).toMatchObject({ state: 'enabled' });
  expect((await call(fixture, 'POST', '/providers/f01000/remove')).json()).toMatchObject({ state: 'removed' });
  expect((await listed()).items).toHaveLength(1);
  expect(changed).toBe(3);
  expect((await call(fixture, 'POST', '/providers/f09/pause')).statusCode).toBe(404);
  expect((await call(fixture, 'POST', '/providers/f01001/explode')).statusCode).toBe(404);
  expect((await call(fixture, 'POST', '/providers/f01001/pause', { token: tokens.read })).statusCode).toBe(403);
});

const wrongProviders: object[] = [
  {},
  { id: 1000 },
  { id: 'f1abc' },
  { id: 'f01000', colour: 'red' },
  { id: 'f01000', multiaddrs: [] },
  { id: 'f01000', multiaddrs: 'x' },
  [],
];

test('bodies are refused as they stand: nothing is stripped or turned into another type', async () => {
  await using fixture = await apiFixture();
  for (const body of wrongProviders) {
    const response = await call(fixture, 'POST', '/providers', { body });
    expect([body, response.statusCode]).toEqual([body, 400]);
    expect(response.json()).toMatchObject({ code: 'INVALID_REQUEST' });
  }
  expect(await fixture.kysely.selectFrom('providers').selectAll().execute()).toEqual([]);
});

test('each change of the policy is a version, by the names that are shown', async () => {
  await using fixture = await apiFixture();
  const first = (await call(fixture, 'GET', '/policy', { token: tokens.read })).json();
  expect(first).toMatchObject({ version: 1, terms: { replicas: '5', verified: 'true' } });
  const changed = await call(fixture, 'PUT', '/policy', { body: { replicas: 3, verified: false, max_price: '123' } });
  expect(changed.statusCode).toBe(200);
  expect(changed.json()).toEqual({
    version: 2,
    terms: { ...first.terms, replicas: '3', verified: 'false', max_price: '123' },
  });
  expect((await call(fixture, 'GET', '/policy')).json()).toEqual(changed.json());
  const row = await fixture.kysely
    .selectFrom('policies')
    .select('created_by')
    .where('version', '=', 2)
    .executeTakeFirstOrThrow();
  expect(row.created_by).toBe('operator');
  for (const body of [
    {},
    { colour: 'red' },
    { replicas: 0 },
    { replicas: '3x' },
    { replicas: [3] },
    { verified: 'maybe' },
    { 'a=b': 1 },
  ]) {
    expect((await call(fixture, 'PUT', '/policy', { body })).statusCode).toBe(400);
  }
  expect((await call(fixture, 'PUT', '/policy', { body: { replicas: 4 }, token: tokens.read })).statusCode).toBe(403);
  expect((await call(fixture, 'GET', '/policy')).json()).toMatchObject({ version: 2 });
});

test('bodies that are not JSON are refused', async () => {
  await using fixture = await apiFixture();
  const send = (payload: string, type: string) =>
    fixture.server.inject({
      method: 'PUT',
      url: '/policy',
      payload,
      headers: { ...bearer(tokens.ops), 'content-type': type },
    });
  expect((await send('{"replicas":', 'application/json')).statusCode).toBe(400);
  expect((await send('replicas=3', 'application/x-www-form-urlencoded')).statusCode).toBe(415);
  expect((await send('{"replicas":3}', 'text/plain')).statusCode).toBe(415);
  const long = await send(JSON.stringify({ replicas: 'x'.repeat(100_000) }), 'application/json');
  expect(long.statusCode).toBe(413);
  expect(long.json()).toMatchObject({ code: 'BODY_TOO_LARGE' });
  expect((await send('{"__proto__":{"x":1},"replicas":3}', 'application/json')).statusCode).toBe(400);
});
