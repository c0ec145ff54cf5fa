import { sql } from 'kysely';
import { expect, test } from 'vitest';
import { createRpc } from '../../src/chain/rpc.ts';
import { createMetrics, type MetricSources } from '../../src/metrics/metrics.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { car, rawBlock } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';
import { readExposition, valueOf } from './read-exposition.ts';

const NOW = new Date('2024-05-02T00:00:00.000Z');

function sourcesOf({ kysely, store }: ApiFixture, changes: Partial<MetricSources> = {}): MetricSources {
  return { kysely, store, clock: { now: () => NOW }, rpcHealth: () => [], ...changes };
}

async function send(fixture: ApiFixture, text: string): Promise<string> {
  const block = rawBlock(text);
  const root = block.cid.toString();
  const payload = car([block.cid], [block]);
  const headers = { ...bearer(tokens.upload), 'content-type': 'application/vnd.ipld.car' };
  const { statusCode } = await fixture.server.inject({ method: 'POST', url: '/upload', headers, payload });
  expect(statusCode).toBe(200);
  return root;
}

/** Two uploads in an aggregate with four deals, and one that waits. */
async function seeded() {
  const fixture = await apiFixture();
  const roots = [await send(fixture, 'one'), await send(fixture, 'two')];
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots });
  await send(fixture, 'three');
  const changedAt = new Date(NOW.getTime() - 90_000);
  for (const [slot, state] of (['sent', 'sent', 'published', 'active'] as const).entries()) {
    await seedDeal(fixture.kysely, { aggregateId: id, slot, provider: `f0100${slot}`, state, changedAt });
  }
  return fixture;
}

test('figures are what SQL counts', async () => {
  await using fixture = await seeded();
  const { kysely } = fixture;
  await sql`insert into pgboss.job (name, data, start_after) values
    ('send', '{"dealId":"a"}', now() - interval '1 hour'), ('send', '{"dealId":"b"}', now() + interval '1 hour')`.execute(
    kysely,
  );
  const families = readExposition(await createMetrics().scraper(sourcesOf(fixture))());
  const states = await kysely
    .selectFrom('uploads')
    .select(['state', (eb) => eb.fn.countAll<bigint>().as('n'), (eb) => eb.fn.sum<string>('run_bytes').as('bytes')])
    .groupBy('state')
    .execute();
  expect(states.length).toBe(2);
  for (const { state, n, bytes } of states) {
    expect(valueOf(families, 'lading_uploads', { state })).toBe(Number(n));
    expect(valueOf(families, 'lading_upload_bytes', { state })).toBe(Number(bytes));
  }
  expect(valueOf(families, 'lading_uploads', { state: 'failed' })).toBe(0);
  const { piece_bytes: pieceBytes } = await kysely.selectFrom('aggregates').selectAll().executeTakeFirstOrThrow();
  for (const [state, count] of [
    ['sent', 2],
    ['published', 1],
    ['active', 1],
    ['signed', 0],
    ['slashed', 0],
  ] as const) {
    expect([state, valueOf(families, 'lading_deals', { state })]).toEqual([state, count]);
    expect([state, valueOf(families, 'lading_deal_bytes', { state })]).toEqual([state, count * Number(pieceBytes)]);
  }
  expect(valueOf(families, 'lading_deals_oldest_age_seconds', { state: 'sent' })).toBe(90);
  expect(valueOf(families, 'lading_deals_oldest_age_seconds', { state: 'active' })).toBeUndefined();
  expect(valueOf(families, 'lading_aggregates', { stage: 'sealed' })).toBe(1);
  expect(valueOf(families, 'lading_jobs', { queue: 'send', state: 'waiting' })).toBe(1);
  expect(valueOf(families, 'lading_jobs', { queue: 'send', state: 'deferred' })).toBe(1);
  expect(valueOf(families, 'lading_jobs', { queue: 'seal', state: 'waiting' })).toBe(0);
  const { rows } = await sql<{ bytes: string }>`select sum(length_bytes) as bytes from parts`.execute(kysely);
  const trees = Buffer.byteLength('a tree');
  expect(valueOf(families, 'lading_store_bytes')).toBe(Number(rows[0]?.bytes) + trees);
});

test('how fresh the chain is stands there, with the class of a reason and never its words', async () => {
  await using fixture = await apiFixture();
  const reason = 'the nodes disagree about epoch 1631918';
  await fixture.kysely
    .insertInto('chain_freshness')
    .values({
      as_of: new Date(NOW.getTime() - 600_000),
      epoch: 1_631_900n,
      degraded_since: new Date(NOW.getTime() - 540_000),
      degraded_reason: reason,
      looked_at: NOW,
    })
    .execute();
  const text = await createMetrics().scraper(sourcesOf(fixture))();
  const families = readExposition(text);
  expect(valueOf(families, 'lading_chain_age_seconds')).toBe(600);
  expect(valueOf(families, 'lading_chain_degraded_seconds')).toBe(540);
  expect(valueOf(families, 'lading_chain_epoch')).toBe(1_631_900);
  const degraded = families.get('lading_chain_degraded')?.samples.filter(({ value }) => value === 1);
  expect(degraded).toEqual([{ name: 'lading_chain_degraded', labels: { reason: 'disagree' }, value: 1 }]);
  expect(text).not.toContain(reason);
});

test('a database that is gone takes its figures along, after a while, and nothing else', async () => {
  await using fixture = await apiFixture();
  let now = 0;
  let broken = false;
  let reads = 0;
  const kysely = new Proxy(fixture.kysely, {
    get(target, key) {
      if (broken) throw new Error('gone');
      if (key === 'getExecutor') reads += 1;
      const value: unknown = Reflect.get(target, key);
      return typeof value === 'function' ? (value.bind(target) as unknown) : value;
    },
  });
  const metrics = createMetrics();
  const sources = sourcesOf(fixture, { kysely, monotonicMs: () => now });
  const text = metrics.scraper(sources);
  const scrape = async () => readExposition(await text());
  await Promise.all([scrape(), scrape(), scrape()]);
  const first = reads;
  expect(first).toBeGreaterThan(0);
  now += 14_999;
  expect(valueOf(await scrape(), 'lading_figures_age_seconds', { group: 'pipeline' })).toBe(14.999);
  expect(reads).toBe(first);
  now += 1;
  await scrape();
  expect(reads).toBeGreaterThan(first);
  broken = true;
  now += 30_000;
  expect(valueOf(await scrape(), 'lading_uploads', { state: 'waiting' })).toBe(0);
  now += 31_000;
  const later = await scrape();
  expect(valueOf(later, 'lading_uploads', { state: 'waiting' })).toBeUndefined();
  expect(valueOf(later, 'lading_uploads', { state: 'stowed' })).toBe(0);
  expect(valueOf(later, 'lading_process_resident_memory_bytes')).toBeGreaterThan(0);
});

test('requests to nodes are counted by method, endpoint and outcome', async () => {
  await using fixture = await apiFixture();
  const metrics = createMetrics();
  const rpc = createRpc({
    endpoints: [{ url: 'http://127.0.0.1:9/rpc/v1' }],
    onRequest: metrics.counters.rpcRequested,
  });
  const read = { method: 'ChainHead', params: [], parse: (answer: unknown) => answer } as const;
  await expect(rpc.read(read, new AbortController().signal)).rejects.toThrow('ChainHead');
  const families = readExposition(await metrics.scraper(sourcesOf(fixture, { rpcHealth: () => rpc.health() }))());
  const endpoint = '127.0.0.1:9';
  const labels = { method: 'ChainHead', endpoint };
  expect(valueOf(families, 'lading_rpc_requests_total', { ...labels, outcome: 'RPC_UNREACHABLE' })).toBe(1);
  expect(valueOf(families, 'lading_rpc_request_duration_seconds_count', labels)).toBe(1);
  expect(valueOf(families, 'lading_rpc_endpoint_state', { endpoint, state: 'resting' })).toBe(1);
  expect(valueOf(families, 'lading_rpc_endpoint_state', { endpoint, state: 'well' })).toBe(0);
  expect(valueOf(families, 'lading_rpc_endpoint_standing', { endpoint, standing: 'unknown' })).toBe(1);
  rpc.close();
});

test('only the machine itself scrapes without a token, and nobody through a proxy that is not trusted', async () => {
  await using fixture = await apiFixture();
  const { server } = fixture;
  const status = async (remoteAddress: string, headers: Record<string, string> = {}) =>
    (await server.inject({ url: '/metrics', remoteAddress, headers })).statusCode;
  expect(await status('127.0.0.1')).toBe(200);
  expect(await status('::1')).toBe(200);
  expect(await status('::ffff:127.0.0.1')).toBe(200);
  expect(await status('127.0.0.1', { 'x-forwarded-for': '127.0.0.1' })).toBe(401);
  expect(await status('10.1.2.3')).toBe(401);
  expect(await status('203.0.113.7', bearer(tokens.read))).toBe(200);
  expect(await status('203.0.113.7', bearer(tokens.ops))).toBe(200);
  expect(await status('203.0.113.7', bearer(tokens.upload))).toBe(403);
  expect(await status('127.0.0.1', bearer('not-one-of-ours'))).toBe(401);
});

test('networks may be named from which it is scraped, or none', async () => {
  await using fixture = await apiFixture({
    server: { metricsFrom: ['uniquelocal', '198.51.100.0/24', '2001:db8::5'] },
  });
  const from = async (remoteAddress: string) =>
    (await fixture.server.inject({ url: '/metrics', remoteAddress })).statusCode;
  const inside = ['10.1.2.3', '172.31.0.1', '192.168.5.5', 'fd00::1', '198.51.100.255', '2001:db8::5'];
  for (const address of inside) expect([address, await from(address)]).toEqual([address, 200]);
  const outside = ['127.0.0.1', '172.32.0.1', '198.51.101.0', '2001:db8::6', '::1'];
  for (const address of outside) expect([address, await from(address)]).toEqual([address, 401]);
  await using shut = await apiFixture({ server: { metricsFrom: [] } });
  expect((await shut.server.inject({ url: '/metrics', remoteAddress: '127.0.0.1' })).statusCode).toBe(401);
});
