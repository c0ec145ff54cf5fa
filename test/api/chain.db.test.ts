import { sql } from 'kysely';
import { expect, test } from 'vitest';
import type { EndpointHealth } from '../../src/chain/endpoint-health.ts';
import { replacePolicy } from '../../src/deals/propose/policy-store.ts';
import { insertDifferences } from '../../src/deals/watch/difference-store.ts';
import { apiFixture, bearer, tokens } from '../support/api-fixture.ts';
import { rawBlock } from '../support/car-builder.ts';
import { sealedUploads } from '../support/sealed-uploads.ts';
import { seedDeal } from '../support/seed-rows.ts';

const headers = bearer(tokens.read);

test('before anything was read the chain is unknown, and nothing is made up', async () => {
  await using fixture = await apiFixture();
  const { json, statusCode } = await fixture.server.inject({ url: '/chain', headers });
  expect(statusCode).toBe(200);
  expect(json()).toMatchObject({
    genesis: '2020-08-24T22:00:00.000000+00:00',
    epoch: null,
    finalizedEpoch: null,
    asOf: null,
    endpoints: [],
    openDifferences: 0,
    differences: [],
  });
});

test('the chain is told as the watch left it, with the endpoints and no address of theirs', async () => {
  const well: EndpointHealth = {
    host: 'node.example.com:443',
    state: 'well',
    since: new Date('2024-05-01T00:00:00Z'),
    lastFault: undefined,
    latencyMs: 12.5,
    height: 100,
    lagEpochs: 0,
    standing: 'agrees',
  };
  await using fixture = await apiFixture({ server: { networkName: 'mainnet', rpcHealth: () => [well] } });
  const { kysely } = fixture;
  await sql`insert into chain_freshness (as_of, epoch, looked_at, degraded_since, degraded_reason, limited)
    values ('2024-05-01T01:00:00Z', 100, '2024-05-01T01:00:05Z', '2024-05-01T00:59:00Z', 'no node answers', null)`.execute(
    kysely,
  );
  await sql`insert into chain_cursors (name, height, tipset, at) values ('watch.finalized', 80, '{bafy}', now())`.execute(
    kysely,
  );
  const answer = (await fixture.server.inject({ url: '/chain', headers })).json();
  expect(answer).toMatchObject({
    network: 'mainnet',
    epoch: 100,
    finalizedEpoch: 80,
    asOf: '2024-05-01T01:00:00.000000+00:00',
    degradedReason: 'no node answers',
    degradedSince: '2024-05-01T00:59:00.000000+00:00',
  });
  expect(answer.endpoints).toEqual([{ ...well, since: '2024-05-01T00:00:00.000000+00:00', lastFault: null }]);
});

test('open differences are listed, cleared ones are not', async () => {
  await using fixture = await apiFixture();
  const { kysely } = fixture;
  const block = rawBlock('an upload');
  const { id: aggregateId } = await sealedUploads(fixture, [{ root: block.cid, blocks: [block] }]);
  const dealId = await seedDeal(kysely, { aggregateId, slot: 0, provider: 'f01000', state: 'active' });
  const found = { dealId, kind: 'absent' as const, detail: 'the chain has no such deal' };
  await insertDifferences(kysely, [found], { epoch: 7, tipset: ['bafy'], at: new Date('2024-05-01') });
  const open = (await fixture.server.inject({ url: '/chain', headers })).json();
  expect([open.openDifferences, open.differences]).toEqual([
    1,
    [{ ...found, epoch: 7, found: '2024-05-01T00:00:00.000000+00:00' }],
  ]);
  await sql`update chain_differences set cleared_at = now()`.execute(kysely);
  const cleared = (await fixture.server.inject({ url: '/chain', headers })).json();
  expect([cleared.openDifferences, cleared.differences]).toEqual([0, []]);
});

test('the history of the policy has every version, page by page', async () => {
  await using fixture = await apiFixture();
  const { kysely, server } = fixture;
  for (const replicas of [1, 2, 3]) {
    const at = new Date(Date.UTC(2024, 4, replicas));
    await replacePolicy(kysely, { pairs: [`replicas=${replicas}`], by: 'alice', reason: `want ${replicas}`, at });
  }
  const first = (await server.inject({ url: '/policy/history?limit=2', headers })).json();
  expect(first.items).toMatchObject([
    { version: 4, by: 'alice', reason: 'want 3', at: '2024-05-03T00:00:00.000000+00:00', terms: { replicas: '3' } },
    { version: 3, reason: 'want 2', terms: { replicas: '2' } },
  ]);
  const rest = (await server.inject({ url: `/policy/history?limit=2&cursor=${first.next}`, headers })).json();
  expect(rest.items.map(({ version }: { version: number }) => version)).toEqual([2, 1]);
  expect(rest.next).toBeNull();
  expect(first.items[0].terms).toEqual((await server.inject({ url: '/policy', headers })).json().terms);
  expect((await server.inject({ url: '/policy/history?cursor=x', headers })).json().code).toBe('INVALID_CURSOR');
});
