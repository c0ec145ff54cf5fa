import { expect, test, vi } from 'vitest';
import { endOwnership } from '../../src/aggregate/keep/remove-upload.ts';
import { watch } from '../../src/client/watch.ts';
import { moveDeal } from '../../src/deals/move-deal.ts';
import { silentLog } from '../../src/log/log.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { PIECE_CID, seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { untilReadable } from './event-rows.ts';
import { EventReader } from './event-reader.ts';

const AT = new Date('2024-05-02T00:00:00Z');
const QUICK = { tickMs: 10 };

async function send(fixture: ApiFixture, seed: string, token: string = tokens.upload): Promise<string> {
  const { car, root } = sampleUpload(seed);
  const headers = { ...bearer(token), 'content-type': 'application/car' };
  await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
  return root.toString();
}

async function publish(fixture: ApiFixture, id: string): Promise<void> {
  const columns = { chain_deal_id: 7n, publish_message: 'bafypublish', published_epoch: 110n };
  const reason = { code: 'found_on_chain', text: 'published as chain deal 7' };
  await fixture.kysely.transaction().execute(async (trx) => {
    await moveDeal(trx, { id, from: 'accepted', to: 'published', at: AT, columns, reason });
  });
}

/** Two uploads of one token and one of another in an aggregate with one accepted deal. */
async function world(limits = {}) {
  const fixture = await apiFixture({ server: { eventLimits: { ...QUICK, ...limits } } });
  const { url } = await fixture.listen();
  const roots = [await send(fixture, 'one'), await send(fixture, 'two'), await send(fixture, 'three', tokens.upload2)];
  const { id: aggregateId } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  const deal = await seedDeal(fixture.kysely, { aggregateId, slot: 0, provider: 'f01001', state: 'accepted' });
  await untilReadable(fixture.kysely);
  return { fixture, url, roots, aggregateId, deal, [Symbol.asyncDispose]: () => fixture[Symbol.asyncDispose]() };
}

test('a change of a deal reaches whoever named an upload of its aggregate, in full', async () => {
  await using one = await world();
  const [, second = ''] = one.roots;
  await using reader = await EventReader.open(one.url, { token: tokens.read, query: `?cid=${second}` });
  await publish(one.fixture, one.deal);
  await expect.poll(() => reader.changes.length).toBe(1);
  const [change] = reader.changes;
  expect(change).toEqual({
    id: reader.ids[0],
    cid: second,
    at: '2024-05-02T00:00:00.000000+00:00',
    kind: 'deal',
    from: 'accepted',
    to: 'published',
    reasonCode: 'found_on_chain',
    reason: 'published as chain deal 7',
    aggregate: { id: one.aggregateId.toString(), pieceCid: PIECE_CID },
    deal: {
      id: one.deal,
      status: 'queued',
      stage: 'published',
      miner: 'f01001',
      chainDealID: 7,
      pieceCid: PIECE_CID,
      batchRootCid: expect.any(String),
      datamodelSelector: 'Links/2/Hash/Links/0/Hash/Links/0/Hash',
    },
  });
  const { rows } = await one.fixture.database.pool.query('select max(position) as position from events');
  expect(change?.id).toBe(`${rows[0].position}-1`);
});

test('a name is followed from before it is known here', async () => {
  await using one = await world();
  const later = sampleUpload('later').root.toString();
  await using reader = await EventReader.open(one.url, { token: tokens.upload2, query: `?cid=${later}` });
  await send(one.fixture, 'later');
  await expect.poll(() => reader.moves).toEqual(['upload null waiting']);
});

test('a token of role upload is told of its own uploads, ops and read of all', async () => {
  await using one = await world();
  await using own = await EventReader.open(one.url, { token: tokens.upload2 });
  await using ops = await EventReader.open(one.url, { token: tokens.ops });
  await publish(one.fixture, one.deal);
  await expect.poll(() => ops.changes.map(({ cid }) => cid)).toEqual(one.roots);
  expect(own.changes.map(({ cid }) => cid)).toEqual(one.roots.slice(2));
  expect(ops.ids.map((id) => id?.split('-')[1])).toEqual(['0', '1', '2']);
});

test('an owner is told of the removal of its upload, and nobody that an owner left', async () => {
  await using one = await world();
  const root = await send(one.fixture, 'unwanted');
  await untilReadable(one.fixture.kysely);
  await using own = await EventReader.open(one.url, { token: tokens.upload });
  await using ops = await EventReader.open(one.url, { token: tokens.ops });
  const { kysely } = one.fixture;
  await endOwnership({ kysely, clock: { now: () => AT }, log: silentLog }, { root, owner: 'service' });
  await expect.poll(() => own.moves).toEqual(['upload waiting removed']);
  await expect.poll(() => ops.moves).toEqual(['upload waiting removed']);
});

test('a reader that comes back with the last id misses nothing and is told nothing twice', async () => {
  await using one = await world();
  await using ops = await EventReader.open(one.url, { token: tokens.ops, query: '?after=0' });
  // Three uploads, then where each went; the deal of three uploads.
  await expect.poll(() => ops.changes.length).toBe(3 + 3 + 3);
  await publish(one.fixture, one.deal);
  await expect.poll(() => ops.changes.length).toBe(12);
  for (const [at, lastId] of ops.ids.entries()) {
    if (lastId === undefined) throw new Error('an event without an id');
    await using again = await EventReader.open(one.url, { token: tokens.ops, lastId, query: '?after=0' });
    await expect.poll(() => again.ids).toEqual(ops.ids.slice(at + 1));
  }
});

test.each([
  ['kind', '?kind=upload', ['upload null waiting', 'upload null waiting', 'upload null waiting']],
  [
    'state',
    '?state=accepted&state=published',
    Array(3).fill('deal null accepted').concat(Array(3).fill('deal accepted published')),
  ],
  ['several values with commas', '?state=sealed,published&kind=deal', Array(3).fill('deal accepted published')],
  ['aggregate', `?aggregate=${PIECE_CID}&state=sealed`, Array(3).fill('aggregate null sealed')],
])('filters by %s', async (_name, query, moves) => {
  await using one = await world();
  await publish(one.fixture, one.deal);
  await using reader = await EventReader.open(one.url, { token: tokens.ops, query: `${query}&after=0` });
  await expect.poll(() => reader.moves).toEqual(moves);
});

test('filters by deal, and by an upload of it', async () => {
  await using one = await world();
  const elsewhere = await seedDeal(one.fixture.kysely, {
    aggregateId: one.aggregateId,
    slot: 1,
    provider: 'f01002',
    state: 'active',
  });
  const [first] = one.roots;
  const query = `?deal=${elsewhere}&cid=${first}&after=0`;
  await using reader = await EventReader.open(one.url, { token: tokens.upload2, query });
  await expect.poll(() => reader.moves).toEqual(['deal null active']);
  expect(reader.changes[0]?.deal?.status).toBe('active');
});

test('refuses what it cannot read, and says why', async () => {
  await using fixture = await apiFixture();
  const refusals = [
    ['?after=77-1', 'INVALID_EVENT_ID'],
    ['?after=yesterday', 'INVALID_EVENT_ID'],
    ['?cid=nonsense', 'INVALID_CID'],
    ['?aggregate=nonsense', 'INVALID_CID'],
    ['?state=sold', 'INVALID_REQUEST'],
    ['?kind=provider', 'INVALID_REQUEST'],
    ['?cid=', 'INVALID_REQUEST'],
    ['?state=,', 'INVALID_REQUEST'],
    ['?colour=blue', 'INVALID_REQUEST'],
    ['?deal=7', 'INVALID_REQUEST'],
  ];
  for (const [query, code] of refusals) {
    const response = await fixture.server.inject({
      method: 'GET',
      url: `/events${query}`,
      headers: bearer(tokens.ops),
    });
    expect([response.statusCode, response.json().code]).toEqual([400, code]);
  }
});

test('needs a token, and has a limit of streams', async () => {
  await using one = await world({ subscribers: 1 });
  expect((await fetch(`${one.url}/events`)).status).toBe(401);
  {
    await using _first = await EventReader.open(one.url, { token: tokens.ops });
    const refused = await fetch(`${one.url}/events`, { headers: bearer(tokens.ops) });
    expect(refused.status).toBe(503);
    expect(await refused.json()).toMatchObject({ code: 'TOO_MANY_STREAMS' });
  }
  await expect
    .poll(async () => {
      try {
        await using _next = await EventReader.open(one.url, { token: tokens.ops });
        return 'open';
      } catch {
        return 'full';
      }
    })
    .toBe('open');
});

test('heartbeats, an end to each stream, and an end to all when the server closes', async () => {
  await using one = await world({ heartbeatMs: 20, lifeMs: 200 });
  await using short = await EventReader.open(one.url, { token: tokens.ops });
  await expect.poll(() => short.ended).toBe(true);
  expect(short.comments).toBeGreaterThan(2);
  await using last = await EventReader.open(one.url, { token: tokens.ops });
  const begun = performance.now();
  await one.fixture.server.close();
  await expect.poll(() => last.ended).toBe(true);
  expect(performance.now() - begun).toBeLessThan(2_000);
});

test('who watches from now on loses nothing when the connection breaks before the first change', async () => {
  await using one = await world();
  const [first = ''] = one.roots;
  const { server } = one.fixture.server;
  const onOpen = vi.fn(() => server.closeAllConnections());
  const wait = async () => {
    if (onOpen.mock.calls.length === 1) await publish(one.fixture, one.deal);
    onOpen.mockImplementation(() => undefined);
  };
  const signal = AbortSignal.timeout(10_000);
  const moves: string[] = [];
  for await (const { from, to } of watch({ url: one.url, token: tokens.read, wait }, first, { onOpen, signal })) {
    moves.push(`${from} ${to}`);
    break;
  }
  expect(moves).toEqual(['accepted published']);
});

test('the answer says where it begins, in words that lead there again, whatever was asked for', async () => {
  await using one = await world();
  const begins = async (query: string) => {
    const stop = new AbortController();
    const response = await fetch(`${one.url}/events${query}`, { headers: bearer(tokens.read), signal: stop.signal });
    const value = (await response.body?.getReader().read())?.value;
    stop.abort();
    const id = response.headers.get('last-event-id');
    expect(new TextDecoder().decode(value)).toBe(`: lading events\nretry: 2000\nid: ${id}\n\n`);
    return id;
  };
  const now = await begins('');
  expect(now).toMatch(/^\d+-\d+$/);
  expect(await begins(`?after=${now}`)).toBe(now);
  expect(await begins(`?after=%0A${now}%0D%0A`)).toBe(now);
  expect(await begins('?after=0')).toBe('0');
  await using empty = await apiFixture();
  const { url } = await empty.listen();
  const stop = new AbortController();
  const response = await fetch(`${url}/events`, { headers: bearer(tokens.read), signal: stop.signal });
  expect(response.headers.get('last-event-id')).toBe('0');
  stop.abort();
});
