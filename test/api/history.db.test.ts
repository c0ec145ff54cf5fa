import { expect, test } from 'vitest';
import { moveDeal } from '../../src/deals/move-deal.ts';
import { apiFixture, bearer, tokens, type ApiFixture } from '../support/api-fixture.ts';
import { sampleUpload } from '../support/car-builder.ts';
import { seedAggregate, seedDeal } from '../support/seed-rows.ts';

interface HistoryAnswer {
  items: { subject: string; id: string | null; from: string | null; to: string; [key: string]: unknown }[];
  next: string | null;
}

async function get(fixture: ApiFixture, url: string, token: string = tokens.ops) {
  return fixture.server.inject({ method: 'GET', url, headers: bearer(token) });
}

/** An upload in a sealed aggregate with one deal that was published, and another upload with its own. */
async function world() {
  const fixture = await apiFixture();
  const roots: string[] = [];
  for (const seed of ['mine', 'another']) {
    const { car, root } = sampleUpload(seed);
    const headers = { ...bearer(tokens.upload), 'content-type': 'application/car' };
    await fixture.server.inject({ method: 'POST', url: '/upload', payload: car, headers });
    roots.push(root.toString());
  }
  const [root = '', other = ''] = roots;
  const pieceCid = 'baga6ea4seaqk2u3pntxj2duujpuhqrn6ifbhpp7hlyvt6e6kcs3uymacxtsiebq';
  const { id } = await seedAggregate(fixture.kysely, fixture.store, { roots: [root] });
  const elsewhere = await seedAggregate(fixture.kysely, fixture.store, { roots: [other], pieceCid });
  await seedDeal(fixture.kysely, { aggregateId: elsewhere.id, slot: 0, provider: 'f01009', state: 'accepted' });
  const deal = await seedDeal(fixture.kysely, { aggregateId: id, slot: 0, provider: 'f01001', state: 'accepted' });
  const evidence = { epoch: 120, tipset: ['bafyt1', 'bafyt2'], message: 'bafypublish', messageEpoch: 110 };
  const columns = { chain_deal_id: 7n, publish_message: 'bafypublish', published_epoch: 110n };
  const reason = { code: 'found_on_chain', text: 'published as chain deal 7' };
  await fixture.kysely.transaction().execute(async (trx) => {
    const at = new Date('2024-05-02T00:00:00Z');
    await moveDeal(trx, { id: deal, from: 'accepted', to: 'published', at, columns, reason, epoch: 120, evidence });
  });
  return { fixture, root, aggregateId: id, deal };
}

test("an upload's history is its own, its aggregates' and their deals', and nobody else's", async () => {
  const { fixture: opened, root, aggregateId, deal } = await world();
  await using fixture = opened;
  const response = await get(fixture, `/uploads/${root}/history`, tokens.upload);
  expect(response.statusCode).toBe(200);
  const { items, next } = response.json<HistoryAnswer>();
  expect(next).toBeNull();
  expect(items.map(({ subject, id, from, to }) => [subject, id, from, to])).toEqual([
    ['upload', null, null, 'waiting'],
    ['aggregate', aggregateId.toString(), null, 'sealed'],
    ['deal', deal, null, 'accepted'],
    ['deal', deal, 'accepted', 'published'],
  ]);
  expect(items.at(-1)).toMatchObject({
    seen: '2024-05-02T00:00:00.000000+00:00',
    reasonCode: 'found_on_chain',
    detail: 'published as chain deal 7',
    epoch: 120,
    tipset: ['bafyt1', 'bafyt2'],
    messageCid: 'bafypublish',
    evidence: { messageEpoch: 110 },
  });
});

test('a history comes in pages that leave nothing out and repeat nothing', async () => {
  const { fixture: opened, root } = await world();
  await using fixture = opened;
  const whole = (await get(fixture, `/uploads/${root}/history`)).json<HistoryAnswer>().items;
  const paged: HistoryAnswer['items'] = [];
  let cursor: string | null = '';
  while (cursor !== null) {
    const query: string = cursor === '' ? 'limit=1' : `limit=1&cursor=${cursor}`;
    const page = (await get(fixture, `/uploads/${root}/history?${query}`)).json<HistoryAnswer>();
    paged.push(...page.items);
    cursor = page.next;
  }
  expect(paged).toEqual(whole);
  expect(whole).toHaveLength(4);
  expect((await get(fixture, `/uploads/${root}/history?cursor=nonsense`)).statusCode).toBe(400);
});

test("a deal's history is for operators", async () => {
  const { fixture: opened, deal } = await world();
  await using fixture = opened;
  const { items } = (await get(fixture, `/deals/${deal}/history`, tokens.read)).json<HistoryAnswer>();
  expect(items.map(({ to }) => to)).toEqual(['accepted', 'published']);
  expect((await get(fixture, `/deals/${deal}/history`, tokens.upload)).statusCode).toBe(403);
  expect((await get(fixture, '/deals/00000000-0000-4000-8000-000000000009/history')).statusCode).toBe(404);
  expect((await get(fixture, `/uploads/${sampleUpload('unknown').root.toString()}/history`)).statusCode).toBe(404);
});
